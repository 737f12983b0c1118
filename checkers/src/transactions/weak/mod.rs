//! Read committed, read atomic and causal consistency of registers, decided exactly.
//!
//! Definitions by one commit order (Biswas and Enea, OOPSLA 2019, figure 2): if `t3` reads `x` from
//! `t1`, and `t2` writes `x` and stands in a level's relation to `t3`, then `t2` commits before
//! `t1`. A history keeps the level if session order, write-read pairs and those forced edges have
//! no cycle. The relation is, for read committed, "`t3` read from `t2` earlier"; for read atomic,
//! "`t2` is before `t3` in its session, or `t3` reads from it"; for causal consistency its
//! transitive closure.
//!
//! Only a minimal set of edges is inferred (Møldrup and Pavlogiannis, AWDIT, PLDI 2025): O(n^1.5)
//! for the first two, O(n k) for causal consistency with `k` sessions. The vector clocks of the
//! latter are computed for a block of sessions at a time, so memory grows with `n`, not with `n k`.
//!
//! Causal consistency here is the convergent kind: all sessions agree on one commit order.
//! Indeterminate transactions that some transaction read from count as committed; the others do not
//! count.

pub(crate) mod causal;
mod infer;
pub(crate) mod sessions;

use std::fmt;

use crate::transactions::cycles::any_cycle;
use crate::transactions::graph::{Edges, Mask, Masked, PROCESS, WR, WW, components};
use crate::transactions::history::{DataType, HistoryError, TransactionHistory};
use crate::transactions::report::{Anomaly, Report, Status};
use crate::transactions::writes::{Writes, committed};
use sessions::Sessions;

/// A level weaker than snapshot isolation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WeakLevel {
    /// A transaction that saw something of another sees all of it from then on.
    ReadCommitted,
    /// A transaction sees all of another or nothing (Bailis et al., SIGMOD 2014).
    ReadAtomic,
    /// What is seen includes its causes.
    Causal,
}

impl WeakLevel {
    /// Every level, weak to strong.
    pub const ALL: [Self; 3] = [Self::ReadCommitted, Self::ReadAtomic, Self::Causal];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read-committed",
            Self::ReadAtomic => "read-atomic",
            Self::Causal => "causal",
        }
    }

    /// The level of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// Why one transaction commits before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// They ran in this order in one session.
    Session,
    /// The second read from the first.
    WriteRead,
    /// Forced: some transaction knew of the first and read the second's value of a key both wrote.
    CommitOrder,
}

/// An edge of a witness; transactions by index, `None` is the initial state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeakStep {
    /// Commits first.
    pub from: Option<u32>,
    /// Commits after it.
    pub to: Option<u32>,
    /// Why.
    pub relation: Relation,
    /// Why, in one clause.
    pub reason: String,
}

/// The outcome of a check against a weak level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeakReport {
    /// The level asked for.
    pub level: WeakLevel,
    /// Reads of values that are unwritten, failed, intermediate, or against the own transaction: at
    /// most [`Report::FINDINGS_MAX`] of a kind.
    pub anomalies: Vec<(Anomaly, String)>,
    /// A shortest cycle through the first transaction that lies on one; empty if there is none.
    pub cycle: Vec<WeakStep>,
    /// Commit-order edges that were forced.
    pub forced: u64,
}

impl WeakReport {
    /// Whether the level was kept; never `Unknown`.
    #[must_use]
    pub fn status(&self) -> Status {
        if self.anomalies.is_empty() && self.cycle.is_empty() {
            Status::Holds
        } else {
            Status::Violated
        }
    }
}

impl fmt::Display for WeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = if self.status() == Status::Holds { "holds" } else { "violated" };
        writeln!(f, "{}: {status}", self.level.name())?;
        for (anomaly, explanation) in &self.anomalies {
            writeln!(f, "{}: {explanation}", anomaly.name())?;
        }
        for step in &self.cycle {
            let (from, to) = (name(step.from), name(step.to));
            writeln!(f, "{from} must commit before {to}, because {}", step.reason)?;
        }
        Ok(())
    }
}

fn name(transaction: Option<u32>) -> String {
    transaction.map_or("the initial state".to_owned(), |transaction| format!("T{transaction}"))
}

/// How many sessions have their clocks in memory at once.
pub(crate) const BLOCK: usize = 64;

/// Decides a weak level.
///
/// # Errors
/// If the history holds lists, or a value is written twice to one key.
pub fn check(history: &TransactionHistory, level: WeakLevel) -> Result<WeakReport, HistoryError> {
    check_in_blocks(history, level, BLOCK)
}

pub(crate) fn check_in_blocks(
    history: &TransactionHistory,
    level: WeakLevel,
    block: usize,
) -> Result<WeakReport, HistoryError> {
    history.require(DataType::Register)?;
    let writes = Writes::new(history)?;
    let committed = committed(history, &writes);
    let mut report = Report::new(crate::transactions::report::Level::ReadCommitted);
    let sessions = Sessions::new(history, &writes, &committed, &mut report);
    drop(writes);
    let mut edges = Edges::new(sessions.nodes());
    sessions.base_edges(&mut edges);
    let base = edges.len();
    match level {
        WeakLevel::ReadCommitted => infer::read_committed(&sessions, &mut edges),
        WeakLevel::ReadAtomic => infer::read_atomic(&sessions, &mut edges),
        WeakLevel::Causal => causal::infer(&sessions, block, &mut edges),
    }
    let forced = (edges.len() - base) as u64;
    let graph = edges.build();
    let mask = Mask::of(&[PROCESS, WR, WW]);
    let parts = components(&Masked { graph: &graph, mask, within: None });
    let mut cycle = Vec::new();
    if let Some(members) = parts.members.first()
        && let Some(found) = any_cycle(&graph, members, mask, &parts)
    {
        let len = found.transactions.len();
        for at in 0..len {
            let (from, to) = (found.transactions[at], found.transactions[(at + 1) % len]);
            cycle.push(step(history, &sessions, level, from, to, found.kinds[at]));
        }
    }
    let anomalies =
        report.findings.into_iter().map(|found| (found.anomaly, found.explanation)).collect();
    Ok(WeakReport { level, anomalies, cycle, forced })
}

fn step(
    history: &TransactionHistory,
    sessions: &Sessions,
    level: WeakLevel,
    from: u32,
    to: u32,
    kind: u32,
) -> WeakStep {
    let (a, b) = (sessions.index(from), sessions.index(to));
    let (relation, reason) = match kind {
        PROCESS => (
            Relation::Session,
            match a {
                Some(a) => format!("process {} ran T{a} before", history.process[a as usize]),
                None => "it is there from the start".to_owned(),
            },
        ),
        WR => (Relation::WriteRead, format!("{} read from {}", name(b), name(a))),
        _ => {
            let reason = match infer::reason(sessions, level, from, to) {
                Some((reader, key)) => format!(
                    "{} knew of {}, which wrote key {}, and read that key from {}",
                    name(sessions.index(reader)),
                    name(a),
                    history.names.key(key),
                    name(b)
                ),
                None => "a later reader forces it".to_owned(),
            };
            (Relation::CommitOrder, reason)
        }
    };
    WeakStep { from: a, to: b, relation, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transactions::generate::{Isolation, Shape, generate};

    #[test]
    fn the_size_of_a_block_changes_nothing() {
        for isolation in [Isolation::Snapshot, Isolation::ReadCommitted] {
            for seed in 0..20 {
                let shape = Shape {
                    keys: 5,
                    processes: 7,
                    ..Shape::usual(DataType::Register, isolation, 60)
                };
                let history = generate(&shape, seed).unwrap().history;
                let whole = check_in_blocks(&history, WeakLevel::Causal, 64).unwrap();
                for block in [1, 2, 3, 7] {
                    let parts = check_in_blocks(&history, WeakLevel::Causal, block).unwrap();
                    assert_eq!(parts.status(), whole.status());
                    assert_eq!(parts.forced, whole.forced);
                }
            }
        }
    }
}
