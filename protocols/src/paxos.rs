//! Paxos (Lamport, *Paxos Made Simple*, 2001, cited by section; after *The Part-Time Parliament*,
//! TOCS 1998), with quorums that need meet only across the two phases (Howard, Malkhi and
//! Spiegelman, *Flexible Paxos: Quorum Intersection Revisited*, OPODIS 2016).
//!
//! *Problem.* Nodes propose values; one of them is chosen, for good, and whoever asks learns which.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`, any number down for safety, while for progress
//! a quorum of each phase is up; timing `Asynchronous` for safety. No protocol makes progress in
//! that model for certain (Fischer, Lynch and Paterson 1985): here it does once two proposers do
//! not overtake each other for a while, which random pauses bring about (2.4).
//!
//! *Idea.* A proposer takes a number that no other proposal has, and asks all acceptors to promise
//! that they accept no proposal below it, and to say what they have accepted (*phase 1*). From a
//! quorum of promises it knows the one value that may have been chosen below its number: that of
//! the highest proposal among those that they report. It proposes this value; its own only if they
//! report none (*phase 2*). A value is chosen once a quorum has accepted one proposal of it.
//!
//! *Properties* (2.1, 2.2), guarded by [`invariants`] but for the last two:
//! - `P1a` an acceptor accepts a proposal only if it has not promised a higher number to anybody;
//!   no crash makes it forget ([`invariants`]: "P1a: promises are kept");
//! - `P2b` if a proposal with value v is chosen, every higher-numbered proposal has value v; it
//!   breaks long before two values are chosen;
//! - `Agreement` only a single value is chosen, and no node learns another;
//! - `Validity` only a value that was proposed is chosen (judged on the history of the clients);
//! - `L1` with a quorum of each phase up and connected for a while, whoever asks is answered.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Prepare`](Message::Prepare) | proposer | all | promise me this number (phase 1a) |
//! | [`Promise`](Message::Promise) | acceptor | proposer | I do, and I accepted this (1b) |
//! | [`Accept`](Message::Accept) | proposer | all | accept this proposal (2a) |
//! | [`Accepted`](Message::Accepted) | acceptor | proposer | I did, durably (2b) |
//! | [`Refused`](Message::Refused) | acceptor | proposer | I promised a higher number |
//! | [`Chosen`](Message::Chosen) | proposer | all | the value, for good |
//!
//! *Journal records*, each synced before anything is said of it:
//! - [`Promised`](Record::Promised), before the promise;
//! - [`Accepted`](Record::Accepted), before its acknowledgement;
//! - [`Learned`](Record::Learned), which is not forced: it can be learned again.
//!
//! *Deviations*
//! - Every node plays all three roles (as in section 3), and its own part needs no message.
//! - "Each proposer remembers the highest-numbered proposal it has tried to issue" (2.5): a
//!   proposer's own acceptor promises the number, durably, before anybody else is asked for it, so
//!   that no further record is needed.
//! - In place of a distinguished proposer (2.4): a proposer that got no quorum waits for a random
//!   time and begins anew under a higher number. Lost messages are not sent again before that.
//! - Who has chosen tells all (2.3, the first of the ways to learn).
//! - A *read* asks what is chosen. It is a proposer without a value of its own: if a quorum of
//!   promises reports no accepted value, nothing was chosen when it was asked; else it proposes the
//!   reported value, for an acceptor's word alone does not say that it is chosen.
//!
//! *What a client must do.* Nothing: proposing twice does no harm, at whichever nodes.
//!
//! *Reading map*
//!
//! | paper | here |
//! |---|---|
//! | 2.2, phase 1 (a), 2 (a): the proposer | `proposer`: `prepare`, `on_promise`, `propose` |
//! | 2.2, phase 1 (b), 2 (b): the acceptor | `promise`, `accept` |
//! | 2.3, learning a chosen value | `learn` |
//! | 2.4, progress | `on_timer` |
//! | 2.5, the implementation | [`Record`] |
//! | Flexible Paxos, section 3 | [`Config::phase_1`], [`Config::phase_2`] |

mod invariants;
mod proposer;
mod renamed;

use crate::kv::Text;
use proposer::Attempt;
use seedfall_sim::{Context, Duration, NodeId, Protocol, RequestId};
use std::fmt;

pub use invariants::{Invariants, invariants};

/// The parameters, equal on all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How many promises make a quorum of phase 1.
    pub phase_1: usize,
    /// How many acceptances make a quorum of phase 2. Any two quorums, one of each phase, must have
    /// a node in common: `phase_1 + phase_2` above the number of nodes. [`Config::check`] does not
    /// ask for it, so that a scenario can show what happens otherwise.
    pub phase_2: usize,
    /// After how long without a quorum a proposer begins anew: at least.
    pub retry_min: Duration,
    /// And less than.
    pub retry_max: Duration,
}

/// Why a [`Config`] cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A quorum is empty, or larger than the cluster.
    QuorumImpossible,
    /// `retry_min` is zero, or not below `retry_max`.
    RetryRangeEmpty,
}

/// The number of a proposal (2.2): no two proposers have one in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Number {
    /// Decides first; from one on.
    pub round: u32,
    /// Whose proposal. Decides between those of one round.
    pub proposer: NodeId,
}

/// A value under a number.
#[derive(Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Proposal {
    /// Which proposal.
    pub number: Number,
    /// What it proposes.
    pub value: Text,
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Phase 1a: promise to accept nothing below this number.
    Prepare {
        /// Which number.
        number: Number,
    },
    /// Phase 1b: promised.
    Promise {
        /// Which number.
        number: Number,
        /// The highest-numbered proposal that the sender has accepted.
        accepted: Option<Proposal>,
    },
    /// Phase 2a: accept this.
    Accept {
        /// What.
        proposal: Proposal,
    },
    /// Phase 2b: accepted.
    Accepted {
        /// The proposal of which number.
        number: Number,
    },
    /// To a proposer of either phase: too late (2.4).
    Refused {
        /// Which number is refused.
        number: Number,
        /// The higher one that is promised.
        promised: Number,
    },
    /// A quorum has accepted a proposal of this value.
    Chosen {
        /// Which.
        value: Text,
    },
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// No quorum has answered in time.
    Retry,
}

/// What a node writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// It accepts nothing below this number.
    Promised(Number),
    /// It has accepted this.
    Accepted(Proposal),
    /// This value is chosen.
    Learned(Text),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Request {
    /// Choose this value, unless one is chosen.
    Propose {
        /// Which.
        value: Text,
    },
    /// Which value is chosen?
    Read,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// The value that is chosen, whoever proposed it.
    Chosen(Text),
    /// To a read: no value was chosen when it was asked.
    Nothing,
}

/// What an acceptor may not forget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Acceptor {
    /// The highest number that it has promised to anybody.
    promised: Option<Number>,
    /// The highest-numbered proposal that it has accepted.
    accepted: Option<Proposal>,
}

/// One node: proposer, acceptor and learner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Paxos {
    id: NodeId,
    config: Config,
    acceptor: Acceptor,
    /// What the learner knows to be chosen.
    chosen: Option<Text>,
    /// What the proposer is at.
    attempt: Option<Attempt>,
    /// The highest round of which it has heard.
    highest_round: u32,
    /// Who waits for an answer, with the value that it proposes; none: it reads.
    waiting: Vec<(RequestId, Option<Text>)>,
}

impl Protocol for Paxos {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        if let Err(error) = config.check(ctx.nodes()) {
            panic!("Paxos cannot start: {error}");
        }
        let (mut acceptor, mut chosen) = (Acceptor::default(), None);
        for record in journal.iter().cloned() {
            match record {
                Record::Promised(number) => acceptor.promised = Some(number),
                Record::Accepted(proposal) => {
                    acceptor.promised = Some(proposal.number);
                    acceptor.accepted = Some(proposal);
                }
                Record::Learned(value) => chosen = Some(value),
            }
        }
        let highest_round = acceptor.promised.map_or(0, |number| number.round);
        let config = config.clone();
        Self { id, config, acceptor, chosen, attempt: None, highest_round, waiting: Vec::new() }
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Prepare { number } => {
                self.heard_of(number);
                let reply = match self.promise(number, ctx) {
                    Ok(accepted) => Message::Promise { number, accepted },
                    Err(promised) => Message::Refused { number, promised },
                };
                ctx.send(from, reply);
            }
            Message::Promise { number, accepted } => self.on_promise(from, number, accepted, ctx),
            Message::Accept { proposal } => {
                let number = proposal.number;
                self.heard_of(number);
                let reply = match self.accept(proposal, ctx) {
                    Ok(()) => Message::Accepted { number },
                    Err(promised) => Message::Refused { number, promised },
                };
                ctx.send(from, reply);
            }
            Message::Accepted { number } => self.on_accepted(from, number, ctx),
            Message::Refused { number, promised } => self.on_refused(number, promised, ctx),
            Message::Chosen { value } => self.learn(value, ctx),
        }
    }

    fn on_timer(&mut self, Timer::Retry: Timer, ctx: &mut Context<'_, Self>) {
        ctx.reach("retry: no quorum has answered in time");
        self.prepare(ctx);
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        if let Some(value) = &self.chosen {
            return ctx.respond(request, Response::Chosen(value.clone()));
        }
        if self.waiting.iter().any(|(id, _)| *id == request) {
            return ctx.ignore("request: already under way");
        }
        let value = match body {
            Request::Propose { value } => Some(value),
            Request::Read => None,
        };
        self.waiting.push((request, value));
        if self.attempt.is_none() {
            self.prepare(ctx);
        }
    }

    /// Who leads here is whoever asks acceptors to accept.
    fn is_leader(&self) -> bool {
        self.attempt.as_ref().is_some_and(Attempt::proposes)
    }

    fn waits(&self) -> String {
        let for_whom = |attempt: &Attempt| {
            let clients: Vec<_> = self.waiting.iter().map(|(id, _)| id.to_string()).collect();
            format!("{}: {attempt}", clients.join(", "))
        };
        self.attempt.as_ref().map_or(String::new(), for_whom)
    }
}

/// The acceptor (2.2).
impl Paxos {
    /// Phase 1b: promises to accept nothing below this number, and tells what it has accepted. Else
    /// the higher number that it has promised.
    fn promise(
        &mut self,
        number: Number,
        ctx: &mut Context<'_, Self>,
    ) -> Result<Option<Proposal>, Number> {
        match self.acceptor.promised {
            Some(promised) if number < promised => {
                ctx.reach("prepare: a higher number is promised");
                return Err(promised);
            }
            Some(promised) if number == promised => {} // Asked twice: said twice.
            _ => {
                self.acceptor.promised = Some(number);
                ctx.append(Record::Promised(number));
                ctx.sync(); // A promise that a crash can undo is none.
            }
        }
        Ok(self.acceptor.accepted.clone())
    }

    /// Phase 2b: accepts, unless it has promised a higher number, which it returns.
    fn accept(&mut self, proposal: Proposal, ctx: &mut Context<'_, Self>) -> Result<(), Number> {
        match self.acceptor.promised {
            Some(promised) if proposal.number < promised => {
                ctx.reach("accept: a higher number is promised");
                return Err(promised);
            }
            _ => {}
        }
        if self.acceptor.accepted.as_ref() != Some(&proposal) {
            self.acceptor.promised = Some(proposal.number);
            self.acceptor.accepted = Some(proposal.clone());
            ctx.append(Record::Accepted(proposal));
            ctx.sync(); // It may be the one that makes a quorum.
        }
        Ok(())
    }

    fn heard_of(&mut self, number: Number) {
        self.highest_round = self.highest_round.max(number.round);
    }
}

/// The learner (2.3).
impl Paxos {
    /// This value is chosen: whoever waits is told.
    fn learn(&mut self, value: Text, ctx: &mut Context<'_, Self>) {
        match &self.chosen {
            None => ctx.append(Record::Learned(value.clone())),
            Some(before) if *before == value => return ctx.ignore("chosen: known already"),
            Some(_) => {} // Two values are chosen. The invariants say so.
        }
        for (request, _) in self.waiting.drain(..) {
            ctx.respond(request, Response::Chosen(value.clone()));
        }
        if self.attempt.take().is_some() {
            ctx.cancel_timer(Timer::Retry);
        }
        self.chosen = Some(value);
    }
}

/// What reports and scenarios ask of a node.
impl Paxos {
    /// The highest number that it has promised to anybody.
    pub fn promised(&self) -> Option<Number> {
        self.acceptor.promised
    }

    /// The highest-numbered proposal that it has accepted.
    pub fn accepted(&self) -> Option<&Proposal> {
        self.acceptor.accepted.as_ref()
    }

    /// The value that it knows to be chosen.
    pub fn chosen(&self) -> Option<&Text> {
        self.chosen.as_ref()
    }

    /// How many acceptances choose a value.
    pub fn phase_2(&self) -> usize {
        self.config.phase_2
    }
}

impl Config {
    /// Majorities in both phases.
    pub const fn majorities(nodes: usize) -> Self {
        Self {
            phase_1: nodes / 2 + 1,
            phase_2: nodes / 2 + 1,
            retry_min: Duration::millis(25),
            retry_max: Duration::millis(100),
        }
    }

    /// Looks for what cannot work in a cluster of so many nodes.
    ///
    /// # Errors
    /// The field at fault.
    pub fn check(&self, nodes: usize) -> Result<(), ConfigError> {
        if [self.phase_1, self.phase_2].iter().any(|quorum| !(1..=nodes).contains(quorum)) {
            return Err(ConfigError::QuorumImpossible);
        }
        if self.retry_min == Duration::ZERO || self.retry_max <= self.retry_min {
            return Err(ConfigError::RetryRangeEmpty);
        }
        Ok(())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QuorumImpossible => "a quorum must have at least one node, and at most all",
            Self::RetryRangeEmpty => "retry_min must be above zero and below retry_max",
        })
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.round, self.proposer)
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}={:?}", self.number, self.value)
    }
}
