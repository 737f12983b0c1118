//! A history laid out by session: a transaction's number is its place in its session, so that
//! "the latest of that session before here" is a comparison of numbers.

use rustc_hash::FxHashMap;

use crate::transactions::graph::{Edges, PROCESS, WR};
use crate::transactions::history::{OpKind, Status, TransactionHistory};
use crate::transactions::report::{Anomaly, Report};
use crate::transactions::writes::Writes;

/// An external read: which key, from which node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Read {
    pub(crate) key: u32,
    pub(crate) writer: u32,
}

/// Committed transactions as nodes, session after session; one more node is the initial state.
pub(crate) struct Sessions {
    /// The history's index of each node.
    index: Vec<u32>,
    /// Where each session starts; one more entry ends the last.
    pub(crate) starts: Vec<u32>,
    pub(crate) session: Vec<u32>,
    /// The node of another session that precedes the first of each; none for most.
    parent: Vec<Option<u32>>,
    read_ends: Vec<u32>,
    reads: Vec<Read>,
    write_ends: Vec<u32>,
    /// Keys written by each node, ascending, without repetition.
    writes: Vec<u32>,
    pub(crate) keys: usize,
}

impl Sessions {
    pub(crate) fn new(
        history: &TransactionHistory,
        writes: &Writes,
        committed: &[bool],
        report: &mut Report,
    ) -> Self {
        // Per process: its session, and its last transaction.
        let mut dense: FxHashMap<u32, (u32, u32)> = FxHashMap::default();
        let mut parents: Vec<Option<u32>> = Vec::new();
        let mut index: Vec<u32> = Vec::new();
        let mut session_of: Vec<u32> = vec![0; history.len()];
        for transaction in (0..history.len() as u32).filter(|t| committed[*t as usize]) {
            let process = history.process[transaction as usize];
            let before = dense.get(&process).copied();
            let next = parents.len() as u32;
            // An indeterminate transaction may take effect after its process went on: it starts a
            // session of its own, behind what its process did before.
            let detached = history.status[transaction as usize] == Status::Indeterminate;
            let (session, _) = before.filter(|_| !detached).unwrap_or((next, transaction));
            if session == next {
                parents.push(before.filter(|_| detached).map(|(_, last)| last));
            }
            if !detached {
                dense.insert(process, (session, transaction));
            }
            session_of[transaction as usize] = session;
            index.push(transaction);
        }
        index.sort_by_key(|transaction| session_of[*transaction as usize]);
        let mut node_of = vec![u32::MAX; history.len()];
        let mut starts = Vec::new();
        let mut session = Vec::with_capacity(index.len());
        for (node, &transaction) in (0u32..).zip(&index) {
            node_of[transaction as usize] = node;
            let mine = session_of[transaction as usize];
            if starts.len() <= mine as usize {
                starts.push(node);
            }
            session.push(mine);
        }
        starts.push(index.len() as u32);
        let parent = parents.iter().map(|p| p.map(|p| node_of[p as usize])).collect();
        let mut sessions = Self {
            index,
            parent,
            starts,
            session,
            read_ends: Vec::new(),
            reads: Vec::new(),
            write_ends: Vec::new(),
            writes: Vec::new(),
            keys: history.keys(),
        };
        sessions.fill(history, writes, &node_of, report);
        sessions
    }

    fn fill(
        &mut self,
        history: &TransactionHistory,
        writes: &Writes,
        node_of: &[u32],
        report: &mut Report,
    ) {
        // What the transaction itself wrote last: node and value, by key.
        let mut own = vec![(u32::MAX, 0); history.keys()];
        for node in 0..self.index.len() as u32 {
            let transaction = self.index[node as usize];
            let first_write = self.writes.len();
            for op in history.ops(transaction) {
                let mine = own[op.key as usize];
                match op.kind {
                    OpKind::Write(value) => {
                        own[op.key as usize] = (node, value);
                        if mine.0 != node {
                            self.writes.push(op.key);
                        }
                    }
                    OpKind::Read(seen) if mine.0 == node => {
                        if seen != Some(mine.1) {
                            let key = history.names.key(op.key);
                            report.note(Anomaly::Internal, &[transaction], || {
                                format!("T{transaction} did not read its own write of key {key}")
                            });
                        }
                    }
                    OpKind::Read(None) => {
                        self.reads.push(Read { key: op.key, writer: node_of_initial(&self.index) });
                    }
                    OpKind::Read(Some(value)) => {
                        let writer = judge(history, writes, transaction, op.key, value, report);
                        if let Some(writer) = writer {
                            let writer = node_of[writer as usize];
                            self.reads.push(Read { key: op.key, writer });
                        }
                    }
                    OpKind::Prefix(_) | OpKind::Diverged(_) | OpKind::Unread => {}
                }
            }
            self.writes[first_write..].sort_unstable();
            self.read_ends.push(self.reads.len() as u32);
            self.write_ends.push(self.writes.len() as u32);
        }
    }

    /// All nodes, the initial state included.
    pub(crate) fn nodes(&self) -> u32 {
        self.index.len() as u32 + 1
    }

    /// All nodes but the initial state.
    pub(crate) fn transactions(&self) -> u32 {
        self.index.len() as u32
    }

    pub(crate) fn initial(&self) -> u32 {
        node_of_initial(&self.index)
    }

    pub(crate) fn sessions(&self) -> usize {
        self.starts.len() - 1
    }

    /// The history's index of a node; `None` for the initial state.
    pub(crate) fn index(&self, node: u32) -> Option<u32> {
        self.index.get(node as usize).copied()
    }

    pub(crate) fn position(&self, node: u32) -> u32 {
        node - self.starts[self.session[node as usize] as usize]
    }

    /// What directly precedes a node by session order, if anything but the initial state does.
    pub(crate) fn predecessor(&self, node: u32) -> Option<u32> {
        if self.position(node) == 0 {
            self.parent[self.session[node as usize] as usize]
        } else {
            Some(node - 1)
        }
    }

    /// External reads in the order they were made.
    pub(crate) fn reads(&self, node: u32) -> &[Read] {
        row(&self.read_ends, &self.reads, node)
    }

    pub(crate) fn writes(&self, node: u32) -> &[u32] {
        row(&self.write_ends, &self.writes, node)
    }

    /// Whether session order alone puts `a` before `b`.
    pub(crate) fn is_before(&self, a: u32, b: u32) -> bool {
        b != self.initial()
            && (a == self.initial()
                || a < b && self.session[a as usize] == self.session[b as usize])
    }

    /// Session order and write-read pairs.
    pub(crate) fn base_edges(&self, edges: &mut Edges) {
        for node in 0..self.transactions() {
            edges.push(self.predecessor(node).unwrap_or(self.initial()), node, PROCESS);
            for read in self.reads(node) {
                if read.writer != self.initial() {
                    edges.push(read.writer, node, WR);
                }
            }
        }
    }
}

fn node_of_initial(index: &[u32]) -> u32 {
    index.len() as u32
}

fn row<'r, T>(ends: &[u32], items: &'r [T], node: u32) -> &'r [T] {
    let Some(&end) = ends.get(node as usize) else { return &[] };
    let start = if node == 0 { 0 } else { ends[node as usize - 1] };
    &items[start as usize..end as usize]
}

/// The committed writer of a value, or a note of what is wrong with it.
fn judge(
    history: &TransactionHistory,
    writes: &Writes,
    reader: u32,
    key: u32,
    value: u32,
    report: &mut Report,
) -> Option<u32> {
    let (name, shown) = (history.names.key(key), history.names.value(value));
    let Some(row) = writes.find(key, value).map(|at| writes.row(at)) else {
        report.note(Anomaly::Unwritten, &[reader], || {
            format!("T{reader} read key {name} as {shown}, which nobody wrote")
        });
        return None;
    };
    let writer = row.transaction();
    if history.status[writer as usize] == Status::Failed {
        report.note(Anomaly::G1a, &[reader, writer], || {
            format!("T{reader} read key {name} as {shown}, of the failed T{writer}")
        });
        return None;
    }
    if writer == reader {
        report.note(Anomaly::Internal, &[reader], || {
            format!("T{reader} read key {name} as {shown}, before it wrote that")
        });
        return None;
    }
    if row.is_intermediate() {
        report.note(Anomaly::G1b, &[reader, writer], || {
            format!("T{reader} read key {name} as {shown}, which T{writer} itself overwrote")
        });
    }
    Some(writer)
}
