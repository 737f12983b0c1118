//! Nodes wired by hand: the test decides what is delivered, when timers ring, who crashes.
#![allow(dead_code, reason = "each test crate uses what it needs")]

use seedfall_sim::{
    ClientId, Context, Draws, Duration, Effect, NodeId, Protocol, RequestId, Seed, Time,
};

pub(crate) const N1: NodeId = NodeId::new(0);
pub(crate) const N2: NodeId = NodeId::new(1);
pub(crate) const N3: NodeId = NodeId::new(2);
pub(crate) const N4: NodeId = NodeId::new(3);
pub(crate) const N5: NodeId = NodeId::new(4);

/// Operation `number` of client `c<client>`, counted from one as people do.
pub(crate) fn request(client: u16, number: u32) -> RequestId {
    RequestId { client: ClientId::new(client - 1), number }
}

/// Several nodes. A message waits in `wire` until the test delivers or loses it.
pub(crate) struct Bench<P: Protocol> {
    nodes: Vec<Node<P>>,
    config: P::Config,
    pub(crate) wire: Vec<(NodeId, NodeId, P::Message)>,
    pub(crate) told: Vec<(RequestId, P::Response)>,
    pub(crate) reached: Vec<&'static str>,
    pub(crate) ignored: Vec<&'static str>,
    pub(crate) now: Time,
}

struct Node<P: Protocol> {
    /// `None`: down.
    state: Option<P>,
    journal: Vec<P::Record>,
    /// Timers that were set, each with the time at which it rings.
    timers: Vec<(P::Timer, Time)>,
    draws: Draws,
}

impl<P: Protocol> Bench<P> {
    pub(crate) fn new(nodes: usize, config: P::Config) -> Self {
        let node = |id: NodeId| Node {
            state: None,
            journal: Vec::new(),
            timers: Vec::new(),
            draws: Draws::new(Seed(id.index() as u64), nodes, 0),
        };
        let mut bench = Self {
            nodes: NodeId::all(nodes).map(node).collect(),
            config,
            wire: Vec::new(),
            told: Vec::new(),
            reached: Vec::new(),
            ignored: Vec::new(),
            now: Time::ZERO,
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

    /// The node comes up, with nothing but its journal.
    pub(crate) fn restart(&mut self, id: NodeId) {
        let (config, journal) = (self.config.clone(), self.nodes[id.index()].journal.clone());
        self.nodes[id.index()].timers.clear();
        let mut started = None;
        self.react(id, |_, ctx| started = Some(P::start(id, &config, &journal, ctx)));
        self.nodes[id.index()].state = started;
    }

    pub(crate) fn crash(&mut self, id: NodeId) {
        self.nodes[id.index()].state = None;
        self.nodes[id.index()].timers.clear();
    }

    /// One handler, and what comes of it.
    fn react(&mut self, id: NodeId, handler: impl FnOnce(Option<&mut P>, &mut Context<'_, P>)) {
        let count = self.nodes.len();
        let node = &mut self.nodes[id.index()];
        let mut effects = Vec::new();
        let mut ctx = Context::new(id, count, self.now, &mut node.draws, &mut effects);
        handler(node.state.as_mut(), &mut ctx);
        is_durable_before_it_is_told(&effects);
        for effect in effects {
            match effect {
                Effect::Send(to, message) => self.wire.push((id, to, message)),
                Effect::Broadcast(message) => {
                    let others = NodeId::all(count).filter(|other| *other != id);
                    self.wire.extend(others.map(|to| (id, to, message.clone())));
                }
                Effect::Respond(request, response) => self.told.push((request, response)),
                Effect::Append(record) => node.journal.push(record),
                Effect::Sync => {}
                Effect::SetTimer(timer, after) => {
                    node.timers.retain(|(other, _)| *other != timer);
                    node.timers.push((timer, self.now + after));
                }
                Effect::CancelTimer(timer) => node.timers.retain(|(other, _)| *other != timer),
                Effect::Ignore(why) => self.ignored.push(why),
                Effect::Reach(what) => self.reached.push(what),
            }
        }
    }

    pub(crate) fn ask(&mut self, id: NodeId, request: RequestId, body: P::Request) {
        self.react(id, |state, ctx| state.expect("it is up").on_request(request, body, ctx));
    }

    pub(crate) fn deliver(&mut self, from: NodeId, to: NodeId, message: P::Message) {
        self.react(to, |state, ctx| state.expect("it is up").on_message(from, message, ctx));
    }

    /// Delivers the first message under way from one node to another.
    pub(crate) fn pass(&mut self, from: NodeId, to: NodeId) {
        let place = self.wire.iter().position(|(a, b, _)| (*a, *b) == (from, to));
        let place = place.unwrap_or_else(|| panic!("nothing goes from {from} to {to}"));
        let (from, to, message) = self.wire.remove(place);
        self.deliver(from, to, message);
    }

    /// Delivers, in order, everything that travels among these nodes, and what that brings about,
    /// until nothing does. The rest stays under way.
    pub(crate) fn settle(&mut self, among: &[NodeId]) {
        self.settle_if(among, |_| true);
    }

    /// The same, for messages of a kind.
    pub(crate) fn settle_if(&mut self, among: &[NodeId], passes: impl Fn(&P::Message) -> bool) {
        for _ in 0..10_000 {
            let place = self.wire.iter().position(|(from, to, message)| {
                let up = |id: &NodeId| self.nodes[id.index()].state.is_some();
                among.contains(from) && among.contains(to) && up(to) && passes(message)
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
            self.react(id, |state, ctx| state.expect("it is up").on_timer(timer, ctx));
        }
        panic!("timers never stop ringing");
    }

    /// What a request was answered; `None`: nothing yet.
    pub(crate) fn answer(&self, request: RequestId) -> Option<&P::Response> {
        let mut answers = self.told.iter().filter(|(id, _)| *id == request);
        answers.next_back().map(|(_, response)| response)
    }
}

/// Nothing leaves a node while a record is not durable.
fn is_durable_before_it_is_told<P: Protocol>(effects: &[Effect<P>]) {
    let mut pending = false;
    for effect in effects {
        match effect {
            Effect::Append(_) => pending = true,
            Effect::Sync => pending = false,
            Effect::Send(..) | Effect::Broadcast(_) | Effect::Respond(..) => {
                assert!(!pending, "told before it was durable");
            }
            _ => {}
        }
    }
    assert!(!pending, "left un-synced");
}
