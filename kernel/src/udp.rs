//! UDP: each datagram meets a fate of its own, and one that is lost is lost.

use crate::fd::total;
use crate::kernel::{Errno, Event, Kernel, NodeIndex};
use crate::trace::{Detail, Happening, digest};
use seedfall_sim::{Duration, Fate};
use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;

/// The bytes that wait at a socket at most; what comes on top is lost.
const ROOM: usize = 208 << 10;
/// The longest datagram.
const LONGEST: usize = 65_507;

/// A datagram under way.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    /// From which machine.
    pub(crate) from: NodeIndex,
    /// To which.
    pub(crate) to: NodeIndex,
    /// From which socket.
    pub(crate) source: SocketAddr,
    /// To which.
    pub(crate) target: SocketAddr,
    /// Its number on the link.
    pub(crate) nth: u64,
    /// What it says. `None`: nobody listened at `source`, which is told to who sent it.
    pub(crate) bytes: Option<Vec<u8>>,
}

/// What arrived at a socket.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    bytes: usize,
}

impl Mailbox {
    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The size of what would be received next.
    pub(crate) fn first_size(&self) -> usize {
        self.waiting.front().map_or(0, |(_, bytes)| bytes.len())
    }
}

impl Kernel {
    /// `connect` on a datagram socket: where what is sent goes, and from where alone it receives.
    pub(crate) fn connect_datagrams(
        &mut self,
        object: usize,
        address: SocketAddr,
    ) -> Result<(), Errno> {
        self.name_datagrams(object, address)?;
        self.socket_of(object)?.peer = address;
        Ok(())
    }

    /// Binds a datagram socket that is not bound, as it is about to send to an address.
    fn name_datagrams(&mut self, object: usize, towards: SocketAddr) -> Result<(), Errno> {
        let here = self.here();
        let local = self.socket_of(object)?.local;
        if local.port() != 0 {
            return Ok(());
        }
        let own = self.own_address(towards.ip());
        for _ in 0..=u16::MAX {
            let port = self.nodes[here].next_port();
            if self.take_port(object, true, own, port).is_ok() {
                self.socket_of(object)?.local = SocketAddr::new(own, port);
                return Ok(());
            }
        }
        Err(libc::EADDRINUSE)
    }

    /// Sends a datagram.
    pub(crate) fn send_datagram(
        &mut self,
        object: usize,
        buffers: &[IoSlice<'_>],
        to: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        let socket = self.socket_of(object)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        let peer = socket.peer;
        let target = to.unwrap_or(peer);
        if target.port() == 0 {
            return Err(libc::EDESTADDRREQ);
        }
        if total(buffers) > LONGEST {
            return Err(libc::EMSGSIZE);
        }
        self.name_datagrams(object, target)?;
        let local = self.socket_of(object)?.local;
        let source = match local.ip().is_unspecified() {
            true => SocketAddr::new(self.own_address(target.ip()), local.port()),
            false => local,
        };
        let bytes: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
        let count = bytes.len();
        let from = self.here();
        let to = self.node_at(target.ip()).ok_or(libc::ENETUNREACH)?;
        self.send_out(Datagram { from, to, source, target, nth: 0, bytes: Some(bytes) });
        Ok(count)
    }

    /// A datagram meets its fate.
    fn send_out(&mut self, mut datagram: Datagram) {
        let (from, to) = (datagram.from, datagram.to);
        let (nth, fate) = self.packet_fate(from, to);
        datagram.nth = nth;
        let size = datagram.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64 + 1);
        let event = self.event(Happening::Send, from, to, nth, size);
        self.trace.record(event, || match &datagram.bytes {
            Some(bytes) => Detail::Datagram(bytes),
            None => Detail::Text("nobody listens there".to_owned()),
        });
        self.packet_meets(from, to, nth, &fate);
        let arrive = |kernel: &mut Self, after: Duration, datagram: Datagram| {
            kernel.queue.push(kernel.now + after, Event::Datagram(Box::new(datagram)));
        };
        match fate {
            Fate::Deliver(after) => arrive(self, after, datagram),
            Fate::Duplicate(after, again) => {
                arrive(self, after, datagram.clone());
                arrive(self, again, datagram);
            }
            Fate::Drop(_) | Fate::Corrupt(..) => {}
        }
    }

    /// A datagram is there.
    pub(crate) fn datagram_arrives(&mut self, datagram: Datagram) {
        let Datagram { from, to, source, target, nth, bytes } = datagram;
        let what = bytes.as_deref().map_or(0, digest);
        let arrival = self.event(Happening::Deliver, to, from, nth, what);
        if !self.packet_arrives(from, to, &arrival) {
            return;
        }
        let object = self.nodes[to].bound(true, target.ip(), target.port());
        let Some(bytes) = bytes else {
            // Nobody was there: a connected socket is told, as ICMP does.
            let Some(object) = object else { return };
            if self.socket_of(object).is_ok_and(|socket| socket.peer == source) {
                self.fail_socket(object, libc::ECONNREFUSED);
            }
            return;
        };
        let Some(object) = object else {
            let (source, target, bytes) = (target, source, None);
            return self.send_out(Datagram { from: to, to: from, source, target, nth, bytes });
        };
        let Ok(socket) = self.socket_of(object) else { return };
        let stranger = socket.peer.port() != 0 && socket.peer != source;
        let Some(mailbox) = socket.mailbox.as_mut().filter(|_| !stranger) else { return };
        if mailbox.bytes + bytes.len() > ROOM {
            let full = |_: &Self| "ignored: its socket is full".to_owned();
            return self.record_text(Happening::Ignore, to, from, 0, full);
        }
        mailbox.bytes += bytes.len();
        mailbox.waiting.push_back((source, bytes));
        self.notify(object, libc::EPOLLIN as u32);
    }

    /// Receives a datagram; what does not fit into the buffers is cut off.
    pub(crate) fn receive_datagram(
        &mut self,
        object: usize,
        buffers: &mut [IoSliceMut<'_>],
        flags: i32,
    ) -> Result<(usize, SocketAddr), Errno> {
        let socket = self.socket_of(object)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        let mailbox = socket.mailbox.as_mut().ok_or(libc::EINVAL)?;
        let (from, bytes) = mailbox.waiting.front().ok_or(libc::EAGAIN)?;
        let (from, whole) = (*from, bytes.len());
        let mut rest: &[u8] = bytes;
        for buffer in buffers.iter_mut() {
            let size = buffer.len().min(rest.len());
            buffer[..size].copy_from_slice(&rest[..size]);
            rest = &rest[size..];
        }
        let count = whole - rest.len();
        if flags & libc::MSG_PEEK == 0 {
            mailbox.waiting.pop_front();
            mailbox.bytes -= whole;
        }
        let all = flags & libc::MSG_TRUNC != 0;
        Ok((if all { whole } else { count }, from))
    }
}
