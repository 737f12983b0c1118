//! One server by itself, and a handful of servers wired by hand: the test decides what is
//! delivered.

use seedfall_protocols::kv::{Answer, Command, Text};
use seedfall_protocols::raft::log::{Entries, LogIndex, Term};
use seedfall_protocols::raft::{
    self, Config, Invariants, Message, Outcome, Raft, Record, Request, Response, Submission, Timer,
};
use seedfall_sim::{
    ClientId, Context, Draws, Duration, Effect, Monitor, NodeId, Protocol, RequestId, Seed, Time,
};

pub(crate) use seedfall_protocols::raft::log::Entry;

pub(crate) const N1: NodeId = NodeId::new(0);
pub(crate) const N2: NodeId = NodeId::new(1);
pub(crate) const N3: NodeId = NodeId::new(2);
pub(crate) const N4: NodeId = NodeId::new(3);
pub(crate) const N5: NodeId = NodeId::new(4);

/// The usual numbers; at most four entries travel together.
pub(crate) fn config() -> Config {
    Config { max_entries_per_append: 4, ..Config::PAPER }
}

/// What a server did in one handler.
pub(crate) struct Reaction(pub(crate) Vec<Effect<Raft>>);

impl Reaction {
    /// Every message sent, with its receiver; a broadcast once for each.
    pub(crate) fn sent(&self, me: NodeId, nodes: usize) -> Vec<(NodeId, Message)> {
        let mut sent = Vec::new();
        for effect in &self.0 {
            match effect {
                Effect::Send(to, message) => sent.push((*to, message.clone())),
                Effect::Broadcast(message) => {
                    let others = NodeId::all(nodes).filter(|node| *node != me);
                    sent.extend(others.map(|to| (to, message.clone())));
                }
                _ => {}
            }
        }
        sent
    }

    /// The one message sent.
    pub(crate) fn reply(&self) -> Message {
        let sent: Vec<_> = self
            .0
            .iter()
            .filter_map(|effect| match effect {
                Effect::Send(_, message) => Some(message.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(sent.len(), 1, "one reply: {:?}", self.0);
        sent[0].clone()
    }

    /// What clients were told.
    pub(crate) fn responses(&self) -> Vec<(RequestId, Response)> {
        self.0
            .iter()
            .filter_map(|effect| match effect {
                Effect::Respond(request, response) => Some((*request, response.clone())),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn sets(&self, timer: Timer) -> Option<Duration> {
        self.0.iter().find_map(|effect| match effect {
            Effect::SetTimer(other, after) if *other == timer => Some(*after),
            _ => None,
        })
    }

    pub(crate) fn reached(&self, what: &str) -> bool {
        self.0.iter().any(|effect| matches!(effect, Effect::Reach(other) if *other == what))
    }

    /// Figure 2: "persistent state is updated on stable storage before responding". Nothing leaves
    /// the server while a record is not durable.
    fn is_durable_before_it_is_told(&self) {
        let mut pending = false;
        for effect in &self.0 {
            match effect {
                Effect::Append(_) => pending = true,
                Effect::Sync => pending = false,
                Effect::Send(..) | Effect::Broadcast(_) | Effect::Respond(..) => {
                    assert!(!pending, "told before it was durable: {:?}", self.0);
                }
                _ => {}
            }
        }
        assert!(!pending, "left un-synced: {:?}", self.0);
    }
}

/// One server, its journal, and nothing around it.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) raft: Raft,
    pub(crate) id: NodeId,
    pub(crate) nodes: usize,
    pub(crate) journal: Vec<Record>,
    /// What its clock shows.
    pub(crate) now: Time,
    config: Config,
    draws: Draws,
}

impl Server {
    pub(crate) fn new(id: NodeId, nodes: usize) -> Self {
        Self::recovered(id, nodes, Vec::new())
    }

    /// A server whose log has entries of these terms, and whose own term is `term`.
    pub(crate) fn with_log(id: NodeId, nodes: usize, term: u64, log: &[u64]) -> Self {
        let mut journal = Vec::new();
        for (place, term) in log.iter().enumerate() {
            let index = LogIndex(place as u64 + 1);
            journal.push(Record::Entry { index, entry: Entry::no_op(Term(*term)) });
        }
        journal.push(Record::Vote { term: Term(term), voted_for: None });
        Self::recovered(id, nodes, journal)
    }

    pub(crate) fn recovered(id: NodeId, nodes: usize, journal: Vec<Record>) -> Self {
        Self::configured(id, nodes, journal, config(), 1)
    }

    pub(crate) fn configured(
        id: NodeId,
        nodes: usize,
        journal: Vec<Record>,
        config: Config,
        seed: u64,
    ) -> Self {
        Self::at(Time::ZERO, id, nodes, journal, config, seed)
    }

    fn at(
        now: Time,
        id: NodeId,
        nodes: usize,
        journal: Vec<Record>,
        config: Config,
        seed: u64,
    ) -> Self {
        let mut draws = Draws::new(Seed(seed), nodes, 0);
        let mut effects = Vec::new();
        let mut ctx = Context::new(id, nodes, now, &mut draws, &mut effects);
        let raft = Raft::start(id, &config, &journal, &mut ctx);
        assert!(
            effects.iter().any(|effect| matches!(effect, Effect::SetTimer(Timer::Election, _)))
        );
        Self { raft, id, nodes, journal, now, config, draws }
    }

    /// The same server after a crash: what it synced is all that it knows.
    pub(crate) fn restart(&mut self) {
        let (journal, config) = (self.journal.clone(), self.config.clone());
        *self = Self::at(self.now, self.id, self.nodes, journal, config, 2);
    }

    fn react(&mut self, handler: impl FnOnce(&mut Raft, &mut Context<'_, Raft>)) -> Reaction {
        let mut effects = Vec::new();
        let (id, nodes, now) = (self.id, self.nodes, self.now);
        handler(&mut self.raft, &mut Context::new(id, nodes, now, &mut self.draws, &mut effects));
        for effect in &effects {
            if let Effect::Append(record) = effect {
                self.journal.push(record.clone());
            }
        }
        let reaction = Reaction(effects);
        reaction.is_durable_before_it_is_told();
        reaction
    }

    pub(crate) fn deliver(&mut self, from: NodeId, message: Message) -> Reaction {
        self.react(|raft, ctx| raft.on_message(from, message, ctx))
    }

    pub(crate) fn election_timeout(&mut self) -> Reaction {
        self.react(|raft, ctx| raft.on_timer(Timer::Election, ctx))
    }

    pub(crate) fn heartbeat(&mut self) -> Reaction {
        self.react(|raft, ctx| raft.on_timer(Timer::Heartbeat, ctx))
    }

    /// Client c1 asks; the request number is the sequence.
    pub(crate) fn request(&mut self, sequence: u64, command: Command) -> Reaction {
        self.react(|raft, ctx| {
            raft.on_request(request(sequence), Request::Command { sequence, command }, ctx);
        })
    }

    /// Client c1 asks for something else than a command.
    pub(crate) fn ask(&mut self, number: u64, body: Request) -> Reaction {
        self.react(|raft, ctx| raft.on_request(request(number), body, ctx))
    }

    /// Stands for election and gets the votes of the first others, just enough to lead.
    pub(crate) fn elect(&mut self) -> Reaction {
        let mut reaction = self.election_timeout();
        let voters: Vec<_> = NodeId::all(self.nodes).filter(|node| *node != self.id).collect();
        for voter in &voters[..self.nodes / 2] {
            reaction = self.deliver(*voter, granted(self.raft.term().0));
        }
        assert!(self.raft.is_leader());
        reaction
    }

    /// The terms of its log.
    pub(crate) fn terms(&self) -> Vec<u64> {
        self.raft.log().entries().iter().map(|entry| entry.term.0).collect()
    }

    pub(crate) fn commit(&self) -> u64 {
        self.raft.commit_index().0
    }

    pub(crate) fn last(&self) -> u64 {
        self.raft.log().last_index().0
    }

    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.raft.machine().store().get(key).map(Text::as_str)
    }
}

/// Several servers. A message waits in `wire` until the test delivers or loses it. Figure 3 is
/// watched throughout.
pub(crate) struct Bench {
    pub(crate) servers: Vec<Server>,
    pub(crate) wire: Vec<(NodeId, NodeId, Message)>,
    pub(crate) responses: Vec<(RequestId, Response)>,
    invariants: Invariants,
}

impl Bench {
    pub(crate) fn new(nodes: usize) -> Self {
        Self::of(NodeId::all(nodes).map(|id| Server::new(id, nodes)).collect())
    }

    pub(crate) fn configured(nodes: usize, config: &Config) -> Self {
        let server = |id| Server::configured(id, nodes, Vec::new(), config.clone(), 1);
        Self::of(NodeId::all(nodes).map(server).collect())
    }

    pub(crate) fn of(servers: Vec<Server>) -> Self {
        let invariants = raft::invariants();
        Self { servers, wire: Vec::new(), responses: Vec::new(), invariants }
    }

    pub(crate) fn at(&mut self, node: NodeId) -> &mut Server {
        &mut self.servers[node.index()]
    }

    /// What one server does goes on the wire.
    pub(crate) fn act(&mut self, node: NodeId, action: impl FnOnce(&mut Server) -> Reaction) {
        let nodes = self.servers.len();
        let reaction = action(self.at(node));
        let sent = reaction.sent(node, nodes);
        self.wire.extend(sent.into_iter().map(|(to, message)| (node, to, message)));
        self.responses.extend(reaction.responses());
        let state = &self.servers[node.index()].raft;
        if let Err(violation) = self.invariants.observe(node, state) {
            panic!("{violation}");
        }
    }

    /// Delivers, in order, everything that travels among these nodes, and what that brings about,
    /// until nothing does. All the rest is lost.
    pub(crate) fn settle(&mut self, among: &[NodeId]) {
        for _ in 0..10_000 {
            let reachable = |(from, to, _): &(NodeId, NodeId, Message)| {
                among.contains(from) && among.contains(to)
            };
            let Some(place) = self.wire.iter().position(reachable) else {
                self.wire.clear();
                return;
            };
            let (from, to, message) = self.wire.remove(place);
            self.act(to, |server| server.deliver(from, message));
        }
        panic!("the servers never stop talking");
    }

    /// Lets a span pass on every clock.
    pub(crate) fn pass(&mut self, span: Duration) {
        for server in &mut self.servers {
            server.now += span;
        }
    }

    /// The leader speaks, and everybody among these nodes listens, twice: the second time they
    /// learn what the first has committed.
    pub(crate) fn beat(&mut self, leader: NodeId, among: &[NodeId]) {
        for _ in 0..2 {
            self.act(leader, Server::heartbeat);
            self.settle(among);
        }
    }

    /// As [`Bench::beat`], for a leader that may step down meanwhile.
    pub(crate) fn beat_while_it_leads(&mut self, leader: NodeId, among: &[NodeId]) {
        for _ in 0..4 {
            if self.at(leader).raft.is_leader() {
                self.act(leader, Server::heartbeat);
                self.settle(among);
            }
        }
    }

    /// Makes a server leader of a new term, with these nodes connected and all others cut off.
    pub(crate) fn elect(&mut self, node: NodeId, among: &[NodeId]) {
        self.act(node, Server::election_timeout);
        self.settle(among);
        assert!(self.at(node).raft.is_leader(), "{}", self.at(node).raft.status());
    }
}

pub(crate) fn request(number: u64) -> RequestId {
    RequestId { client: ClientId::new(0), number: number as u32 }
}

pub(crate) fn put(key: &str, value: &str) -> Command {
    Command::Put { key: key.into(), value: value.into() }
}

pub(crate) fn append(key: &str, value: &str) -> Command {
    Command::Append { key: key.into(), value: value.into() }
}

pub(crate) fn get(key: &str) -> Command {
    Command::Get { key: key.into() }
}

pub(crate) fn found(value: Option<&str>) -> Response {
    Response::Done(Answer::Value(value.map(Into::into)))
}

pub(crate) const DONE: Response = Response::Done(Answer::Done);

/// An entry with a command of client c1.
pub(crate) fn entry(term: u64, sequence: u64, command: Command) -> Entry {
    let submission = Submission { client: ClientId::new(0), sequence, command };
    Entry::command(Term(term), submission)
}

pub(crate) fn request_vote(term: u64, last_log_term: u64, last_log_index: u64) -> Message {
    Message::RequestVote {
        term: Term(term),
        last_log_index: LogIndex(last_log_index),
        last_log_term: Term(last_log_term),
        transfer: false,
    }
}

pub(crate) fn vote(term: u64, granted: bool) -> Message {
    Message::VoteReply { term: Term(term), granted }
}

pub(crate) fn granted(term: u64) -> Message {
    vote(term, true)
}

/// An append of no-ops of these terms after the entry `(index, term)`.
pub(crate) fn append_entries(term: u64, prev: (u64, u64), entries: &[u64], commit: u64) -> Message {
    let entries: Vec<_> = entries.iter().map(|term| Entry::no_op(Term(*term))).collect();
    append_of(term, prev, entries, commit)
}

pub(crate) fn append_of(term: u64, prev: (u64, u64), entries: Vec<Entry>, commit: u64) -> Message {
    Message::AppendEntries {
        term: Term(term),
        prev_log_index: LogIndex(prev.0),
        prev_log_term: Term(prev.1),
        entries: Entries::new(entries),
        leader_commit: LogIndex(commit),
        round: 1,
    }
}

pub(crate) fn matched(term: u64, index: u64) -> Message {
    matched_in(term, index, 0)
}

pub(crate) fn matched_in(term: u64, index: u64, round: u64) -> Message {
    let outcome = Outcome::Matched(LogIndex(index));
    Message::AppendReply { term: Term(term), outcome, round }
}

/// The outcome of an append's reply.
pub(crate) fn outcome(message: &Message) -> Outcome {
    match message {
        Message::AppendReply { outcome, .. } => *outcome,
        other => panic!("not the reply to an append: {other:?}"),
    }
}
