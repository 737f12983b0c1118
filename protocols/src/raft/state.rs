//! What a server knows (Figure 2, "State"): what survives a crash, what does not, what belongs to a
//! role; and the state machine that the log drives.

use super::lease::Lease;
use super::log::{Body, Entry, Log, LogIndex, Term};
use super::membership::{Configuration, Configurations, NodeSet};
use super::snapshot::{Item, Outgoing, Snapshot};
use super::transfer::Transfer;
use super::{Record, Submission};
use crate::kv;
use seedfall_sim::{ClientId, NodeId, RequestId, StableHasher};
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

/// Persistent state on all servers: forgetting any of it would break an answer given before the
/// crash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Durable {
    /// The latest term seen (`currentTerm`).
    pub(super) term: Term,
    /// Who got this server's vote in that term (`votedFor`).
    pub(super) voted_for: Option<NodeId>,
    /// The entries (`log[]`) after the snapshot.
    pub(super) log: Log,
    /// What replaced the entries before.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    /// The configurations in the log: what it says, kept at hand.
    pub(super) configurations: Configurations,
}

impl Durable {
    /// What the journal says, from its last snapshot on. A torn or lost tail is not there: nobody
    /// was told of it.
    pub(super) fn recover(initial: Configuration, journal: &[Record]) -> Self {
        let mut durable = Self {
            term: Term::default(),
            voted_for: None,
            log: Log::default(),
            snapshot: None,
            configurations: Configurations::new(LogIndex::ZERO, initial),
        };
        let is_snapshot = |record: &Record| matches!(record, Record::Snapshot(_));
        let start = journal.iter().rposition(is_snapshot).unwrap_or(0);
        durable.log.reserve(journal.len() - start);
        for record in &journal[start..] {
            match record {
                Record::Snapshot(checkpoint) => durable = Self::restore(checkpoint),
                Record::Vote { term, voted_for } => {
                    assert!(*term >= durable.term, "the journal goes back to {term}");
                    (durable.term, durable.voted_for) = (*term, *voted_for);
                }
                Record::Truncate { first } => durable.truncate(*first),
                Record::Entry { index, entry } => {
                    let at = durable.push(entry.clone());
                    assert_eq!(at, *index, "the journal skips an entry");
                }
            }
        }
        durable
    }

    /// Adds an entry at the end of the log; says where. Section 6: a configuration is in force from
    /// here on, committed or not.
    pub(super) fn push(&mut self, entry: Entry) -> LogIndex {
        let configuration = entry.configuration().copied();
        let index = self.log.push(entry);
        if let Some(configuration) = configuration {
            self.configurations.push(index, configuration);
        }
        index
    }

    /// Removes the entry at `first` and all that follow. Section 6: their configurations were never
    /// committed, and the one before them is in force again.
    pub(super) fn truncate(&mut self, first: LogIndex) {
        self.log.truncate(first);
        self.configurations.truncate(first);
    }
}

/// What a server is in its term (Figure 4), with what it knows only as that.
#[expect(
    clippy::large_enum_variant,
    reason = "one a server, and a leader looks at it all the time"
)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    Follower,
    /// It asks whether it could win (dissertation 9.6).
    PreCandidate {
        /// Who would vote for it.
        votes: NodeSet,
    },
    Candidate {
        /// Who granted a vote in this term: a set, so that a doubled reply counts once.
        votes: NodeSet,
        /// True if the leader asked it to stand (3.10).
        transfer: bool,
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
    /// The snapshots that followers are being sent.
    pub(super) outgoing: Vec<Option<Outgoing>>,
    /// Who asked for the change of configuration that is under way.
    pub(super) change: Option<RequestId>,
    /// The transfer of leadership that is under way.
    pub(super) transfer: Option<Transfer>,
    /// How long no other server can lead.
    pub(super) lease: Lease,
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Session {
    /// The number of the command. It outlives the session: a command that took effect never does
    /// again.
    pub sequence: u64,
    /// The answer; `None` once the session has expired.
    pub answer: Option<kv::Answer>,
    /// Where the command stands in the log: who was not heard of for longest expires first.
    pub used: LogIndex,
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
    pub(super) fn apply(&mut self, index: LogIndex, entry: &Entry) -> Applied {
        match entry.body() {
            Some(Body::Command(submission)) => self.submit(index, submission),
            Some(Body::Configuration(_)) | None => Applied::Nothing,
        }
    }

    /// Dissertation section 6.3: a command whose number was processed is answered from the session.
    fn submit(&mut self, index: LogIndex, submission: &Submission) -> Applied {
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
        *session = Some(Session { sequence: *sequence, answer: Some(answer), used: index });
        Applied::Fresh
    }

    /// Dissertation 6.3: servers must agree on which session expires, so the log alone decides: of
    /// more than `most`, the one whose latest command is the oldest. Says whether one did.
    pub(super) fn expire(&mut self, most: usize) -> bool {
        let open = |session: &&mut Session| session.answer.is_some();
        let count = self.sessions.iter_mut().flatten().filter(open).count();
        let sessions = self.sessions.iter_mut().flatten().filter(open);
        match sessions.min_by_key(|session| session.used) {
            Some(oldest) if count > most => {
                oldest.answer = None;
                true
            }
            _ => false,
        }
    }

    /// All of it, as the items of a snapshot.
    pub(super) fn items(&self) -> Vec<Item> {
        let pairs = self.store.iter().map(|(key, value)| Item::Pair(key.clone(), value.clone()));
        let sessions = self.sessions.iter().enumerate().filter_map(|(client, session)| {
            Some(Item::Session(ClientId::new(client as u16), session.clone()?))
        });
        pairs.chain(sessions).collect()
    }

    /// The state machine of a snapshot.
    pub(super) fn restore(snapshot: &Snapshot) -> Self {
        let mut machine = Self { digest: snapshot.head.answers, ..Self::default() };
        for item in &snapshot.items {
            match item {
                Item::Pair(key, value) => {
                    let (key, value) = (key.clone(), value.clone());
                    machine.store.apply(&kv::Command::Put { key, value });
                }
                Item::Session(client, session) => {
                    machine.sessions.resize(client.index() + 1, None);
                    machine.sessions[client.index()] = Some(session.clone());
                }
            }
        }
        machine
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

    /// The sessions of all clients, by their numbers.
    pub(super) fn sessions(&self) -> impl Iterator<Item = Option<&Session>> {
        self.sessions.iter().map(Option::as_ref)
    }
}
