//! Raft (Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm*, extended
//! version, 2014; membership, clients and leases after Ongaro's dissertation, 2014): a log,
//! replicated by an elected leader.
//!
//! *Problem.* Clients ask a cluster of `n` servers to read and change a key-value store. The
//! cluster behaves as one copy of it, each command takes effect once, and it goes on while any
//! majority can talk.
//!
//! *Model.* Links `FairLoss` (messages are lost, doubled, late, reordered, never altered); nodes
//! `CrashRecovery`, any number for safety, fewer than `n / 2` down at a time for progress; timing
//! `Asynchronous` for safety, `PartiallySynchronous` for progress. No clock is trusted for safety,
//! but for reads under a lease, if [`Config::lease_drift`] says how far clocks may drift.
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
//! - Figure 2's own: one vote a term, for a log as good as the voter's, and a majority of them for
//!   a leader ([`promises`]); terms and indices that grow, and indices that say what is so
//!   ([`indices`]); one change of the configuration at a time (section 6; dissertation 4.1).
//! - A read waits for a round of heartbeats that begins after it, and who confirms that round
//!   follows the leader in it (dissertation 6.4; [`reads`]).
//! - Leader Lease: while a leader has a lease, nobody leads a later term, whatever clocks show that
//!   drift no further than [`Config::lease_drift`] says; and whoever hears a leader votes in no
//!   later term for the shortest election timeout (dissertation 6.4.1, 4.2.3; [`leases`]).
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
//! | [`InstallSnapshot`](Message::InstallSnapshot) | leader | follower | a part of a snapshot |
//! | [`PreVote`](Message::PreVote) | a server whose timeout is over | all | "could I win?" |
//! | [`PreVoteReply`](Message::PreVoteReply) | any | who asked | yes or no |
//! | [`TimeoutNow`](Message::TimeoutNow) | leader | a follower | "stand for election at once" |
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
//! - A session opens with its client's first command, without registration. Of more than
//!   `max_sessions`, the one used least recently expires (6.3 leaves the choice open): its answer
//!   is forgotten, its number is not, so nothing takes effect twice; a retry is told so. A client
//!   has one command under way at a time.
//! - The timeout is drawn anew when a term or an election begins, not at every heartbeat.
//! - A snapshot travels as items of the state machine instead of bytes, and the reply says how many
//!   have arrived (Figure 13's says nothing). It is written as one record with term, vote and the
//!   entries that are kept, so a restart needs nothing before the last such record; an engine whose
//!   journal can drop records may drop those.
//! - A server that is added in one step may lag: who wants it to catch up first adds it as a
//!   learner (4.2.1) and asks when it likes. Servers outside the configuration stand by: they
//!   follow and vote when asked (section 6), and never stand.
//! - A leader that has sent `TimeoutNow` reads without a lease for the rest of its term: that
//!   message may be late, and the election it begins respects no lease.
//! - Not here: log writes that complete later (so RAFT-14 of the catalogue has no place to be).
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
//! | section 6; dissertation 4 | [`membership`] |
//! | section 7, Figure 13 | [`snapshot`] |
//! | section 8; dissertation 6.3, 6.4 | `clients`, [`Machine`] |
//! | dissertation 3.10, 9.6 | `transfer` |
//! | dissertation 4.2.3, 6.2, 6.4.1 | `lease` |
//! | Figure 3 | [`invariants`] |

mod clients;
mod config;
mod election;
mod indices;
mod invariants;
mod lease;
mod leases;
pub mod log;
pub mod membership;
mod message;
mod mutation;
mod promises;
mod reads;
mod replication;
pub mod snapshot;
mod state;
mod transfer;

use log::{Log, LogIndex, Term};
use membership::{Configuration, NodeSet};
use seedfall_sim::{Context, Draw, Duration, NodeId, Protocol, RequestId, Time};
use snapshot::Incoming;
use state::{Durable, Role};

pub use config::{Config, ConfigError};
pub use indices::{Indices, indices};
pub use invariants::{Invariants, invariants};
pub use leases::{Leases, leases, leases_beside_transfers};
pub use message::{Message, Outcome, Record, Request, Response, Submission, Timer};
pub use promises::{Promises, promises};
pub use reads::{Reads, reads};
pub use state::{Machine, Session};

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
    /// When this server last heard from the leader of its term, by its own clock.
    heard: Option<Time>,
    /// A snapshot that is arriving.
    incoming: Option<Incoming>,
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
        let voters = config.initial_voters.map_or(ctx.nodes(), usize::from).min(ctx.nodes());
        let initial = Configuration::of(NodeSet::first(voters));
        let durable = Durable::recover(initial, journal);
        let machine = durable.snapshot.as_deref().map(Machine::restore).unwrap_or_default();
        let mut raft = Self {
            id,
            config: config.clone(),
            // What a snapshot replaced was committed and applied.
            commit: durable.log.base(),
            applied: durable.log.base(),
            machine,
            durable,
            leader: None,
            // It may have answered a leader just before the crash, which counts on that.
            heard: config.lease_drift.map(|_| ctx.now()),
            incoming: None,
            timeout: Duration::ZERO,
            role: Role::Follower,
        };
        raft.draw_timeout(ctx);
        ctx.set_timer(Timer::Election, raft.timeout);
        raft
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        if self.config.leader_stickiness && self.is_disruption(&message, ctx) {
            ctx.reach("election: a request for votes was ignored because there is a leader");
            return ctx.ignore("request vote: there is a leader");
        }
        // Figure 2, rules for all servers: a larger term in any message is adopted first.
        let term = message.term();
        if term > self.durable.term {
            self.become_follower(term, ctx);
        }
        match message {
            Message::RequestVote { term, last_log_index, last_log_term, transfer: _ } => {
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
            Message::InstallSnapshot { term, chunk, round } => {
                self.on_install_snapshot(from, term, &chunk, round, ctx);
            }
            Message::PreVote { term, last_log_index, last_log_term } => {
                self.on_pre_vote(from, term, (last_log_term, last_log_index), ctx);
            }
            Message::PreVoteReply { term, granted } => {
                self.on_pre_vote_reply(from, term, granted, ctx);
            }
            Message::TimeoutNow { term } => self.on_timeout_now(term, ctx),
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

    fn waits(&self) -> String {
        self.waits_for()
    }

    fn mutate(message: &mut Message, draw: &mut Draw) -> bool {
        mutation::mutate(message, draw)
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        match body {
            Request::Command { command, .. } if command.is_read() => {
                self.on_read(request, command, ctx);
            }
            Request::Command { sequence, command } => {
                self.on_command(request, sequence, command, ctx);
            }
            Request::Reconfigure(change) => self.on_reconfigure(request, change, ctx),
            Request::Transfer { to } => self.on_transfer(request, to, ctx),
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

    /// The configuration in force: the latest in its log, committed or not.
    pub fn configuration(&self) -> &Configuration {
        self.durable.configurations.current()
    }

    /// The configuration at the base of its log, which was in force before any entry that is there.
    pub fn configuration_at_base(&self) -> &Configuration {
        self.durable.configurations.at(self.durable.log.base()).1
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

    /// `nextIndex` and `matchIndex` of every server, in the order of their ids; `None` if it does
    /// not lead. The leader's own are not used.
    #[inline]
    pub fn progress(&self) -> Option<impl Iterator<Item = (LogIndex, LogIndex)>> {
        let Role::Leader(leader) = &self.role else { return None };
        Some(leader.progress.iter().map(|progress| (progress.next, progress.matched)))
    }

    /// The store and the sessions, after the entries that are applied.
    #[inline]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// What it needs to go on, for people: whose votes, whose acknowledgements, or to hear of a
    /// leader.
    fn waits_for(&self) -> String {
        let Configuration { voters, outgoing, .. } = self.configuration();
        let quorum = match outgoing {
            None => format!("a majority of {voters:?}"),
            Some(outgoing) => format!("majorities of {outgoing:?} and of {voters:?}"),
        };
        let status = self.status();
        match &self.role {
            Role::Follower if !self.may_stand() => format!("{status}: has no vote, and stands by"),
            Role::Follower => match self.leader {
                Some(leader) => format!("{status}: for messages of {leader}"),
                None => format!("{status}: for a leader"),
            },
            Role::PreCandidate { votes } => {
                format!("{status}: for pre-votes of {quorum}, has {votes:?}")
            }
            Role::Candidate { votes, .. } => {
                format!("{status}: for votes of {quorum}, has {votes:?}")
            }
            Role::Leader(leader) => {
                let members = self.configuration().members().without(self.id);
                let matched =
                    |node: NodeId| format!("{node} {}", leader.progress[node.index()].matched);
                let stored: Vec<String> = members.iter().map(matched).collect();
                let reads = leader.reads.len();
                format!(
                    "{status}: for {quorum} to store the rest, has [{}]; {reads} reads wait",
                    stored.join(", ")
                )
            }
        }
    }

    /// One line for people: `leader term 3 log 14 commit 12`.
    pub fn status(&self) -> String {
        let role = match self.role {
            Role::Follower => "follower",
            Role::PreCandidate { .. } => "pre-candidate",
            Role::Candidate { .. } => "candidate",
            Role::Leader(_) => "leader",
        };
        let Self { durable, commit, .. } = self;
        format!("{role} {} log {} commit {commit}", durable.term, durable.log.last_index())
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
}
