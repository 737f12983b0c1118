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
//!
//! What is inferred is bounded by a budget. A cycle of what was inferred until that ran out is as
//! much of a violation; without one the answer is `Unknown`.

pub(crate) mod causal;
mod infer;
pub(crate) mod sessions;

use std::fmt;

use crate::meter::Meter;
use crate::transactions::cycles::any_cycle;
use crate::transactions::graph::{Edges, Mask, Masked, PROCESS, WR, WW, components};
use crate::transactions::history::{DataType, HistoryError, TransactionHistory};
use crate::transactions::report::{Anomaly, Report, Status};
use crate::transactions::writes::{Writes, committed};
use crate::verdict::{Budget, Limit};
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
    /// Transactions that count.
    pub transactions: u64,
    /// Configurations that were spent: 256 steps of the inference count as one.
    pub configurations: u64,
    /// Which limit of the budget ran out before all edges were inferred.
    pub exhausted: Option<Limit>,
}

impl WeakReport {
    /// Whether the level was kept; `Unknown` if the budget ran out before anything was found.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.exhausted {
            _ if !self.anomalies.is_empty() || !self.cycle.is_empty() => Status::Violated,
            Some(_) => Status::Unknown,
            None => Status::Holds,
        }
    }

    /// Why nothing is known, if the budget ran out, and what helps.
    #[must_use]
    pub fn why_unknown(&self) -> Option<String> {
        let limit = match self.exhausted? {
            Limit::Configurations => "configurations",
            Limit::Bytes => "bytes",
        };
        let Self { configurations, transactions, .. } = self;
        Some(format!(
            "the {limit} of the budget were used up after {configurations} configurations, with \
             {transactions} transactions; what helps: a larger budget, fewer sessions, a shorter \
             history"
        ))
    }
}

impl fmt::Display for WeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.level.name();
        match (self.status(), self.why_unknown()) {
            (Status::Unknown, Some(why)) => writeln!(f, "{level}: unknown: {why}")?,
            (Status::Holds, _) => writeln!(f, "{level}: holds")?,
            _ => writeln!(f, "{level}: violated")?,
        }
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

/// Decides a weak level, within a budget: 256 steps of the inference cost as much as a
/// configuration.
///
/// # Errors
/// If the history holds lists, or a value is written twice to one key.
pub fn check(
    history: &TransactionHistory,
    level: WeakLevel,
    budget: Budget,
) -> Result<WeakReport, HistoryError> {
    check_in_blocks(history, level, BLOCK, &mut Meter::new(budget))
}

pub(crate) fn check_in_blocks(
    history: &TransactionHistory,
    level: WeakLevel,
    block: usize,
    meter: &mut Meter,
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
    let inferred = match level {
        WeakLevel::ReadCommitted => infer::read_committed(&sessions, &mut edges, meter),
        WeakLevel::ReadAtomic => infer::read_atomic(&sessions, &mut edges, meter),
        WeakLevel::Causal => causal::infer(&sessions, block, &mut edges, meter),
    };
    let forced = (edges.len() - base) as u64;
    let graph = edges.build();
    let mask = Mask::of(&[PROCESS, WR, WW]);
    let parts = components(&Masked { graph: &graph, mask, within: None });
    let mut cycle = Vec::new();
    if let Some(members) = parts.members.first()
        && let Some(found) = any_cycle(&graph, members, mask, &parts)
    {
        let (len, mut telling) = (found.transactions.len(), meter.anew());
        for at in 0..len {
            let (from, to) = (found.transactions[at], found.transactions[(at + 1) % len]);
            let because = Because { history, sessions: &sessions, level, kind: found.kinds[at] };
            cycle.push(because.step(from, to, &mut telling));
        }
    }
    let anomalies =
        report.findings.into_iter().map(|found| (found.anomaly, found.explanation)).collect();
    Ok(WeakReport {
        level,
        anomalies,
        cycle,
        forced,
        transactions: u64::from(sessions.transactions()),
        configurations: meter.spent().configurations,
        exhausted: inferred.err(),
    })
}

/// Why an edge of this kind is there.
struct Because<'a> {
    history: &'a TransactionHistory,
    sessions: &'a Sessions,
    level: WeakLevel,
    kind: u32,
}

impl Because<'_> {
    fn step(&self, from: u32, to: u32, meter: &mut Meter) -> WeakStep {
        let Self { history, sessions, level, kind } = self;
        let (a, b) = (sessions.index(from), sessions.index(to));
        let (relation, reason) = match *kind {
            PROCESS => (
                Relation::Session,
                match a {
                    Some(a) => format!("process {} ran T{a} before", history.process[a as usize]),
                    None => "it is there from the start".to_owned(),
                },
            ),
            WR => (Relation::WriteRead, format!("{} read from {}", name(b), name(a))),
            _ => {
                let reason = match infer::reason(sessions, *level, from, to, meter) {
                    Ok(Some((reader, key))) => format!(
                        "{} knew of {}, which wrote key {}, and read that key from {}",
                        name(sessions.index(reader)),
                        name(a),
                        history.names.key(key),
                        name(b)
                    ),
                    Ok(None) | Err(_) => "a later reader forces it".to_owned(),
                };
                (Relation::CommitOrder, reason)
            }
        };
        WeakStep { from: a, to: b, relation, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transactions::generate::{Isolation, Shape, generate};

    fn blocks(history: &TransactionHistory, block: usize) -> WeakReport {
        let mut meter = Meter::new(Budget::DEFAULT);
        check_in_blocks(history, WeakLevel::Causal, block, &mut meter).unwrap()
    }

    /// Nothing is called kept that was not looked at to its end, and what is found stays found.
    #[test]
    fn every_level_has_a_budget_beyond_which_nothing_is_known() {
        for level in WeakLevel::ALL {
            let mut seen = [0; 3];
            for isolation in [Isolation::Snapshot, Isolation::ReadCommitted] {
                for seed in 0..5 {
                    let shape =
                        Shape { processes: 40, ..Shape::usual(DataType::Register, isolation, 400) };
                    let history = generate(&shape, seed).unwrap().history;
                    let whole = check(&history, level, Budget::DEFAULT).unwrap();
                    assert_eq!((whole.exhausted, whole.why_unknown()), (None, None));
                    assert!(whole.configurations > 0, "{level:?} spends nothing");
                    let part = Budget::configurations(whole.configurations / 2);
                    let part = check(&history, level, part).unwrap();
                    assert_eq!(part.exhausted, Some(Limit::Configurations), "{level:?}");
                    seen[part.status() as usize] += 1;
                    if part.status() == Status::Violated {
                        assert_eq!(whole.status(), Status::Violated);
                    } else {
                        assert_eq!(part.status(), Status::Unknown);
                        let why = part.to_string();
                        assert!(why.contains("transactions; what helps"), "{why}");
                    }
                }
            }
            assert!(seen[Status::Unknown as usize] > 0, "{level:?}: {seen:?}");
        }
        let shape = Shape::usual(DataType::Register, Isolation::Snapshot, 400);
        let history = generate(&shape, 1).unwrap().history;
        let bytes = Budget { bytes: 1_000, ..Budget::DEFAULT };
        let held = check(&history, WeakLevel::Causal, bytes).unwrap();
        assert_eq!((held.status(), held.exhausted), (Status::Unknown, Some(Limit::Bytes)));
    }

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
                let whole = blocks(&history, 64);
                for block in [1, 2, 3, 7] {
                    let parts = blocks(&history, block);
                    assert_eq!(parts.status(), whole.status());
                    assert_eq!(parts.forced, whole.forced);
                }
            }
        }
    }
}
