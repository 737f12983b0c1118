//! What a service keeps: accounts, and a book of everything that landed on them, under the key that
//! makes a repeated request harmless.
//!
//! The book is the state: balances, tombstones and pending accounts follow from its entries, which
//! are also what the journal holds. Each function here says what is to be written; nothing has
//! changed until that is [entered](Ledger::enter).

use super::{Config, Isolation, Kind, SagaId, Step, StepIndex};
use crate::kv::Text;
use seedfall_sim::{SortedMap, SortedSet};

/// One line of the book.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Entry {
    /// A step took place.
    Effect {
        /// Of which saga.
        saga: SagaId,
        /// Which.
        index: StepIndex,
        /// What it is.
        step: Step,
    },
    /// It was compensated.
    Compensation {
        /// Of which saga.
        saga: SagaId,
        /// Which.
        index: StepIndex,
        /// What is taken back.
        step: Step,
    },
    /// It did not take place and never will: a refusal, or a tombstone.
    Cancelled {
        /// Of which saga.
        saga: SagaId,
        /// Which.
        index: StepIndex,
    },
    /// The saga has passed its pivot, and its effects are there to stay.
    Settled {
        /// Which.
        saga: SagaId,
    },
}

/// What the book says of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It took place.
    Done,
    /// It took place, and was compensated.
    Compensated,
    /// It never will.
    Cancelled,
}

/// The accounts of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    book: Vec<Entry>,
    /// What was added to each account since the beginning.
    changes: SortedMap<Text, i64>,
    fates: SortedMap<(SagaId, StepIndex), Fate>,
    /// Accounts with an effect that may still be compensated, and whose.
    pending: SortedSet<(Text, SagaId, StepIndex)>,
}

impl Ledger {
    /// The accounts after all these entries.
    pub fn of<'a>(book: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut ledger = Self::default();
        book.into_iter().for_each(|entry| ledger.enter(entry.clone()));
        ledger
    }

    /// Everything that landed, in order.
    pub fn book(&self) -> &[Entry] {
        &self.book
    }

    /// What is known of a step.
    pub fn fate(&self, saga: SagaId, index: StepIndex) -> Option<Fate> {
        self.fates.get(&(saga, index)).copied()
    }

    /// What was added to all accounts since the beginning.
    pub fn change(&self) -> i64 {
        self.changes.values().sum()
    }

    /// The effects on an account that stand, in the order in which they landed.
    pub fn standing(&self, account: &str) -> Vec<(SagaId, i64)> {
        let effects = self.book.iter().filter_map(|entry| match entry {
            Entry::Effect { saga, index, step } if step.account == account => {
                let stands = self.fate(*saga, *index) == Some(Fate::Done);
                stands.then_some((*saga, step.amount))
            }
            _ => None,
        });
        effects.collect()
    }

    /// True if there is an effect on the account that may still be compensated.
    pub fn is_pending(&self, account: &str) -> bool {
        self.pending.iter().any(|(pending, ..)| pending == account)
    }

    /// True if the saga has an effect here that may still be compensated.
    pub fn holds(&self, saga: SagaId) -> bool {
        self.pending.iter().any(|(_, holder, _)| *holder == saga)
    }

    /// What becomes of a step that was not asked for before.
    pub fn attempt(
        &self,
        saga: SagaId,
        index: StepIndex,
        step: &Step,
        config: &Config,
    ) -> (Entry, Verdict) {
        assert!(self.fate(saga, index).is_none(), "a step is attempted once");
        let effect = Entry::Effect { saga, index, step: step.clone() };
        if step.kind == Kind::Retriable {
            return (effect, Verdict::Done);
        }
        let cancelled = Entry::Cancelled { saga, index };
        let of_another = |(account, holder, _): &(Text, SagaId, StepIndex)| {
            *account == step.account && *holder != saga
        };
        let is_locked = config.isolation == Isolation::SemanticLock;
        if is_locked && self.pending.iter().any(of_another) {
            return (cancelled, Verdict::Pending);
        }
        let balance = config.opening + self.changes.get(&step.account).unwrap_or(&0);
        if (0..=config.ceiling).contains(&(balance + step.amount)) {
            (effect, Verdict::Done)
        } else {
            (cancelled, Verdict::OutOfBounds)
        }
    }

    /// What becomes of a compensation; `None`: it was written before. A step that was not asked for
    /// yet is cancelled, so that it comes to nothing if it is.
    pub fn compensate(&self, saga: SagaId, index: StepIndex, step: &Step) -> Option<Entry> {
        match self.fate(saga, index) {
            Some(Fate::Done) => Some(Entry::Compensation { saga, index, step: step.clone() }),
            Some(Fate::Compensated | Fate::Cancelled) => None,
            None => Some(Entry::Cancelled { saga, index }),
        }
    }

    /// Writes an entry into the book.
    pub fn enter(&mut self, entry: Entry) {
        match &entry {
            Entry::Effect { saga, index, step } => {
                *self.changes.entry(step.account.clone()).or_default() += step.amount;
                self.fates.insert((*saga, *index), Fate::Done);
                if step.kind == Kind::Compensatable {
                    self.pending.insert((step.account.clone(), *saga, *index));
                }
            }
            Entry::Compensation { saga, index, step } => {
                *self.changes.entry(step.account.clone()).or_default() -= step.amount;
                self.fates.insert((*saga, *index), Fate::Compensated);
                self.pending.remove(&(step.account.clone(), *saga, *index));
            }
            Entry::Cancelled { saga, index } => {
                self.fates.insert((*saga, *index), Fate::Cancelled);
            }
            Entry::Settled { saga } => self.pending.retain(|(_, holder, _)| holder != saga),
        }
        self.book.push(entry);
    }
}

/// What a service says to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It took place.
    Done,
    /// The balance would leave its bounds.
    OutOfBounds,
    /// The account has an effect of another saga that may still be compensated.
    Pending,
}
