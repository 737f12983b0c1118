//! What a site writes down (the book's "DT log", 7.4), and what it makes of it when it comes back.

use super::coordinator::{Outcome, Reason, Session};
use super::{Decision, Life, Presumption, TransactionId};
use crate::kv::{self, Text};
use seedfall_sim::{ClientId, NodeId, SortedMap, SortedSet};

/// A record of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// The site has started. Forced.
    Started {
        /// Its new life.
        life: Life,
    },
    /// Coordinator, presumed commit only: votes will be asked for. Forced: to know nothing of it
    /// would mean that it is committed.
    Collecting {
        /// On which transaction.
        transaction: TransactionId,
        /// Who may come to be in doubt.
        updaters: Vec<NodeId>,
    },
    /// Coordinator: committed. Forced; this is the moment of decision.
    Committed {
        /// Which transaction.
        transaction: TransactionId,
        /// Who must be told.
        updaters: Vec<NodeId>,
        /// Who asked.
        client: ClientId,
        /// Its number there.
        sequence: u64,
        /// What the client is told.
        answers: Vec<kv::Answer>,
    },
    /// Coordinator: aborted. Forced before the client is told; nobody else needs it.
    Aborted {
        /// Which transaction.
        transaction: TransactionId,
        /// Who asked.
        client: ClientId,
        /// Its number there.
        sequence: u64,
    },
    /// Coordinator: everybody has acknowledged. Not forced: without it they are told again.
    Ended {
        /// Which transaction.
        transaction: TransactionId,
    },
    /// Participant: it votes yes. Forced before the vote leaves.
    Prepared {
        /// On which transaction.
        transaction: TransactionId,
        /// Whom to ask in doubt, besides the coordinator.
        updaters: Vec<NodeId>,
        /// What each key holds after the transaction; `None`: nothing.
        writes: Writes,
    },
    /// Participant: it was told. Forced if it is to be acknowledged.
    Decided {
        /// Which transaction.
        transaction: TransactionId,
        /// What.
        decision: Decision,
    },
}

/// What keys hold after a transaction; `None`: nothing.
pub type Writes = Vec<(Text, Option<Text>)>;

/// A participant's yes, and what it takes to keep it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Prepared {
    /// Whom to ask in doubt, besides the coordinator.
    pub(super) updaters: Vec<NodeId>,
    /// What to write if it commits.
    pub(super) writes: Writes,
}

/// A decision that has to be told until all have acknowledged it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Notice {
    /// What.
    pub(super) decision: Decision,
    /// Who has not acknowledged it.
    pub(super) missing: SortedSet<NodeId>,
}

/// Everything that a site knows when it comes back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recovered {
    pub(super) life: Life,
    pub(super) sessions: SortedMap<ClientId, Session>,
    pub(super) notices: SortedMap<TransactionId, Notice>,
    pub(super) store: kv::Store,
    pub(super) prepared: SortedMap<TransactionId, Prepared>,
    pub(super) decided: SortedMap<TransactionId, Decision>,
}

impl Recovered {
    /// Reads a journal. What is missing at its end was told to nobody.
    pub(super) fn read(journal: &[Record], presumption: Presumption) -> Self {
        let mut site = Self::default();
        for record in journal {
            site.replay(record.clone(), presumption);
        }
        site
    }

    fn replay(&mut self, record: Record, presumption: Presumption) {
        match record {
            Record::Started { life } => {
                assert!(life > self.life, "the journal goes back to life {life}");
                self.life = life;
            }
            Record::Collecting { transaction, updaters } => {
                // Until more is found: nothing noted means abort, and who may be in doubt must hear
                // of it, or would presume a commit.
                self.notice(transaction, Decision::Abort, updaters);
            }
            Record::Committed { transaction, updaters, client, sequence, answers } => {
                let outcome = Outcome::Committed(answers);
                self.session(client, sequence, transaction, &updaters, outcome);
                match presumption {
                    Presumption::Abort => self.notice(transaction, Decision::Commit, updaters),
                    // Whoever asks will be told without it.
                    Presumption::Commit => drop(self.notices.remove(&transaction)),
                }
            }
            Record::Aborted { transaction, client, sequence } => {
                let outcome = Outcome::Aborted(Reason::Recovered);
                self.session(client, sequence, transaction, &[], outcome);
            }
            Record::Ended { transaction } => drop(self.notices.remove(&transaction)),
            Record::Prepared { transaction, updaters, writes } => {
                self.prepared.insert(transaction, Prepared { updaters, writes });
            }
            Record::Decided { transaction, decision } => {
                let prepared = self.prepared.remove(&transaction);
                let prepared = prepared.expect("only what was prepared is decided here");
                if decision == Decision::Commit {
                    install(&mut self.store, prepared.writes);
                }
                self.decided.insert(transaction, decision);
            }
        }
    }

    fn notice(&mut self, transaction: TransactionId, decision: Decision, updaters: Vec<NodeId>) {
        let missing = updaters.into_iter().collect();
        self.notices.insert(transaction, Notice { decision, missing });
    }

    /// A client that gave up a request may have asked for the next before the first was over.
    fn session(
        &mut self,
        client: ClientId,
        sequence: u64,
        transaction: TransactionId,
        updaters: &[NodeId],
        outcome: Outcome,
    ) {
        if self.sessions.get(&client).is_none_or(|known| known.sequence <= sequence) {
            let updaters = updaters.to_vec();
            self.sessions.insert(client, Session { sequence, transaction, updaters, outcome });
        }
    }
}

/// Carries out what a committed transaction writes.
pub(super) fn install(store: &mut kv::Store, writes: Writes) {
    for (key, value) in writes {
        store.apply(&match value {
            Some(value) => kv::Command::Put { key, value },
            None => kv::Command::Delete { key },
        });
    }
}
