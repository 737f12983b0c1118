//! What servers send each other and write down, and what clients ask and are told.

use super::log::{Entries, Entry, LogIndex, Term};
use super::membership::Change;
use super::snapshot::{Checkpoint, Chunk};
use crate::kv;
use seedfall_sim::{ClientId, NodeId};
use std::sync::Arc;

/// What servers send each other (Figures 2 and 13; dissertation 3.10 and 9.6).
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
        /// The leader itself asked for this election (dissertation 3.10): stickiness does not
        /// apply.
        transfer: bool,
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
    /// The answer, and that to [`InstallSnapshot`](Message::InstallSnapshot).
    AppendReply {
        /// The follower's term.
        term: Term,
        /// What became of the entries.
        outcome: Outcome,
        /// The round of the message that is answered.
        round: u64,
    },
    /// The leader sends a part of its snapshot to a follower whose next entry is gone.
    InstallSnapshot {
        /// The leader's term.
        term: Term,
        /// The part.
        chunk: Arc<Chunk>,
        /// The leader's latest round of heartbeats.
        round: u64,
    },
    /// A server asks whether it could win an election.
    PreVote {
        /// Its term, which an election would raise by one.
        term: Term,
        /// Where its log ends.
        last_log_index: LogIndex,
        /// The term of its last entry.
        last_log_term: Term,
    },
    /// The answer.
    PreVoteReply {
        /// The voter's term.
        term: Term,
        /// True if it would vote so.
        granted: bool,
    },
    /// The leader asks a follower to stand for election at once.
    TimeoutNow {
        /// The leader's term.
        term: Term,
    },
}

/// What became of an [`AppendEntries`](Message::AppendEntries) or an
/// [`InstallSnapshot`](Message::InstallSnapshot).
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
    /// The follower holds a part of a snapshot, in memory.
    Chunk {
        /// The last entry that the snapshot covers.
        last_index: LogIndex,
        /// How many of its items are there: where the next chunk begins.
        items: usize,
    },
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
    /// All that is durable, in one record: whatever stands before it is not needed any more.
    Snapshot(Arc<Checkpoint>),
}

/// What a client asks. The session is that of [`RequestId::client`](seedfall_sim::RequestId).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Request {
    /// Something of the store.
    Command {
        /// The number of the command in its client's session: equal in a retry, higher in the next
        /// command. Reads do not use it.
        sequence: u64,
        /// What the client wants.
        command: kv::Command,
    },
    /// Another configuration (section 6). May be repeated freely: what is asked for is a state.
    Reconfigure(Change),
    /// Another leader (dissertation 3.10). May be repeated freely.
    Transfer {
        /// Who shall lead.
        to: NodeId,
    },
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
    /// The configuration that was asked for is in force, and committed.
    Reconfigured,
    /// The server that was asked for leads: it says so itself.
    Leads,
    /// The leader does not do this now: another change or transfer is under way, it has not yet
    /// committed an entry of its term, or what was asked for makes no sense.
    Refused,
    /// The command took effect once, and its session has expired: the answer is forgotten.
    Expired,
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

impl Message {
    /// The term of its sender.
    pub fn term(&self) -> Term {
        match self {
            Self::RequestVote { term, .. }
            | Self::VoteReply { term, .. }
            | Self::AppendEntries { term, .. }
            | Self::AppendReply { term, .. }
            | Self::InstallSnapshot { term, .. }
            | Self::PreVote { term, .. }
            | Self::PreVoteReply { term, .. }
            | Self::TimeoutNow { term } => *term,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every event moves these about.
    #[test]
    fn what_travels_is_small() {
        assert_eq!(size_of::<Message>(), 64);
        assert_eq!(size_of::<Entry>(), 16);
        assert_eq!(size_of::<Record>(), 32);
    }
}
