//! Connections: TCP between machines, and within one machine unix sockets and pipes, which have no
//! way to go.
//!
//! A connection has two sides; what a side sends is a row of segments, from the handshake to the
//! end: `Syn`, `SynAck`, `Ack`, data, `Fin`. Each segment meets a fate of the wire, and one that is
//! lost is sent again after a time-out that doubles, as TCP does: to the programs, loss and
//! partitions are delay, until a side gives up. Segments behind a lost one wait for it, so that the
//! order is kept. When a partition heals, what it held up goes at once.
//!
//! Left out: acknowledgements travel at no cost, a segment is what one call wrote (up to 64 KiB),
//! and there is no congestion window.

use crate::kernel::{Errno, Event, Kernel, NodeIndex};
use crate::node::Power;
use crate::packet::Meets;
use crate::socket::Stage;
use crate::stream::Inbox;
use crate::trace::Happening;
use seedfall_sim::{Duration, Time};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// How long a side waits before it sends a part of the handshake again, at first.
const HANDSHAKE_TIMEOUT: Duration = Duration::secs(1);
/// And before it sends data again.
pub(crate) const DATA_TIMEOUT: Duration = Duration::millis(200);
/// The longest that it waits.
const LONGEST_TIMEOUT: Duration = Duration::secs(120);
/// How often the handshake is tried again: 127 s in all.
const HANDSHAKE_RETRIES: u32 = 6;
/// How often data is sent again (`tcp_retries2`).
const DATA_RETRIES: u32 = 15;

/// What goes over a connection.
#[derive(Clone, Debug)]
pub(crate) enum Segment {
    /// A client asks for a connection.
    Syn,
    /// The server grants it.
    SynAck,
    /// The client has heard so.
    Ack,
    /// Bytes.
    Data(Vec<u8>),
    /// No more bytes will come.
    Fin,
}

/// One side of a connection.
#[derive(Debug)]
pub(crate) struct Side {
    /// On which machine.
    pub(crate) node: NodeIndex,
    /// In which of its lives; `None`: the machine has not heard of the connection yet.
    life: Option<u32>,
    /// Its address.
    pub(crate) name: SocketAddr,
    /// The socket; `None`: closed, or not accepted yet.
    pub(crate) object: Option<usize>,
    /// The listening socket that will get it.
    listener: Option<usize>,
    /// What arrived and was not read.
    pub(crate) received: Inbox,
    /// The other side sends no more.
    pub(crate) ended: bool,
    /// It has said so; otherwise the connection is reset.
    pub(crate) heard_end: bool,
    /// What was sent and has not arrived.
    pub(crate) flight: VecDeque<Segment>,
    /// The bytes in it.
    pub(crate) flying: usize,
    /// How many of its segments are under way; the others wait.
    pub(crate) sent: usize,
    /// Under which numbers of the link those left.
    nths: VecDeque<u64>,
    /// How many of its segments have left at least once.
    pub(crate) tried: usize,
    /// The bytes that arrived before it.
    pub(crate) offset: u64,
    /// Counts the losses: arrivals of what was sent before one are void.
    epoch: u32,
    /// The first segment was lost, and is to be sent again.
    stalled: bool,
    /// A segment was lost while others before it are under way.
    lost: bool,
    /// How often the first segment was lost.
    tries: u32,
    /// When the last segment arrives.
    last: Time,
    /// It sends no more: a `Fin` is in flight, or arrived.
    pub(crate) shut: bool,
    /// A writer found no room.
    pub(crate) starved: bool,
}

impl Side {
    fn new(node: NodeIndex, name: SocketAddr) -> Self {
        Self {
            node,
            life: None,
            name,
            object: None,
            listener: None,
            received: Inbox::default(),
            ended: false,
            heard_end: false,
            flight: VecDeque::new(),
            flying: 0,
            sent: 0,
            nths: VecDeque::new(),
            tried: 0,
            offset: 0,
            epoch: 0,
            stalled: false,
            lost: false,
            tries: 0,
            last: Time::ZERO,
            shut: false,
            starved: false,
        }
    }

    /// Forgets what is in flight.
    fn ground(&mut self) {
        self.flight.clear();
        (self.flying, self.sent, self.stalled, self.lost) = (0, 0, false, false);
        self.tried = 0;
        self.epoch += 1;
    }
}

/// Two sides.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Counts what this place was used for.
    pub(crate) generation: u32,
    /// Nobody can see it any more.
    is_free: bool,
    /// Both on one machine, with no way between them: what is sent has arrived.
    pub(crate) instant: bool,
    /// The one that asked for it, and the other.
    pub(crate) sides: [Side; 2],
}

impl Kernel {
    /// Makes a connection, of which nothing has been sent yet.
    pub(crate) fn make_connection(
        &mut self,
        ends: [(NodeIndex, SocketAddr); 2],
        instant: bool,
    ) -> usize {
        let sides = ends.map(|(node, name)| Side::new(node, name));
        let connection = Connection { generation: 0, is_free: false, instant, sides };
        match self.free_connections.pop() {
            Some(index) => {
                let generation = self.connections[index].generation + 1;
                self.connections[index] = Connection { generation, ..connection };
                index
            }
            None => {
                self.connections.push(connection);
                self.connections.len() - 1
            }
        }
    }

    /// A client's socket asks for a connection.
    pub(crate) fn open_connection(&mut self, index: usize, object: usize) {
        let life = self.nodes[self.connections[index].sides[0].node].life;
        let side = &mut self.connections[index].sides[0];
        (side.object, side.life) = (Some(object), Some(life));
        self.push_segment(index, 0, Segment::Syn);
    }

    /// Two sockets of one machine are connected, without a handshake.
    pub(crate) fn join_ends(&mut self, index: usize, objects: [Option<usize>; 2]) {
        let life = self.nodes[self.connections[index].sides[0].node].life;
        for (side, object) in self.connections[index].sides.iter_mut().zip(objects) {
            (side.object, side.life) = (object, Some(life));
        }
    }

    /// A side sends a segment.
    pub(crate) fn push_segment(&mut self, index: usize, side: usize, segment: Segment) {
        let connection = &mut self.connections[index];
        if connection.instant {
            self.take_segment(index, side, segment);
            return;
        }
        let sender = &mut connection.sides[side];
        if let Segment::Data(bytes) = &segment {
            sender.flying += bytes.len();
        }
        sender.flight.push_back(segment);
        if !sender.stalled && !sender.lost {
            self.transmit(index, side);
        }
    }

    /// Sends what waits, up to the first segment that is lost.
    fn transmit(&mut self, index: usize, side: usize) {
        loop {
            let sender = &self.connections[index].sides[side];
            if sender.flight.len() <= sender.sent {
                return;
            }
            let earliest = sender.last + Duration::nanos(1);
            let Meets::Way { nth, after } = self.segment_leaves(index, side) else {
                // If others are under way, the time-out begins when they have arrived.
                if self.connections[index].sides[side].sent == 0 {
                    self.lose(index, side);
                } else {
                    self.connections[index].sides[side].lost = true;
                }
                return;
            };
            let at = (self.now + after).max(earliest);
            let generation = self.connections[index].generation;
            let sender = &mut self.connections[index].sides[side];
            sender.last = at;
            sender.sent += 1;
            sender.nths.push_back(nth);
            let epoch = sender.epoch;
            self.queue.push(at, Event::Segment { connection: index, generation, side, epoch });
        }
    }

    /// The nodes of a side and of the other.
    pub(crate) fn ends(&self, index: usize, side: usize) -> [NodeIndex; 2] {
        let sides = &self.connections[index].sides;
        [sides[side].node, sides[1 - side].node]
    }

    /// The first segment in flight is lost: it will be sent again, and those behind it too.
    fn lose(&mut self, index: usize, side: usize) {
        if self.is_dead(index, side) {
            self.ground(index, side);
            self.knock_again(index, side);
            return;
        }
        // What was behind it comes too early, and is sent again as well.
        self.drop_under_way(index, side);
        let generation = self.connections[index].generation;
        let sender = &mut self.connections[index].sides[side];
        let Some(segment) = sender.flight.front() else { return };
        let first = match segment {
            Segment::Syn | Segment::SynAck => HANDSHAKE_TIMEOUT,
            _ => DATA_TIMEOUT,
        };
        let wait = first.scale(1 << sender.tries.min(20), 1).min(LONGEST_TIMEOUT);
        sender.tries += 1;
        sender.sent = 0;
        (sender.stalled, sender.lost) = (true, false);
        sender.epoch += 1;
        let epoch = sender.epoch;
        let at = self.now + wait;
        self.queue.push(at, Event::Retransmit { connection: index, generation, side, epoch });
    }

    /// What a side has under way arrives nowhere.
    fn drop_under_way(&mut self, index: usize, side: usize) {
        let [from, to] = self.ends(index, side);
        for nth in std::mem::take(&mut self.connections[index].sides[side].nths) {
            self.packet_lost(from, to, nth);
        }
    }

    /// A side forgets what is in flight, and a handshake that it had begun.
    fn ground(&mut self, index: usize, side: usize) {
        self.drop_under_way(index, side);
        self.connections[index].sides[side].ground();
        if side == 1 {
            self.end_handshake(index);
        }
    }

    /// The machine that was to answer a knock is off, or was started anew, and its answer never
    /// came: the client, which hears nothing, knocks again.
    fn knock_again(&mut self, index: usize, side: usize) {
        let client = self.connections[index].sides[0].object;
        let stage = client.and_then(|object| self.stage(object));
        if side == 1 && matches!(stage, Some(Stage::Connecting { .. })) {
            let [client, server] = &mut self.connections[index].sides;
            server.life = None;
            client.flight.push_front(Segment::Syn);
            client.tried += 1;
            self.lose(index, 0);
        }
    }

    /// The handshake of a connection is over: the socket that it was for.
    fn end_handshake(&mut self, index: usize) -> Option<usize> {
        let listener = self.connections[index].sides[1].listener.take()?;
        self.count_handshake(listener, -1);
        Some(listener)
    }

    /// Whether the machine of a side is off, or was started anew since: it sends nothing again.
    fn is_dead(&self, index: usize, side: usize) -> bool {
        let Side { node, life, .. } = self.connections[index].sides[side];
        let machine = &self.nodes[node];
        machine.power == Power::Off || life.is_some_and(|life| life != machine.life)
    }

    /// A time-out is over: what was lost is sent again, or the side gives up.
    pub(crate) fn retransmit(&mut self, index: usize, generation: u32, side: usize, epoch: u32) {
        let connection = &mut self.connections[index];
        let sender = &mut connection.sides[side];
        if connection.generation != generation || sender.epoch != epoch || !sender.stalled {
            return;
        }
        let limit = match sender.flight.front() {
            Some(Segment::Syn | Segment::SynAck) => HANDSHAKE_RETRIES,
            _ => DATA_RETRIES,
        };
        if self.is_dead(index, side) {
            self.ground(index, side);
            self.knock_again(index, side);
            self.forget_connection(index);
            return;
        }
        let sender = &mut self.connections[index].sides[side];
        if sender.tries > limit {
            self.fail(index, side, libc::ETIMEDOUT);
            return;
        }
        sender.stalled = false;
        self.transmit(index, side);
    }

    /// A partition healed: what it held up is sent again at once.
    pub(crate) fn retry_all(&mut self) {
        for index in 0..self.connections.len() {
            for side in 0..2 {
                let generation = self.connections[index].generation;
                let sender = &mut self.connections[index].sides[side];
                if sender.stalled && !sender.flight.is_empty() {
                    // Those that waited for long do not give up just as the way is open.
                    sender.tries = 1;
                    let epoch = sender.epoch;
                    let event = Event::Retransmit { connection: index, generation, side, epoch };
                    self.queue.push(self.now, event);
                }
            }
        }
    }

    /// A segment is there, unless what it was sent on has changed meanwhile.
    pub(crate) fn segment_arrives(
        &mut self,
        index: usize,
        generation: u32,
        side: usize,
        epoch: u32,
    ) {
        let connection = &self.connections[index];
        if connection.generation != generation || connection.sides[side].epoch != epoch {
            return;
        }
        let [from, to] = self.ends(index, side);
        let sender = &mut self.connections[index].sides[side];
        let Some(nth) = sender.nths.pop_front() else { return };
        let Some(digest) = sender.flight.front().map(Segment::digest) else { return };
        let arrival = self.event(Happening::Deliver, to, from, nth, digest);
        if !self.packet_arrives(from, to, &arrival) {
            self.lose(index, side);
            return;
        }
        let receiver = &self.connections[index].sides[1 - side];
        if receiver.life.is_some_and(|life| life != self.nodes[to].life) {
            // The machine was started anew, and knows nothing of the connection.
            self.ground(index, side);
            self.send_reset(index, side);
            return;
        }
        let sender = &mut self.connections[index].sides[side];
        let Some(segment) = sender.flight.pop_front() else { return };
        sender.sent -= 1;
        // A knock that finds the queue full is tried again, and counts.
        if !matches!(segment, Segment::Syn) {
            sender.tries = 0;
        }
        if let Segment::Data(bytes) = &segment {
            sender.flying -= bytes.len();
            sender.offset += bytes.len() as u64;
        }
        sender.tried -= 1;
        let lost = sender.sent == 0 && sender.lost;
        self.take_segment(index, side, segment);
        if lost && self.connections[index].generation == generation {
            self.lose(index, side);
        }
        self.forget_connection(index);
    }

    /// What `side` sent is there.
    fn take_segment(&mut self, index: usize, side: usize, segment: Segment) {
        let other = 1 - side;
        match segment {
            Segment::Syn => self.take_syn(index),
            Segment::SynAck => match self.connections[index].sides[0].object {
                Some(object) => {
                    self.connections[index].sides[0].tries = 0;
                    self.set_stage(object, Stage::Connected { connection: index, side: 0 });
                    self.push_segment(index, 0, Segment::Ack);
                    self.notify(object, libc::EPOLLOUT as u32);
                }
                None => self.refuse(index, side),
            },
            Segment::Ack => self.take_ack(index),
            Segment::Data(bytes) => {
                let receiver = &mut self.connections[index].sides[other];
                let Some(object) = receiver.object else { return self.refuse(index, side) };
                let (shut, instant) = (receiver.shut, self.connections[index].instant);
                if shut && !instant && self.is_shut(object) {
                    self.fail(index, other, libc::ECONNRESET);
                    return self.refuse(index, side);
                }
                let memory = self.connections[index].sides[other].received.add(bytes);
                self.keep_memory(memory);
                self.notify(object, libc::EPOLLIN as u32);
            }
            Segment::Fin => {
                let receiver = &mut self.connections[index].sides[other];
                (receiver.ended, receiver.heard_end) = (true, true);
                if let Some(object) = receiver.object {
                    let mut mask = libc::EPOLLIN | libc::EPOLLRDHUP;
                    if receiver.shut {
                        mask |= libc::EPOLLHUP;
                    }
                    self.notify(object, mask as u32);
                }
            }
        }
    }

    /// A client knocks: a listening socket with room answers, any other machine refuses.
    fn take_syn(&mut self, index: usize) {
        let Side { node, name, .. } = self.connections[index].sides[1];
        self.connections[index].sides[1].life = Some(self.nodes[node].life);
        let bound = self.nodes[node].bound(false, name.ip(), name.port());
        let Some(listener) = bound.filter(|_| self.nodes[node].power == Power::Running) else {
            return self.refuse(index, 0);
        };
        let Some((waiting, backlog)) = self.backlog(listener) else {
            return self.refuse(index, 0);
        };
        if waiting > backlog {
            // Its queue is full: as Linux does, it says nothing, and the client tries again.
            let client = &mut self.connections[index].sides[0];
            client.flight.push_front(Segment::Syn);
            client.tried += 1;
            self.lose(index, 0);
            return;
        }
        self.connections[index].sides[1].listener = Some(listener);
        self.count_handshake(listener, 1);
        self.push_segment(index, 1, Segment::SynAck);
    }

    /// The client has heard that it is connected: the server can accept it.
    fn take_ack(&mut self, index: usize) {
        let Some(listener) = self.end_handshake(index) else { return };
        if self.backlog(listener).is_none() {
            return self.refuse(index, 0);
        }
        let object = self.accepted_socket(listener, index, 1);
        self.connections[index].sides[1].object = Some(object);
        self.queue_accepted(listener, object);
    }

    /// What `side` sent found nobody: it is told so.
    fn refuse(&mut self, index: usize, side: usize) {
        if self.connections[index].instant {
            self.fail(index, side, libc::EPIPE);
            return;
        }
        self.ground(index, side);
        self.send_reset(index, side);
    }

    /// Tells a side that the other is gone; the wire may lose it.
    fn send_reset(&mut self, index: usize, side: usize) {
        let [to, from] = self.ends(index, side);
        if let Meets::Way { nth, after } = self.packet_leaves(from, to, 0, "RST") {
            let generation = self.connections[index].generation;
            // Behind what was sent before.
            let last = self.connections[index].sides[1 - side].last + Duration::nanos(1);
            let at = (self.now + after).max(last);
            self.queue.push(at, Event::Reset { connection: index, generation, side, nth });
        }
    }

    /// A side hears that the other is gone.
    pub(crate) fn reset_arrives(&mut self, index: usize, generation: u32, side: usize, nth: u64) {
        if self.connections[index].generation != generation {
            return;
        }
        let [to, from] = self.ends(index, side);
        let arrival = self.event(Happening::Deliver, to, from, nth, 0);
        if !self.packet_arrives(from, to, &arrival) {
            return;
        }
        let knocking = matches!(self.connections[index].sides[side].object, Some(object)
            if matches!(self.stage(object), Some(Stage::Connecting { .. })));
        let heard = &self.connections[index].sides[side];
        let error = match knocking {
            true => libc::ECONNREFUSED,
            // The other had said that it sends no more: to send to it was the mistake.
            false if heard.ended && !heard.shut => libc::EPIPE,
            false => libc::ECONNRESET,
        };
        self.fail(index, side, error);
    }

    /// A side is over, and its socket says why.
    pub(crate) fn fail(&mut self, index: usize, side: usize, error: Errno) {
        self.ground(index, side);
        self.connection_event(
            index,
            side,
            match error {
                libc::ECONNREFUSED => "is refused by",
                libc::ETIMEDOUT => "gives up on",
                _ => "is reset by",
            },
        );
        let failed = &mut self.connections[index].sides[side];
        failed.ended = true;
        failed.shut = true;
        if let Some(object) = failed.object {
            self.fail_socket(object, error);
        }
        self.forget_connection(index);
    }

    /// A program is done with a side. `abort`: it leaves unread what the other has sent, which is
    /// told. `silent`: its machine is gone, and says nothing.
    pub(crate) fn close_side(&mut self, index: usize, side: usize, abort: bool, silent: bool) {
        if !silent {
            self.connection_event(index, side, "closes to");
        }
        let closed = &mut self.connections[index].sides[side];
        closed.object = None;
        if silent {
            // What is under way arrives; nothing is sent again.
            let under_way = closed.sent;
            closed.flight.truncate(under_way);
            closed.shut = true;
        } else if abort || !closed.received.is_empty() {
            self.ground(index, side);
            self.connections[index].sides[side].shut = true;
            if self.connections[index].instant {
                self.take_segment(index, side, Segment::Fin);
            } else {
                self.send_reset(index, 1 - side);
            }
        } else if !closed.shut {
            self.shut_side(index, side);
        }
        self.forget_connection(index);
    }

    /// A side sends no more.
    pub(crate) fn shut_side(&mut self, index: usize, side: usize) {
        self.connections[index].sides[side].shut = true;
        self.push_segment(index, side, Segment::Fin);
    }

    /// Gives the place of a connection back that nobody can see any more.
    fn forget_connection(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let over = |side: &Side| {
            side.object.is_none() && side.listener.is_none() && side.flight.is_empty()
        };
        if !connection.is_free && connection.sides.iter().all(over) {
            connection.is_free = true;
            connection.generation += 1;
            connection.sides.iter_mut().for_each(|side| side.received = Inbox::default());
            self.free_connections.push(index);
        }
    }
}
