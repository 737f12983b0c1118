//! The inner half of the world: what an event does to its node, and what the node does to the world.

use super::World;
use super::due::{Body, Due, Packet};
use crate::client::{ClientContext, ClientEffect, Clients};
use crate::draw::Site;
use crate::hash::StableHasher;
use crate::id::{Address, ClientId, NodeId, RequestId};
use crate::network::{Fate, Network};
use crate::node::{CrashPoint, EffectKind};
use crate::protocol::{Context, Effect, Protocol};
use crate::timers::Pending;
use crate::trace::{Event, Kind};
use std::mem;

impl<P: Protocol, N: Network, C: Clients<P>> World<P, N, C> {
    /// A packet reaches its receiver.
    pub(super) fn arrive(&mut self, packet: Packet<P>) {
        let Packet { from, to, ordinal, digest, ref body } = packet;
        let event = |kind, at, ordinal| Event { at, kind, actor: to, peer: from, ordinal, digest };
        if let Err(why) = self.network.admit(self.now, from, to) {
            self.counters.dropped += 1;
            let event =
                Event { actor: from, peer: to, ..event(Kind::Drop, self.now, ordinal.into()) };
            self.trace.record(event, || format!("({why}) {}", body.text()));
            return;
        }
        if let Some(node) = to.node() {
            let slot = &mut self.nodes[node.index()];
            if slot.state.is_none() {
                self.counters.lost += 1;
                let event = event(Kind::Lost, self.now, ordinal.into());
                self.trace.record(event, || format!("(down) {}", body.text()));
                return;
            }
            if slot.paused {
                self.counters.deferred += 1;
                slot.backlog.push(Due::Arrival(packet));
                return;
            }
        }
        self.counters.delivered += 1;
        self.trace.record(event(body.kinds().1, self.now, ordinal.into()), || body.text());
        match (packet.body, to.node(), from.node()) {
            (Body::Message(message), Some(node), Some(from)) => {
                self.call(node, |state, ctx| state.on_message(from, message, ctx));
            }
            (Body::Request(request, body), Some(node), _) => {
                self.call(node, |state, ctx| state.on_request(request, body, ctx));
            }
            (Body::Response(request, response), _, Some(from)) => {
                self.call_client(request.client, |clients, ctx| {
                    clients.on_response(from, request, response, ctx);
                });
            }
            (body, ..) => unreachable!("{} does not travel from {from} to {to}", body.text()),
        }
    }

    /// A node's timer rings.
    pub(super) fn ring(&mut self, node: NodeId, timer: P::Timer) {
        let slot = &mut self.nodes[node.index()];
        slot.timers.remove(&timer);
        if slot.paused {
            self.counters.deferred += 1;
            slot.timers.insert(timer.clone(), Pending::Backlog);
            slot.backlog.push(Due::NodeTimer(node, timer));
            return;
        }
        self.counters.timers += 1;
        self.record(Kind::Timer, node.into(), node.into(), 0, &timer);
        self.call(node, |state, ctx| state.on_timer(timer, ctx));
    }

    /// Runs one handler of a node that is up, and what it wants done.
    #[inline]
    fn call(&mut self, node: NodeId, handler: impl FnOnce(&mut P, &mut Context<'_, P>)) {
        let nodes = self.nodes.len();
        let slot = &mut self.nodes[node.index()];
        let now = slot.clock.read(self.now);
        let Some(state) = &mut slot.state else { return };
        handler(state, &mut Context::new(node, nodes, now, &mut self.draws, &mut self.effects));
        self.apply(node);
    }

    /// Applies the effects of a handler in their order, as far as an armed crash lets them.
    #[inline]
    pub(super) fn apply(&mut self, node: NodeId) {
        let mut effects = mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            let Some(point) = self.nodes[node.index()].armed else {
                self.perform(node, effect);
                continue;
            };
            let kind = EffectKind::of(&effect);
            if kind.is_some_and(|kind| point == CrashPoint::Before(kind)) {
                self.counters.crashes_inside += 1;
                self.crash(node);
                break;
            }
            self.perform(node, effect);
            if kind.is_some_and(|kind| point == CrashPoint::After(kind)) {
                self.counters.crashes_inside += 1;
                self.crash(node);
                break;
            }
        }
        self.effects = effects;
    }

    #[inline]
    fn perform(&mut self, node: NodeId, effect: Effect<P>) {
        let me = node.into();
        match effect {
            Effect::Send(to, message) => {
                let digest = StableHasher::hash(&message);
                self.transmit(me, to.into(), digest, Body::Message(message));
            }
            Effect::Broadcast(message) => self.broadcast(node, &message),
            Effect::Respond(request, response) => {
                let body = Body::Response(request, response);
                self.transmit(me, request.client.into(), body.digest(), body);
            }
            Effect::Append(record) => {
                self.counters.appended += 1;
                self.record(Kind::Append, me, me, 0, &record);
                self.nodes[node.index()].journal.append(record);
            }
            Effect::Sync => {
                let fresh = self.nodes[node.index()].journal.sync() as u64;
                self.counters.synced += u64::from(fresh > 0);
                self.note(Kind::Sync, me, &fresh, || format!("{fresh} records"));
            }
            Effect::SetTimer(timer, after) => {
                let slot = &mut self.nodes[node.index()];
                let at = self.now + slot.clock.until(after);
                if let Some(Pending::Queued(handle)) = slot.timers.remove(&timer) {
                    self.queue.cancel(handle);
                }
                let handle = self.queue.push(at, Due::NodeTimer(node, timer.clone()));
                slot.timers.insert(timer, Pending::Queued(handle));
            }
            Effect::CancelTimer(timer) => {
                let pending = self.nodes[node.index()].timers.remove(&timer);
                if let Some(Pending::Queued(handle)) = pending {
                    self.queue.cancel(handle);
                }
            }
            Effect::Ignore(why) => self.mark(Kind::Ignore, me, why),
            Effect::Reach(what) => self.mark(Kind::Reach, me, what),
        }
    }

    fn broadcast(&mut self, node: NodeId, message: &P::Message) {
        let digest = StableHasher::hash(message);
        for to in NodeId::all(self.nodes.len()).filter(|to| *to != node) {
            let body = Body::Message(message.clone());
            self.transmit(node.into(), to.into(), digest, body);
        }
    }

    /// Hands a message to the network and schedules what becomes of it.
    #[inline]
    fn transmit(&mut self, from: Address, to: Address, digest: u64, body: Body<P>) {
        let draw = self.draws.draw(Site::Link(from, to));
        let ordinal = draw.ordinal();
        let fate = self.network.fate(self.now, from, to, draw);
        let event =
            Event { at: self.now, kind: body.kinds().0, actor: from, peer: to, ordinal, digest };
        self.counters.sent += 1;
        self.trace.record(event, || body.text());
        let packet = Packet { from, to, ordinal: ordinal as u32, digest, body };
        match fate {
            Fate::Deliver(after) => {
                self.queue.push(self.now + after, Due::Arrival(packet));
            }
            Fate::Duplicate(first, second) => {
                self.counters.duplicated += 1;
                let event = Event { kind: Kind::Duplicate, ..event };
                self.trace.record(event, || packet.body.text());
                self.queue.push(self.now + first, Due::Arrival(packet.clone()));
                self.queue.push(self.now + second, Due::Arrival(packet));
            }
            Fate::Drop(why) => {
                self.counters.dropped += 1;
                let event = Event { kind: Kind::Drop, ..event };
                self.trace.record(event, || format!("({why}) {}", packet.body.text()));
            }
        }
    }

    /// Runs one handler of the clients, and what it wants done.
    pub(super) fn call_client(
        &mut self,
        client: ClientId,
        handler: impl FnOnce(&mut C, &mut ClientContext<'_, P, C>),
    ) {
        let effects = &mut self.client_effects;
        let mut ctx = ClientContext::new(client, self.now, &mut self.draws, effects);
        handler(&mut self.clients, &mut ctx);
        let mut effects = mem::take(&mut self.client_effects);
        for effect in effects.drain(..) {
            match effect {
                ClientEffect::Request(to, number, body) => {
                    let body = Body::Request(RequestId { client, number }, body);
                    self.transmit(client.into(), to.into(), body.digest(), body);
                }
                ClientEffect::SetTimer(timer, after) => {
                    let timers = &mut self.client_timers[client.index()];
                    if let Some(Pending::Queued(handle)) = timers.remove(&timer) {
                        self.queue.cancel(handle);
                    }
                    let due = Due::ClientTimer(client, timer.clone());
                    let handle = self.queue.push(self.now + after, due);
                    timers.insert(timer, Pending::Queued(handle));
                }
                ClientEffect::CancelTimer(timer) => {
                    let pending = self.client_timers[client.index()].remove(&timer);
                    if let Some(Pending::Queued(handle)) = pending {
                        self.queue.cancel(handle);
                    }
                }
            }
        }
        self.client_effects = effects;
    }

    /// Records something whose contents are a value.
    #[inline]
    pub(super) fn record(
        &mut self,
        kind: Kind,
        actor: Address,
        peer: Address,
        ordinal: u64,
        value: &(impl std::hash::Hash + std::fmt::Debug),
    ) {
        let digest = StableHasher::hash(value);
        let event = Event { at: self.now, kind, actor, peer, ordinal, digest };
        self.trace.record(event, || format!("{value:?}"));
    }

    /// Records something in words of its own.
    #[inline]
    pub(super) fn note(
        &mut self,
        kind: Kind,
        actor: Address,
        value: &impl std::hash::Hash,
        text: impl FnOnce() -> String,
    ) {
        let digest = StableHasher::hash(value);
        let event = Event { at: self.now, kind, actor, peer: actor, ordinal: 0, digest };
        self.trace.record(event, text);
    }

    fn mark(&mut self, kind: Kind, actor: Address, what: &'static str) {
        match self.marks.iter_mut().find(|(other, _)| *other == what) {
            Some((_, count)) => *count += 1,
            None => self.marks.push((what, 1)),
        }
        self.note(kind, actor, &what, || what.to_owned());
    }
}
