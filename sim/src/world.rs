//! The loop: pop the next event, hash it, hand it to its node, apply what the node wants done.

mod care;
mod disks;
mod due;
mod faults;
mod part;
mod react;
mod twins;

use crate::client::{ClientEffect, Clients};
use crate::clock::Clock;
use crate::draw::{DrawAddress, Draws, Override, Seed};
use crate::hash::fold;
use crate::id::{Address, ClientId, NodeId};
use crate::journal::Journal;
use crate::network::Network;
use crate::node::{Gate, Node};
use crate::protocol::{Context, Effect, Protocol};
use crate::queue::Queue;
use crate::time::Time;
use crate::timers::Timers;
use crate::trace::{Kind, Recording, Trace};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;

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
    /// Arrivals and timers that waited for a node that was slow.
    pub slowed: u64,
    /// Syncs that took time.
    pub stalled: u64,
    /// Messages that a Byzantine node withheld, changed, forged, replayed or held back.
    pub lies: u64,
    /// Messages and answers that a malicious strategy withheld or changed.
    pub schemed: u64,
    /// Messages and requests that only the first of two nodes of one identity heard.
    pub unheard: u64,
    /// Messages and answers that the second of twins sent.
    pub said_by_twins: u64,
    /// Messages that were changed on the wire, and arrived all the same.
    pub corrupted: u64,
    /// Handlers that ran while their node's wall clock was wrong.
    pub misled: u64,
    /// Handlers that ran while their node's clocks ran faster or slower than they began.
    pub drifted: u64,
    /// Timers that were set to ring early, late or together.
    pub timers_moved: u64,
    /// Starts that a node refused, as what it had synced is damaged.
    pub refusals: u64,
}

/// A handler of the user's code, by the name of its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// `start`
    Start,
    /// `on_message`
    Message,
    /// `on_timer`
    Timer,
    /// `on_request`
    Request,
    /// Whatever a client does: it draws what to ask, asks, and reads the answer.
    Client,
}

impl fmt::Display for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Message => "on_message",
            Self::Timer => "on_timer",
            Self::Request => "on_request",
            Self::Client => "client",
        })
    }
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
    /// What arrives at all, if the run is to be a part of another one.
    let_in: Option<Box<part::LetIn>>,
    counters: Counters,
    marks: Vec<(&'static str, u64)>,
    /// Whose handler is running now, and which.
    running: Option<(Address, Handler)>,
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
            let_in: self.let_in.clone(),
            counters: self.counters,
            marks: self.marks.clone(),
            running: self.running,
            effects: Vec::new(),
            client_effects: Vec::new(),
        }
    }
}

impl<P: Protocol, N: Network, C: Clients<P>> World<P, N, C> {
    /// A world at time zero, with every node and client started, in the order of their ids.
    pub fn new(setup: Setup, config: P::Config, network: N, clients: C) -> Self {
        let mut world = Self::idle(setup, config, network, clients);
        world.start();
        world
    }

    /// A world at time zero, of which nothing has started yet: [`World::start`] comes next. Whoever
    /// must survive a node that panics as it starts holds the world by then.
    pub fn idle(setup: Setup, config: P::Config, network: N, clients: C) -> Self {
        assert!(setup.nodes > 0, "a cluster has at least one node");
        let draws = Draws::new(setup.seed, setup.nodes, setup.clients);
        Self {
            now: Time::ZERO,
            config,
            network,
            clients,
            client_timers: (0..setup.clients).map(|_| Timers::default()).collect(),
            nodes: (0..setup.nodes).map(|_| Node::new(Clock::TRUE)).collect(),
            queue: Queue::default(),
            draws: draws.with_overrides(setup.overrides),
            trace: Trace::new(setup.recording, setup.seed.0),
            let_in: None,
            counters: Counters::default(),
            marks: Vec::new(),
            running: None,
            effects: Vec::new(),
            client_effects: Vec::new(),
        }
    }

    /// Starts every node, then every client, in the order of their ids.
    pub fn start(&mut self) {
        for node in NodeId::all(self.nodes.len()) {
            self.boot(node);
        }
        for client in 0..self.client_timers.len() {
            let client = ClientId::new(client as u16);
            self.call_client(client, |clients, ctx| clients.start(client, ctx));
        }
    }

    /// The virtual time of the last event.
    pub fn now(&self) -> Time {
        self.now
    }

    /// What the monotonic clock of a node shows now, whether the node is up or not.
    pub fn clock(&self, node: NodeId) -> Time {
        self.nodes[node.index()].clocks.read(self.now)
    }

    /// Whose handler is running, and which. Between two events nobody's: `Some` then means that the
    /// handler panicked, and the panic was caught.
    pub fn running(&self) -> Option<(Address, Handler)> {
        self.running
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
    #[inline(always)]
    pub fn step_inside<G>(&mut self, limit: Time, enter: impl FnOnce(Step) -> G) -> Option<Step> {
        self.step_with(limit, |step, _| enter(step))
    }

    /// As [`World::step_inside`], and says what kind of event it was, as a hash: a message, a
    /// request, an answer or a timer, and which variant of its type; not its contents. For runs
    /// that are looked at, of which there are few: `enter` is no type parameter.
    pub fn step_telling(
        &mut self,
        limit: Time,
        enter: &mut dyn FnMut(Step) -> Option<Box<dyn Any>>,
    ) -> Option<(Step, u64)> {
        let mut kind = 0;
        let step = self.step_with(limit, |step, due| {
            kind = due.variant();
            enter(step)
        })?;
        Some((step, kind))
    }

    #[inline(always)]
    fn step_with<G>(
        &mut self,
        limit: Time,
        enter: impl FnOnce(Step, &Due<P, C::Timer>) -> G,
    ) -> Option<Step> {
        let draws = &mut self.draws;
        let (at, chosen) =
            self.queue.advance(limit, &mut |at, taken, count| draws.tie(at, taken, count))?;
        assert!(self.now <= at, "time ran backwards: somebody moved it past what is due at {at}");
        self.now = at;
        let due = self.queue.peek(&chosen)?;
        let step = Step { at, actor: due.address() };
        if self.draws.is_scheduled() {
            self.draws.begin(at, due.message());
        }
        let _guard = enter(step, due);
        // One look at what it is: unwrapped first, it would be copied once more.
        match self.queue.take(chosen) {
            None => unreachable!("what was chosen is there"),
            Some(Due::Arrival(packet)) => self.arrive(packet),
            Some(Due::NodeTimer(node, timer)) => self.ring(node, timer),
            Some(Due::ClientTimer(client, timer)) => {
                self.client_timers[client.index()].remove(&timer);
                self.record(Kind::Timer, client.into(), client.into(), 0, &timer);
                self.call_client(client, |clients, ctx| clients.on_timer(client, timer, ctx));
            }
            Some(Due::Wake(node)) => self.wake(node),
            Some(Due::Late(late)) => {
                let (node, to, message) = *late;
                self.say(node, to, message);
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

    /// The timers that a node has set and that have not rung, in the order of their words.
    pub fn timers(&self, node: NodeId) -> Vec<String> {
        let timers = self.nodes[node.index()].timers.values();
        let mut words: Vec<String> = timers.map(|timer| format!("{timer:?}")).collect();
        words.sort_unstable();
        words
    }

    /// True while a node is paused.
    pub fn is_paused(&self, node: NodeId) -> bool {
        self.nodes[node.index()].gate == Gate::Paused
    }

    /// True while a handler of a node is not over, because its disk is slow: its state is ahead of
    /// what it wrote down and said.
    #[inline]
    pub fn is_mid_handler(&self, node: NodeId) -> bool {
        !self.nodes[node.index()].held.is_empty()
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

    /// The clients, to be changed between two events.
    pub fn clients_mut(&mut self) -> &mut C {
        &mut self.clients
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

    fn boot(&mut self, node: NodeId) {
        let is_second = self.nodes[node.index()].twin.is_some();
        let text = || if is_second { "its second half" } else { "" }.to_owned();
        self.note(Kind::Start, node.into(), &(), &text);
        let nodes = self.nodes.len();
        let slot = &mut self.nodes[node.index()];
        let now = slot.clocks.read(self.now);
        let wall = if slot.clocks.is_wrong() { slot.clocks.wall(now) } else { now };
        let ctx = Context::new(node, nodes, now, &mut self.draws, &mut self.effects);
        let mut ctx = ctx.with_wall(wall);
        self.running = Some((node.into(), Handler::Start));
        slot.state = Some(P::start(node, &self.config, slot.journal.records(), &mut ctx));
        self.running = None;
        self.apply(node);
    }
}
