//! The loop: pop the next event, hash it, hand it to its node, apply what the node wants done.

mod due;
mod react;

use crate::client::{ClientEffect, Clients};
use crate::clock::Clock;
use crate::draw::{DrawAddress, Draws, Override, Seed, Site};
use crate::hash::fold;
use crate::id::{Address, ClientId, NodeId};
use crate::journal::{CrashImage, Journal};
use crate::network::Network;
use crate::node::{CrashPoint, Node};
use crate::protocol::{Context, Effect, Protocol};
use crate::queue::Queue;
use crate::time::{Duration, Time};
use crate::timers::{Pending, Timers};
use crate::trace::{Kind, Recording, Trace};
use std::collections::BTreeMap;
use std::mem;

use due::Due;

/// What a world is made of, besides its protocol, network and clients.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What decides everything that is not written down here.
    pub seed: Seed,
    /// How many nodes; at least one.
    pub nodes: usize,
    /// How many clients.
    pub clients: usize,
    /// How much of the run to keep.
    pub recording: Recording,
    /// Draws to be decided otherwise than by the seed.
    pub overrides: BTreeMap<DrawAddress, Override>,
}

/// What happened in a run, in numbers; effects, not attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counters {
    /// Messages, requests and answers handed to the network.
    pub sent: u64,
    /// Of these, handed to a node or client that was up.
    pub delivered: u64,
    /// Lost by the network, on the way or on arrival.
    pub dropped: u64,
    /// Doubled by the network.
    pub duplicated: u64,
    /// Arrived at a node that was down.
    pub lost: u64,
    /// Timers that rang at a node that was up.
    pub timers: u64,
    /// Records appended.
    pub appended: u64,
    /// Syncs that made at least one record durable.
    pub synced: u64,
    /// Crashes of a node that was up.
    pub crashes: u64,
    /// Of these, inside a handler.
    pub crashes_inside: u64,
    /// Starts after a crash.
    pub restarts: u64,
    /// Un-synced records that a crash took.
    pub records_lost: u64,
    /// Un-synced records that a crash left.
    pub records_kept: u64,
    /// Crashes that cut a record in the middle.
    pub records_torn: u64,
    /// Arrivals and timers that waited for a paused node.
    pub deferred: u64,
}

/// One event that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Time,
    /// At whom: the one whose state may have changed.
    pub actor: Address,
}

/// A simulated cluster, its network and its clients, at one instant of one run.
///
/// Protocol, network and clients are static types: nothing on the hot path is boxed. When all three
/// are `Clone`, a snapshot is a clone, and both copies go on independently.
#[derive(Debug)]
pub struct World<P: Protocol, N: Network, C: Clients<P>> {
    now: Time,
    config: P::Config,
    network: N,
    clients: C,
    client_timers: Vec<Timers<C::Timer>>,
    nodes: Vec<Node<P, Due<P, C::Timer>>>,
    queue: Queue<Due<P, C::Timer>>,
    draws: Draws,
    trace: Trace,
    counters: Counters,
    marks: Vec<(&'static str, u64)>,
    // Empty between events; kept for their memory.
    effects: Vec<Effect<P>>,
    client_effects: Vec<ClientEffect<P, C::Timer>>,
}

impl<P: Protocol + Clone, N: Network + Clone, C: Clients<P> + Clone> Clone for World<P, N, C> {
    fn clone(&self) -> Self {
        Self {
            now: self.now,
            config: self.config.clone(),
            network: self.network.clone(),
            clients: self.clients.clone(),
            client_timers: self.client_timers.clone(),
            nodes: self.nodes.clone(),
            queue: self.queue.clone(),
            draws: self.draws.clone(),
            trace: self.trace.clone(),
            counters: self.counters,
            marks: self.marks.clone(),
            effects: Vec::new(),
            client_effects: Vec::new(),
        }
    }
}

impl<P: Protocol, N: Network, C: Clients<P>> World<P, N, C> {
    /// A world at time zero, with every node and client started, in the order of their ids.
    pub fn new(setup: Setup, config: P::Config, network: N, clients: C) -> Self {
        assert!(setup.nodes > 0, "a cluster has at least one node");
        let draws = Draws::new(setup.seed, setup.nodes, setup.clients);
        let mut world = Self {
            now: Time::ZERO,
            config,
            network,
            clients,
            client_timers: (0..setup.clients).map(|_| Timers::default()).collect(),
            nodes: (0..setup.nodes).map(|_| Node::new(Clock::TRUE)).collect(),
            queue: Queue::default(),
            draws: draws.with_overrides(setup.overrides),
            trace: Trace::new(setup.recording, setup.seed.0),
            counters: Counters::default(),
            marks: Vec::new(),
            effects: Vec::new(),
            client_effects: Vec::new(),
        };
        for node in NodeId::all(setup.nodes) {
            world.boot(node);
        }
        for client in 0..setup.clients {
            let client = ClientId::new(client as u16);
            world.call_client(client, |clients, ctx| clients.start(client, ctx));
        }
        world
    }

    /// The virtual time of the last event.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Carries out the next event, if there is one.
    #[inline]
    pub fn step(&mut self) -> Option<Step> {
        self.step_until(Time::MAX)
    }

    /// Carries out the next event if it is due at `limit` or before. Without one, time stands
    /// still: `None` from an empty queue means that nothing will ever happen again.
    #[inline]
    pub fn step_until(&mut self, limit: Time) -> Option<Step> {
        self.step_inside(limit, |_| ())
    }

    /// As [`World::step_until`]; `enter` is called before the event is carried out, and what it
    /// returns is dropped afterwards: a span for the logs of the protocol.
    #[inline]
    pub fn step_inside<G>(&mut self, limit: Time, enter: impl FnOnce(Step) -> G) -> Option<Step> {
        let draws = &mut self.draws;
        let (at, due) = self.queue.pop(limit, |at, taken, count| draws.tie(at, taken, count))?;
        assert!(self.now <= at, "time ran backwards: somebody moved it past what is due at {at}");
        self.now = at;
        let step = Step { at, actor: due.address() };
        let _guard = enter(step);
        match due {
            Due::Arrival(packet) => self.arrive(packet),
            Due::NodeTimer(node, timer) => self.ring(node, timer),
            Due::ClientTimer(client, timer) => {
                self.client_timers[client.index()].remove(&timer);
                self.record(Kind::Timer, client.into(), client.into(), 0, &timer);
                self.call_client(client, |clients, ctx| clients.on_timer(client, timer, ctx));
            }
        }
        Some(step)
    }

    /// Carries out everything that is due at `limit` or before, then moves time there.
    pub fn run_until(&mut self, limit: Time) {
        while self.step_until(limit).is_some() {}
        self.now = self.now.max(limit);
    }

    /// Moves time to `now`, before which nothing may be pending.
    pub fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    /// True if nothing will ever happen again, unless from outside.
    pub fn is_quiet(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many nodes the cluster has.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The state of a node; `None` while it is down.
    #[inline]
    pub fn node(&self, node: NodeId) -> Option<&P> {
        self.nodes[node.index()].state.as_ref()
    }

    /// True while a node is paused.
    pub fn is_paused(&self, node: NodeId) -> bool {
        self.nodes[node.index()].paused
    }

    /// The journal of a node, up or down.
    pub fn journal(&self, node: NodeId) -> &Journal<P::Record> {
        &self.nodes[node.index()].journal
    }

    /// The network.
    pub fn network(&self) -> &N {
        &self.network
    }

    /// The network, to be changed. Say what was done with [`World::note_fault`].
    pub fn network_mut(&mut self) -> &mut N {
        &mut self.network
    }

    /// The clients, with the history that they recorded.
    pub fn clients(&self) -> &C {
        &self.clients
    }

    /// The clients, when the run is over.
    pub fn into_clients(self) -> C {
        self.clients
    }

    /// What happened so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The trace hash: every event so far, and every override that took effect.
    pub fn hash(&self) -> u64 {
        match self.draws.overridden() {
            0 => self.trace.hash(),
            overridden => fold(self.trace.hash(), overridden),
        }
    }

    /// What happened so far, in numbers.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How often the protocol ignored something or reached something, by its words, in the order of
    /// first use.
    pub fn marks(&self) -> &[(&'static str, u64)] {
        &self.marks
    }

    /// The randomness of the run.
    pub fn draws(&self) -> &Draws {
        &self.draws
    }

    /// The randomness of the run, to keep a log of it.
    pub fn draws_mut(&mut self) -> &mut Draws {
        &mut self.draws
    }

    /// Crashes a node, now. False if it is down already.
    pub fn crash(&mut self, node: NodeId) -> bool {
        let at = node.index();
        if self.nodes[at].state.take().is_none() {
            return false;
        }
        let draw = self.draws.draw(Site::Disk(node));
        let image = self.nodes[at].journal.crash(draw);
        for pending in self.nodes[at].timers.drain() {
            if let Pending::Queued(handle) = pending {
                self.queue.cancel(handle);
            }
        }
        self.nodes[at].backlog.clear();
        self.nodes[at].paused = false;
        self.nodes[at].armed = None;
        let CrashImage { kept, lost, torn } = image;
        self.counters.crashes += 1;
        self.counters.records_kept += u64::from(kept);
        self.counters.records_lost += u64::from(lost);
        self.counters.records_torn += u64::from(torn);
        self.note(Kind::Crash, node.into(), &image, || match (kept, lost) {
            (0, 0) => "nothing un-synced".to_owned(),
            _ => format!(
                "un-synced records: {kept} kept, {lost} lost{}",
                if torn { ", torn" } else { "" }
            ),
        });
        true
    }

    /// Makes a node crash inside its next handler that comes to this point. False if it is down.
    pub fn arm_crash(&mut self, node: NodeId, point: CrashPoint) -> bool {
        let node = &mut self.nodes[node.index()];
        node.armed = node.state.is_some().then_some(point);
        node.armed.is_some()
    }

    /// Takes back [`World::arm_crash`]. False if the node was not armed: the crash happened, or
    /// never was planned.
    pub fn disarm_crash(&mut self, node: NodeId) -> bool {
        self.nodes[node.index()].armed.take().is_some()
    }

    /// Starts a node that is down, from its journal. False if it is up already.
    pub fn restart(&mut self, node: NodeId) -> bool {
        if self.nodes[node.index()].state.is_some() {
            return false;
        }
        self.counters.restarts += 1;
        self.boot(node);
        true
    }

    /// Stops a node without a crash: what reaches it waits. False if it is down or paused already.
    pub fn pause(&mut self, node: NodeId) -> bool {
        let slot = &mut self.nodes[node.index()];
        if slot.state.is_none() || slot.paused {
            return false;
        }
        slot.paused = true;
        self.note(Kind::Pause, node.into(), &(), String::new);
        true
    }

    /// Lets a paused node go on: what waited reaches it now, a nanosecond apart, in the order of
    /// its arrival.
    pub fn resume(&mut self, node: NodeId) -> bool {
        let at = node.index();
        if !mem::take(&mut self.nodes[at].paused) {
            return false;
        }
        self.note(Kind::Resume, node.into(), &(), String::new);
        for (place, due) in mem::take(&mut self.nodes[at].backlog).into_iter().enumerate() {
            let time = self.now + Duration::nanos(place as u64);
            if let Due::NodeTimer(_, timer) = &due {
                let timer = timer.clone();
                self.nodes[at].timers.remove(&timer);
                let handle = self.queue.push(time, due);
                self.nodes[at].timers.insert(timer, Pending::Queued(handle));
            } else {
                self.queue.push(time, due);
            }
        }
        true
    }

    /// Sets a node's clock. Timers that are pending keep the moment that the old clock gave them.
    pub fn set_clock(&mut self, node: NodeId, clock: Clock) {
        self.nodes[node.index()].clock = clock;
        self.note(Kind::Fault, node.into(), &clock, || format!("{clock:?}"));
    }

    /// Notes in the trace that something was done to the world from outside.
    pub fn note_fault(&mut self, actor: Address, what: &str) {
        self.note(Kind::Fault, actor, &what, || what.to_owned());
    }

    fn boot(&mut self, node: NodeId) {
        self.note(Kind::Start, node.into(), &(), String::new);
        let nodes = self.nodes.len();
        let slot = &mut self.nodes[node.index()];
        let now = slot.clock.read(self.now);
        let mut ctx = Context::new(node, nodes, now, &mut self.draws, &mut self.effects);
        slot.state = Some(P::start(node, &self.config, slot.journal.records(), &mut ctx));
        self.apply(node);
    }
}
