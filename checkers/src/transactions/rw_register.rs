//! Inference for registers (Kingsbury and Alvaro, Elle, VLDB 2020).
//!
//! A read does not show the versions before it, so less follows: the initial state comes before
//! every written version, and what a transaction read comes right before what it then wrote to the
//! same key. What does not follow is not claimed: no false alarm, but anomalies can be missed where
//! transactions write without reading. [`crate::transactions::timestamps`] misses nothing, given
//! the system's own order.

use crate::transactions::graph::{Edges, RW, WR, WW};
use crate::transactions::history::{Op, OpKind, Status, TransactionHistory};
use crate::transactions::report::{Anomaly, Report, names};
use crate::transactions::writes::Writes;

/// No version: the initial state, or no known successor.
const NONE: u32 = u32::MAX;

/// What a transaction read of a key before it wrote it, and the last it wrote.
#[derive(Clone, Copy)]
struct Access {
    /// The external read: `Some(None)` is the initial state.
    read: Option<Option<u32>>,
    /// Its last write.
    write: Option<u32>,
}

/// Adds all edges that data imply, and notes every anomaly that is no cycle.
pub(crate) fn infer(
    history: &TransactionHistory,
    writes: &Writes,
    committed: &[bool],
    edges: &mut Edges,
    report: &mut Report,
) {
    let mut inference = Inference {
        history,
        writes,
        before: vec![NONE; writes.len()],
        updates: Vec::new(),
        initial_readers: Vec::new(),
        committed,
    };
    let mut accesses = Accesses::default();
    for transaction in 0..history.len() as u32 {
        if history.status[transaction as usize] == Status::Ok {
            inference.reads(&mut accesses, transaction, edges, report);
        }
        if committed[transaction as usize] {
            inference.updates(&mut accesses, transaction);
        }
    }
    inference.follow(&mut accesses, edges, report);
    inference.initial(edges);
}

struct Inference<'h> {
    history: &'h TransactionHistory,
    writes: &'h Writes,
    committed: &'h [bool],
    /// The version that each write directly replaced, if its transaction read it.
    before: Vec<u32>,
    /// `(key, version read, transaction)` for each committed read-modify-write; the version is a
    /// place in [`Writes`], or `NONE` for the initial state.
    updates: Vec<(u32, u32, u32)>,
    initial_readers: Vec<(u32, u32)>,
}

impl Inference<'_> {
    fn reads(
        &mut self,
        accesses: &mut Accesses,
        reader: u32,
        edges: &mut Edges,
        report: &mut Report,
    ) {
        accesses.each(self.history.ops(reader), |key, access| match access.read {
            None => {}
            Some(None) => self.initial_readers.push((key, reader)),
            Some(Some(value)) => self.read(reader, key, value, edges, report),
        });
    }

    fn read(&self, reader: u32, key: u32, value: u32, edges: &mut Edges, report: &mut Report) {
        let (name, shown) = (self.history.names.key(key), self.history.names.value(value));
        let Some(row) = self.writes.find(key, value).map(|at| self.writes.row(at)) else {
            return report.note(Anomaly::Unwritten, &[reader], || {
                format!("T{reader} read key {name} as {shown}, which nobody wrote")
            });
        };
        let writer = row.transaction();
        if self.history.status[writer as usize] == Status::Failed {
            return report.note(Anomaly::G1a, &[reader, writer], || {
                format!("T{reader} read key {name} as {shown}, of the failed T{writer}")
            });
        }
        if writer == reader {
            return report.note(Anomaly::Internal, &[reader], || {
                format!("T{reader} read key {name} as {shown}, before it wrote that itself")
            });
        }
        edges.push(writer, reader, WR);
        if row.is_intermediate() {
            report.note(Anomaly::G1b, &[reader, writer], || {
                format!("T{reader} read key {name} as {shown}, which T{writer} itself overwrote")
            });
        }
    }

    fn updates(&mut self, accesses: &mut Accesses, transaction: u32) {
        accesses.each(self.history.ops(transaction), |key, access| {
            let (Some(read), Some(write)) = (access.read, access.write) else { return };
            let before = match read {
                None => NONE,
                Some(value) => match self.writes.find(key, value) {
                    Some(place) if self.writes.row(place).transaction() == transaction => return,
                    Some(place) => place as u32,
                    None => return,
                },
            };
            self.updates.push((key, before, transaction));
            if let Some(place) = self.writes.find(key, write) {
                self.before[place] = before;
            }
        });
    }

    /// Versions that follow each other: write-write edges, read-write edges, lost updates, circles.
    fn follow(&mut self, accesses: &mut Accesses, edges: &mut Edges, report: &mut Report) {
        // Reads of each version, as (place, reader), and its direct successors, as (place, writer).
        let mut readers = Vec::new();
        for reader in 0..self.history.len() as u32 {
            if self.history.status[reader as usize] == Status::Ok {
                accesses.each(self.history.ops(reader), |key, access| {
                    if let Some(Some(value)) = access.read
                        && let Some(place) = self.writes.find(key, value)
                    {
                        readers.push((place as u32, reader));
                    }
                });
            }
        }
        readers.sort_unstable();
        self.updates.sort_unstable_by_key(|update| (update.1, update.0, update.2));
        let updates = std::mem::take(&mut self.updates);
        for group in updates.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let (key, before, _) = group[0];
            if 1 < group.len() {
                self.note_lost_update(key, before, group, report);
            }
            if before == NONE {
                continue; // The initial state comes before all versions: see `initial`.
            }
            let writer = self.writes.row(before as usize).transaction();
            let first = readers.partition_point(|reader| reader.0 < before);
            let sources: Vec<(u32, u32)> = readers[first..]
                .iter()
                .take_while(|reader| reader.0 == before)
                .map(|reader| (reader.1, RW))
                .chain(self.committed[writer as usize].then_some((writer, WW)))
                .collect();
            let targets: Vec<u32> = group.iter().map(|update| update.2).collect();
            edges.fan(&sources, &targets);
        }
        self.note_circles(report);
    }

    fn note_lost_update(
        &self,
        key: u32,
        before: u32,
        group: &[(u32, u32, u32)],
        report: &mut Report,
    ) {
        let transactions: Vec<u32> = group.iter().map(|update| update.2).collect();
        report.note(Anomaly::LostUpdate, &transactions, || {
            let seen = if before == NONE {
                "in its initial state".to_owned()
            } else {
                let value = self.writes.row(before as usize).value;
                format!("as {}", self.history.names.value(value))
            };
            let key = self.history.names.key(key);
            format!("{} all read key {key} {seen} and then wrote it", names(&transactions))
        });
    }

    /// Every version has at most one predecessor, so a circle is found by walking back.
    fn note_circles(&self, report: &mut Report) {
        let mut walk_of = vec![NONE; self.before.len()];
        for start in 0..self.before.len() as u32 {
            let mut at = start;
            while at != NONE && walk_of[at as usize] == NONE {
                walk_of[at as usize] = start;
                at = self.before[at as usize];
            }
            if at == NONE || walk_of[at as usize] != start {
                continue;
            }
            let mut circle = vec![self.writes.row(at as usize)];
            let mut next = self.before[at as usize];
            while next != at {
                circle.push(self.writes.row(next as usize));
                next = self.before[next as usize];
            }
            let writers: Vec<u32> = circle.iter().map(|row| row.transaction()).collect();
            report.note(Anomaly::CyclicVersions, &writers, || {
                let values = circle.iter().map(|row| self.history.names.value(row.value));
                format!(
                    "values {:?} each replaced the next, in a circle",
                    values.collect::<Vec<_>>()
                )
            });
        }
    }

    /// Whoever read the initial state comes before every committed writer of the key.
    fn initial(&mut self, edges: &mut Edges) {
        self.initial_readers.sort_unstable();
        for group in self.initial_readers.chunk_by(|a, b| a.0 == b.0) {
            let sources: Vec<(u32, u32)> = group.iter().map(|reader| (reader.1, RW)).collect();
            let rows = self.writes.of_key(group[0].0);
            let mut targets: Vec<u32> = rows
                .iter()
                .map(|row| row.transaction())
                .filter(|writer| self.committed[*writer as usize])
                .collect();
            targets.sort_unstable();
            targets.dedup();
            edges.fan(&sources, &targets);
        }
    }
}

/// The external read and the last write of each key that a transaction touches, by key.
#[derive(Default)]
struct Accesses {
    /// `(key, place)` of each step; kept to spare an allocation a transaction.
    places: Vec<(u32, u32)>,
}

impl Accesses {
    fn each(&mut self, ops: &[Op], mut visit: impl FnMut(u32, Access)) {
        self.places.clear();
        self.places.extend(ops.iter().zip(0u32..).map(|(op, at)| (op.key, at)));
        self.places.sort_unstable();
        for group in self.places.chunk_by(|a, b| a.0 == b.0) {
            let mut access = Access { read: None, write: None };
            for (_, at) in group {
                match ops[*at as usize].kind {
                    OpKind::Read(seen) if access.read.is_none() && access.write.is_none() => {
                        access.read = Some(seen);
                    }
                    OpKind::Write(value) => access.write = Some(value),
                    OpKind::Read(_) | OpKind::Prefix(_) | OpKind::Diverged(_) | OpKind::Unread => {}
                }
            }
            visit(group[0].0, access);
        }
    }
}
