//! Effects applied with care: where a crash is armed, a disk or a node is slow, or a node lies.
//! Most handlers of most runs never come here.

use super::World;
use super::due::{Body, Due};
use crate::byzantine::{Liar, Lie, Signer};
use crate::client::Clients;
use crate::draw::{Draw, Site};
use crate::hash::StableHasher;
use crate::id::{Address, NodeId, RequestId};
use crate::network::Network;
use crate::node::{CrashPoint, EffectKind, Gate};
use crate::protocol::{Data, Effect, Protocol};
use crate::time::Duration;
use crate::timers::Pending;
use crate::trace::{Event, Kind};
use std::mem;

impl<P: Protocol, N: Network, C: Clients<P>> World<P, N, C> {
    /// Applies the reversed effects of a handler, until a crash point or a slow sync stops them.
    #[cold]
    #[inline(never)]
    pub(super) fn apply_with_care(&mut self, node: NodeId) {
        let at = node.index();
        while let Some(effect) = self.effects.pop() {
            let (kind, armed) = (EffectKind::of(&effect), self.nodes[at].armed);
            let is_at = |point: fn(EffectKind) -> CrashPoint| {
                kind.is_some_and(|kind| armed == Some(point(kind)))
            };
            if is_at(CrashPoint::Before) || self.counts_down(node, kind) {
                if kind == Some(EffectKind::Sync) {
                    self.sync_in_part(node);
                }
                return self.crash_inside(node);
            }
            let stalls = self.nodes[at].stall > Duration::ZERO && matches!(effect, Effect::Sync);
            if stalls && self.nodes[at].journal.unsynced() > 0 {
                self.effects.push(effect);
                return self.wait_for_disk(node);
            }
            self.perform_with_care(node, effect);
            if self.nodes[at].state.is_none() {
                return; // Its disk failed.
            }
            if is_at(CrashPoint::After) {
                return self.crash_inside(node);
            }
        }
        let slot = &self.nodes[at];
        if slot.armed == Some(CrashPoint::Unsynced) && slot.journal.unsynced() > 0 {
            return self.crash_inside(node);
        }
        if slot.slow > Duration::ZERO && slot.gate == slot.at_rest() {
            self.be_busy(node, slot.slow);
        }
    }

    /// A change of what the node keeps is about to be made: whether it is the one before which the
    /// node is to crash.
    fn counts_down(&mut self, node: NodeId, kind: Option<EffectKind>) -> bool {
        let armed = &mut self.nodes[node.index()].armed;
        match (armed, kind) {
            (Some(CrashPoint::Change(left)), Some(EffectKind::Append | EffectKind::Sync)) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            _ => false,
        }
    }

    fn crash_inside(&mut self, node: NodeId) {
        self.counters.crashes_inside += 1;
        self.effects.clear();
        self.crash(node);
    }

    /// The handler's other effects, the sync first, wait until the disk has done its work.
    fn wait_for_disk(&mut self, node: NodeId) {
        self.counters.stalled += 1;
        let slot = &mut self.nodes[node.index()];
        slot.held = mem::take(&mut self.effects);
        let stall = slot.stall;
        self.be_busy(node, stall);
    }

    /// Nothing reaches the node for so long.
    pub(super) fn be_busy(&mut self, node: NodeId, span: Duration) {
        let wake = self.queue.push(self.now + span, Due::Wake(node));
        let slot = &mut self.nodes[node.index()];
        (slot.gate, slot.wake) = (Gate::Busy, Some(wake));
    }

    /// A busy node goes on: with what its disk kept it from, then with the first of what waits; if
    /// it was paused meanwhile, when it is resumed.
    #[cold]
    #[inline(never)]
    pub(super) fn wake(&mut self, node: NodeId) {
        let at = node.index();
        let slot = &mut self.nodes[at];
        slot.wake = None;
        if slot.gate == Gate::Paused {
            return;
        }
        slot.gate = slot.at_rest();
        if let Some(sync) = slot.held.pop() {
            self.effects = mem::take(&mut slot.held);
            self.perform(node, sync);
            self.apply_with_care(node);
        } else {
            while let Some(due) = self.nodes[at].backlog.pop_front() {
                match due {
                    Due::NodeTimer(_, timer) => {
                        // It may have been cancelled, or set anew, since it rang.
                        if self.nodes[at].timers.find(&timer) != Some(&mut Pending::Backlog) {
                            continue;
                        }
                        self.ring(node, timer);
                    }
                    Due::Arrival(packet) => self.receive_late(packet),
                    _ => unreachable!("nothing else waits for a node"),
                }
                break;
            }
        }
        let slot = &self.nodes[at];
        if slot.gate == slot.at_rest() && !slot.backlog.is_empty() {
            self.be_busy(node, Duration::nanos(1));
        }
    }

    fn perform_with_care(&mut self, node: NodeId, effect: Effect<P>) {
        match effect {
            Effect::Send(to, message) if self.is_byzantine(node) => {
                self.remember(node, &message);
                self.send_or_scheme(node, to, message);
            }
            Effect::Broadcast(message) if self.is_byzantine(node) => {
                self.remember(node, &message);
                for to in NodeId::all(self.nodes.len()).filter(|to| *to != node) {
                    self.send_or_scheme(node, to, message.clone());
                }
            }
            Effect::Respond(request, response) if self.nodes[node.index()].strategy.is_some() => {
                self.respond_or_scheme(node, request, &response);
            }
            honest => self.perform(node, honest),
        }
    }

    fn is_byzantine(&self, node: NodeId) -> bool {
        let slot = &self.nodes[node.index()];
        slot.liar.is_some() || slot.strategy.is_some()
    }

    /// What a malicious strategy makes of a message to one receiver.
    fn send_or_scheme(&mut self, node: NodeId, to: NodeId, message: P::Message) {
        let slot = &self.nodes[node.index()];
        let (Some(strategy), Some(state)) = (slot.strategy, &slot.state) else {
            return self.send_or_lie(node, to, message);
        };
        let mut draw = self.draws.draw(Site::Lie(node));
        let meant = StableHasher::hash(&message);
        let said = (strategy.says)(state, to, message.clone(), Signer::new(node), &mut draw);
        match said {
            None => self.scheme(node, to.into(), strategy.name, &("withheld", &message)),
            Some(said) => {
                if StableHasher::hash(&said) != meant {
                    self.scheme(node, to.into(), strategy.name, &said);
                }
                self.send_or_lie(node, to, said);
            }
        }
    }

    /// What a malicious strategy makes of an answer to a client.
    fn respond_or_scheme(&mut self, node: NodeId, request: RequestId, response: &P::Response) {
        let slot = &self.nodes[node.index()];
        let (Some(strategy), Some(state)) = (slot.strategy, &slot.state) else { return };
        let mut draw = self.draws.draw(Site::Lie(node));
        let meant = StableHasher::hash(response);
        let client = request.client.into();
        match (strategy.answers)(state, request, response.clone(), &mut draw) {
            None => self.scheme(node, client, strategy.name, &("withheld", response)),
            Some(said) => {
                if StableHasher::hash(&said) != meant {
                    self.scheme(node, client, strategy.name, &said);
                }
                self.perform(node, Effect::Respond(request, said));
            }
        }
    }

    fn scheme<D: Data>(&mut self, node: NodeId, peer: Address, name: &str, what: &D) {
        self.counters.schemed += 1;
        let digest = StableHasher::hash(what);
        let event =
            Event { at: self.now, kind: Kind::Lie, actor: node.into(), peer, index: 0, digest };
        self.trace.record(event, &|| format!("({name}) {what:?}"));
    }

    fn remember(&mut self, node: NodeId, message: &P::Message) {
        if let Some(liar) = &mut self.nodes[node.index()].liar {
            liar.says(message.clone());
        }
    }

    /// Sends a message of a Byzantine node to one receiver, or does something else.
    fn send_or_lie(&mut self, node: NodeId, to: NodeId, mut message: P::Message) {
        let Some(liar) = &self.nodes[node.index()].liar else {
            return self.say(node, to, message);
        };
        let mut draw = self.draws.draw(Site::Lie(node));
        match liar.lies.choose(&mut draw) {
            None => self.say(node, to, message),
            Some(Lie::Withhold) => self.lie(node, to, "withheld", &message),
            Some(Lie::Mutate) => {
                if P::falsify(&mut message, Signer::new(node), &mut draw) {
                    self.lie(node, to, "changed", &message);
                }
                self.say(node, to, message);
            }
            Some(Lie::Replay) => {
                let stale = stale(liar, &mut draw);
                self.lie(node, to, "said before", &stale);
                self.say(node, to, stale);
            }
            Some(Lie::Delay) => {
                let at = self.now + draw.duration(Duration::ZERO..liar.lies.delay_by);
                self.lie(node, to, "held back", &message);
                self.queue.push(at, Due::Late(Box::new((node, to, message))));
            }
            Some(Lie::Forge) => {
                let mut forged = stale(liar, &mut draw);
                self.say(node, to, message);
                if P::falsify(&mut forged, Signer::new(node), &mut draw) {
                    self.lie(node, to, "forged", &forged);
                    self.say(node, to, forged);
                }
            }
        }
    }

    /// Sends a message of a Byzantine node as it is.
    #[cold]
    #[inline(never)]
    pub(super) fn say(&mut self, node: NodeId, to: NodeId, message: P::Message) {
        let digest = StableHasher::hash(&message);
        self.transmit(node.into(), to.into(), Kind::Send, digest, || Body::Message(message));
    }

    fn lie(&mut self, node: NodeId, to: NodeId, how: &str, message: &P::Message) {
        self.counters.lies += 1;
        let digest = StableHasher::hash(message);
        let (actor, peer) = (node.into(), to.into());
        let event = Event { at: self.now, kind: Kind::Lie, actor, peer, index: 0, digest };
        self.trace.record(event, &|| format!("({how}) {message:?}"));
    }
}

/// A message that a Byzantine node remembers. Takes one word.
fn stale<M: Clone>(liar: &Liar<M>, draw: &mut Draw) -> M {
    let at = draw.below(liar.said.len() as u32) as usize;
    liar.said[at].clone()
}
