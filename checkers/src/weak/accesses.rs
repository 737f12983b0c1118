//! Reads and writes of registers, sorted out once for all models of this room.

use rustc_hash::FxHashMap;

use crate::history::{History, HistoryError, Outcome, Validation};
use crate::report::Report;
use crate::transactions::{self, Micro, TransactionHistory};

/// What a client asks of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read the register at `key`. The output is its value, `None` if nobody wrote it yet.
    Read {
        /// Which register.
        key: u64,
    },
    /// Set the register at `key`. The output is `None`.
    Write {
        /// Which register.
        key: u64,
        /// The new value; no value is written twice to one key.
        value: u64,
    },
}

impl Access {
    /// Which register.
    #[must_use]
    pub const fn key(self) -> u64 {
        match self {
            Self::Read { key } | Self::Write { key, .. } => key,
        }
    }
}

/// A history of reads and writes of registers that start empty.
pub type RegisterHistory = History<Access, Option<u64>>;

/// A history of which these models can say nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Two operations wrote one value to one key: nobody can tell which of them a reader saw.
    DuplicateWrite {
        /// The key.
        key: u64,
        /// The value.
        value: u64,
        /// Index of one writer.
        first: u32,
        /// Index of the other.
        second: u32,
    },
    /// No recorder can have produced it.
    Malformed(HistoryError),
}

impl Refused {
    /// The index of the operation at fault.
    #[must_use]
    pub fn operation(&self) -> usize {
        match self {
            Self::DuplicateWrite { second, .. } => *second as usize,
            Self::Malformed(error) => error.operation(),
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DuplicateWrite { key, value, first, second } => write!(
                f,
                "operations #{first} and #{second} both write {value} to key {key}; values must be \
                 unique per key"
            ),
            Self::Malformed(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Refused {}

/// What an operation did, for the models here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A read from the operation of that index; `None` is the initial state.
    Read(Option<u32>),
    /// A write that certainly happened, or that somebody saw.
    Write,
    /// A read that told nothing, a failed operation, or a write that nobody saw and nobody
    /// confirmed.
    Nothing,
}

/// Operations that count, with what each read read from.
#[derive(Debug)]
pub(crate) struct Accesses<'h> {
    pub(crate) history: &'h RegisterHistory,
    pub(crate) roles: Vec<Role>,
    /// Key of each operation, counted from 0 in order of appearance.
    pub(crate) key: Vec<u32>,
    pub(crate) keys: usize,
    /// Reads of values that nobody wrote, or that failed.
    pub(crate) strange: Vec<u32>,
}

impl<'h> Accesses<'h> {
    /// Sorts a history out; a read of a value that nobody wrote is noted as `thin-air-read` and
    /// counts no further.
    pub(crate) fn new(history: &'h RegisterHistory, report: &mut Report) -> Result<Self, Refused> {
        let mut validation = Validation::default();
        let mut writer: FxHashMap<(u64, u64), u32> = FxHashMap::default();
        let mut key_of: FxHashMap<u64, u32> = FxHashMap::default();
        let mut key = Vec::with_capacity(history.operations.len());
        let mut roles = vec![Role::Nothing; history.operations.len()];
        for (index, operation) in (0u32..).zip(&history.operations) {
            validation
                .next(operation.client, operation.call, operation.outcome.returned())
                .map_err(Refused::Malformed)?;
            let next = key_of.len() as u32;
            key.push(*key_of.entry(operation.input.key()).or_insert(next));
            if let Access::Write { key, value } = operation.input {
                if let Some(first) = writer.insert((key, value), index) {
                    return Err(Refused::DuplicateWrite { key, value, first, second: index });
                }
                if matches!(operation.outcome, Outcome::Ok { .. }) {
                    roles[index as usize] = Role::Write;
                }
            }
        }
        let keys = key_of.len();
        let mut strange = Vec::new();
        for (index, operation) in (0u32..).zip(&history.operations) {
            let (Access::Read { key }, Outcome::Ok { output, .. }) =
                (operation.input, &operation.outcome)
            else {
                continue;
            };
            report.examined += 1;
            let Some(value) = output else {
                roles[index as usize] = Role::Read(None);
                continue;
            };
            let source = writer.get(&(key, *value)).copied();
            if source.is_none_or(|source| failed(history, source)) {
                strange.push(index);
            }
            match source {
                Some(source) if !failed(history, source) => {
                    roles[index as usize] = Role::Read(Some(source));
                    roles[source as usize] = Role::Write;
                }
                Some(source) => report.note("thin-air-read", &[index, source], || {
                    format!(
                        "operation #{index} read {value}, which #{source} wrote, and that failed"
                    )
                }),
                None => report.note("thin-air-read", &[index], || {
                    format!("operation #{index} read {value} from key {key}, which nobody wrote")
                }),
            }
        }
        Ok(Self { history, roles, key, keys, strange })
    }

    pub(crate) fn len(&self) -> u32 {
        self.roles.len() as u32
    }

    pub(crate) fn call(&self, index: u32) -> u64 {
        self.history.operations[index as usize].call
    }

    /// When an operation ended; `u64::MAX` if it may still go on.
    pub(crate) fn returned(&self, index: u32) -> u64 {
        self.history.operations[index as usize].outcome.returned().unwrap_or(u64::MAX)
    }

    pub(crate) fn is_indeterminate(&self, index: u32) -> bool {
        matches!(self.history.operations[index as usize].outcome, Outcome::Indeterminate)
    }

    pub(crate) fn client(&self, index: u32) -> u32 {
        self.history.operations[index as usize].client
    }

    /// Operations that count.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.len()).filter(|index| self.roles[*index as usize] != Role::Nothing)
    }

    /// Reads of a key, each with its source, and writes of it.
    pub(crate) fn by_key(&self) -> Vec<KeyAccesses> {
        let mut rows = vec![KeyAccesses::default(); self.keys];
        for index in self.indices() {
            let row = &mut rows[self.key[index as usize] as usize];
            match self.roles[index as usize] {
                Role::Read(source) => row.reads.push((index, source)),
                Role::Write => row.writes.push(index),
                Role::Nothing => {}
            }
        }
        rows
    }

    /// The operations of each client in the order of their calls, clients by first appearance.
    ///
    /// An indeterminate write may take effect after its client went on, so it ends a row of its
    /// own: the operations before it are its past, and it is in the past of none by session order.
    pub(crate) fn sessions(&self) -> Vec<Session> {
        let mut place: FxHashMap<u32, usize> = FxHashMap::default();
        let mut rows: Vec<Session> = Vec::new();
        let mut order: Vec<u32> = self.indices().collect();
        order.sort_by_key(|index| self.call(*index));
        let mut detached: Vec<Session> = Vec::new();
        for index in order {
            let at = *place.entry(self.client(index)).or_insert_with(|| {
                rows.push(Session::default());
                rows.len() - 1
            });
            if self.is_indeterminate(index) {
                let after = rows[at].operations.last().copied();
                detached.push(Session { operations: vec![index], after });
            } else {
                rows[at].operations.push(index);
            }
        }
        rows.extend(detached);
        rows.retain(|row| !row.operations.is_empty());
        rows
    }
}

impl Accesses<'_> {
    /// Each operation as a transaction of its own, in the order of calls, and which operation each
    /// one is. Times are places in that order: only session order is kept.
    pub(crate) fn transactions(
        &self,
    ) -> Result<(TransactionHistory, Vec<u32>), transactions::HistoryError> {
        let mut order: Vec<u32> = self.indices().collect();
        order.sort_by_key(|index| self.call(*index));
        let mut transactions = TransactionHistory::new();
        for (at, &index) in (0u64..).zip(&order) {
            let operation = &self.history.operations[index as usize];
            let (outcome, micro) = match (operation.input, &operation.outcome) {
                (Access::Write { key, value }, Outcome::Indeterminate) => {
                    (Outcome::Indeterminate, Micro::Write { key, value })
                }
                (Access::Write { key, value }, _) => {
                    (Outcome::Ok { returned: at, output: () }, Micro::Write { key, value })
                }
                (Access::Read { key }, outcome) => {
                    let value = outcome.output().copied().flatten();
                    (Outcome::Ok { returned: at, output: () }, Micro::Read { key, value })
                }
            };
            transactions.push(operation.client, at, &outcome, &[micro])?;
        }
        Ok((transactions, order))
    }
}

fn failed(history: &RegisterHistory, index: u32) -> bool {
    matches!(history.operations[index as usize].outcome, Outcome::Failed { .. })
}

/// What happened to one key.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyAccesses {
    /// Reads, and where each read from.
    pub(crate) reads: Vec<(u32, Option<u32>)>,
    pub(crate) writes: Vec<u32>,
}

/// Operations in session order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    pub(crate) operations: Vec<u32>,
    /// The operation of another row that precedes the first of this one.
    pub(crate) after: Option<u32>,
}
