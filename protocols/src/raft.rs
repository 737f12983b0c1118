//! Raft (Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm*, extended
//! version, 2014; client interaction after Ongaro's dissertation, 2014, chapter 6): a log,
//! replicated by an elected leader.
//!
//! *Problem.* Clients ask a cluster of `n` servers to read and change a key-value store. The
//! cluster behaves as one copy of it, each command takes effect once, and it goes on while any
//! majority can talk.
//!
//! *Model.* Links `FairLoss` (messages are lost, doubled, late, reordered, never altered); nodes
//! `CrashRecovery`, any number for safety, fewer than `n / 2` down at a time for progress; timing
//! `Asynchronous` for safety, `PartiallySynchronous` for progress. No clock is trusted for safety.
//!
//! *Idea.* Time is cut into terms, and a server votes once in a term, so a term has at most one
//! leader (5.2). Only the leader adds entries; it sends them with the index and term of the entry
//! before, and a follower that has no such entry refuses, so logs that agree anywhere agree up to
//! there (5.3). An entry is committed once a majority stores it; a server votes only for a log at
//! least as good as its own, so every later leader has every committed entry (5.4.1). Entries of
//! older terms are never committed by counting, only by what follows them (5.4.2). Every server
//! applies the committed entries in order. Commands carry a session and a number, remembered by the
//! state machine itself, so a retry is answered and not repeated (6.3). A read is answered from the
//! leader's own state once a majority has confirmed, after the read came in, that the leader still
//! leads (6.4).
//!
//! *Properties* (S1 to S5 are Figure 3's), guarded by [`invariants`] while a run goes on, but for
//! S6 and L1:
//! - S1 Election Safety: at most one leader a term.
//! - S2 Leader Append-Only: a leader never removes or overwrites its own entries.
//! - S3 Log Matching: logs with the same index and term at one entry are equal up to it.
//! - S4 Leader Completeness: a committed entry is in the logs of the leaders of all later terms.
//! - S5 State Machine Safety: no two servers apply different entries at one index.
//! - S6 The store is linearizable, each command taking effect once (checked on the history of the
//!   clients).
//! - S7 Durability: a server that stores a committed entry keeps it, crash or no crash.
//! - L1 With a majority up and connected for a while, a leader is elected and requests are
//!   answered.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`RequestVote`](Message::RequestVote) | candidate | all | "vote for me; my log ends here" |
//! | [`VoteReply`](Message::VoteReply) | any | candidate | yes or no |
//! | [`AppendEntries`](Message::AppendEntries) | leader | followers | entries, or a heartbeat |
//! | [`AppendReply`](Message::AppendReply) | any | leader | how far the logs agree |
//!
//! *Deviations*
//! - Replies may be lost like everything else; nothing is retried as such. The next heartbeat or
//!   election does it.
//! - The leader moves `nextIndex` past what it sends at once (dissertation 10.2.2, pipelining); a
//!   refusal sets it back.
//! - A refusal says where the follower's conflicting term begins (end of 5.3, there called
//!   optional).
//! - Appends carry the number of a heartbeat round, and replies return it: that is how 6.4's "round
//!   of heartbeats" is told from older ones.
//! - A session opens with its client's first command and never expires (6.3 registers and expires
//!   them). A client has one command under way at a time.
//! - The timeout is drawn anew when a term or an election begins, not at every heartbeat.
//! - Not here: snapshots (section 7), membership changes (section 6), pre-vote, leases.
//!
//! *What a client must do.* Number its commands upwards; send one ([`Request`]) to any node; on
//! [`NotLeader`](Response::NotLeader) or silence send the same command under the same sequence
//! again, to the hinted leader or anyone; go on to the next command and a higher sequence after
//! [`Done`](Response::Done). A command given up after silence may still take effect, until the
//! client's next command does. A read needs no sequence and may be repeated freely.
//!
//! *Reading map*
//!
//! | paper | here |
//! |---|---|
//! | Figure 2, State | `state`: `Durable`, [`Raft`], `Leader`; [`log`] |
//! | Figure 2, RequestVote; 5.2, 5.4.1 | `election` |
//! | Figure 2, AppendEntries; 5.3, 5.4.2 | `replication` |
//! | section 8; dissertation 6.3, 6.4 | `clients`, [`Machine`] |
//! | Figure 3 | [`invariants`] |

mod clients;
mod election;
mod invariants;
pub mod log;
mod mutation;
mod replication;
mod state;

use crate::kv;
use log::{Entries, Entry, Log, LogIndex, Term};
use seedfall_sim::{ClientId, Context, Draw, Duration, NodeId, Protocol, RequestId};
use state::{Durable, Role};
use std::fmt;

pub use invariants::{Invariants, invariants};
pub use state::{Machine, Session};

/// The parameters, equal on all servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// The shortest time without a leader after which a server starts an election.
    pub election_timeout_min: Duration,
    /// The longest; the paper advises twice the shortest. Equal ones would split votes for ever.
    pub election_timeout_max: Duration,
    /// How often a leader speaks to its followers; well below the shortest election timeout.
    pub heartbeat_interval: Duration,
    /// How many entries one message carries at most; at least one.
    pub max_entries_per_append: usize,
}

/// Why a [`Config`] cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// `election_timeout_max` is not above `election_timeout_min`.
    ElectionTimeoutRangeEmpty,
    /// `heartbeat_interval` is zero, or not below `election_timeout_min`.
    HeartbeatIntervalOutOfRange,
    /// `max_entries_per_append` is zero.
    MaxEntriesPerAppendZero,
}

/// What servers send each other (Figure 2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// A candidate asks for a vote.
    RequestVote {
        /// The candidate's term.
        term: Term,
        /// Where its log ends.
        last_log_index: LogIndex,
        /// The term of its last entry.
        last_log_term: Term,
    },
    /// The answer.
    VoteReply {
        /// The voter's term.
        term: Term,
        /// True if the candidate got the vote.
        granted: bool,
    },
    /// The leader replicates entries, or shows that it is there.
    AppendEntries {
        /// The leader's term.
        term: Term,
        /// The index of the entry before the new ones.
        prev_log_index: LogIndex,
        /// The term of that entry.
        prev_log_term: Term,
        /// What to store after it.
        entries: Entries,
        /// How far the leader's log is committed.
        leader_commit: LogIndex,
        /// The leader's latest round of heartbeats.
        round: u64,
    },
    /// The answer.
    AppendReply {
        /// The follower's term.
        term: Term,
        /// What became of the entries.
        outcome: Outcome,
        /// The round of the message that is answered.
        round: u64,
    },
}

/// What became of an [`AppendEntries`](Message::AppendEntries).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Outcome {
    /// The logs agree up to here, and that is durable.
    Matched(LogIndex),
    /// The follower has another entry, or none, before the new ones.
    Conflict {
        /// The term of the other entry, if there is one.
        term: Option<Term>,
        /// The follower's first entry of that term, or the place after its last entry.
        first: LogIndex,
    },
    /// The sender is not the leader of the follower's term.
    Deposed,
}

/// A server's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Too long without a leader.
    Election,
    /// Time for the leader to speak.
    Heartbeat,
}

/// What a server writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// A new term, or a vote in it.
    Vote {
        /// `currentTerm`.
        term: Term,
        /// `votedFor`.
        voted_for: Option<NodeId>,
    },
    /// This entry and all that follow are gone.
    Truncate {
        /// The first that is gone.
        first: LogIndex,
    },
    /// An entry at the end of the log.
    Entry {
        /// Where it stands.
        index: LogIndex,
        /// What it is.
        entry: Entry,
    },
}

/// What a client asks. The session is that of [`RequestId::client`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request {
    /// The number of the command in its client's session: equal in a retry, higher in the next
    /// command. Reads do not use it.
    pub sequence: u64,
    /// What the client wants.
    pub command: kv::Command,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// The command took effect, once, and this is its answer.
    Done(kv::Answer),
    /// This node did nothing and will do nothing about this request: it does not lead.
    NotLeader {
        /// Who does, as far as it knows.
        leader: Option<NodeId>,
    },
}

/// A client's command on its way through the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Submission {
    /// Whose session.
    pub client: ClientId,
    /// Its number there.
    pub sequence: u64,
    /// The command.
    pub command: kv::Command,
}

/// One server of a Raft cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Raft {
    id: NodeId,
    config: Config,
    /// Persistent state.
    durable: Durable,
    /// How far the log is known to be committed (`commitIndex`).
    commit: LogIndex,
    /// How far it is applied (`lastApplied`): as far as it is committed, between any two handlers.
    applied: LogIndex,
    machine: Machine,
    /// The leader of this term, once it was heard of.
    leader: Option<NodeId>,
    /// The election timeout in force.
    timeout: Duration,
    role: Role,
}

impl Protocol for Raft {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        if let Err(error) = config.check() {
            panic!("raft cannot start: {error}");
        }
        if let Some(Record::Truncate { .. }) = journal.last() {
            ctx.reach("restart: the crash fell between a truncation and what replaces it");
        }
        let mut raft = Self {
            id,
            config: config.clone(),
            durable: Durable::recover(journal),
            commit: LogIndex::ZERO,
            applied: LogIndex::ZERO,
            machine: Machine::default(),
            leader: None,
            timeout: Duration::ZERO,
            role: Role::Follower,
        };
        raft.draw_timeout(ctx);
        ctx.set_timer(Timer::Election, raft.timeout);
        raft
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        // Figure 2, rules for all servers: a larger term in any message is adopted first.
        let term = message.term();
        if term > self.durable.term {
            self.become_follower(term, ctx);
        }
        match message {
            Message::RequestVote { term, last_log_index, last_log_term } => {
                self.on_request_vote(from, term, (last_log_term, last_log_index), ctx);
            }
            Message::VoteReply { term, granted } => self.on_vote_reply(from, term, granted, ctx),
            Message::AppendEntries {
                term,
                prev_log_index,
                prev_log_term,
                entries,
                leader_commit,
                round,
            } => {
                let previous = (prev_log_index, prev_log_term);
                self.on_append_entries(from, term, previous, &entries, leader_commit, round, ctx);
            }
            Message::AppendReply { term, outcome, round } => {
                self.on_append_reply(from, term, outcome, round, ctx);
            }
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        match timer {
            Timer::Election => self.on_election_timeout(ctx),
            Timer::Heartbeat => self.on_heartbeat_timeout(ctx),
        }
    }

    fn is_leader(&self) -> bool {
        Self::is_leader(self)
    }

    fn mutate(message: &mut Message, draw: &mut Draw) -> bool {
        mutation::mutate(message, draw)
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        if body.command.is_read() {
            self.on_read(request, body.command, ctx);
        } else {
            self.on_command(request, body, ctx);
        }
    }
}

/// What reports and scenarios ask of a server.
impl Raft {
    /// This server.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The latest term that it knows of.
    #[inline]
    pub fn term(&self) -> Term {
        self.durable.term
    }

    /// Whom it voted for in that term.
    pub fn voted_for(&self) -> Option<NodeId> {
        self.durable.voted_for
    }

    /// Its log.
    #[inline]
    pub fn log(&self) -> &Log {
        &self.durable.log
    }

    /// True if it leads its term.
    #[inline]
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// True if it asks for votes.
    pub fn is_candidate(&self) -> bool {
        matches!(self.role, Role::Candidate { .. })
    }

    /// The leader of its term, as far as it knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// How far it knows its log to be committed, and has applied it.
    #[inline]
    pub fn commit_index(&self) -> LogIndex {
        self.commit
    }

    /// The store and the sessions, after the entries that are applied.
    #[inline]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// One line for people: `leader term 3 log 14 commit 12`.
    pub fn status(&self) -> String {
        let role = match self.role {
            Role::Follower => "follower",
            Role::Candidate { .. } => "candidate",
            Role::Leader(_) => "leader",
        };
        let Self { durable, commit, .. } = self;
        format!("{role} {} log {} commit {commit}", durable.term, durable.log.last_index())
    }
}

impl Config {
    /// Looks for what cannot work.
    ///
    /// # Errors
    /// The first field that does not fit the others.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.election_timeout_max <= self.election_timeout_min {
            return Err(ConfigError::ElectionTimeoutRangeEmpty);
        }
        if self.heartbeat_interval == Duration::ZERO
            || self.heartbeat_interval >= self.election_timeout_min
        {
            return Err(ConfigError::HeartbeatIntervalOutOfRange);
        }
        if self.max_entries_per_append == 0 {
            return Err(ConfigError::MaxEntriesPerAppendZero);
        }
        Ok(())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ElectionTimeoutRangeEmpty => {
                "election_timeout_max must be above election_timeout_min"
            }
            Self::HeartbeatIntervalOutOfRange => {
                "heartbeat_interval must be above zero and below election_timeout_min"
            }
            Self::MaxEntriesPerAppendZero => "max_entries_per_append must be at least one",
        })
    }
}

impl std::error::Error for ConfigError {}

impl Message {
    /// The term of its sender.
    pub fn term(&self) -> Term {
        match self {
            Self::RequestVote { term, .. }
            | Self::VoteReply { term, .. }
            | Self::AppendEntries { term, .. }
            | Self::AppendReply { term, .. } => *term,
        }
    }
}

impl Entry {
    /// An entry of `term` that carries a client's command.
    pub fn command(term: Term, submission: Submission) -> Self {
        Self { term, payload: log::Payload::Command(submission.into()) }
    }

    /// An entry of `term` that carries nothing.
    pub fn no_op(term: Term) -> Self {
        Self { term, payload: log::Payload::NoOp }
    }
}

/// True if `count` of `nodes` are more than half.
fn is_majority(count: usize, nodes: usize) -> bool {
    count > nodes / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_majorities_always_meet() {
        for nodes in 1..20 {
            let least = (0..=nodes).find(|count| is_majority(*count, nodes)).expect("all are");
            assert!(least * 2 > nodes && (least - 1) * 2 <= nodes, "{nodes}: {least}");
        }
    }

    #[test]
    fn a_config_that_cannot_work_is_refused_by_the_field_at_fault() {
        let good = Config {
            election_timeout_min: Duration::millis(150),
            election_timeout_max: Duration::millis(300),
            heartbeat_interval: Duration::millis(50),
            max_entries_per_append: 8,
        };
        assert_eq!(good.check(), Ok(()));
        let equal = Config { election_timeout_max: Duration::millis(150), ..good.clone() };
        assert_eq!(equal.check(), Err(ConfigError::ElectionTimeoutRangeEmpty));
        let slow = Config { heartbeat_interval: Duration::millis(150), ..good.clone() };
        assert_eq!(slow.check(), Err(ConfigError::HeartbeatIntervalOutOfRange));
        let none = Config { max_entries_per_append: 0, ..good };
        assert_eq!(none.check(), Err(ConfigError::MaxEntriesPerAppendZero));
    }
}
