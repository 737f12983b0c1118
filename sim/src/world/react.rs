//! The inner half of the world: what an event does to its node, and what the node does to the
//! world.

use super::due::{Body, Due, Packet};
use super::{Handler, World};
use crate::client::{ClientContext, ClientEffect, Clients};
use crate::draw::{Draw, Site};
use crate::hash::StableHasher;
use crate::id::{Address, ClientId, NodeId, RequestId};
use crate::network::{Fate, Network};
use crate::node::Gate;
use crate::protocol::{Context, Effect, Protocol};
use crate::time::Duration;
use crate::timers::Pending;
use crate::trace::{Event, Kind};
use std::mem;

impl<P: Protocol, N: Network, C: Clients<P>> World<P, N, C> {
    /// A packet reaches its receiver.
    #[inline(always)]
    pub(super) fn arrive(&mut self, packet: Packet<P>) {
        // Only a body that nothing borrows can go from the queue to the handler in registers.
        if self.trace.is_kept() {
            self.arrive_kept(packet);
        } else {
            self.deliver(packet, false);
        }
    }

    #[cold]
    #[inline(never)]
    fn arrive_kept(&mut self, packet: Packet<P>) {
        self.deliver(packet, true);
    }

    #[inline(always)]
    fn deliver(&mut self, packet: Packet<P>, kept: bool) {
        if let Err(why) = self.network.admit(self.now, packet.from, packet.to) {
            return self.refuse(packet, why);
        }
        self.receive(packet, kept);
    }

    /// A packet that has arrived, and waited for its node, reaches it: no partition can cut it any
    /// more.
    #[cold]
    #[inline(never)]
    pub(super) fn receive_late(&mut self, packet: Packet<P>) {
        let kept = self.trace.is_kept();
        self.receive(packet, kept);
    }

    #[inline(always)]
    fn receive(&mut self, packet: Packet<P>, kept: bool) {
        let Packet { from, to, index, digest, .. } = packet;
        if let Some(node) = to.node() {
            let slot = &self.nodes[node.index()];
            if slot.state.is_none() || slot.gate != Gate::Open {
                return self.miss(node, packet);
            }
        }
        let event = Event {
            at: self.now,
            kind: packet.body.kinds().1,
            actor: to,
            peer: from,
            index: index.into(),
            digest,
        };
        if kept && !self.lets_in(&event) {
            return self.refuse(packet, "left out");
        }
        self.counters.delivered += 1;
        self.trace.fold(&event);
        if kept {
            self.trace.keep(event, &|| packet.body.text());
        }
        let node_at = |end: Address| end.node().expect("clients do not speak to each other");
        match packet.body {
            Body::Message(message) => {
                let from = node_at(from);
                self.call(node_at(to), Handler::Message, |state, ctx| {
                    state.on_message(from, message, ctx);
                });
            }
            Body::Request(request, body) => {
                self.call(node_at(to), Handler::Request, |state, ctx| {
                    state.on_request(request, body, ctx);
                });
            }
            Body::Response(request, response) => {
                let from = node_at(from);
                self.call_client(request.client, |clients, ctx| {
                    clients.on_response(from, request, response, ctx);
                });
            }
        }
    }

    /// Runs the handler of one half of twins, to whom clients and nodes speak. Not a part of what
    /// every packet goes through: handed on once more there, a message costs 6 % of a Raft run.
    #[cold]
    #[inline(never)]
    pub(super) fn hand_over(&mut self, node: NodeId, packet: Packet<P>) {
        match packet.body {
            Body::Message(message) => {
                let from = packet.from.node().expect("messages are between nodes");
                self.call(node, Handler::Message, |state, ctx| {
                    state.on_message(from, message, ctx);
                });
            }
            Body::Request(request, body) => {
                self.call(node, Handler::Request, |state, ctx| {
                    state.on_request(request, body, ctx);
                });
            }
            Body::Response(..) => unreachable!("answers are for clients"),
        }
    }

    /// A packet is not let in by the network.
    #[cold]
    #[inline(never)]
    fn refuse(&mut self, packet: Packet<P>, why: &'static str) {
        let Packet { from, to, index, digest, .. } = packet;
        let index = index.into();
        let event = Event { at: self.now, kind: Kind::Drop, actor: from, peer: to, index, digest };
        self.lose(event, packet, why);
    }

    /// A packet reaches a node that is down, paused, busy or twins.
    #[cold]
    #[inline(never)]
    fn miss(&mut self, node: NodeId, packet: Packet<P>) {
        let slot = &mut self.nodes[node.index()];
        if slot.state.is_some() {
            if slot.gate == Gate::Twins {
                return self.meet_twins(node, packet);
            }
            slot.backlog.push_back(Due::Arrival(packet));
            return self.count_waiting(node);
        }
        self.counters.lost += 1;
        let Packet { from, to, index, digest, .. } = packet;
        let index = index.into();
        let event = Event { at: self.now, kind: Kind::Lost, actor: to, peer: from, index, digest };
        self.trace.record(event, &|| format!("(down) {}", packet.body.text()));
    }

    /// Something waits for a node. For one that is busy with its disk, and for one that handles
    /// what waited while it was paused, nothing counts it.
    pub(super) fn count_waiting(&mut self, node: NodeId) {
        let slot = &self.nodes[node.index()];
        match slot.gate {
            Gate::Paused => self.counters.deferred += 1,
            Gate::Busy if slot.slow > Duration::ZERO && slot.held.is_empty() => {
                self.counters.slowed += 1;
            }
            Gate::Open | Gate::Busy | Gate::Twins => {}
        }
    }

    /// A node's timer rings.
    pub(super) fn ring(&mut self, node: NodeId, timer: P::Timer) {
        let slot = &mut self.nodes[node.index()];
        if slot.gate != Gate::Open {
            return self.ring_shut(node, timer);
        }
        slot.timers.remove(&timer);
        self.ring_now(node, timer);
    }

    /// A timer that nothing keeps from its node rings there.
    #[inline]
    pub(super) fn ring_now(&mut self, node: NodeId, timer: P::Timer) {
        self.counters.timers += 1;
        self.record(Kind::Timer, node.into(), node.into(), 0, &timer);
        self.call(node, Handler::Timer, |state, ctx| state.on_timer(timer, ctx));
    }

    /// Runs one handler of a node that is up, and what it wants done.
    #[inline]
    fn call(
        &mut self,
        node: NodeId,
        name: Handler,
        handler: impl FnOnce(&mut P, &mut Context<'_, P>),
    ) {
        let nodes = self.nodes.len();
        let slot = &mut self.nodes[node.index()];
        let now = slot.clocks.read(self.now);
        let wall = if slot.clocks.is_wrong() {
            self.counters.misled += u64::from(slot.clocks.is_misleading());
            self.counters.drifted += u64::from(slot.clocks.is_drifting());
            slot.clocks.wall(now)
        } else {
            now
        };
        let Some(state) = &mut slot.state else { return };
        self.running = Some((node.into(), name));
        let draws = &mut self.draws;
        let mut ctx = Context::new(node, nodes, now, draws, &mut self.effects).with_wall(wall);
        handler(state, &mut ctx);
        self.running = None;
        self.apply(node);
    }

    /// Applies the effects of a handler in their order, as far as an armed crash lets them.
    #[inline]
    pub(super) fn apply(&mut self, node: NodeId) {
        // From the end, which is where a vector gives without shifting. One by one, as a crash in
        // between takes the rest.
        self.effects.reverse();
        if self.nodes[node.index()].special {
            return self.apply_with_care(node);
        }
        while let Some(effect) = self.effects.pop() {
            self.perform(node, effect);
        }
    }

    #[inline(always)]
    pub(super) fn perform(&mut self, node: NodeId, effect: Effect<P>) {
        let me = node.into();
        match effect {
            Effect::Send(to, message) => {
                let digest = StableHasher::hash(&message);
                self.transmit(me, to.into(), Kind::Send, digest, || Body::Message(message));
            }
            Effect::Broadcast(message) => self.broadcast(node, &message),
            Effect::Respond(request, response) => {
                let body = Body::Response(request, response);
                self.transmit_apart(me, request.client.into(), body);
            }
            Effect::Append(record) => {
                self.counters.appended += 1;
                self.record(Kind::Append, me, me, 0, &record);
                let journal = &mut self.nodes[node.index()].journal;
                if journal.is_attached() {
                    return self.append_through(node, record);
                }
                journal.append(record);
            }
            Effect::Sync => {
                let journal = &mut self.nodes[node.index()].journal;
                let fresh = match journal.is_attached() {
                    false => Some(journal.sync()),
                    true => self.sync_through(node),
                };
                let Some(fresh) = fresh.map(|fresh| fresh as u64) else { return };
                self.counters.synced += u64::from(fresh > 0);
                self.note(Kind::Sync, me, &fresh, &|| format!("{fresh} records"));
            }
            Effect::SetTimer(timer, after) => {
                let slot = &mut self.nodes[node.index()];
                let at = slot.clocks.ring(self.now, after);
                if slot.clocks.is_wrong() {
                    self.counters.timers_moved += u64::from(slot.clocks.moves_timers());
                }
                if let Some(Pending::Queued(handle)) = slot.timers.find(&timer) {
                    // As if cancelled and set anew, and cheaper: elections are put off at every
                    // heartbeat.
                    *handle = self.queue.reschedule(*handle, at);
                    return;
                }
                slot.timers.remove(&timer);
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
            let body = || Body::Message(message.clone());
            self.transmit(node.into(), to.into(), Kind::Send, digest, body);
        }
    }

    /// Hands a message to the network and schedules what becomes of it. The body is put together at
    /// its last stop: before that, what it is made of need not be moved.
    #[inline(always)]
    pub(super) fn transmit(
        &mut self,
        from: Address,
        to: Address,
        kind: Kind,
        digest: u64,
        body: impl FnOnce() -> Body<P>,
    ) {
        let draw = self.draws.draw(Site::Link(from, to));
        let index = draw.index();
        let fate = self.network.fate(self.now, from, to, draw);
        let event = Event { at: self.now, kind, actor: from, peer: to, index, digest };
        self.counters.sent += 1;
        self.trace.fold(&event);
        let packet = || Packet { from, to, index: index as u32, digest, body: body() };
        if self.trace.is_kept() {
            self.dispatch_kept(event, fate, packet());
        } else {
            self.dispatch(event, fate, packet);
        }
    }

    /// As [`World::transmit`], where the caller is too rare to have a copy of it.
    #[inline(never)]
    fn transmit_apart(&mut self, from: Address, to: Address, body: Body<P>) {
        self.transmit(from, to, body.kinds().0, body.digest(), || body);
    }

    #[cold]
    #[inline(never)]
    fn dispatch_kept(&mut self, event: Event, fate: Fate, packet: Packet<P>) {
        self.trace.keep(event, &|| packet.body.text());
        self.dispatch(event, fate, || packet);
    }

    #[inline(always)]
    fn dispatch(&mut self, event: Event, fate: Fate, packet: impl FnOnce() -> Packet<P>) {
        match fate {
            Fate::Deliver(after) => {
                self.queue.push(self.now + after, Due::Arrival(packet()));
            }
            Fate::Duplicate(first, second) => self.duplicate(event, packet(), first, second),
            Fate::Corrupt(after, word) => self.corrupt(event, packet(), after, word),
            Fate::Drop(why) => self.lose(event, packet(), why),
        }
    }

    /// A packet's bits flip on the wire. Where the protocol has no way to change the message, its
    /// checksum tells, and the message is lost.
    #[cold]
    #[inline(never)]
    fn corrupt(&mut self, event: Event, mut packet: Packet<P>, after: Duration, word: u32) {
        let mut draw = Draw::from_words([word, word.rotate_left(11), word.rotate_left(23), !word]);
        let changed = match &mut packet.body {
            Body::Message(message) => P::mutate(message, &mut draw),
            Body::Request(..) | Body::Response(..) => false,
        };
        if !changed {
            return self.lose(event, packet, "corrupt");
        }
        self.counters.corrupted += 1;
        packet.digest = packet.body.digest();
        let event = Event { kind: Kind::Lie, digest: packet.digest, ..event };
        self.trace.record(event, &|| format!("(bits flip) {}", packet.body.text()));
        self.queue.push(self.now + after, Due::Arrival(packet));
    }

    #[cold]
    #[inline(never)]
    fn duplicate(&mut self, event: Event, packet: Packet<P>, first: Duration, second: Duration) {
        self.counters.duplicated += 1;
        self.trace.record(Event { kind: Kind::Duplicate, ..event }, &|| packet.body.text());
        self.queue.push(self.now + first, Due::Arrival(packet.clone()));
        self.queue.push(self.now + second, Due::Arrival(packet));
    }

    #[cold]
    #[inline(never)]
    #[expect(clippy::needless_pass_by_value, reason = "borrowed here, it would leave registers")]
    fn lose(&mut self, event: Event, packet: Packet<P>, why: &'static str) {
        self.counters.dropped += 1;
        self.trace.record(Event { kind: Kind::Drop, ..event }, &|| {
            format!("({why}) {}", packet.body.text())
        });
    }

    /// Runs one handler of the clients, and what it wants done.
    pub(super) fn call_client(
        &mut self,
        client: ClientId,
        handler: impl FnOnce(&mut C, &mut ClientContext<'_, P, C>),
    ) {
        let effects = &mut self.client_effects;
        let mut ctx = ClientContext::new(client, self.now, &mut self.draws, effects);
        self.running = Some((client.into(), Handler::Client));
        handler(&mut self.clients, &mut ctx);
        self.running = None;
        self.apply_client(client);
    }

    /// Applies the effects of a handler of the clients in their order.
    fn apply_client(&mut self, client: ClientId) {
        let mut effects = mem::take(&mut self.client_effects);
        for effect in effects.drain(..) {
            match effect {
                ClientEffect::Request(to, number, body) => {
                    let body = Body::Request(RequestId { client, number }, body);
                    self.transmit_apart(client.into(), to.into(), body);
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
        index: u64,
        value: &(impl std::hash::Hash + std::fmt::Debug),
    ) {
        let digest = StableHasher::hash(value);
        let event = Event { at: self.now, kind, actor, peer, index, digest };
        self.trace.record(event, &|| format!("{value:?}"));
    }

    /// Records something in words of its own.
    #[inline]
    pub(super) fn note(
        &mut self,
        kind: Kind,
        actor: Address,
        value: &impl std::hash::Hash,
        text: &dyn Fn() -> String,
    ) {
        let digest = StableHasher::hash(value);
        let event = Event { at: self.now, kind, actor, peer: actor, index: 0, digest };
        self.trace.record(event, text);
    }

    fn mark(&mut self, kind: Kind, actor: Address, what: &'static str) {
        match self.marks.iter_mut().find(|(other, _)| *other == what) {
            Some((_, count)) => *count += 1,
            None => self.marks.push((what, 1)),
        }
        self.note(kind, actor, &what, &|| what.to_owned());
    }
}
