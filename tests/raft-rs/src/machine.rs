//! What the log drives: a key-value store, and the sessions by which a repeated command takes
//! effect once (Ongaro's dissertation, 6.3). raft-rs orders entries and leaves this to its users.

use seedfall::sim::{ClientId, StableHasher};
use seedfall_protocols::kv::{Answer, Command, Store, Text};
use seedfall_protocols::raft::Submission;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The store and the sessions.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    store: Store,
    sessions: BTreeMap<u16, Session>,
    digest: u64,
}

/// A client's latest command, and what it was answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    /// The number of the command.
    pub sequence: u64,
    /// What it was answered.
    pub answer: Answer,
}

/// How a command was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It took effect; this is the answer.
    Fresh(Answer),
    /// It had taken effect before; this was the answer.
    Duplicate(Answer),
    /// Its client has moved on, and waits for nothing.
    Stale,
}

/// A machine as it travels in a snapshot, with the digest of the log that led to it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Image {
    /// The digest of the log up to the snapshot.
    pub log: u64,
    pairs: Vec<(Text, Text)>,
    sessions: Vec<(u16, Session)>,
    digest: u64,
}

impl Machine {
    /// Applies the next committed command.
    pub fn submit(&mut self, submission: &Submission) -> Applied {
        let Submission { client, sequence, command } = submission;
        if let Some(session) = self.session(*client) {
            match sequence.cmp(&session.sequence) {
                Ordering::Less => return Applied::Stale,
                Ordering::Equal => return Applied::Duplicate(session.answer.clone()),
                Ordering::Greater => {}
            }
        }
        let answer = self.store.apply(command);
        self.digest = StableHasher::hash(&(self.digest, &answer));
        let session = Session { sequence: *sequence, answer: answer.clone() };
        self.sessions.insert(client.index() as u16, session);
        Applied::Fresh(answer)
    }

    /// Answers a read.
    pub fn read(&self, command: &Command) -> Answer {
        assert!(command.is_read(), "{command:?} goes through the log");
        Answer::Value(self.store.get(command.key()).cloned())
    }

    /// The session of a client, from its first applied command on.
    pub fn session(&self, client: ClientId) -> Option<&Session> {
        self.sessions.get(&(client.index() as u16))
    }

    /// A digest of everything ever answered: equal on servers that applied the same entries.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// All of it, for a snapshot behind a log of this digest.
    pub fn image(&self, log: u64) -> Image {
        let pairs = self.store.iter().map(|(key, value)| (key.clone(), value.clone()));
        let sessions = self.sessions.iter().map(|(client, session)| (*client, session.clone()));
        Image { log, pairs: pairs.collect(), sessions: sessions.collect(), digest: self.digest }
    }
}

impl From<Image> for Machine {
    fn from(image: Image) -> Self {
        let mut store = Store::default();
        for (key, value) in image.pairs {
            store.apply(&Command::Put { key, value });
        }
        Self { store, sessions: image.sessions.into_iter().collect(), digest: image.digest }
    }
}
