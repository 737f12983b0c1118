//! Who wrote what: from (key, value) to the transaction, and which transactions count.

use crate::transactions::history::{HistoryError, OpKind, Status, TransactionHistory};

/// All writes, grouped by key and sorted by value within a key. Sorted rows instead of a hash map:
/// a quarter of the memory, and neighbours in time are neighbours here.
#[derive(Debug)]
pub(crate) struct Writes {
    starts: Vec<u32>,
    rows: Vec<Row>,
}

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) value: u32,
    /// The transaction, and in the highest bit whether it overwrote this itself.
    packed: u32,
}

const INTERMEDIATE: u32 = 1 << 31;

impl Row {
    pub(crate) fn transaction(self) -> u32 {
        self.packed & !INTERMEDIATE
    }

    /// Whether this write is overwritten by its own transaction.
    pub(crate) fn is_intermediate(self) -> bool {
        self.packed & INTERMEDIATE != 0
    }
}

impl Writes {
    pub(crate) fn new(history: &TransactionHistory) -> Result<Self, HistoryError> {
        let mut starts = vec![0u32; history.keys() + 1];
        each_write(history, |key, _, _| starts[key as usize + 1] += 1);
        for key in 0..history.keys() {
            starts[key + 1] += starts[key];
        }
        let mut next = starts.clone();
        let mut rows = vec![Row { value: 0, packed: 0 }; starts[history.keys()] as usize];
        each_write(history, |key, value, transaction| {
            let at = next[key as usize] as usize;
            // Rows of a key are filled transaction by transaction, so its last write is right here.
            if starts[key as usize] < next[key as usize] && rows[at - 1].packed == transaction {
                rows[at - 1].packed |= INTERMEDIATE;
            }
            rows[at] = Row { value, packed: transaction };
            next[key as usize] += 1;
        });
        for key in 0..history.keys() {
            let rows = &mut rows[starts[key] as usize..starts[key + 1] as usize];
            if !rows.is_sorted() {
                rows.sort_unstable();
            }
            if let Some(pair) = rows.windows(2).find(|pair| pair[0].value == pair[1].value) {
                return Err(HistoryError::DuplicateWrite {
                    key: history.names.key(key as u32),
                    value: history.names.value(pair[0].value),
                    first: pair[0].transaction(),
                    second: pair[1].transaction(),
                });
            }
        }
        Ok(Self { starts, rows })
    }

    pub(crate) fn of_key(&self, key: u32) -> &[Row] {
        let start = self.starts[key as usize] as usize;
        &self.rows[start..self.starts[key as usize + 1] as usize]
    }

    /// The place of a write among all writes.
    pub(crate) fn find(&self, key: u32, value: u32) -> Option<usize> {
        let rows = self.of_key(key);
        let start = self.starts[key as usize] as usize;
        let (first, last) = (rows.first()?.value, rows.last()?.value);
        if value < first || last < value {
            return None;
        }
        // Values counted up per key are the common case: no search.
        if (last - first) as usize == rows.len() - 1 {
            return Some(start + (value - first) as usize);
        }
        rows.binary_search_by_key(&value, |row| row.value).ok().map(|at| start + at)
    }

    pub(crate) fn writer(&self, key: u32, value: u32) -> Option<u32> {
        self.find(key, value).map(|at| self.rows[at].transaction())
    }

    pub(crate) fn start(&self, key: u32) -> usize {
        self.starts[key as usize] as usize
    }

    pub(crate) fn row(&self, at: usize) -> Row {
        self.rows[at]
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

fn each_write(history: &TransactionHistory, mut visit: impl FnMut(u32, u32, u32)) {
    for transaction in 0..history.len() as u32 {
        for op in history.ops(transaction) {
            if let OpKind::Write(value) = op.kind {
                visit(op.key, value, transaction);
            }
        }
    }
}

/// Which transactions took effect: those that say so, and the indeterminate ones that some `Ok`
/// transaction saw (Kingsbury and Alvaro, Elle, VLDB 2020). An indeterminate one that
/// nobody saw may never have happened, so it constrains nothing.
pub(crate) fn committed(history: &TransactionHistory, writes: &Writes) -> Vec<bool> {
    let mut committed: Vec<bool> =
        history.status.iter().map(|status| *status == Status::Ok).collect();
    let mut see = |key: u32, value: u32| {
        if let Some(writer) = writes.writer(key, value)
            && history.status[writer as usize] == Status::Indeterminate
        {
            committed[writer as usize] = true;
        }
    };
    if history.status.iter().all(|status| *status != Status::Indeterminate) {
        return committed;
    }
    for (key, list) in history.longest.iter().enumerate() {
        list.iter().for_each(|value| see(key as u32, *value));
    }
    for transaction in 0..history.len() as u32 {
        for op in history.ops(transaction) {
            match op.kind {
                OpKind::Read(Some(value)) => see(op.key, value),
                OpKind::Diverged(_) => {
                    history.list(*op).iter().for_each(|value| see(op.key, *value));
                }
                OpKind::Write(_) | OpKind::Prefix(_) | OpKind::Read(None) | OpKind::Unread => {}
            }
        }
    }
    committed
}
