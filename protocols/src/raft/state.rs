//! What a server knows (Figure 2, "State"): what survives a crash, what does not, what belongs to a
//! role; and the state machine that the log drives.

use super::log::{Entry, Log, LogIndex, Payload, Term};
use super::{Record, Submission};
use crate::kv;
use seedfall_sim::{ClientId, NodeId, RequestId, StableHasher};
use std::cmp::Ordering;
use std::collections::VecDeque;

/// Persistent state on all servers: forgetting any of it would break an answer given before the
/// crash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Durable {
    /// The latest term seen (`currentTerm`).
    pub(super) term: Term,
    /// Who got this server's vote in that term (`votedFor`).
    pub(super) voted_for: Option<NodeId>,
    /// The entries (`log[]`).
    pub(super) log: Log,
}

impl Durable {
    /// What the journal says. A torn or lost tail is not there: nobody was told of it.
    pub(super) fn recover(journal: &[Record]) -> Self {
        let mut durable = Self::default();
        for record in journal {
            match record {
                Record::Vote { term, voted_for } => {
                    assert!(*term >= durable.term, "the journal goes back to {term}");
                    (durable.term, durable.voted_for) = (*term, *voted_for);
                }
                Record::Truncate { first } => durable.log.truncate(*first),
                Record::Entry { index, entry } => {
                    let at = durable.log.push(entry.clone());
                    assert_eq!(at, *index, "the journal skips an entry");
                }
            }
        }
        durable
    }
}

/// What a server is in its term (Figure 4), with what it knows only as that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    Follower,
    Candidate {
        /// Who granted a vote in this term: a set, so that a doubled reply counts once.
        votes: Vec<NodeId>,
    },
    Leader(Leader),
}

/// Volatile state on leaders, begun anew by every election.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leader {
    /// One for every server; the leader's own is not used.
    pub(super) progress: Vec<Progress>,
    /// The first entry of this leadership, a no-op: once it is committed, so is all before it.
    pub(super) first: LogIndex,
    /// Who waits for which entry, in the order of the log.
    pub(super) writes: VecDeque<(LogIndex, RequestId)>,
    /// Reads that wait, in the order of their arrival.
    pub(super) reads: VecDeque<Read>,
    /// The latest round of heartbeats. Every append carries its number, every reply brings it back.
    pub(super) round: u64,
}

/// What a leader knows of one follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Progress {
    /// The next entry to send (`nextIndex`): a guess, corrected by rejections.
    pub(super) next: LogIndex,
    /// Up to here the logs are known to agree (`matchIndex`).
    pub(super) matched: LogIndex,
    /// The latest round that the follower answered.
    pub(super) round: u64,
}

/// A read that waits (dissertation section 6.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Read {
    /// Who asks.
    pub(super) request: RequestId,
    /// What.
    pub(super) command: kv::Command,
    /// The state machine must have come this far (`readIndex`).
    pub(super) index: LogIndex,
    /// A majority must have answered this round or a later one.
    pub(super) round: u64,
}

/// What the log drives: the store, and the sessions that make a retried command take effect once.
///
/// Both are functions of the applied entries alone, so they are equal on all servers that applied
/// as many (dissertation section 6.3: a session table beside the state machine would be forgotten
/// with the leader).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Machine {
    store: kv::Store,
    /// By the number of the client.
    sessions: Vec<Option<Session>>,
    digest: u64,
}

/// What is remembered of a client: its latest command, and what it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// The number of the command.
    pub sequence: u64,
    /// The answer.
    pub answer: kv::Answer,
}

/// How an entry was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// It was no command.
    Nothing,
    /// It took effect; the answer is in its client's session.
    Fresh,
    /// It had taken effect before; what it was answered then is in its client's session.
    Duplicate,
    /// Its client has moved on: nobody waits for the answer, and it was forgotten.
    Stale,
}

impl Machine {
    /// Applies the next committed entry.
    pub(super) fn apply(&mut self, entry: &Entry) -> Applied {
        match &entry.payload {
            Payload::NoOp => Applied::Nothing,
            Payload::Command(submission) => self.submit(submission),
        }
    }

    /// Dissertation section 6.3: a command whose number was processed is answered from the session.
    fn submit(&mut self, submission: &Submission) -> Applied {
        let Submission { client, sequence, command } = submission;
        if self.sessions.len() <= client.index() {
            self.sessions.resize(client.index() + 1, None);
        }
        let session = &mut self.sessions[client.index()];
        if let Some(session) = session {
            match sequence.cmp(&session.sequence) {
                Ordering::Less => return Applied::Stale,
                Ordering::Equal => return Applied::Duplicate,
                Ordering::Greater => {}
            }
        }
        let answer = self.store.apply(command);
        self.digest = StableHasher::hash(&(self.digest, &answer));
        *session = Some(Session { sequence: *sequence, answer });
        Applied::Fresh
    }

    /// Answers a read: the store stays as it is.
    pub(super) fn read(&self, command: &kv::Command) -> kv::Answer {
        assert!(command.is_read(), "{command:?} goes through the log");
        kv::Answer::Value(self.store.get(command.key()).cloned())
    }

    /// The store.
    pub fn store(&self) -> &kv::Store {
        &self.store
    }

    /// The session of a client, from its first applied command on.
    pub fn session(&self, client: ClientId) -> Option<&Session> {
        self.sessions.get(client.index())?.as_ref()
    }

    /// A digest of everything ever answered: equal on two servers that applied the same entries.
    pub fn digest(&self) -> u64 {
        self.digest
    }
}
