//! Inference for lists (Kingsbury and Alvaro, Elle, VLDB 2020): a read shows the whole
//! order of the appends before it, so the longest read of a key is its version order.
//!
//! *Deviation*: an append that nobody saw, of a transaction that surely committed, comes after
//! everything that was seen. Elle leaves these out; with them, and if all reads agree, a graph
//! without a cycle means that a serial order exists.

use crate::transactions::graph::{Edges, RW, WR, WW};
use crate::transactions::history::{Op, OpKind, Status, TransactionHistory};
use crate::transactions::report::{Anomaly, Report, names};
use crate::transactions::writes::{Row, Writes};

/// A version without a committed writer.
const NO_ONE: u32 = u32::MAX;
/// A write that no read shows.
const UNSEEN: u32 = u32::MAX;
/// A write that only a diverged read shows.
const ASIDE: u32 = u32::MAX - 1;

/// The order of the versions of every key, as its longest read tells.
pub(crate) struct Versions {
    starts: Vec<u32>,
    /// Who wrote each version.
    writers: Vec<u32>,
    /// Who wrote it, or if nobody did for good, the next one.
    following: Vec<u32>,
    /// Whether its writer overwrote it itself.
    intermediate: Vec<bool>,
    /// Where each write stands in the longest read of its key, by its place in [`Writes`];
    /// [`UNSEEN`], or [`ASIDE`] if only a diverged read shows it.
    position: Vec<u32>,
    /// Of each key, the first version that nobody wrote, and the first of a failed transaction.
    unwritten: Vec<u32>,
    failed: Vec<u32>,
}

impl Versions {
    fn writers(&self, key: u32) -> &[u32] {
        &self.writers[self.starts[key as usize] as usize..self.starts[key as usize + 1] as usize]
    }

    /// The writer of the first version at or behind a place that a committed transaction wrote.
    fn following(&self, key: u32, at: u32) -> u32 {
        self.following[(self.starts[key as usize] + at) as usize]
    }

    fn is_intermediate(&self, key: u32, at: usize) -> bool {
        self.intermediate[self.starts[key as usize] as usize + at]
    }

    fn new(
        history: &TransactionHistory,
        writes: &Writes,
        committed: &[bool],
        report: &mut Report,
    ) -> Self {
        let mut versions = Self {
            starts: vec![0],
            writers: Vec::new(),
            following: Vec::new(),
            intermediate: Vec::new(),
            position: vec![UNSEEN; writes.len()],
            unwritten: vec![NO_ONE; history.keys()],
            failed: vec![NO_ONE; history.keys()],
        };
        for (key, list) in (0u32..).zip(&history.longest) {
            let mut twice = None;
            for (at, &value) in (0u32..).zip(list) {
                let place = writes.find(key, value);
                let row = place.map(|place| writes.row(place));
                let writer = row.map_or(NO_ONE, Row::transaction);
                // A second copy tells nothing of the order: it is noted and stepped over.
                let is_copy = place.is_some_and(|place| versions.position[place] != UNSEEN);
                match place {
                    _ if is_copy => twice = Some(value),
                    Some(place) => versions.position[place] = at,
                    None => {}
                }
                let effective = !is_copy && writer != NO_ONE && committed[writer as usize];
                if !effective && !is_copy {
                    let column = match row {
                        None => &mut versions.unwritten,
                        Some(_) => &mut versions.failed,
                    };
                    column[key as usize] = column[key as usize].min(at);
                }
                versions.writers.push(if effective { writer } else { NO_ONE });
                versions
                    .intermediate
                    .push(row.is_some_and(|row| effective && row.is_intermediate()));
            }
            let mut next = NO_ONE;
            versions.following.resize(versions.writers.len(), NO_ONE);
            for at in (versions.starts[key as usize] as usize..versions.writers.len()).rev() {
                let writer = versions.writers[at];
                next = if writer == NO_ONE { next } else { writer };
                versions.following[at] = next;
            }
            versions.starts.push(versions.writers.len() as u32);
            if let Some(value) = twice {
                let reader = match report.has_room(Anomaly::Duplicates) {
                    true => reader_of(history, key, list.len() as u32),
                    false => 0,
                };
                note_duplicate(history, reader, key, value, report);
            }
        }
        versions
    }
}

fn note_duplicate(
    history: &TransactionHistory,
    reader: u32,
    key: u32,
    value: u32,
    report: &mut Report,
) {
    let (key, value) = (history.names.key(key), history.names.value(value));
    report.note(Anomaly::Duplicates, &[reader], || {
        format!("T{reader} read key {key} with element {value} in it twice")
    });
}

/// The first transaction that read at least `len` elements of the longest list.
fn reader_of(history: &TransactionHistory, key: u32, len: u32) -> u32 {
    let reads = |transaction: &u32| {
        history
            .ops(*transaction)
            .iter()
            .any(|op| op.key == key && matches!(op.kind, OpKind::Prefix(read) if len <= read))
    };
    (0..history.len() as u32).find(reads).unwrap_or(0)
}

/// Adds all edges that data imply, and notes every anomaly that is no cycle.
pub(crate) fn infer(
    history: &TransactionHistory,
    writes: &Writes,
    committed: &[bool],
    edges: &mut Edges,
    report: &mut Report,
) {
    let versions = Versions::new(history, writes, committed, report);
    let mut versions = versions;
    for (list, (reader, op)) in history.diverged.iter().zip(diverged_reads(history)) {
        judge_diverged(history, writes, reader, op, report);
        list.iter().filter_map(|value| writes.find(op.key, *value)).for_each(|place| {
            let position = &mut versions.position[place];
            *position = if *position == UNSEEN { ASIDE } else { *position };
        });
    }
    write_edges(history, &versions, edges);
    let unseen = unseen_writers(history, writes, committed, &versions);
    let mut inference = Inference {
        history,
        writes,
        versions: &versions,
        has_unseen: vec![false; history.keys()],
        tail_readers: Vec::new(),
        updates: Vec::new(),
        later: vec![(NO_ONE, UNSEEN); history.keys()],
        scanned: 0,
    };
    unseen.iter().for_each(|(key, _)| inference.has_unseen[*key as usize] = true);
    for transaction in 0..history.len() as u32 {
        // Of a committed transaction that is not `Ok` only the writes are known.
        if committed[transaction as usize] {
            inference.transaction(transaction, edges, report);
        }
    }
    inference.finish(&unseen, edges, report);
    note_dirty_updates(history, writes, &versions, report);
}

fn diverged_reads(history: &TransactionHistory) -> impl Iterator<Item = (u32, Op)> + '_ {
    (0..if history.diverged.is_empty() { 0 } else { history.len() as u32 }).flat_map(|t| {
        let diverged = |op: &&Op| matches!(op.kind, OpKind::Diverged(_));
        history.ops(t).iter().filter(diverged).map(move |op| (t, *op))
    })
}

/// Consecutive versions; one that nobody wrote for good is stepped over.
fn write_edges(history: &TransactionHistory, versions: &Versions, edges: &mut Edges) {
    for key in 0..history.keys() as u32 {
        let mut before = None;
        for &writer in versions.writers(key).iter().filter(|writer| **writer != NO_ONE) {
            if let Some(before) = before {
                edges.push(before, writer, WW);
            }
            before = Some(writer);
        }
    }
}

/// Committed writers that no read shows, as `(key, transaction)`, by key.
fn unseen_writers(
    history: &TransactionHistory,
    writes: &Writes,
    committed: &[bool],
    versions: &Versions,
) -> Vec<(u32, u32)> {
    let mut unseen = Vec::new();
    for key in 0..history.keys() as u32 {
        let start = writes.start(key);
        for (at, row) in writes.of_key(key).iter().enumerate() {
            if versions.position[start + at] == UNSEEN && committed[row.transaction() as usize] {
                unseen.push((key, row.transaction()));
            }
        }
    }
    unseen
}

struct Inference<'h> {
    history: &'h TransactionHistory,
    writes: &'h Writes,
    versions: &'h Versions,
    has_unseen: Vec<bool>,
    /// `(key, transaction)` of reads of a longest list that has unseen appends after it.
    tail_readers: Vec<(u32, u32)>,
    /// `(key, version, transaction)`: read that version, wrote the key, and is not next to it.
    updates: Vec<(u32, u32, u32)>,
    /// Per key: the transaction at hand if it writes the key further on, and the first place at
    /// which one of these writes stands in the key's order.
    later: Vec<(u32, u32)>,
    /// Steps looked at again in search of the other side of a lost update.
    scanned: u64,
}

/// How many steps may be looked at again; beyond, lost updates show as cycles only.
const SCANNED_MAX: u64 = 100_000_000;

impl Inference<'_> {
    /// Walks a transaction backwards, so that a read knows the writes after it.
    fn transaction(&mut self, transaction: u32, edges: &mut Edges, report: &mut Report) {
        let ops = self.history.ops(transaction);
        for (at, op) in ops.iter().enumerate().rev() {
            let later = self.later[op.key as usize];
            let writes_later = later.0 == transaction;
            match op.kind {
                OpKind::Write(value) => {
                    let place = self.writes.find(op.key, value);
                    let position = place.map_or(UNSEEN, |place| self.versions.position[place]);
                    if writes_later && later.1 < ASIDE && position != ASIDE && later.1 < position {
                        let other = self.history.longest[op.key as usize][later.1 as usize];
                        note_reversed(self.history, transaction, op.key, [value, other], report);
                    }
                    let first = if writes_later { later.1.min(position) } else { position };
                    self.later[op.key as usize] = (transaction, first);
                }
                OpKind::Prefix(len) => {
                    self.prefix(transaction, op.key, len, edges, report);
                    if writes_later {
                        self.update(transaction, op.key, len);
                    }
                    if writes_later && later.1 < len {
                        let value = self.history.longest[op.key as usize][later.1 as usize];
                        note_future(self.history, transaction, op.key, value, report);
                    }
                }
                OpKind::Diverged(_) => {
                    let after = if writes_later { &ops[at + 1..] } else { &[] };
                    self.diverged(transaction, *op, after, edges, report);
                }
                OpKind::Read(_) | OpKind::Unread => {}
            }
        }
    }

    fn diverged(
        &self,
        reader: u32,
        read: Op,
        after: &[Op],
        edges: &mut Edges,
        report: &mut Report,
    ) {
        let list = self.history.list(read);
        for later in after.iter().filter(|later| later.key == read.key) {
            if let OpKind::Write(value) = later.kind
                && list.contains(&value)
            {
                note_future(self.history, reader, read.key, value, report);
            }
        }
        let writer = list.last().and_then(|last| self.writes.writer(read.key, *last));
        if let Some(writer) = writer.filter(|w| self.history.status[*w as usize] != Status::Failed)
        {
            edges.push(writer, reader, WR);
        }
    }

    /// What a read of the first `len` versions tells.
    fn prefix(&mut self, reader: u32, key: u32, len: u32, edges: &mut Edges, report: &mut Report) {
        let writers = self.versions.writers(key);
        let (seen, rest) = writers.split_at(len as usize);
        if let Some(&writer) = seen.last()
            && writer != NO_ONE
        {
            edges.push(writer, reader, WR);
            if writer != reader && self.versions.is_intermediate(key, seen.len() - 1) {
                note_intermediate(self.history, reader, writer, key, len, report);
            }
        }
        let next = if rest.is_empty() { NO_ONE } else { self.versions.following(key, len) };
        match next {
            _ if next != NO_ONE => edges.push(reader, next, RW),
            _ if self.has_unseen[key as usize] => self.tail_readers.push((key, reader)),
            _ => {}
        }
        for first in [&self.versions.unwritten, &self.versions.failed] {
            if first[key as usize] < len {
                let value = self.history.longest[key as usize][first[key as usize] as usize];
                note_bad_element(self.history, self.writes, reader, key, value, report);
            }
        }
    }

    /// Remembers a read-modify-write whose append did not land right behind what it read.
    fn update(&mut self, transaction: u32, key: u32, len: u32) {
        let next = self.versions.writers(key).get(len as usize).copied();
        if next == Some(transaction) {
            return;
        }
        self.updates.push((key, len, transaction));
        let next = next.filter(|next| *next != NO_ONE && self.scanned < SCANNED_MAX);
        if let Some(next) = next {
            self.scanned += self.history.ops(next).len() as u64;
            if reads_then_writes(self.history, next, key, len) {
                self.updates.push((key, len, next));
            }
        }
    }

    fn finish(mut self, unseen: &[(u32, u32)], edges: &mut Edges, report: &mut Report) {
        self.tail_readers.sort_unstable();
        self.tail_readers.dedup();
        for group in unseen.chunk_by(|a, b| a.0 == b.0) {
            let key = group[0].0;
            let start = self.tail_readers.partition_point(|reader| reader.0 < key);
            let end = self.tail_readers.partition_point(|reader| reader.0 <= key);
            let readers = &self.tail_readers[start..end];
            let mut sources: Vec<(u32, u32)> = readers.iter().map(|(_, t)| (*t, RW)).collect();
            let last = self.versions.writers(key).iter().rev().find(|writer| **writer != NO_ONE);
            sources.extend(last.map(|last| (*last, WW)));
            let targets: Vec<u32> = group.iter().map(|(_, writer)| *writer).collect();
            edges.fan(&sources, &targets);
        }
        self.updates.sort_unstable();
        self.updates.dedup();
        for group in self.updates.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            if group.len() < 2 {
                continue;
            }
            let transactions: Vec<u32> = group.iter().map(|update| update.2).collect();
            let (key, len) = (self.history.names.key(group[0].0), group[0].1);
            report.note(Anomaly::LostUpdate, &transactions, || {
                format!(
                    "{} all read key {key} with {len} elements and then appended to it",
                    names(&transactions)
                )
            });
        }
    }
}

fn note_reversed(
    history: &TransactionHistory,
    transaction: u32,
    key: u32,
    [earlier, later]: [u32; 2],
    report: &mut Report,
) {
    report.note(Anomaly::IncompatibleOrder, &[transaction], || {
        let (earlier, later) = (history.names.value(earlier), history.names.value(later));
        let key = history.names.key(key);
        format!(
            "T{transaction} appended {earlier} and then {later} to key {key}, which was read with \
             {later} and without {earlier} before it"
        )
    });
}

fn note_future(
    history: &TransactionHistory,
    transaction: u32,
    key: u32,
    value: u32,
    report: &mut Report,
) {
    report.note(Anomaly::Internal, &[transaction], || {
        let (key, value) = (history.names.key(key), history.names.value(value));
        format!("T{transaction} read {value} in key {key} before it appended that itself")
    });
}

fn reads_then_writes(history: &TransactionHistory, transaction: u32, key: u32, len: u32) -> bool {
    let ops = history.ops(transaction);
    let read = ops.iter().position(|op| op.key == key && op.kind == OpKind::Prefix(len));
    read.is_some_and(|at| {
        ops[at..].iter().any(|op| op.key == key && matches!(op.kind, OpKind::Write(_)))
    })
}

fn note_intermediate(
    history: &TransactionHistory,
    reader: u32,
    writer: u32,
    key: u32,
    len: u32,
    report: &mut Report,
) {
    report.note(Anomaly::G1b, &[reader, writer], || {
        let value = history.names.value(history.longest[key as usize][len as usize - 1]);
        let key = history.names.key(key);
        format!("T{reader} read key {key} up to {value}, to which its writer T{writer} added more")
    });
}

/// Names a version in a read that no committed transaction wrote.
fn note_bad_element(
    history: &TransactionHistory,
    writes: &Writes,
    reader: u32,
    key: u32,
    value: u32,
    report: &mut Report,
) {
    let (name, element) = (history.names.key(key), history.names.value(value));
    match writes.writer(key, value) {
        None => report.note(Anomaly::Unwritten, &[reader], || {
            format!("T{reader} read {element} in key {name}, which nobody wrote")
        }),
        Some(writer) if history.status[writer as usize] == Status::Failed => {
            report.note(Anomaly::G1a, &[reader, writer], || {
                format!("T{reader} read {element} in key {name}, of the failed T{writer}")
            });
        }
        Some(_) => {}
    }
}

/// A read that is no prefix of the longest: out of order, and perhaps worse.
fn judge_diverged(
    history: &TransactionHistory,
    writes: &Writes,
    reader: u32,
    op: Op,
    report: &mut Report,
) {
    let list = history.list(op);
    let longest = &history.longest[op.key as usize];
    let split = list.iter().zip(longest).take_while(|(a, b)| a == b).count();
    let other = match report.has_room(Anomaly::IncompatibleOrder) {
        true => reader_of(history, op.key, split as u32 + 1),
        false => 0,
    };
    report.note(Anomaly::IncompatibleOrder, &[reader, other], || {
        let (key, at) = (history.names.key(op.key), split + 1);
        let here = history.names.value(list[split]);
        let there = history.names.value(longest[split]);
        format!("element {at} of key {key} is {here} to T{reader} and {there} to T{other}")
    });
    let mut sorted = list.to_vec();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        note_duplicate(history, reader, op.key, pair[0], report);
    }
    for &value in list {
        note_bad_element(history, writes, reader, op.key, value, report);
    }
    if let Some(&value) = list.last()
        && let Some(row) = writes.find(op.key, value).map(|at| writes.row(at))
        && row.transaction() != reader
        && row.is_intermediate()
        && history.status[row.transaction() as usize] != Status::Failed
    {
        let writer = row.transaction();
        let key = history.names.key(op.key);
        report.note(Anomaly::G1b, &[reader, writer], || {
            let value = history.names.value(value);
            format!("T{reader} read key {key} up to {value}, of which T{writer} wrote more")
        });
    }
}

/// A failed append with a committed one behind it.
fn note_dirty_updates(
    history: &TransactionHistory,
    writes: &Writes,
    versions: &Versions,
    report: &mut Report,
) {
    for key in 0..history.keys() as u32 {
        if versions.failed[key as usize] == NO_ONE {
            continue;
        }
        let mut dirty: Option<(u32, u32)> = None;
        for (&value, &writer) in history.longest[key as usize].iter().zip(versions.writers(key)) {
            if writer == NO_ONE {
                let failed = writes.writer(key, value);
                dirty = failed.map_or(dirty, |failed| Some((failed, value)));
            } else if let Some((failed, value)) = dirty.take() {
                let (key, value) = (history.names.key(key), history.names.value(value));
                report.note(Anomaly::DirtyUpdate, &[failed, writer], || {
                    format!(
                        "T{writer} appended to key {key} behind {value} of the failed T{failed}"
                    )
                });
            }
        }
    }
}
