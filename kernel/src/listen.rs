//! Sockets that listen: their queue, and who is accepted from it.

use crate::fd::Kind;
use crate::kernel::{Errno, Kernel};
use crate::socket::{Family, NOWHERE, Name, Socket, Stage};
use std::collections::VecDeque;

/// The longest queue of connections that wait to be accepted (`somaxconn`).
const LONGEST_BACKLOG: usize = 4096;

impl Kernel {
    /// `listen`.
    pub(crate) fn listen(&mut self, fd: i32, backlog: i32) -> Result<(), Errno> {
        let object = self.object(fd)?;
        let backlog = usize::try_from(backlog).map_or(LONGEST_BACKLOG, |n| n.min(LONGEST_BACKLOG));
        let socket = self.socket_of(object)?;
        if socket.mailbox.is_some() {
            return Err(libc::EOPNOTSUPP);
        }
        match &mut socket.stage {
            Stage::Listening { backlog: old, .. } => *old = backlog,
            Stage::Fresh => {
                if socket.family != Family::Unix && socket.local.port() == 0 {
                    self.bind(fd, &Name::Inet(NOWHERE))?;
                }
                let stage = Stage::Listening { backlog, queue: VecDeque::new(), handshakes: 0 };
                self.set_stage(object, stage);
            }
            _ => return Err(libc::EINVAL),
        }
        Ok(())
    }

    /// How many connections wait at a listening socket or are about to, and how many may; `None`:
    /// it does not listen.
    pub(crate) fn backlog(&self, object: usize) -> Option<(usize, usize)> {
        match self.stage(object) {
            Some(Stage::Listening { backlog, queue, handshakes }) => {
                Some((queue.len() + handshakes, *backlog))
            }
            _ => None,
        }
    }

    /// One handshake more, or one fewer, is under way at a listening socket, if it still listens.
    pub(crate) fn count_handshake(&mut self, object: usize, by: isize) {
        if let Kind::Socket(socket) = &mut self.objects[object].kind
            && let Stage::Listening { handshakes, .. } = &mut socket.stage
        {
            *handshakes = handshakes.saturating_add_signed(by);
        }
    }

    /// The socket of a connection that a listening one is about to give away.
    pub(crate) fn accepted_socket(
        &mut self,
        listener: usize,
        connection: usize,
        side: usize,
    ) -> usize {
        let node = self.objects[listener].node;
        let sides = &self.connections[connection].sides;
        let (local, peer) = (sides[side].name, sides[1 - side].name);
        let (family, path, aborts) = match &self.objects[listener].kind {
            Kind::Socket(socket) => (socket.family, socket.path.clone(), socket.aborts),
            _ => (Family::V4, Vec::new(), false),
        };
        let mut socket = Socket::new(family, None);
        (socket.local, socket.peer, socket.path) = (local, peer, path);
        socket.aborts = aborts;
        (socket.stage, socket.told) = (Stage::Connected { connection, side }, true);
        let object = self.make_object(node, Kind::Socket(Box::new(socket)), false);
        // The queue holds it until it is accepted.
        self.objects[object].refs = 1;
        object
    }

    /// A connection waits to be accepted.
    pub(crate) fn queue_accepted(&mut self, listener: usize, object: usize) {
        if let Kind::Socket(socket) = &mut self.objects[listener].kind
            && let Stage::Listening { queue, .. } = &mut socket.stage
        {
            queue.push_back(object);
        }
        self.notify(listener, libc::EPOLLIN as u32);
    }

    /// `accept4`: the descriptor of the longest waiting connection, and its peer.
    pub(crate) fn accept(&mut self, fd: i32, flags: i32) -> Result<(i32, Name), Errno> {
        let object = self.object(fd)?;
        let Stage::Listening { queue, .. } = &mut self.socket_of(object)?.stage else {
            return Err(libc::EINVAL);
        };
        let accepted = queue.pop_front().ok_or(libc::EAGAIN)?;
        self.objects[accepted].nonblocking = flags & libc::SOCK_NONBLOCK != 0;
        let descriptor = self.make_descriptor(accepted);
        self.objects[accepted].refs -= 1;
        self.accepted_event(accepted);
        Ok((descriptor, self.name(descriptor, true).unwrap_or(Name::Unix(Vec::new()))))
    }

    /// A listening socket is as it was before; who waits at it is sent away.
    pub(crate) fn stop_listening(&mut self, object: usize) {
        let Ok(socket) = self.socket_of(object) else { return };
        if let Stage::Listening { queue, .. } = std::mem::replace(&mut socket.stage, Stage::Fresh) {
            self.send_away(queue);
        }
        let all = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLRDHUP;
        self.notify(object, all as u32);
    }

    /// Connections that nobody will accept are reset.
    pub(crate) fn send_away(&mut self, queue: VecDeque<usize>) {
        for waiting in queue {
            if let Kind::Socket(socket) = &mut self.objects[waiting].kind {
                socket.aborts = true;
            }
            self.objects[waiting].refs = 0;
            self.destroy(waiting);
        }
    }
}
