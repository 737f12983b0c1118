//! A history of transactions, in columns.
//!
//! Keys and values become small numbers, and every list read becomes a length: reads of one key are
//! prefixes of its longest read unless the system reordered appends, so the longest is stored once
//! and only a read that departs from it is kept in full. A million transactions fit in about 100
//! MB.

use std::fmt;

use rustc_hash::FxHashMap;

use crate::history::{History, Outcome};

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Micro {
    /// Adds `value` to the end of the list at `key`. A value is appended at most once per key.
    Append {
        /// Which list.
        key: u64,
        /// What is added.
        value: u64,
    },
    /// Saw the list at `key` as `values`; the initial list is empty.
    ReadList {
        /// Which list.
        key: u64,
        /// Its elements, oldest first.
        values: Vec<u64>,
    },
    /// Sets the register at `key`. A value is written at most once per key.
    Write {
        /// Which register.
        key: u64,
        /// Its new value.
        value: u64,
    },
    /// Saw the register at `key`.
    Read {
        /// Which register.
        key: u64,
        /// Its value; `None` is the initial state, which nobody wrote.
        value: Option<u64>,
    },
    /// A read whose result never arrived: it carries no information.
    Unread {
        /// Which list or register.
        key: u64,
    },
}

/// What a key holds; one history holds one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// [`Micro::Append`] and [`Micro::ReadList`].
    List,
    /// [`Micro::Write`] and [`Micro::Read`].
    Register,
}

/// Why a history of transactions cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryError {
    /// List and register operations in one history.
    MixedTypes {
        /// Index of the transaction.
        transaction: u32,
    },
    /// A response before its call.
    ReturnsBeforeCall {
        /// Index of the transaction.
        transaction: u32,
    },
    /// A process called again before its last transaction was answered, or went back in time.
    Overlap {
        /// The process.
        process: u32,
        /// Index of the later transaction.
        transaction: u32,
    },
    /// Two transactions, or one twice, wrote the same value to the same key: nobody can tell which
    /// of them a reader saw.
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
    /// More than [`TransactionHistory::MICRO_MAX`] transactions or steps.
    TooLarge,
    /// The checker decides another data type than the history holds.
    WrongType {
        /// What the checker needs.
        needs: DataType,
    },
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MixedTypes { transaction } => {
                write!(f, "T{transaction} mixes lists and registers in one history")
            }
            Self::ReturnsBeforeCall { transaction } => {
                write!(f, "T{transaction} returns before its call")
            }
            Self::Overlap { process, transaction } => {
                write!(f, "process {process} calls T{transaction} before its last ended")
            }
            Self::DuplicateWrite { key, value, first, second } => write!(
                f,
                "value {value} is written to key {key} by T{first} and by T{second}; \
                 values must be unique per key"
            ),
            Self::TooLarge => {
                write!(f, "more than {} steps", TransactionHistory::MICRO_MAX)
            }
            Self::WrongType { needs } => write!(f, "this check needs a history of {needs:?}"),
        }
    }
}

impl std::error::Error for HistoryError {}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    Failed,
    Indeterminate,
}

/// A step with interned key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    pub(crate) key: u32,
    pub(crate) kind: OpKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpKind {
    /// An append or a register write.
    Write(u32),
    /// A read of the first elements of the key's longest list.
    Prefix(u32),
    /// A read that departs from the key's longest list: index into the diverged reads.
    Diverged(u32),
    /// A register read; `None` is the initial state.
    Read(Option<u32>),
    /// Nothing is known.
    Unread,
}

/// Transactions in the order they were pushed; that index names a transaction in every report.
#[derive(Clone, Debug, Default)]
pub struct TransactionHistory {
    pub(crate) process: Vec<u32>,
    pub(crate) call: Vec<u64>,
    /// `u64::MAX` if the transaction never returned.
    pub(crate) returned: Vec<u64>,
    pub(crate) status: Vec<Status>,
    /// Where the steps of a transaction end in `ops`.
    ends: Vec<u32>,
    ops: Vec<Op>,
    pub(crate) names: Names,
    /// The longest list read of each key, among reads that agree with the first ones seen.
    pub(crate) longest: Vec<Vec<u32>>,
    pub(crate) diverged: Vec<Vec<u32>>,
    data_type: Option<DataType>,
    /// When the last transaction of each process ended.
    free_at: FxHashMap<u32, u64>,
}

/// The way from the caller's keys and values to small numbers and back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    keys: Vec<u64>,
    key_of: FxHashMap<u64, u32>,
    /// Values from 2^31 up, which do not name themselves.
    big: Vec<u64>,
    big_of: FxHashMap<u64, u32>,
}

/// Values below this one are stored as they are.
const BIG: u32 = 1 << 31;

impl Names {
    pub(crate) fn key(&self, key: u32) -> u64 {
        self.keys[key as usize]
    }

    pub(crate) fn value(&self, value: u32) -> u64 {
        if value < BIG { u64::from(value) } else { self.big[(value - BIG) as usize] }
    }

    pub(crate) fn keys(&self) -> usize {
        self.keys.len()
    }

    fn intern_key(&mut self, key: u64) -> u32 {
        let next = self.keys.len() as u32;
        *self.key_of.entry(key).or_insert_with(|| {
            self.keys.push(key);
            next
        })
    }

    fn intern_value(&mut self, value: u64) -> u32 {
        if value < u64::from(BIG) {
            return value as u32;
        }
        let next = BIG + self.big.len() as u32;
        *self.big_of.entry(value).or_insert_with(|| {
            self.big.push(value);
            next
        })
    }
}

impl TransactionHistory {
    /// Most transactions, and most steps, that one history may hold.
    pub const MICRO_MAX: usize = 1 << 26;

    /// An empty history.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over a generic history whose inputs are transactions with [`Micro::Unread`] reads and
    /// whose outputs repeat them with what was read.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn from_history(history: &History<Vec<Micro>, Vec<Micro>>) -> Result<Self, HistoryError> {
        let mut transactions = Self::new();
        for operation in &history.operations {
            let (outcome, micros) = match &operation.outcome {
                Outcome::Ok { returned, output } => {
                    (Outcome::Ok { returned: *returned, output: () }, output)
                }
                Outcome::Failed { returned } => {
                    (Outcome::Failed { returned: *returned }, &operation.input)
                }
                Outcome::Indeterminate => (Outcome::Indeterminate, &operation.input),
            };
            transactions.push(operation.client, operation.call, &outcome, micros)?;
        }
        Ok(transactions)
    }

    /// Adds a transaction and returns its index. What a transaction read counts only if its outcome
    /// is `Ok`: nobody else was told.
    ///
    /// # Errors
    /// If times go back, one process overlaps itself, types are mixed, or the history is too large.
    pub fn push(
        &mut self,
        process: u32,
        call: u64,
        outcome: &Outcome<()>,
        micros: &[Micro],
    ) -> Result<u32, HistoryError> {
        let transaction = self.process.len() as u32;
        if Self::MICRO_MAX <= self.ops.len() + micros.len()
            || Self::MICRO_MAX <= self.process.len() + 1
        {
            return Err(HistoryError::TooLarge);
        }
        let (status, returned) = match *outcome {
            Outcome::Ok { returned, .. } => (Status::Ok, returned),
            Outcome::Failed { returned } => (Status::Failed, returned),
            Outcome::Indeterminate => (Status::Indeterminate, u64::MAX),
        };
        if returned < call {
            return Err(HistoryError::ReturnsBeforeCall { transaction });
        }
        self.check_type(transaction, micros)?;
        // An indeterminate transaction frees its process at once: when it ends is not known.
        let free_at = if status == Status::Indeterminate { call } else { returned };
        let before = self.free_at.insert(process, free_at);
        if before.is_some_and(|before| call < before) {
            return Err(HistoryError::Overlap { process, transaction });
        }
        for micro in micros {
            let op = self.intern(micro, status == Status::Ok);
            self.ops.push(op);
        }
        self.process.push(process);
        self.call.push(call);
        self.returned.push(returned);
        self.status.push(status);
        self.ends.push(self.ops.len() as u32);
        Ok(transaction)
    }

    fn check_type(&mut self, transaction: u32, micros: &[Micro]) -> Result<(), HistoryError> {
        for micro in micros {
            let found = match micro {
                Micro::Append { .. } | Micro::ReadList { .. } => DataType::List,
                Micro::Write { .. } | Micro::Read { .. } => DataType::Register,
                Micro::Unread { .. } => continue,
            };
            if *self.data_type.get_or_insert(found) != found {
                return Err(HistoryError::MixedTypes { transaction });
            }
        }
        Ok(())
    }

    fn intern(&mut self, micro: &Micro, told: bool) -> Op {
        let (Micro::Append { key, .. }
        | Micro::ReadList { key, .. }
        | Micro::Write { key, .. }
        | Micro::Read { key, .. }
        | Micro::Unread { key }) = micro;
        let key = self.names.intern_key(*key);
        if self.longest.len() < self.names.keys() {
            self.longest.push(Vec::new());
        }
        let kind = match micro {
            Micro::Append { value, .. } | Micro::Write { value, .. } => {
                OpKind::Write(self.names.intern_value(*value))
            }
            Micro::ReadList { values, .. } if told => self.intern_list(key, values),
            Micro::Read { value, .. } if told => {
                OpKind::Read(value.map(|value| self.names.intern_value(value)))
            }
            Micro::ReadList { .. } | Micro::Read { .. } | Micro::Unread { .. } => OpKind::Unread,
        };
        Op { key, kind }
    }

    fn intern_list(&mut self, key: u32, values: &[u64]) -> OpKind {
        let longest = &mut self.longest[key as usize];
        let names = &mut self.names;
        let shared = longest.len().min(values.len());
        let same = longest.iter().zip(values).all(|(old, new)| names.value(*old) == *new);
        if same {
            longest.extend(values[shared..].iter().map(|value| names.intern_value(*value)));
            return OpKind::Prefix(values.len() as u32);
        }
        let list = values.iter().map(|value| names.intern_value(*value)).collect();
        self.diverged.push(list);
        OpKind::Diverged(self.diverged.len() as u32 - 1)
    }

    /// How many transactions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.process.len()
    }

    /// Whether there is no transaction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.process.is_empty()
    }

    /// How many steps all transactions have together.
    #[must_use]
    pub fn micros(&self) -> usize {
        self.ops.len()
    }

    /// Who ran a transaction. Panics if there is none of that index, as do `call` and `outcome`.
    #[must_use]
    pub fn process(&self, transaction: u32) -> u32 {
        self.process[transaction as usize]
    }

    /// When a transaction was called.
    #[must_use]
    pub fn call(&self, transaction: u32) -> u64 {
        self.call[transaction as usize]
    }

    /// How a transaction ended.
    #[must_use]
    pub fn outcome(&self, transaction: u32) -> Outcome<()> {
        let returned = self.returned[transaction as usize];
        match self.status[transaction as usize] {
            Status::Ok => Outcome::Ok { returned, output: () },
            Status::Failed => Outcome::Failed { returned },
            Status::Indeterminate => Outcome::Indeterminate,
        }
    }

    /// What the keys hold; `None` if no step told.
    #[must_use]
    pub fn data_type(&self) -> Option<DataType> {
        self.data_type
    }

    pub(crate) fn require(&self, needs: DataType) -> Result<(), HistoryError> {
        match self.data_type {
            Some(found) if found != needs => Err(HistoryError::WrongType { needs }),
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn keys(&self) -> usize {
        self.names.keys()
    }

    pub(crate) fn ops(&self, transaction: u32) -> &[Op] {
        let index = transaction as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.ops[start as usize..self.ends[index] as usize]
    }

    /// The elements that a list read saw.
    pub(crate) fn list(&self, op: Op) -> &[u32] {
        match op.kind {
            OpKind::Prefix(len) => &self.longest[op.key as usize][..len as usize],
            OpKind::Diverged(index) => &self.diverged[index as usize],
            OpKind::Write(_) | OpKind::Read(_) | OpKind::Unread => &[],
        }
    }

    /// The steps of a transaction, with the caller's keys and values.
    #[must_use]
    pub fn transaction(&self, transaction: u32) -> Vec<Micro> {
        if self.len() <= transaction as usize {
            return Vec::new();
        }
        self.ops(transaction).iter().map(|op| self.micro(*op)).collect()
    }

    fn micro(&self, op: Op) -> Micro {
        let key = self.names.key(op.key);
        match op.kind {
            OpKind::Write(value) => {
                let value = self.names.value(value);
                match self.data_type {
                    Some(DataType::List) => Micro::Append { key, value },
                    Some(DataType::Register) | None => Micro::Write { key, value },
                }
            }
            OpKind::Prefix(_) | OpKind::Diverged(_) => {
                let values = self.list(op).iter().map(|value| self.names.value(*value)).collect();
                Micro::ReadList { key, values }
            }
            OpKind::Read(value) => {
                Micro::Read { key, value: value.map(|value| self.names.value(value)) }
            }
            OpKind::Unread => Micro::Unread { key },
        }
    }
}
