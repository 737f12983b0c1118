//! Nodes wired by hand that can be made to crash at any effect: the test decides what is delivered,
//! when timers ring, who crashes where, and what the disk keeps of what was not forced.
#![allow(dead_code, reason = "each test crate uses what it needs")]

use seedfall_sim::{
    ClientId, Context, Draws, Duration, Effect, Monitor, NodeId, Protocol, RequestId, Seed, Time,
    Violation,
};

pub(crate) const N1: NodeId = NodeId::new(0);
pub(crate) const N2: NodeId = NodeId::new(1);
pub(crate) const N3: NodeId = NodeId::new(2);
pub(crate) const N4: NodeId = NodeId::new(3);
pub(crate) const N5: NodeId = NodeId::new(4);

/// Request `number` of client `c<client>`, counted from one as people do.
pub(crate) fn request(client: u16, number: u32) -> RequestId {
    RequestId { client: ClientId::new(client - 1), number }
}

/// What a crash leaves of the records that were not forced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    Nothing,
    All,
}

/// A monitor that finds nothing wrong.
pub(crate) struct Unwatched;

impl<P: Protocol> Monitor<P> for Unwatched {
    fn observe(&mut self, _: NodeId, _: &P) -> Result<(), Violation> {
        Ok(())
    }
}

/// Several nodes, watched by a monitor. A message waits in `wire` until it is delivered or lost.
pub(crate) struct Bench<P: Protocol, M: Monitor<P> = Unwatched> {
    nodes: Vec<Node<P>>,
    config: P::Config,
    monitor: M,
    /// Nothing may leave a node while a record is not forced.
    forces_all: bool,
    pub(crate) wire: Vec<(NodeId, NodeId, P::Message)>,
    pub(crate) told: Vec<(RequestId, P::Response)>,
    pub(crate) reached: Vec<&'static str>,
    pub(crate) ignored: Vec<&'static str>,
    pub(crate) now: Time,
    /// How many effects have taken place.
    pub(crate) effects: usize,
    /// The node that is about to perform this effect crashes instead.
    pub(crate) crash_at: Option<(usize, Image)>,
}

struct Node<P: Protocol> {
    /// `None`: down.
    state: Option<P>,
    journal: Vec<P::Record>,
    /// How much of it is forced.
    forced: usize,
    /// Timers that were set, each with the time at which it rings.
    timers: Vec<(P::Timer, Time)>,
    draws: Draws,
}

impl<P: Protocol> Bench<P> {
    /// Nodes that must force every record before they say anything.
    pub(crate) fn new(nodes: usize, config: P::Config) -> Self {
        Self::built(nodes, config, Unwatched, true)
    }
}

impl<P: Protocol, M: Monitor<P>> Bench<P, M> {
    /// Nodes under watch, which may leave records to be forced later.
    pub(crate) fn watched(nodes: usize, config: P::Config, monitor: M) -> Self {
        Self::built(nodes, config, monitor, false)
    }

    fn built(nodes: usize, config: P::Config, monitor: M, forces_all: bool) -> Self {
        let node = |id: NodeId| Node {
            state: None,
            journal: Vec::new(),
            forced: 0,
            timers: Vec::new(),
            draws: Draws::new(Seed(id.index() as u64), nodes, 0),
        };
        let mut bench = Self {
            nodes: NodeId::all(nodes).map(node).collect(),
            config,
            monitor,
            forces_all,
            wire: Vec::new(),
            told: Vec::new(),
            reached: Vec::new(),
            ignored: Vec::new(),
            now: Time::ZERO,
            effects: 0,
            crash_at: None,
        };
        NodeId::all(nodes).for_each(|id| bench.restart(id));
        bench
    }

    pub(crate) fn at(&self, id: NodeId) -> &P {
        self.nodes[id.index()].state.as_ref().expect("the node is up")
    }

    pub(crate) fn journal(&self, id: NodeId) -> &[P::Record] {
        &self.nodes[id.index()].journal
    }

    /// Who is down.
    pub(crate) fn down(&self) -> Option<NodeId> {
        NodeId::all(self.nodes.len()).find(|id| self.nodes[id.index()].state.is_none())
    }

    /// The node comes up, with nothing but its journal.
    pub(crate) fn restart(&mut self, id: NodeId) {
        let (config, journal) = (self.config.clone(), self.nodes[id.index()].journal.clone());
        self.nodes[id.index()].timers.clear();
        self.handle(id, |state, ctx| *state = Some(P::start(id, &config, &journal, ctx)));
    }

    pub(crate) fn crash(&mut self, id: NodeId, image: Image) {
        let node = &mut self.nodes[id.index()];
        node.state = None;
        node.timers.clear();
        if image == Image::Nothing {
            node.journal.truncate(node.forced);
        }
        node.forced = node.journal.len();
    }

    /// A crash in the middle of the last handler, which leaves its last records unwritten.
    pub(crate) fn crash_before(&mut self, id: NodeId, records: usize) {
        let journal = &mut self.nodes[id.index()].journal;
        journal.truncate(journal.len() - records);
        self.crash(id, Image::All);
    }

    /// One handler, and its effects, one after the other.
    fn handle(
        &mut self,
        id: NodeId,
        handler: impl FnOnce(&mut Option<P>, &mut Context<'_, P>),
    ) -> Vec<Effect<P>> {
        let (count, now) = (self.nodes.len(), self.now);
        let node = &mut self.nodes[id.index()];
        let mut effects = Vec::new();
        let mut ctx = Context::new(id, count, now, &mut node.draws, &mut effects);
        handler(&mut node.state, &mut ctx);
        if self.forces_all {
            let written = written(&effects);
            assert!(written.iter().all(|(_, forced)| *forced), "told before it was durable");
        }
        for effect in &effects {
            if self.crash_at.is_some_and(|(at, _)| at == self.effects) {
                let (_, image) = self.crash_at.take().expect("seen above");
                self.crash(id, image);
                return effects;
            }
            self.effects += 1;
            self.perform(id, effect);
        }
        if let Some(state) = &self.nodes[id.index()].state
            && let Err(violation) = self.monitor.observe_at(id, state, &|_| now)
        {
            panic!("{violation}");
        }
        effects
    }

    fn perform(&mut self, id: NodeId, effect: &Effect<P>) {
        let count = self.nodes.len();
        let node = &mut self.nodes[id.index()];
        match effect {
            Effect::Send(to, message) => self.wire.push((id, *to, message.clone())),
            Effect::Broadcast(message) => {
                let others = NodeId::all(count).filter(|other| *other != id);
                self.wire.extend(others.map(|to| (id, to, message.clone())));
            }
            Effect::Respond(request, response) => self.told.push((*request, response.clone())),
            Effect::Append(record) => node.journal.push(record.clone()),
            Effect::Sync => node.forced = node.journal.len(),
            Effect::SetTimer(timer, after) => {
                node.timers.retain(|(other, _)| other != timer);
                node.timers.push((timer.clone(), self.now + *after));
            }
            Effect::CancelTimer(timer) => node.timers.retain(|(other, _)| other != timer),
            Effect::Ignore(why) => self.ignored.push(why),
            Effect::Reach(what) => self.reached.push(what),
        }
    }

    /// A client asks; says what the node did.
    pub(crate) fn ask(
        &mut self,
        id: NodeId,
        request: RequestId,
        body: P::Request,
    ) -> Vec<Effect<P>> {
        self.handle(id, |state, ctx| {
            state.as_mut().expect("it is up").on_request(request, body, ctx);
        })
    }

    /// A message arrives; says what the node did.
    pub(crate) fn deliver(
        &mut self,
        from: NodeId,
        to: NodeId,
        message: P::Message,
    ) -> Vec<Effect<P>> {
        self.handle(to, |state, ctx| {
            state.as_mut().expect("it is up").on_message(from, message, ctx);
        })
    }

    /// Delivers the first message under way from one node to another; says what came of it.
    pub(crate) fn pass(&mut self, from: NodeId, to: NodeId) -> Vec<Effect<P>> {
        let place = self.wire.iter().position(|(a, b, _)| (*a, *b) == (from, to));
        let place = place.unwrap_or_else(|| panic!("nothing goes from {from} to {to}"));
        let (from, to, message) = self.wire.remove(place);
        self.deliver(from, to, message)
    }

    /// Delivers, in order, everything that travels among these nodes, and what that brings about,
    /// until nothing does. What is sent to a node that is down is lost; the rest stays under way.
    pub(crate) fn settle(&mut self, among: &[NodeId]) {
        self.settle_if(among, |_| true);
    }

    /// The same, for messages of a kind.
    pub(crate) fn settle_if(&mut self, among: &[NodeId], passes: impl Fn(&P::Message) -> bool) {
        for _ in 0..10_000 {
            let nodes = &self.nodes;
            self.wire.retain(|(_, to, _)| nodes[to.index()].state.is_some());
            let place = self.wire.iter().position(|(from, to, message)| {
                among.contains(from) && among.contains(to) && passes(message)
            });
            let Some(place) = place else { return };
            let (from, to, message) = self.wire.remove(place);
            self.deliver(from, to, message);
        }
        panic!("the nodes never stop talking");
    }

    /// Everything under way is lost.
    pub(crate) fn lose_all(&mut self) {
        self.wire.clear();
    }

    /// Lets time pass on every node that is up; what is due rings, in order. Messages wait.
    pub(crate) fn wait(&mut self, span: Duration) {
        let until = self.now + span;
        for _ in 0..10_000 {
            let due = |node: &Node<P>| node.timers.iter().map(|(_, at)| *at).min();
            let next = NodeId::all(self.nodes.len())
                .filter_map(|id| Some((due(&self.nodes[id.index()])?, id)))
                .min();
            let Some((at, id)) = next.filter(|(at, _)| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = at;
            let timers = &mut self.nodes[id.index()].timers;
            let place = timers.iter().position(|(_, other)| *other == at).expect("found above");
            let (timer, _) = timers.remove(place);
            self.handle(id, |state, ctx| {
                state.as_mut().expect("it is up").on_timer(timer, ctx);
            });
        }
        panic!("timers never stop ringing");
    }

    /// Time passes in small steps and messages arrive, for so long.
    pub(crate) fn run(&mut self, span: Duration) {
        let until = self.now + span;
        let all: Vec<NodeId> = NodeId::all(self.nodes.len()).collect();
        while self.now < until {
            self.settle(&all);
            self.wait(Duration::millis(5));
        }
        self.settle(&all);
    }

    /// A client asks every 100 ms, so many times, until it is answered, while nodes crash: at the
    /// first of these effects, counted from here, at the next, counted from the end of that crash,
    /// and so on. Whoever crashed comes back after `down`. Says how many effects there were.
    pub(crate) fn ask_through_crashes(
        &mut self,
        (asked, id, body): (NodeId, RequestId, &P::Request),
        times: usize,
        (crashes, image): (&[usize], Image),
        down: Duration,
    ) -> usize {
        let begin = self.effects;
        let mut crashes = crashes.iter();
        self.crash_at = crashes.next().map(|at| (begin + at, image));
        for _ in 0..times {
            if self.down().is_none() && self.answer(id).is_none() {
                self.ask(asked, id, body.clone());
            }
            for _ in 0..20 {
                self.run(Duration::millis(5));
                let Some(node) = self.down() else { continue };
                self.run(down);
                if self.crash_at.is_none() {
                    self.crash_at = crashes.next().map(|at| (self.effects + at, image));
                }
                self.restart(node);
            }
        }
        self.effects - begin
    }

    /// What a request was answered last; `None`: nothing yet.
    pub(crate) fn answer(&self, request: RequestId) -> Option<&P::Response> {
        let mut answers = self.told.iter().filter(|(id, _)| *id == request);
        answers.next_back().map(|(_, response)| response)
    }
}

/// The messages among some effects.
pub(crate) fn sent<P: Protocol>(effects: &[Effect<P>]) -> Vec<(NodeId, P::Message)> {
    let sends = effects.iter().filter_map(|effect| match effect {
        Effect::Send(to, message) => Some((*to, message.clone())),
        _ => None,
    });
    sends.collect()
}

/// The records among some effects, each with whether it was forced before the next message left.
pub(crate) fn written<P: Protocol>(effects: &[Effect<P>]) -> Vec<(P::Record, bool)> {
    let mut records = Vec::new();
    let mut told = 0;
    for effect in effects {
        match effect {
            Effect::Append(record) => records.push((record.clone(), false)),
            Effect::Sync => records[told..].iter_mut().for_each(|(_, forced)| *forced = true),
            Effect::Send(..) | Effect::Broadcast(_) | Effect::Respond(..) => told = records.len(),
            _ => {}
        }
    }
    records
}
