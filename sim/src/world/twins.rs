//! Two nodes of one identity (Bano et al., "Twins: BFT Systems Made Robust", OPODIS 2021).
//!
//! A second copy of a node starts from the journal of the first, and both run at once, whatever
//! the protocol: both send under one name, each has its timers and its journal. The first hears
//! everything; the second, from each sender apart, in half of all rounds nothing. So what it says
//! may be what a correct node would say that does not know what the first knows: a second vote, an
//! older value. (In the paper the network is split between the two. Here one of them hears all, so
//! that the state of the node is true of all that its identity was told, and properties need not
//! know of twins.)
//!
//! What strikes the machine (it is slow, its disk stalls or fails, it is paused) strikes the first
//! alone, as if the second ran elsewhere. A crash ends the second, whose journal is thrown away.
//!
//! Nothing of it is on the hot path: the gate of a node that is twins is not open.

use super::World;
use super::due::{Due, Packet};
use crate::client::Clients;
use crate::draw::Site;
use crate::id::{Address, NodeId};
use crate::journal::Journal;
use crate::network::Network;
use crate::node::{Gate, Twin};
use crate::protocol::Protocol;
use crate::queue::Queue;
use crate::time::Duration;
use crate::timers::{Pending, Timers};
use crate::trace::{Event, Kind};

impl<P: Protocol, N: Network, C: Clients<P>> World<P, N, C> {
    /// Makes a node run twice, where the second of the two is deaf to each sender for half of all
    /// rounds of this length; false if it is down.
    pub fn begin_twins(&mut self, node: NodeId, round: Duration) -> bool {
        self.end_twins(node);
        let slot = &mut self.nodes[node.index()];
        if slot.state.is_none() {
            return false;
        }
        let mut journal = Journal::default();
        slot.journal.records().iter().for_each(|record| journal.append(record.clone()));
        journal.sync();
        let twin = Twin {
            state: None,
            journal,
            timers: Timers::default(),
            special: false,
            round: Duration::nanos(round.as_nanos().max(1)),
            heard: Vec::new(),
        };
        slot.twin = Some(Box::new(twin));
        if slot.gate == Gate::Open {
            slot.gate = Gate::Twins;
        }
        self.note(Kind::Fault, node.into(), &("twins", round), &|| "runs twice".to_owned());
        self.as_second(node, |world| world.boot(node));
        true
    }

    /// Ends the second of twins; the first goes on, and is correct. False if the node is not twins.
    pub fn end_twins(&mut self, node: NodeId) -> bool {
        let slot = &mut self.nodes[node.index()];
        let ended = slot.forget_twin(&mut self.queue);
        if ended {
            self.note(Kind::Fault, node.into(), &"one", &|| "runs once again".to_owned());
        }
        ended
    }

    /// Does something to a node while its second half stands in the place of the first.
    fn as_second(&mut self, node: NodeId, run: impl FnOnce(&mut Self)) {
        let sent = self.counters.sent;
        self.nodes[node.index()].swap_twins();
        run(self);
        self.nodes[node.index()].swap_twins();
        self.counters.said_by_twins += self.counters.sent - sent;
    }

    /// A packet reaches a node that is twins.
    pub(super) fn meet_twins(&mut self, node: NodeId, packet: Packet<P>) {
        let Packet { from, to, index, digest, .. } = packet;
        self.counters.delivered += 1;
        let kind = packet.body.kinds().1;
        let index = index.into();
        let event = Event { at: self.now, kind, actor: to, peer: from, index, digest };
        self.trace.record(event, &|| packet.body.text());
        let second = packet.clone();
        self.hand_over(node, packet);
        if self.nodes[node.index()].twin.is_none() {
            return; // The first crashed inside its handler.
        }
        if self.second_hears(node, from) {
            return self.as_second(node, |world| world.hand_over(node, second));
        }
        self.counters.unheard += 1;
        let event = Event { kind: Kind::Ignore, ..event };
        let text = || format!("its second half does not hear {}", second.body.text());
        self.trace.record(event, &text);
    }

    /// Whether the second of twins hears a sender now: one draw for each sender and round.
    fn second_hears(&mut self, node: NodeId, from: Address) -> bool {
        let peers = (self.nodes.len() + self.client_timers.len()) as u64;
        let sender = from.index(self.nodes.len());
        let now = self.now.as_nanos();
        let Some(twin) = &mut self.nodes[node.index()].twin else { return false };
        let round = now / twin.round.as_nanos();
        if twin.heard.len() <= sender {
            twin.heard.resize(sender + 1, (u64::MAX, false));
        }
        let heard = &mut twin.heard[sender];
        if heard.0 != round {
            let index = round.wrapping_mul(peers).wrapping_add(sender as u64);
            *heard = (round, !self.draws.at(Site::Twin(node), index).chance(500_000));
        }
        heard.1
    }

    /// A timer rings at a node whose gate is not open.
    #[cold]
    #[inline(never)]
    pub(super) fn ring_shut(&mut self, node: NodeId, timer: P::Timer) {
        let slot = &mut self.nodes[node.index()];
        if slot.twin.as_mut().is_some_and(|twin| twin.rings(&timer, &self.queue)) {
            return self.as_second(node, |world| world.ring_now(node, timer));
        }
        slot.timers.remove(&timer);
        if slot.gate == Gate::Twins {
            return self.ring_now(node, timer);
        }
        slot.timers.insert(timer.clone(), Pending::Backlog);
        slot.backlog.push_back(Due::NodeTimer(node, timer));
        self.count_waiting(node);
    }
}

impl<P: Protocol> Twin<P> {
    /// Whether this timer, which has just been popped, was one of the second half; takes it.
    fn rings<E>(&mut self, timer: &P::Timer, queue: &Queue<E>) -> bool {
        // Both halves may wait for a timer of this value. What was popped is pending no more.
        let rings = match self.timers.find(timer) {
            Some(Pending::Queued(handle)) => !queue.is_pending(*handle),
            Some(Pending::Backlog) | None => false,
        };
        if rings {
            self.timers.remove(timer);
        }
        rings
    }
}
