//! Unix sockets and pipes: connections within one machine, where what is sent has arrived.

use crate::fd::Kind;
use crate::kernel::{Errno, Kernel};
use crate::socket::{Family, NOWHERE, Socket, Stage};

impl Kernel {
    /// `socketpair` of streams.
    pub(crate) fn socketpair(&mut self, domain: i32, kind: i32) -> Result<[i32; 2], Errno> {
        if domain != libc::AF_UNIX {
            return Err(libc::EOPNOTSUPP);
        }
        if kind & 0xF != libc::SOCK_STREAM {
            return Err(libc::EPROTONOSUPPORT);
        }
        let nonblocking = kind & libc::SOCK_NONBLOCK != 0;
        Ok(self.make_pair(Family::Unix, nonblocking))
    }

    /// `pipe2`: the end that reads, and the end that writes.
    pub(crate) fn pipe(&mut self, flags: i32) -> [i32; 2] {
        let ends = self.make_pair(Family::Pipe, flags & libc::O_NONBLOCK != 0);
        // The reader writes nothing, and the writer reads nothing.
        if let Some((connection, side)) = self.object(ends[0]).ok().and_then(|o| self.side(o)) {
            self.end_of_stream(connection, side);
        }
        ends
    }

    fn make_pair(&mut self, family: Family, nonblocking: bool) -> [i32; 2] {
        let here = self.here();
        let connection = self.make_connection([(here, NOWHERE), (here, NOWHERE)], true);
        let objects = [0, 1].map(|side| {
            let mut socket = Socket::new(family, None);
            socket.stage = Stage::Connected { connection, side };
            socket.is_pair = family == Family::Unix;
            self.make_object(here, Kind::Socket(Box::new(socket)), nonblocking)
        });
        self.join_ends(connection, objects.map(Some));
        objects.map(|object| self.make_descriptor(object))
    }

    /// Binds a unix socket to a path or an abstract name.
    pub(crate) fn bind_unix(&mut self, object: usize, path: &[u8]) -> Result<(), Errno> {
        let here = self.here();
        let key = self.unix_key(path);
        if self.nodes[here].unix.contains_key(&key) {
            return Err(libc::EADDRINUSE);
        }
        if path.first().is_some_and(|first| *first != 0) {
            self.make_socket_file(&key)?;
        }
        self.socket_of(object)?.path.clone_from(&key);
        self.nodes[here].unix.insert(key, object);
        Ok(())
    }

    /// The name under which a unix socket is kept: the whole path.
    fn unix_key(&self, path: &[u8]) -> Vec<u8> {
        match path.first() {
            Some(0) | None => path.to_vec(),
            Some(_) => self.whole_path(&String::from_utf8_lossy(path)).into_bytes(),
        }
    }

    /// Connects to a unix socket that listens.
    pub(crate) fn connect_unix(&mut self, object: usize, path: &[u8]) -> Result<(), Errno> {
        let here = self.here();
        let key = self.unix_key(path);
        let listener = self.nodes[here].unix.get(&key).copied();
        let listener = listener.ok_or(if key.first() == Some(&0) {
            libc::ECONNREFUSED
        } else {
            libc::ENOENT
        })?;
        let (waiting, backlog) = self.backlog(listener).ok_or(libc::ECONNREFUSED)?;
        if waiting > backlog {
            return Err(libc::EAGAIN);
        }
        let connection = self.make_connection([(here, NOWHERE), (here, NOWHERE)], true);
        let accepted = self.accepted_socket(listener, connection, 1);
        self.join_ends(connection, [Some(object), Some(accepted)]);
        self.socket_of(object)?.stage = Stage::Connected { connection, side: 0 };
        self.queue_accepted(listener, accepted);
        Ok(())
    }
}
