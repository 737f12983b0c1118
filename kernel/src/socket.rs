//! Sockets: what programs call to be connected, whatever carries it.

use crate::fd::Kind;
use crate::kernel::{Errno, Kernel, NodeIndex};
use crate::tcp::Segment;
use crate::udp::Mailbox;
use seedfall_sim::{CrashPoint, Duration, EffectKind};
use std::collections::{BTreeMap, VecDeque};
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// No address yet.
pub(crate) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`.
    V6,
    /// `AF_UNIX`.
    Unix,
    /// Not a socket at all, but one end of a pipe.
    Pipe,
}

/// A name that a socket is bound or connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// An address and a port.
    Inet(SocketAddr),
    /// A path, or an abstract name that begins with a zero byte; empty: unnamed.
    Unix(Vec<u8>),
}

/// How far a stream socket has come.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// Made.
    Fresh,
    /// Waits for connections; those in the queue can be accepted, and so many handshakes are under
    /// way.
    Listening { backlog: usize, queue: VecDeque<usize>, handshakes: usize },
    /// The handshake is under way.
    Connecting { connection: usize },
    /// One side of a connection.
    Connected { connection: usize, side: usize },
    /// The handshake failed.
    Failed,
}

/// A socket.
#[derive(Debug)]
pub(crate) struct Socket {
    /// What it speaks.
    pub(crate) family: Family,
    /// Datagrams, with what arrived; `None`: a stream.
    pub(crate) mailbox: Option<Mailbox>,
    /// How far a stream has come.
    pub(crate) stage: Stage,
    /// Made by `socketpair`.
    pub(crate) is_pair: bool,
    /// What it is bound to.
    pub(crate) local: SocketAddr,
    /// What it is connected to.
    pub(crate) peer: SocketAddr,
    /// Its name, if it is a unix socket.
    pub(crate) path: Vec<u8>,
    /// What `SO_ERROR` tells, and the next call.
    pub(crate) error: Option<Errno>,
    /// Whether `connect` has said that it is connected: one that did not wait says so later.
    pub(crate) told: bool,
    /// `shutdown` for reading.
    pub(crate) deaf: bool,
    /// `SO_LINGER` with a time of zero: it ends with a reset.
    pub(crate) aborts: bool,
    /// `SO_RCVTIMEO` and `SO_SNDTIMEO`.
    pub(crate) timeouts: [Option<Duration>; 2],
    /// All other options that were set.
    pub(crate) options: BTreeMap<(i32, i32), i32>,
}

impl Socket {
    /// A socket that is nowhere yet.
    pub(crate) fn new(family: Family, mailbox: Option<Mailbox>) -> Self {
        Self {
            family,
            mailbox,
            stage: Stage::Fresh,
            is_pair: false,
            local: NOWHERE,
            peer: NOWHERE,
            path: Vec::new(),
            error: None,
            told: false,
            deaf: false,
            aborts: false,
            timeouts: [None; 2],
            options: BTreeMap::new(),
        }
    }
}

/// An address as the kernel keeps it: IPv4 that comes in the clothes of IPv6 is IPv4.
fn plain(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(v4.into(), address.port()),
            None => SocketAddr::new(v6.into(), address.port()),
        },
        IpAddr::V4(_) => address,
    }
}

/// An address as a socket of this family shows it.
fn shown(address: SocketAddr, family: Family) -> SocketAddr {
    match (address.ip(), family) {
        (IpAddr::V4(v4), Family::V6) if v4.is_unspecified() => {
            SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port())
        }
        (IpAddr::V4(v4), Family::V6) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        _ => address,
    }
}

impl Kernel {
    /// `socket`.
    pub(crate) fn socket(&mut self, domain: i32, kind: i32) -> Result<i32, Errno> {
        let family = match domain {
            libc::AF_INET => Family::V4,
            libc::AF_INET6 => Family::V6,
            libc::AF_UNIX => Family::Unix,
            _ => return Err(libc::EAFNOSUPPORT),
        };
        let mailbox = match kind & 0xF {
            libc::SOCK_STREAM => None,
            libc::SOCK_DGRAM if family != Family::Unix => Some(Mailbox::default()),
            _ => return Err(libc::EPROTONOSUPPORT),
        };
        let socket = Kind::Socket(Box::new(Socket::new(family, mailbox)));
        Ok(self.open_object(socket, kind & libc::SOCK_NONBLOCK != 0))
    }

    /// The socket of an object.
    pub(crate) fn socket_of(&mut self, object: usize) -> Result<&mut Socket, Errno> {
        match &mut self.objects[object].kind {
            Kind::Socket(socket) => Ok(socket),
            _ => Err(libc::ENOTSOCK),
        }
    }

    /// How far a stream has come.
    pub(crate) fn stage(&self, object: usize) -> Option<&Stage> {
        match &self.objects[object].kind {
            Kind::Socket(socket) => Some(&socket.stage),
            _ => None,
        }
    }

    /// A stream comes further.
    pub(crate) fn set_stage(&mut self, object: usize, stage: Stage) {
        if let Kind::Socket(socket) = &mut self.objects[object].kind {
            socket.stage = stage;
        }
    }

    /// Whether an object is one end of a socket pair.
    pub(crate) fn is_pair(&self, object: usize) -> bool {
        matches!(&self.objects[object].kind, Kind::Socket(socket) if socket.is_pair)
    }

    /// The node with an address, as the running program sees it.
    pub(crate) fn node_at(&self, address: IpAddr) -> Option<NodeIndex> {
        if address.is_loopback() || address.is_unspecified() {
            return Some(self.here());
        }
        self.nodes.iter().position(|node| node.owns(address))
    }

    /// The address under which the running program reaches another.
    pub(crate) fn own_address(&self, towards: IpAddr) -> IpAddr {
        let node = &self.nodes[self.here()];
        match towards {
            loopback if loopback.is_loopback() || loopback.is_unspecified() => loopback,
            IpAddr::V4(_) => node.v4.into(),
            IpAddr::V6(_) => node.v6.into(),
        }
    }

    /// A port of the running program's node that nothing is bound to.
    fn free_port(&mut self, datagrams: bool) -> Result<u16, Errno> {
        let here = self.here();
        for _ in 0..=u16::MAX {
            let port = self.nodes[here].next_port();
            if !self.nodes[here].ports.contains_key(&(datagrams, port)) {
                return Ok(port);
            }
        }
        Err(libc::EADDRINUSE)
    }

    /// `bind`.
    pub(crate) fn bind(&mut self, fd: i32, name: &Name) -> Result<(), Errno> {
        let object = self.object(fd)?;
        let address = match name {
            Name::Inet(address) => plain(*address),
            Name::Unix(path) => return self.bind_unix(object, path),
        };
        let here = self.here();
        if !address.ip().is_unspecified() && !self.nodes[here].owns(address.ip()) {
            return Err(libc::EADDRNOTAVAIL);
        }
        let socket = self.socket_of(object)?;
        if socket.local.port() != 0 {
            return Err(libc::EINVAL);
        }
        let datagrams = socket.mailbox.is_some();
        let port = match address.port() {
            0 => self.free_port(datagrams)?,
            port => port,
        };
        self.take_port(object, datagrams, address.ip(), port)?;
        self.socket_of(object)?.local = SocketAddr::new(address.ip(), port);
        Ok(())
    }

    /// An object serves a port from now on.
    pub(crate) fn take_port(
        &mut self,
        object: usize,
        datagrams: bool,
        address: IpAddr,
        port: u16,
    ) -> Result<(), Errno> {
        let here = self.here();
        let bound = self.nodes[here].ports.entry((datagrams, port)).or_default();
        let clashes = |(other, _): &(IpAddr, usize)| {
            *other == address || other.is_unspecified() || address.is_unspecified()
        };
        if bound.iter().any(clashes) {
            return Err(libc::EADDRINUSE);
        }
        bound.push((address, object));
        Ok(())
    }

    /// `connect`: done, or `EINPROGRESS`, and [`Kernel::connected`] tells the rest.
    pub(crate) fn connect(&mut self, fd: i32, name: &Name) -> Result<(), Errno> {
        let object = self.object(fd)?;
        let address = match name {
            Name::Inet(address) => plain(*address),
            Name::Unix(path) => return self.connect_unix(object, path),
        };
        let socket = self.socket_of(object)?;
        if socket.mailbox.is_some() {
            return self.connect_datagrams(object, address);
        }
        match socket.stage {
            Stage::Fresh => {}
            Stage::Failed => {
                socket.stage = Stage::Fresh;
                let error = socket.error.take().unwrap_or(libc::ECONNABORTED);
                self.notify(object, (libc::EPOLLOUT | libc::EPOLLHUP) as u32);
                return Err(error);
            }
            Stage::Connecting { .. } => return Err(libc::EALREADY),
            Stage::Connected { connection, side } if !socket.told => {
                socket.told = true;
                if !self.is_over(connection, side) {
                    return Ok(());
                }
                // It was connected, and is not any more: it can be connected anew.
                self.close_side(connection, side, false, true);
                let socket = self.socket_of(object)?;
                socket.stage = Stage::Fresh;
                let error = socket.error.take().unwrap_or(libc::ECONNABORTED);
                self.notify(object, (libc::EPOLLOUT | libc::EPOLLHUP) as u32);
                return Err(error);
            }
            Stage::Connected { .. } | Stage::Listening { .. } => return Err(libc::EISCONN),
        }
        let local = socket.local;
        let here = self.here();
        let Some(server) = self.node_at(address.ip()) else {
            let near = matches!(address.ip(), IpAddr::V4(v4) if v4.octets()[0] == 10);
            return Err(if near { libc::EHOSTUNREACH } else { libc::ENETUNREACH });
        };
        let port = if local.port() == 0 { self.free_port(false)? } else { local.port() };
        let own =
            if local.ip().is_unspecified() { self.own_address(address.ip()) } else { local.ip() };
        let local = SocketAddr::new(own, port);
        let target = match address.ip().is_unspecified() {
            true => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
            false => address,
        };
        let connection = self.make_connection([(here, local), (server, target)], false);
        let socket = self.socket_of(object)?;
        (socket.local, socket.peer, socket.error) = (local, target, None);
        (socket.stage, socket.told) = (Stage::Connecting { connection }, false);
        self.connection_event(connection, 0, "connects to");
        self.open_connection(connection, object);
        Err(libc::EINPROGRESS)
    }

    /// What became of a handshake; `EAGAIN` while it is under way.
    pub(crate) fn connected(&mut self, fd: i32) -> Result<(), Errno> {
        let object = self.object(fd)?;
        let socket = self.socket_of(object)?;
        match socket.stage {
            Stage::Connecting { .. } => Err(libc::EAGAIN),
            Stage::Connected { .. } => {
                socket.told = true;
                Ok(())
            }
            _ => {
                socket.stage = Stage::Fresh;
                Err(socket.error.take().unwrap_or(libc::ENOTCONN))
            }
        }
    }

    /// A socket's connection failed.
    pub(crate) fn fail_socket(&mut self, object: usize, error: Errno) {
        if let Kind::Socket(socket) = &mut self.objects[object].kind {
            socket.error = Some(error);
            if matches!(socket.stage, Stage::Connecting { .. }) {
                socket.stage = Stage::Failed;
            }
        }
        let all =
            libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLERR | libc::EPOLLHUP | libc::EPOLLRDHUP;
        self.notify(object, all as u32);
    }

    /// The last descriptor of a socket is closed.
    pub(crate) fn close_socket(&mut self, object: usize, socket: Socket) {
        let node = self.objects[object].node;
        let silent = self.nodes[node].power == crate::node::Power::Off;
        if socket.local.port() != 0 {
            let key = (socket.mailbox.is_some(), socket.local.port());
            if let Some(bound) = self.nodes[node].ports.get_mut(&key) {
                bound.retain(|(_, other)| *other != object);
                if bound.is_empty() {
                    self.nodes[node].ports.remove(&key);
                }
            }
        }
        if self.nodes[node].unix.get(&socket.path) == Some(&object) {
            self.nodes[node].unix.remove(&socket.path);
        }
        match socket.stage {
            Stage::Connected { connection, side } => {
                self.close_side(connection, side, socket.aborts, silent);
            }
            Stage::Connecting { connection } => self.close_side(connection, 0, true, true),
            Stage::Listening { queue, .. } => self.send_away(queue),
            Stage::Fresh | Stage::Failed => {}
        }
    }

    /// What a socket is ready for.
    pub(crate) fn socket_readiness(&self, socket: &Socket) -> u32 {
        use libc::{EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP};
        let mut ready = if socket.error.is_some() { EPOLLERR | EPOLLIN | EPOLLOUT } else { 0 };
        if let Some(mailbox) = &socket.mailbox {
            let input = if mailbox.is_empty() { 0 } else { EPOLLIN };
            return (ready | input | EPOLLOUT) as u32;
        }
        match &socket.stage {
            Stage::Fresh => ready |= EPOLLOUT | EPOLLHUP,
            Stage::Listening { queue, .. } if !queue.is_empty() => ready |= EPOLLIN,
            Stage::Listening { .. } | Stage::Connecting { .. } => {}
            Stage::Failed => ready |= EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLRDHUP,
            Stage::Connected { connection, side } => {
                let own = &self.connections[*connection].sides[*side];
                let ended = own.ended || socket.deaf;
                if ended || !own.received.is_empty() {
                    ready |= EPOLLIN;
                }
                if ended {
                    ready |= EPOLLRDHUP;
                }
                if own.shut || self.room(*connection, *side) > 0 {
                    ready |= EPOLLOUT;
                }
                if ended && own.shut {
                    ready |= EPOLLHUP;
                }
            }
        }
        ready as u32
    }

    /// `shutdown`.
    pub(crate) fn shutdown(&mut self, fd: i32, how: i32) -> Result<(), Errno> {
        let object = self.object(fd)?;
        let socket = self.socket_of(object)?;
        if socket.mailbox.is_some() {
            return Ok(());
        }
        socket.told = true;
        let stage = socket.stage.clone();
        let (connection, side) = match stage {
            Stage::Connected { connection, side } if !self.is_over(connection, side) => {
                (connection, side)
            }
            Stage::Listening { .. } => {
                if how != libc::SHUT_WR {
                    self.stop_listening(object);
                }
                return Ok(());
            }
            _ => {
                let all = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLRDHUP;
                self.notify(object, all as u32);
                return Err(libc::ENOTCONN);
            }
        };
        self.socket_of(object)?.deaf |= how != libc::SHUT_WR;
        if how != libc::SHUT_RD && !self.connections[connection].sides[side].shut {
            self.shut_side(connection, side);
        }
        let mask = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP;
        self.notify(object, mask as u32);
        Ok(())
    }

    /// Whether a socket neither sends any more nor wants to hear.
    pub(crate) fn is_shut(&self, object: usize) -> bool {
        match (&self.objects[object].kind, self.side(object)) {
            (Kind::Socket(socket), Some((connection, side))) => {
                socket.deaf && self.connections[connection].sides[side].shut
            }
            _ => false,
        }
    }

    /// `getsockname`, or `getpeername`.
    pub(crate) fn name(&mut self, fd: i32, peer: bool) -> Result<Name, Errno> {
        let object = self.object(fd)?;
        let socket = self.socket_of(object)?;
        if peer && socket.mailbox.is_none() {
            let Stage::Connected { connection, side } = socket.stage else {
                return Err(libc::ENOTCONN);
            };
            if self.is_over(connection, side) {
                return Err(libc::ENOTCONN);
            }
        }
        let socket = self.socket_of(object)?;
        match socket.family {
            Family::Unix | Family::Pipe if peer => Ok(Name::Unix(Vec::new())),
            Family::Unix | Family::Pipe => Ok(Name::Unix(socket.path.clone())),
            family if peer && socket.peer.port() == 0 => {
                let _ = family;
                Err(libc::ENOTCONN)
            }
            family => {
                let address = if peer { socket.peer } else { socket.local };
                Ok(Name::Inet(shown(address, family)))
            }
        }
    }

    /// Sends on a connected socket, or a datagram to a name; `EAGAIN` if there is no room.
    pub(crate) fn send(
        &mut self,
        object: usize,
        buffers: &[IoSlice<'_>],
        to: Option<&Name>,
    ) -> Result<usize, Errno> {
        self.reach(CrashPoint::Before(EffectKind::Send))?;
        let sent = self.send_now(object, buffers, to)?;
        self.reach(CrashPoint::After(EffectKind::Send))?;
        Ok(sent)
    }

    fn send_now(
        &mut self,
        object: usize,
        buffers: &[IoSlice<'_>],
        to: Option<&Name>,
    ) -> Result<usize, Errno> {
        let socket = self.socket_of(object)?;
        if socket.mailbox.is_some() {
            let to = match to {
                Some(Name::Inet(address)) => Some(plain(*address)),
                Some(Name::Unix(_)) => return Err(libc::EAFNOSUPPORT),
                None => None,
            };
            return self.send_datagram(object, buffers, to);
        }
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        match socket.stage {
            Stage::Connected { connection, side } => self.send_stream(connection, side, buffers),
            Stage::Connecting { .. } => Err(libc::EAGAIN),
            _ if matches!(socket.family, Family::Unix) => Err(libc::ENOTCONN),
            Stage::Failed | Stage::Fresh | Stage::Listening { .. } => Err(libc::EPIPE),
        }
    }

    /// Receives: how many bytes, and who sent a datagram; `EAGAIN` if there is nothing yet.
    pub(crate) fn receive_from(
        &mut self,
        object: usize,
        buffers: &mut [IoSliceMut<'_>],
        flags: i32,
    ) -> Result<(usize, Option<Name>), Errno> {
        let socket = self.socket_of(object)?;
        if socket.mailbox.is_none() {
            return Ok((self.receive(object, buffers, flags)?, None));
        }
        let family = socket.family;
        let (count, from) = self.receive_datagram(object, buffers, flags)?;
        Ok((count, Some(Name::Inet(shown(from, family)))))
    }

    /// The same, whoever sent it.
    pub(crate) fn receive(
        &mut self,
        object: usize,
        buffers: &mut [IoSliceMut<'_>],
        flags: i32,
    ) -> Result<usize, Errno> {
        let socket = self.socket_of(object)?;
        if socket.mailbox.is_some() {
            return self.receive_datagram(object, buffers, flags).map(|(count, _)| count);
        }
        let (connection, side) = match socket.stage {
            Stage::Connected { connection, side } => (connection, side),
            Stage::Connecting { .. } => return Err(libc::EAGAIN),
            Stage::Failed => return socket.error.take().map_or(Ok(0), Err),
            Stage::Fresh | Stage::Listening { .. } => return Err(libc::ENOTCONN),
        };
        let own = &self.connections[connection].sides[side];
        if !own.received.is_empty() {
            let keep = flags & libc::MSG_PEEK != 0;
            return Ok(self.receive_stream(connection, side, buffers, keep));
        }
        let ended = own.ended;
        if own.heard_end {
            return Ok(0);
        }
        let socket = self.socket_of(object)?;
        match socket.error.take() {
            Some(error) => Err(error),
            None if ended || socket.deaf => Ok(0),
            None => Err(libc::EAGAIN),
        }
    }

    /// How many bytes can be read at once (`FIONREAD`).
    pub(crate) fn readable(&mut self, fd: i32) -> Result<usize, Errno> {
        let object = self.object(fd)?;
        if let Some((connection, side)) = self.side(object) {
            return Ok(self.connections[connection].sides[side].received.len());
        }
        let socket = self.socket_of(object)?;
        Ok(socket.mailbox.as_ref().map_or(0, Mailbox::first_size))
    }

    /// Tells the other side of a new pair, or ends one; see [`Segment`].
    pub(crate) fn end_of_stream(&mut self, connection: usize, side: usize) {
        self.connections[connection].sides[side].shut = true;
        self.push_segment(connection, side, Segment::Fin);
    }
}
