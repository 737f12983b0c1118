//! Two-phase commit (Gray, *Notes on Data Base Operating Systems*, 1978; here after Bernstein,
//! Hadzilacos and Goodman, *Concurrency Control and Recovery in Database Systems*, 1987, chapter 7,
//! cited by section; presumptions and the read-only vote after Mohan, Lindsay and Obermarck,
//! *Transaction Management in the R\* Distributed Database Management System*, TODS 1986, cited as
//! R\*; message names after Gray and Lamport, *Consensus on Transaction Commit*, 2006).
//!
//! *Problem.* A key-value store is cut into shards, one a site. Clients ask for transactions that
//! touch several shards. Each takes effect at all of its sites or at none, and the committed ones
//! behave as if they had run one after the other, in an order that respects real time.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`, any number at a time; timing `Asynchronous`
//! for safety. A transaction is decided once its coordinator and those that it asks are up and
//! connected for a while. Until then it may *block*: whoever voted yes and was not told may neither
//! commit nor abort, and no protocol can spare it that (7.4, "independent recovery").
//!
//! *Idea.* The site that the client asks coordinates. It has every site execute its share under
//! locks, and when all have, asks all for a vote. Who votes yes first writes down how to commit,
//! and gives up the right to abort. All yes: the coordinator writes down that the transaction is
//! committed, which is the one moment that decides; else it aborts. Then it tells everybody. Locks
//! are held until the decision is known (strict two-phase locking, 3.5), so what is executed
//! together is serializable. A participant in doubt for long asks the coordinator and its fellows
//! (7.4, cooperative termination): a fellow that knows tells, one that has not voted aborts, which
//! settles it.
//!
//! *Presumptions* (R\*): a coordinator that finds nothing about a transaction answers by a rule,
//! so that most outcomes may be forgotten early.
//!
//! | | presumed abort | presumed commit |
//! |---|---|---|
//! | forced before the votes are asked | | `Collecting`, with the updaters |
//! | commit: forced by coordinator, participant | `Committed`, `Decided` | `Committed` |
//! | commit: acknowledged | yes, then `Ended` | |
//! | abort: forced by participant | | `Decided` |
//! | abort: acknowledged | | yes, then `Ended` |
//! | restart, no outcome noted | nothing to do: aborted | abort what is `Collecting` |
//! | restart, `Committed` without `Ended` | tell all again | nothing to do: committed |
//!
//! *Properties* (7.3), guarded by [`invariants`] while a run goes on, but for AC5, S1 and L1:
//! - AC1 all processes that reach a decision reach the same one;
//! - AC2 a process cannot reverse its decision once it has reached one;
//! - AC3 commit can be decided only if all processes voted yes;
//! - AC4 if there are no failures and all voted yes, the decision is commit: here, an abort names
//!   its cause, and a vote that it names was cast;
//! - AC5 once all failures are repaired for long enough, all processes reach a decision;
//! - what these rest on, with names of their own: [`promises`], [`presumptions`];
//! - S1 the committed transactions are strictly serializable (judged on the clients' history);
//! - L1 every request is answered once failures are repaired.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Execute`](Message::Execute) | coordinator | participants | lock, and run your share |
//! | [`Executed`](Message::Executed) | participant | coordinator | done in this life; answers |
//! | [`Prepare`](Message::Prepare) | coordinator | participants | "vote" (VOTE-REQ) |
//! | [`Vote`](Message::Vote) | participant | coordinator | yes, no (unasked too), read only |
//! | [`Decision`](Message::Decision) | who knows | participants | commit or abort |
//! | [`Acknowledge`](Message::Acknowledge) | participant | coordinator | "I shall not ask again" |
//! | [`DecisionRequest`](Message::DecisionRequest) | in doubt | all who may know | DECISION-REQ |
//!
//! *Deadlocks* do not arise: a conflict is decided by wait-die (Rosenkrantz, Stearns and Lewis,
//! *System Level Concurrency Control for Distributed Database Systems*, 1978). The older waits, the
//! younger dies, which here is a no-vote. See `locks`.
//!
//! *Deviations*
//! - Every site counts its lives. What a participant executed and did not prepare, its read locks
//!   above all, is gone with its life, so [`Prepare`](Message::Prepare) names the life that
//!   executed, and another life votes no; a vote names the life that votes, and one of before does
//!   not count. Within a life it remembers what it refused, so that a late `Execute` cannot run
//!   again what was aborted. (The papers have connections that break.)
//! - A transaction that dies is not restarted with its old age: the client is told and decides.
//! - The last answer to each client is in the journal, an abort's too, and is forced before the
//!   client is told: a request that the network doubled, or that is retried because its answer was
//!   lost, does not run twice. Each request has one coordinator for good, [`coordinator_of`].
//! - A record that is not forced is durable with the next that is, or at the next flush.
//! - Participants never forget a decision, and journals are not cut: there is no checkpoint.
//! - A site is its own participant; what it tells itself does not travel.
//! - The read-only vote is for shares that only read, and these do not take part in termination.
//!
//! *What a client must do.* Number its requests upwards; send one to any node; on
//! [`Elsewhere`](Response::Elsewhere) or silence send it again under the same sequence.
//!
//! *Reading map*
//!
//! | source | here |
//! |---|---|
//! | 7.3, 7.4 the coordinator; R\* 2 to 3 | `coordinator` |
//! | 7.4 the participants, cooperative termination | `participant` |
//! | 7.4 recovery, the "DT log"; R\* tables | `journal`: [`Record`], `Recovered` |
//! | 3.5 strict two-phase locking; wait-die | `locks` |
//! | 7.3 AC1 to AC4 | [`invariants`] |

mod coordinator;
mod invariants;
mod journal;
pub mod locks;
mod participant;
mod presumptions;
mod promises;

use crate::kv;
use coordinator::Coordinator;
use journal::Recovered;
use participant::Participant;
use seedfall_sim::{ClientId, Context, Duration, NodeId, Protocol, RequestId};
use std::collections::VecDeque;
use std::fmt;

pub use coordinator::{Outcome, Reason, Session};
pub use invariants::{Invariants, invariants};
pub use journal::{Record, Writes};
pub use presumptions::{Presumptions, presumptions};
pub use promises::{Promises, promises};

/// The parameters, equal on all sites.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// What a coordinator answers when it knows nothing of a transaction.
    pub presumption: Presumption,
    /// How long anybody waits for an answer before it asks again.
    pub retry_interval: Duration,
    /// How often a coordinator asks a participant to execute, and how often to vote, before it
    /// aborts. Decisions are sent until they are acknowledged. At least one.
    pub attempts: u32,
    /// How long a participant keeps locks without having been asked to vote, before it aborts.
    pub idle_timeout: Duration,
    /// How often records that were not forced are made durable all the same.
    pub flush_interval: Duration,
}

/// What no information means (R\*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Presumption {
    /// Aborts may be forgotten at once; commits are acknowledged.
    Abort,
    /// Commits may be forgotten at once; aborts are acknowledged.
    Commit,
}

/// Why a [`Config`] cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// `retry_interval` is zero.
    RetryIntervalZero,
    /// `attempts` is zero.
    AttemptsZero,
    /// `idle_timeout` is zero.
    IdleTimeoutZero,
    /// `flush_interval` is zero.
    FlushIntervalZero,
}

/// Counts the starts of a site, from one.
pub type Life = u32;

/// A transaction, for good: no other has the same name, whatever crashes. Its order is its age for
/// wait-die: the smaller is the older.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TransactionId {
    /// Counts the transactions of that life, from one.
    pub number: u32,
    /// The life of the coordinator that began it.
    pub life: Life,
    /// Who coordinates it.
    pub coordinator: NodeId,
}

/// What sites tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Lock what these commands need and execute them.
    Execute {
        /// For which transaction.
        transaction: TransactionId,
        /// The receiver's share, in the client's order.
        commands: Vec<kv::Command>,
    },
    /// They are executed, and locked.
    Executed {
        /// For which transaction.
        transaction: TransactionId,
        /// In which life: the locks end with it.
        life: Life,
        /// What each command answered.
        answers: Vec<kv::Answer>,
    },
    /// Vote.
    Prepare {
        /// On which transaction.
        transaction: TransactionId,
        /// The life in which the receiver executed it.
        life: Life,
        /// Who has something to write, and so is in doubt after a yes: whom to ask then.
        updaters: Vec<NodeId>,
    },
    /// The vote.
    Vote {
        /// On which transaction.
        transaction: TransactionId,
        /// In which life: what an earlier one refused, a later one may have executed.
        life: Life,
        /// Which.
        vote: Vote,
    },
    /// How it ends.
    Decision {
        /// Which transaction.
        transaction: TransactionId,
        /// The decision.
        decision: Decision,
    },
    /// The sender knows the decision and keeps it.
    Acknowledge {
        /// Of which transaction.
        transaction: TransactionId,
    },
    /// The sender voted yes and was told nothing.
    DecisionRequest {
        /// On which transaction.
        transaction: TransactionId,
    },
}

/// A vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Vote {
    /// I can commit, whatever happens to me.
    Yes,
    /// I cannot; I have aborted.
    No,
    /// I had nothing to write, and have let go of my locks: leave me out of the second phase (R\*).
    ReadOnly,
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Decision {
    /// The transaction takes effect.
    Commit,
    /// It does not.
    Abort,
}

/// A site's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// The coordinator waits for answers about this transaction.
    Progress(TransactionId),
    /// A participant keeps locks for this transaction and is not asked to vote.
    Idle(TransactionId),
    /// A participant is in doubt about this transaction.
    InDoubt(TransactionId),
    /// Time to make durable what was not forced.
    Flush,
}

/// What a client asks. The session is that of [`RequestId::client`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request {
    /// The number of the transaction in its client's session: equal in a retry, higher in the next.
    pub sequence: u64,
    /// What to do, all or nothing. A compare-and-set that does not find what it expects is a
    /// reason to abort.
    pub commands: Vec<kv::Command>,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// All of it took effect; an answer for each command.
    Committed(Vec<kv::Answer>),
    /// None of it did, nor ever will.
    Aborted,
    /// This node did nothing: the request is that node's.
    Elsewhere {
        /// Who coordinates it.
        coordinator: NodeId,
    },
}

/// One site: a coordinator, and the participant that keeps one shard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    id: NodeId,
    /// How many sites there are.
    sites: usize,
    config: Config,
    life: Life,
    coordinator: Coordinator,
    participant: Participant,
    /// What the site tells itself; empty between two handlers.
    to_self: VecDeque<Message>,
}

impl Protocol for Site {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        if let Err(error) = config.check() {
            panic!("two-phase commit cannot start: {error}");
        }
        let recovered = Recovered::read(journal, config.presumption);
        let life = recovered.life + 1;
        // Before anything is sent in this life: no two lives may have the same number.
        ctx.append(Record::Started { life });
        ctx.sync();
        let mut site = Self {
            id,
            sites: ctx.nodes(),
            config: config.clone(),
            life,
            coordinator: Coordinator::new(recovered.sessions),
            participant: Participant::new(recovered.store, recovered.decided),
            to_self: VecDeque::new(),
        };
        ctx.set_timer(Timer::Flush, config.flush_interval);
        site.resume_notices(recovered.notices, ctx);
        site.resume_in_doubt(recovered.prepared, ctx);
        site.tell_self(ctx);
        site
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        self.receive(from, message, ctx);
        self.tell_self(ctx);
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        match timer {
            Timer::Progress(transaction) => self.on_progress_timeout(transaction, ctx),
            Timer::Idle(transaction) => self.on_idle_timeout(transaction, ctx),
            Timer::InDoubt(transaction) => self.on_in_doubt_timeout(transaction, ctx),
            Timer::Flush => {
                ctx.sync();
                ctx.set_timer(Timer::Flush, self.config.flush_interval);
            }
        }
        self.tell_self(ctx);
    }

    /// A site that asks for votes: its crash leaves others in doubt.
    fn is_leader(&self) -> bool {
        self.coordinator.is_asking_for_votes()
    }

    fn waits(&self) -> String {
        let decision =
            |of: TransactionId| format!("{of} is in doubt: for {} to decide", of.coordinator);
        let acknowledgement = |(of, _)| format!("{of}: for all to acknowledge its end");
        let waits = self.coordinator.waits().chain(self.in_doubt().map(decision));
        waits.chain(self.notices().map(acknowledgement)).collect::<Vec<_>>().join("; ")
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        self.on_transaction(request, body, ctx);
        self.tell_self(ctx);
    }
}

impl Site {
    fn receive(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Execute { transaction, commands } => {
                self.on_execute(transaction, commands, ctx);
            }
            Message::Executed { transaction, life, answers } => {
                self.on_executed(from, transaction, life, answers, ctx);
            }
            Message::Prepare { transaction, life, updaters } => {
                self.on_prepare(transaction, life, updaters, ctx);
            }
            Message::Vote { transaction, life, vote } => {
                self.on_vote(from, transaction, life, vote, ctx);
            }
            Message::Decision { transaction, decision } => {
                self.on_decision(from, transaction, decision, ctx);
            }
            Message::Acknowledge { transaction } => self.on_acknowledge(from, transaction, ctx),
            Message::DecisionRequest { transaction } => {
                if transaction.coordinator == self.id {
                    self.on_decision_request(from, transaction, ctx);
                } else {
                    self.on_fellow_request(from, transaction, ctx);
                }
            }
        }
    }

    /// Sends a message; what a site tells itself arrives when the handler is done.
    fn send(&mut self, to: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        if to == self.id {
            self.to_self.push_back(message);
        } else {
            ctx.send(to, message);
        }
    }

    fn tell_self(&mut self, ctx: &mut Context<'_, Self>) {
        while let Some(message) = self.to_self.pop_front() {
            self.receive(self.id, message, ctx);
        }
    }

    /// Whether participants of such a decision keep it durably and acknowledge it: all decisions
    /// that are not what they would be told by presumption.
    fn is_acknowledged(&self, decision: Decision) -> bool {
        match self.config.presumption {
            Presumption::Abort => decision == Decision::Commit,
            Presumption::Commit => decision == Decision::Abort,
        }
    }
}

/// What reports and scenarios ask of a site.
impl Site {
    /// This site.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// How often it has started.
    pub fn life(&self) -> Life {
        self.life
    }

    /// The committed state of its shard.
    pub fn store(&self) -> &kv::Store {
        self.participant.store()
    }

    /// What it remembers of its clients, as coordinator.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.coordinator.sessions()
    }

    /// The decisions that it tells others about, as coordinator.
    pub fn notices(&self) -> impl Iterator<Item = (TransactionId, Decision)> {
        self.coordinator.notices()
    }

    /// Its votes as participant, as far as it remembers: a yes for ever, another one for its life.
    pub fn votes(&self) -> impl Iterator<Item = (TransactionId, Vote)> {
        self.participant.votes()
    }

    /// Its decisions as participant, after a yes.
    pub fn decisions(&self) -> impl Iterator<Item = (TransactionId, Decision)> {
        self.participant.decisions()
    }

    /// The transactions about which it is in doubt: it voted yes and was not told.
    pub fn in_doubt(&self) -> impl Iterator<Item = TransactionId> {
        self.participant.in_doubt()
    }

    /// Whom it asks how a transaction ended about which it is in doubt, itself among them.
    pub fn asks(&self, transaction: TransactionId) -> Vec<NodeId> {
        self.participant.asks(transaction)
    }

    /// True if it has nothing to decide or to wait for, and nothing is locked: there may be
    /// somebody whom it still has to tell.
    pub fn is_settled(&self) -> bool {
        self.coordinator.under_way() == 0 && self.participant.is_quiet()
    }

    /// True if it has nothing to decide, to tell or to wait for, and nothing is locked.
    pub fn is_quiet(&self) -> bool {
        self.coordinator.is_quiet() && self.participant.is_quiet()
    }

    /// One line for people: `life 2, coordinates 1, tells 0, runs 1, in doubt 0`.
    pub fn status(&self) -> String {
        let (life, tells, doubts) = (self.life, self.notices().count(), self.in_doubt().count());
        let (coordinates, runs) = (self.coordinator.under_way(), self.participant.active());
        format!(
            "life {life}, coordinates {coordinates}, tells {tells}, runs {runs}, in doubt {doubts}"
        )
    }
}

/// The site that keeps a key.
pub fn shard_of(key: &str, sites: usize) -> NodeId {
    let sum = key.bytes().fold(0_usize, |sum, byte| sum + usize::from(byte));
    NodeId::new((sum % sites) as u16)
}

/// The site that coordinates a client's request, the first time and in every retry: two would run
/// it twice.
pub fn coordinator_of(client: ClientId, sequence: u64, sites: usize) -> NodeId {
    NodeId::new(((client.index() as u64 + sequence) % sites as u64) as u16)
}

impl Config {
    /// Looks for what cannot work.
    ///
    /// # Errors
    /// The first field that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.retry_interval == Duration::ZERO {
            return Err(ConfigError::RetryIntervalZero);
        }
        if self.attempts == 0 {
            return Err(ConfigError::AttemptsZero);
        }
        if self.idle_timeout == Duration::ZERO {
            return Err(ConfigError::IdleTimeoutZero);
        }
        if self.flush_interval == Duration::ZERO {
            return Err(ConfigError::FlushIntervalZero);
        }
        Ok(())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RetryIntervalZero => "retry_interval is zero: it would ask without end",
            Self::AttemptsZero => "attempts is zero: nobody would ever be asked",
            Self::IdleTimeoutZero => "idle_timeout is zero: every transaction would be given up",
            Self::FlushIntervalZero => "flush_interval is zero: it would flush without end",
        })
    }
}

impl std::error::Error for ConfigError {}

impl Message {
    /// The transaction that it is about.
    pub fn transaction(&self) -> TransactionId {
        match self {
            Self::Execute { transaction, .. }
            | Self::Executed { transaction, .. }
            | Self::Prepare { transaction, .. }
            | Self::Vote { transaction, .. }
            | Self::Decision { transaction, .. }
            | Self::Acknowledge { transaction }
            | Self::DecisionRequest { transaction } => *transaction,
        }
    }
}

impl fmt::Display for TransactionId {
    /// `n2.1.7`: the seventh transaction of n2's first life.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.coordinator, self.life, self.number)
    }
}

/// As it is displayed: it stands inside messages, where brevity is legibility.
impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
