//! Multi-Paxos: a replicated log by one instance of Paxos an entry, with a stable leader (Lamport,
//! *Paxos Made Simple*, 2001, section 3, cited by section; van Renesse and Altinbuken, *Paxos Made
//! Moderately Complex*, ACM Computing Surveys 2015; Chandra, Griesemer and Redstone, *Paxos Made
//! Live*, PODC 2007, cited as PML).
//!
//! *Problem.* Clients ask `n` nodes to read and change a key-value store, which behaves as one copy
//! of it, as long as any majority can talk.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`, any number for safety, fewer than `n / 2` down
//! at a time for progress; timing `Asynchronous` for safety, but for reads under a lease, which
//! rest on clocks that drift apart by less than [`Config::hold`] is longer than [`Config::lease`];
//! `PartiallySynchronous` for progress.
//!
//! *Idea.* The log has a slot for each command, and each slot is one decree of Paxos. Phase 1 is
//! the same for all slots: a node that wants to lead carries it out once, for all from some slot
//! on; then it needs phase 2 alone. From the promises it knows what may be chosen. Between those
//! slots there may be *gaps*, where a leader before it had proposed something that nobody of its
//! majority has accepted: nothing is chosen there, and it fills them with no-ops, so that what
//! comes after can be carried out. Commands are chosen in any order, and carried out in that of the
//! slots.
//!
//! *Leases* (PML 5.2). Acceptors that answer a leader's heartbeat promise nothing to another for a
//! while; so for less than that while after a majority was asked, nobody else can have anything
//! chosen, and the leader answers reads by itself.
//!
//! *Properties*, guarded by [`invariants`], M5 by [`leases`], but for the last two:
//! - M1 promises are kept: the number that an acceptor has promised never falls, and it accepts
//!   under none that is higher;
//! - M2 under one number, a slot has one value;
//! - M3 what is chosen in a slot is proposed there ever after (P2b of Paxos);
//! - M4 Agreement: the nodes carry out the same values in the same order;
//! - M5 Leases: while a leader has one, nobody leads under a higher number, whatever clocks show
//!   that drift no further than the model says; nobody stands while it holds its promises, and
//!   nobody holds them for less than was said (PML 5.2);
//! - S1 the history of the clients is linearizable;
//! - L1 with a majority up and connected for a while, operations complete.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Prepare`](Message::Prepare) | candidate | all | promise me this, from a slot on (1a) |
//! | [`Promise`](Message::Promise) | acceptor | candidate | I do; I accepted these (1b) |
//! | [`Accept`](Message::Accept) | leader | all | accept this value in this slot (2a) |
//! | [`Accepted`](Message::Accepted) | acceptor | leader | I did, durably (2b) |
//! | [`Refused`](Message::Refused) | acceptor | either | I promised a higher number |
//! | [`Heartbeat`](Message::Heartbeat) | leader | all | I lead; so many slots are chosen |
//! | [`Held`](Message::Held) | acceptor | leader | I promise nothing to others for a while |
//! | [`Fetch`](Message::Fetch) | node | leader | what is chosen from this slot on? |
//! | [`Learn`](Message::Learn) | leader | node | this |
//!
//! *Journal records* ([`Record`]), each synced before anything is said of it. What is chosen is
//! learned again.
//!
//! *Deviations*
//! - An acceptor that comes back promises nothing for as long as it might have said that it would
//!   not (PML leaves it open).
//! - Lost messages are repeated; who has not heard what is chosen asks.
//! - The log is kept whole; no configuration changes (section 3: alpha), no snapshots (PML 5.3).
//!
//! *What a client must do.* Ask the leader, which others name; ask again under the same number.
//!
//! *Reading map*
//!
//! | section 3 of the paper | here |
//! |---|---|
//! | "the leader executes phase 1 for all instances" | `leader`: `prepare`, `on_promise` |
//! | "special no-op commands", gaps | `leader`: `take_over` |
//! | phase 2 of one instance | `leader`: `propose`, `on_accepted`; `on_accept` |
//! | PML 5.2, master leases | `on_heartbeat`, `leader`: `on_held` |

mod invariants;
mod leader;

use crate::kv::{Answer, Command};
use crate::machine::{Known, Machine, Update};
use leader::Role;
use seedfall_sim::{Context, Duration, NodeId, Protocol, RequestId, SortedMap, Time};
use std::fmt;

pub use invariants::{Invariants, Leases, invariants, leases};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How often a leader says that it is there, and whatever may be lost is repeated.
    pub interval: Duration,
    /// After how long without a word from a leader a node wants to lead: at least.
    pub elect_min: Duration,
    /// And less than.
    pub elect_max: Duration,
    /// For how long after it asked a majority a leader answers reads by itself.
    pub lease: Duration,
    /// For how long an acceptor that answered a leader promises nothing to another: longer than the
    /// lease, by as much as clocks may drift apart meanwhile.
    pub hold: Duration,
}

/// The number of a proposal: no two nodes have one in common.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ballot {
    /// Decides first; from one on.
    pub round: u32,
    /// Whose, counted from zero: decides between those of one round.
    pub node: u16,
}

/// What a slot has: a command, or nothing, where there was a gap.
pub type Value = Option<Update>;

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Phase 1a, for all slots from one on.
    Prepare {
        /// Promise to accept nothing below this.
        ballot: Ballot,
        /// From which slot on, counted from zero.
        from: usize,
    },
    /// Phase 1b.
    Promise {
        /// Promised.
        ballot: Ballot,
        /// What is accepted: slot, number, value.
        accepted: Vec<(usize, Ballot, Value)>,
    },
    /// Phase 2a.
    Accept {
        /// Under which number.
        ballot: Ballot,
        /// In which slot.
        slot: usize,
        /// What.
        value: Value,
    },
    /// Phase 2b.
    Accepted {
        /// Under which number.
        ballot: Ballot,
        /// In which slot.
        slot: usize,
    },
    /// Too late.
    Refused {
        /// This is promised.
        promised: Ballot,
    },
    /// The leader is there.
    Heartbeat {
        /// Its number.
        ballot: Ballot,
        /// All slots before this one are chosen.
        chosen: usize,
        /// When it says so, on its clock.
        at: Time,
    },
    /// To that: nothing is promised to others for a while.
    Held {
        /// To which leader.
        ballot: Ballot,
        /// When it asked.
        at: Time,
    },
    /// What is chosen?
    Fetch {
        /// From which slot on.
        from: usize,
    },
    /// This.
    Learn {
        /// In which slot.
        slot: usize,
        /// What.
        value: Value,
    },
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Time to say again what may be lost.
    Interval,
    /// No leader is heard.
    Elect,
}

/// What a node writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// It accepts nothing below this number.
    Promised(Ballot),
    /// It has accepted this value in this slot, under this number.
    Accepted(usize, Ballot, Value),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request(pub Command);

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// It took effect; the answer.
    Done(Answer),
    /// This node did nothing: ask that one, if it knows whom.
    Elsewhere(Option<NodeId>),
}

/// One node: acceptor, learner, and perhaps the leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MultiPaxos {
    id: NodeId,
    nodes: usize,
    config: Config,
    /// The highest number that it has promised.
    promised: Ballot,
    /// What it has accepted in each slot, under the highest number.
    accepted: SortedMap<usize, (Ballot, Value)>,
    /// Until when it promises nothing to anybody but the leader whose number it has promised.
    held: Time,
    /// What it knows to be chosen, and has not carried out.
    chosen: SortedMap<usize, Value>,
    /// What it has carried out: the slots from zero on.
    log: Vec<Value>,
    machine: Machine,
    role: Role,
    /// Counts what it has written down in this life: for those who watch.
    written: usize,
}

impl Protocol for MultiPaxos {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        config.check();
        let mut node = Self {
            id,
            nodes: ctx.nodes(),
            config: *config,
            promised: Ballot::default(),
            accepted: SortedMap::new(),
            held: Time::ZERO,
            chosen: SortedMap::new(),
            log: Vec::new(),
            machine: Machine::default(),
            role: Role::Follower,
            written: journal.len(),
        };
        for record in journal.iter().cloned() {
            match record {
                Record::Promised(ballot) => node.promised = ballot,
                Record::Accepted(slot, ballot, value) => {
                    node.promised = ballot;
                    node.accepted.insert(slot, (ballot, value));
                }
            }
        }
        if !journal.is_empty() {
            node.held = ctx.now() + config.hold; // It may have said so before it crashed.
        }
        ctx.set_timer(Timer::Interval, config.interval);
        node.elect_later(ctx);
        node
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        if !self.is_leader() {
            let leader = NodeId::new(self.promised.node);
            let ask = (leader != self.id && self.promised.round > 0).then_some(leader);
            return ctx.respond(request, Response::Elsewhere(ask));
        }
        match self.machine.known(request) {
            Known::Done(answer) => {
                ctx.reach("request: a retry has no second effect");
                let answer = answer.clone();
                return ctx.respond(request, Response::Done(answer));
            }
            Known::Past => return ctx.ignore("request: its client has moved on"),
            Known::New => {}
        }
        if body.0.is_read() && self.lease(ctx.now()).is_some() {
            ctx.reach("read: answered under a lease");
            let answer = self.machine.read(&body.0);
            return ctx.respond(request, Response::Done(answer));
        }
        self.propose(Update { request, command: body.0 }, ctx);
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Prepare { ballot, from: slot } => self.on_prepare(from, ballot, slot, ctx),
            Message::Promise { ballot, accepted } => self.on_promise(from, ballot, accepted, ctx),
            Message::Accept { ballot, slot, value } => {
                self.on_accept(from, ballot, slot, value, ctx);
            }
            Message::Accepted { ballot, slot } => self.on_accepted(from, ballot, slot, ctx),
            Message::Refused { promised } => self.on_refused(promised, ctx),
            Message::Heartbeat { ballot, chosen, at } => {
                self.on_heartbeat(from, ballot, chosen, at, ctx);
            }
            Message::Held { ballot, at } => self.on_held(from, ballot, at, ctx),
            Message::Fetch { from: slot } => self.on_fetch(from, slot, ctx),
            Message::Learn { slot, value } => self.learn(slot, value, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        match timer {
            Timer::Interval => {
                ctx.set_timer(Timer::Interval, self.config.interval);
                self.say_again(ctx);
            }
            Timer::Elect if ctx.now() < self.held => self.elect_later(ctx),
            Timer::Elect => self.prepare(ctx),
        }
    }

    fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    fn waits(&self) -> String {
        self.role.to_string()
    }
}

/// The acceptor.
impl MultiPaxos {
    /// Phase 1b.
    fn on_prepare(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        slot: usize,
        ctx: &mut Context<'_, Self>,
    ) {
        if ballot < self.promised {
            return ctx.send(from, Message::Refused { promised: self.promised });
        }
        if ctx.now() < self.held && ballot.node != self.promised.node {
            return ctx.reach("prepare: another holds a lease");
        }
        self.promise(ballot, ctx);
        self.elect_later(ctx);
        ctx.send(from, Message::Promise { ballot, accepted: self.accepted_from(slot) });
    }

    fn accepted_from(&self, slot: usize) -> Vec<(usize, Ballot, Value)> {
        let accepted = self.accepted.range(slot..);
        accepted.map(|(slot, (ballot, value))| (*slot, *ballot, value.clone())).collect()
    }

    /// It accepts nothing below this number, and leads under no lower one.
    fn promise(&mut self, ballot: Ballot, ctx: &mut Context<'_, Self>) {
        if self.promised < ballot {
            self.promised = ballot;
            self.written += 1;
            ctx.append(Record::Promised(ballot));
            ctx.sync();
            if self.is_leader() {
                ctx.reach("leader: a higher number is promised");
            }
            self.role = Role::Follower;
        }
    }

    /// Phase 2b.
    fn on_accept(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        slot: usize,
        value: Value,
        ctx: &mut Context<'_, Self>,
    ) {
        if ballot < self.promised {
            ctx.reach("accept: a higher number is promised");
            return ctx.send(from, Message::Refused { promised: self.promised });
        }
        self.promise(ballot, ctx);
        self.elect_later(ctx);
        self.accept(ballot, slot, value, ctx);
        ctx.send(from, Message::Accepted { ballot, slot });
    }

    /// Durably: it may be the one that makes a majority.
    fn accept(&mut self, ballot: Ballot, slot: usize, value: Value, ctx: &mut Context<'_, Self>) {
        let now = (ballot, value);
        if self.accepted.get(&slot) != Some(&now) {
            ctx.append(Record::Accepted(slot, ballot, now.1.clone()));
            ctx.sync();
            self.accepted.insert(slot, now);
            self.written += 1;
        }
    }

    /// PML 5.2: for a while it promises nothing to another.
    fn on_heartbeat(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        chosen: usize,
        at: Time,
        ctx: &mut Context<'_, Self>,
    ) {
        if ballot < self.promised {
            return ctx.send(from, Message::Refused { promised: self.promised });
        }
        self.promise(ballot, ctx);
        self.elect_later(ctx);
        self.held = self.held.max(ctx.now() + self.config.hold);
        ctx.send(from, Message::Held { ballot, at });
        // What it has accepted from this leader is what is chosen; the rest it asks for.
        for slot in self.log.len()..chosen {
            match self.accepted.get(&slot) {
                Some((under, value)) if *under == ballot => {
                    let value = value.clone();
                    self.learn(slot, value, ctx);
                }
                _ => {
                    ctx.reach("learn: a slot that is chosen is missing");
                    ctx.send(from, Message::Fetch { from: slot });
                    break;
                }
            }
        }
    }
}

/// The learner.
impl MultiPaxos {
    /// A slot has this value for good. Values are carried out in the order of the slots.
    fn learn(&mut self, slot: usize, value: Value, ctx: &mut Context<'_, Self>) {
        if slot < self.log.len() {
            return;
        }
        if self.log.len() < slot {
            ctx.reach("learn: a slot before is not chosen");
        }
        self.chosen.insert(slot, value);
        while let Some(value) = self.chosen.remove(&self.log.len()) {
            if let Some(update) = &value
                && let Some(answer) = self.machine.apply(update)
                && self.is_leader()
            {
                ctx.respond(update.request, Response::Done(answer));
            }
            self.log.push(value);
        }
    }

    fn elect_later(&self, ctx: &mut Context<'_, Self>) {
        let Config { elect_min, elect_max, .. } = self.config;
        let after = ctx.draw().duration(elect_min..elect_max);
        ctx.set_timer(Timer::Elect, after);
    }

    fn majority(&self) -> usize {
        self.nodes / 2 + 1
    }
}

/// What reports and scenarios ask of a node.
impl MultiPaxos {
    /// What it has carried out.
    pub fn log(&self) -> &[Value] {
        &self.log
    }

    /// The highest number that it has promised.
    pub fn promised(&self) -> Ballot {
        self.promised
    }
}

impl Config {
    fn check(&self) {
        assert!(Duration::ZERO < self.interval, "interval must be above zero");
        assert!(self.interval < self.lease, "a lease must outlast an interval");
        assert!(self.lease < self.hold, "hold must outlast a lease");
        assert!(self.hold <= self.elect_min, "elect_min must outlast hold");
        assert!(self.elect_min < self.elect_max, "elect_max must be above elect_min");
    }
}

impl fmt::Debug for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.round, NodeId::new(self.node))
    }
}
