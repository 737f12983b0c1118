//! Packets: what the wire does to a segment or a datagram, and how it is told.

use crate::kernel::{Kernel, LOOPBACK, NodeIndex};
use crate::node::Power;
use crate::tcp::Segment;
use crate::trace::{Detail, Happening, digest};
use seedfall_sim::{Duration, Event as Traced, Fate, Network, Site};
use std::net::SocketAddr;

/// What a packet of a stream meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meets {
    /// It arrives after so long, unless a partition begins meanwhile.
    Way {
        /// Its number on the link, which is the address of the draw that decided.
        nth: u64,
        /// How long it takes.
        after: Duration,
    },
    /// It is lost.
    Loss,
}

impl Segment {
    /// What kind of segment it is, as it enters the hash.
    fn number(&self) -> u64 {
        match self {
            Self::Data(_) => 1,
            Self::Syn => 2,
            Self::SynAck => 3,
            Self::Ack => 4,
            Self::Fin => 5,
        }
    }

    /// What is hashed of a segment that arrives.
    pub(crate) fn digest(&self) -> u64 {
        match self {
            Self::Data(bytes) => digest(bytes),
            other => other.number(),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Data(_) => "data",
            Self::Syn => "SYN",
            Self::SynAck => "SYN, ACK",
            Self::Ack => "ACK",
            Self::Fin => "FIN",
        }
    }
}

impl Kernel {
    /// The fate of a packet, and its number on its link.
    #[inline(always)]
    pub(crate) fn packet_fate(&mut self, from: NodeIndex, to: NodeIndex) -> (u64, Fate) {
        if from == to {
            self.local_packets += 1;
            return (self.local_packets, Fate::Deliver(LOOPBACK));
        }
        let (sender, receiver) = (self.address(from), self.address(to));
        let draw = self.draws.draw(Site::Link(sender, receiver));
        (draw.index(), self.wire.fate(self.now, sender, receiver, draw))
    }

    /// A packet has left, and this becomes of it; of what TCP gets twice it drops the second copy.
    #[inline]
    pub(crate) fn packet_meets(
        &mut self,
        from: NodeIndex,
        to: NodeIndex,
        nth: u64,
        fate: &Fate,
    ) -> Meets {
        self.packets[0] += 1;
        match fate {
            Fate::Deliver(after) => Meets::Way { nth, after: *after },
            Fate::Duplicate(after, _) => {
                self.packet_doubled(from, to, nth);
                Meets::Way { nth, after: *after }
            }
            // A checksum that is wrong is a loss.
            Fate::Drop(_) | Fate::Corrupt(..) => {
                self.packet_lost(from, to, nth);
                Meets::Loss
            }
        }
    }

    /// The wire has a packet twice.
    #[cold]
    fn packet_doubled(&mut self, from: NodeIndex, to: NodeIndex, nth: u64) {
        self.packets[2] += 1;
        let event = self.event(Happening::Duplicate, from, to, nth, 0);
        self.trace.record(event, || Detail::AsSent);
    }

    /// The wire loses a packet.
    #[cold]
    pub(crate) fn packet_lost(&mut self, from: NodeIndex, to: NodeIndex, nth: u64) {
        self.packets[1] += 1;
        let event = self.event(Happening::Drop, from, to, nth, 0);
        self.trace.record(event, || Detail::AsSent);
    }

    /// A packet of a stream without contents leaves.
    pub(crate) fn packet_leaves(
        &mut self,
        from: NodeIndex,
        to: NodeIndex,
        what: u64,
        text: &str,
    ) -> Meets {
        let (nth, fate) = self.packet_fate(from, to);
        let event = self.event(Happening::Send, from, to, nth, what);
        self.trace.record(event, || Detail::Text(text.to_owned()));
        self.packet_meets(from, to, nth, &fate)
    }

    /// The segment leaves that is behind those under way.
    pub(crate) fn segment_leaves(&mut self, index: usize, side: usize) -> Meets {
        let [from, to] = self.ends(index, side);
        let (nth, fate) = self.packet_fate(from, to);
        let sender = &self.connections[index].sides[side];
        let what = sender.flight[sender.sent].number();
        let event = self.event(Happening::Send, from, to, nth, what);
        let Self { trace, connections, .. } = self;
        let generation = connections[index].generation;
        let sender = &mut connections[index].sides[side];
        let again = sender.sent < sender.tried;
        sender.tried = sender.tried.max(sender.sent + 1);
        trace.record(event, || match &sender.flight[sender.sent] {
            Segment::Data(bytes) => {
                let before = sender.flight.iter().take(sender.sent).map(|one| match one {
                    Segment::Data(bytes) => bytes.len() as u64,
                    _ => 0,
                });
                let stream = (index as u64) << 33 | u64::from(generation) << 1 | side as u64;
                Detail::Stream { stream, offset: sender.offset + before.sum::<u64>(), again, bytes }
            }
            other if again => Detail::Text(format!("again: {}", other.name())),
            other => Detail::Text(other.name().to_owned()),
        });
        self.packet_meets(from, to, nth, &fate)
    }

    /// Whether a packet comes to its machine now: no partition began meanwhile, the machine is on,
    /// and the run does not ask what would be without it.
    #[inline]
    pub(crate) fn packet_arrives(
        &mut self,
        from: NodeIndex,
        to: NodeIndex,
        arrival: &Traced,
    ) -> bool {
        let cut = from != to && self.wire.admit(self.now, arrival.peer, arrival.actor).is_err();
        if cut || !self.trace.lets_in(arrival) {
            self.packet_lost(from, to, arrival.index);
            return false;
        }
        if self.nodes[to].power == Power::Off {
            self.packet_unheard(arrival);
            return false;
        }
        self.deliveries += 1;
        self.trace.record(*arrival, || Detail::AsSent);
        true
    }

    /// A packet comes to a machine that is off.
    #[cold]
    fn packet_unheard(&mut self, arrival: &Traced) {
        self.packets[1] += 1;
        let event = Traced { kind: Happening::Lost, digest: 0, ..*arrival };
        self.trace.record(event, || Detail::AsSent);
    }

    /// Something about a connection that is not a packet: its program opens, accepts or closes it,
    /// or hears that it is over.
    pub(crate) fn connection_event(&mut self, index: usize, side: usize, what: &str) {
        if self.connections[index].instant {
            return;
        }
        let [from, to] = self.ends(index, side);
        let sides = &self.connections[index].sides;
        let (own, peer) = (sides[side].name, sides[1 - side].name);
        let ports = u64::from(own.port()) << 16 | u64::from(peer.port());
        self.record_text(Happening::Connect, from, to, ports, |kernel| {
            // The port of the server says what it is about; the other is any.
            let (own, peer) = (kernel.name_of(own), kernel.name_of(peer));
            format!("{own} {what} {peer}")
        });
    }

    /// A program has accepted a connection.
    pub(crate) fn accepted_event(&mut self, object: usize) {
        if let Some((connection, side)) = self.side(object) {
            self.connection_event(connection, side, "accepts");
        }
    }

    /// An address by the name of its machine.
    pub(crate) fn name_of(&self, address: SocketAddr) -> String {
        match self.nodes.iter().find(|node| node.owns(address.ip())) {
            Some(node) if !address.ip().is_loopback() => {
                format!("{}:{}", node.name, address.port())
            }
            _ => address.to_string(),
        }
    }
}
