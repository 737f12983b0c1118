//! What a check of transactions found: anomalies, cycles edge by edge, and how far it looked.

use std::fmt;

pub use crate::report::Status;

use crate::transactions::graph::Dependency;

/// The phenomena of Adya (MIT 1999, chapters 3 and 4), with the additions of Elle
/// (Kingsbury and Alvaro, VLDB 2020).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Anomaly {
    /// A read saw a value that no transaction wrote.
    Unwritten,
    /// A list held one element twice.
    Duplicates,
    /// Two reads of a list are no prefixes of each other: no one order of appends explains both.
    IncompatibleOrder,
    /// The versions of a register follow each other in a circle.
    CyclicVersions,
    /// A committed version was built on one of a failed transaction.
    DirtyUpdate,
    /// A cycle of write-write edges (dirty write).
    G0,
    /// A read of what a failed transaction wrote.
    G1a,
    /// A read of what its writer overwrote itself, before it committed.
    G1b,
    /// A cycle of write-write and write-read edges, at least one of the latter.
    G1c,
    /// A transaction contradicted itself: a read that ignores its own earlier reads and writes.
    Internal,
    /// Two transactions read the same version and both wrote its key.
    LostUpdate,
    /// A cycle with exactly one read-write edge.
    GSingle,
    /// A cycle with two or more read-write edges, none next to another.
    GNonadjacent,
    /// A cycle with read-write edges next to each other.
    G2Item,
}

impl Anomaly {
    /// How many there are.
    pub const COUNT: usize = 14;

    /// Every anomaly, worst first.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Unwritten,
        Self::Duplicates,
        Self::IncompatibleOrder,
        Self::CyclicVersions,
        Self::DirtyUpdate,
        Self::G0,
        Self::G1a,
        Self::G1b,
        Self::G1c,
        Self::Internal,
        Self::LostUpdate,
        Self::GSingle,
        Self::GNonadjacent,
        Self::G2Item,
    ];

    /// The name used in the literature.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unwritten => "unwritten",
            Self::Duplicates => "duplicate-elements",
            Self::IncompatibleOrder => "incompatible-order",
            Self::CyclicVersions => "cyclic-versions",
            Self::DirtyUpdate => "dirty-update",
            Self::G0 => "G0",
            Self::G1a => "G1a",
            Self::G1b => "G1b",
            Self::G1c => "G1c",
            Self::Internal => "internal",
            Self::LostUpdate => "lost-update",
            Self::GSingle => "G-single",
            Self::GNonadjacent => "G-nonadjacent",
            Self::G2Item => "G2-item",
        }
    }
}

/// Which orders beyond the data a cycle needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// None: the data alone contradict each other.
    Data,
    /// The order within a process.
    Process,
    /// The order of real time.
    RealTime,
}

/// A textbook shape that a cycle may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// Two transactions, each of which read what the other then overwrote (Berenson et al. 1995,
    /// A5B).
    WriteSkew,
    /// Two readers saw two independent writes in opposite orders (Sovran et al., SOSP 2011).
    LongFork,
    /// A reader saw one write of a transaction and missed another (Berenson et al. 1995, A5A).
    ReadSkew,
}

impl Pattern {
    /// A name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WriteSkew => "write skew",
            Self::LongFork => "long fork",
            Self::ReadSkew => "read skew",
        }
    }
}

/// An isolation level, from weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// PL-1: no dirty writes.
    ReadUncommitted,
    /// PL-2: no G1.
    ReadCommitted,
    /// PL-SI: no cycle without two adjacent read-write edges (Adya 1999, section 4.3).
    SnapshotIsolation,
    /// Snapshot isolation that respects the order within each process.
    StrongSessionSnapshotIsolation,
    /// Snapshot isolation that respects real time (Daudjee and Salem, VLDB 2006).
    StrongSnapshotIsolation,
    /// PL-3 for items: no cycle.
    Serializable,
    /// Serializable in an order that respects each process.
    StrongSessionSerializable,
    /// Serializable in an order that respects real time (Papadimitriou 1979).
    StrictSerializable,
}

impl Level {
    /// Every level.
    pub const ALL: [Self; 8] = [
        Self::ReadUncommitted,
        Self::ReadCommitted,
        Self::SnapshotIsolation,
        Self::StrongSessionSnapshotIsolation,
        Self::StrongSnapshotIsolation,
        Self::Serializable,
        Self::StrongSessionSerializable,
        Self::StrictSerializable,
    ];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "read-uncommitted",
            Self::ReadCommitted => "read-committed",
            Self::SnapshotIsolation => "snapshot-isolation",
            Self::StrongSessionSnapshotIsolation => "strong-session-snapshot-isolation",
            Self::StrongSnapshotIsolation => "strong-snapshot-isolation",
            Self::Serializable => "serializable",
            Self::StrongSessionSerializable => "strong-session-serializable",
            Self::StrictSerializable => "strict-serializable",
        }
    }

    /// The level of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// The widest order that the level must respect.
    #[must_use]
    pub const fn scope(self) -> Scope {
        match self {
            Self::StrongSessionSnapshotIsolation | Self::StrongSessionSerializable => {
                Scope::Process
            }
            Self::StrongSnapshotIsolation | Self::StrictSerializable => Scope::RealTime,
            Self::ReadUncommitted
            | Self::ReadCommitted
            | Self::SnapshotIsolation
            | Self::Serializable => Scope::Data,
        }
    }

    /// Whether a history with this anomaly breaks the level.
    #[must_use]
    pub fn forbids(self, anomaly: Anomaly, scope: Scope) -> bool {
        scope <= self.scope()
            && match anomaly {
                Anomaly::Unwritten
                | Anomaly::Duplicates
                | Anomaly::IncompatibleOrder
                | Anomaly::CyclicVersions
                | Anomaly::G0 => true,
                Anomaly::DirtyUpdate | Anomaly::G1a | Anomaly::G1b | Anomaly::G1c => {
                    Self::ReadCommitted <= self
                }
                Anomaly::Internal
                | Anomaly::LostUpdate
                | Anomaly::GSingle
                | Anomaly::GNonadjacent => Self::SnapshotIsolation <= self,
                Anomaly::G2Item => Self::Serializable <= self,
            }
    }
}

/// One edge of a cycle, with its reason in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index of the transaction that comes first.
    pub from: u32,
    /// Index of the transaction that comes after it.
    pub to: u32,
    /// The kind of dependency.
    pub dependency: Dependency,
    /// Why, in one clause.
    pub reason: String,
}

/// One anomaly, with its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub anomaly: Anomaly,
    /// The orders it needs; always `Data` for what is no cycle.
    pub scope: Scope,
    /// The textbook shape, if it has one.
    pub pattern: Option<Pattern>,
    /// The transactions involved, in the order of the cycle or of the sentence.
    pub transactions: Vec<u32>,
    /// The edges of the cycle; the last leads back to the first transaction.
    pub steps: Vec<Step>,
    /// Whether no shorter cycle of this kind exists in its component.
    pub is_shortest: bool,
    /// What happened, in a sentence or, for a cycle, a line an edge.
    pub explanation: String,
}

/// What a check did. Equal for equal inputs, anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions that took effect.
    pub committed: u32,
    /// Nodes of the graph, junctions included.
    pub nodes: u32,
    /// Edges of the graph.
    pub edges: u32,
    /// Components that hold a cycle, over all kinds of edges that the level looks at.
    pub components: u32,
    /// Edges looked at in search of short witnesses.
    pub visited: u64,
}

/// The outcome of a check against one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The level asked for.
    pub level: Level,
    /// The anomalies, worst first, at most [`Report::FINDINGS_MAX`] of a kind.
    pub findings: Vec<Finding>,
    /// How many of each kind were met, in the order of [`Anomaly::ALL`]; for cycles, how many
    /// components hold one.
    pub counts: [u64; Anomaly::COUNT],
    /// What was done.
    pub counters: Counters,
}

impl Report {
    /// How many findings of one kind are kept.
    pub const FINDINGS_MAX: usize = 8;

    pub(crate) fn new(level: Level) -> Self {
        let counts = [0; Anomaly::COUNT];
        Self { level, findings: Vec::new(), counts, counters: Counters::default() }
    }

    /// Whether the level was kept. Existence of cycles is decided in linear time, so a check by
    /// inference never ends in `Unknown`; what it cannot infer it does not count as a violation.
    #[must_use]
    pub fn status(&self) -> Status {
        if self.findings.iter().any(|found| self.level.forbids(found.anomaly, found.scope)) {
            Status::Violated
        } else {
            Status::Holds
        }
    }

    /// The levels that the findings refute, weak to strong.
    #[must_use]
    pub fn refuted(&self) -> Vec<Level> {
        let breaks = |level: &Level| {
            self.findings.iter().any(|found| level.forbids(found.anomaly, found.scope))
        };
        Level::ALL.into_iter().filter(breaks).collect()
    }

    /// The findings of one kind.
    pub fn of(&self, anomaly: Anomaly) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.anomaly == anomaly)
    }

    /// Notes an anomaly that is no cycle; `explain` runs only if there is room for it.
    pub(crate) fn note(
        &mut self,
        anomaly: Anomaly,
        transactions: &[u32],
        explain: impl FnOnce() -> String,
    ) {
        let count = &mut self.counts[anomaly as usize];
        *count += 1;
        if *count <= Self::FINDINGS_MAX as u64 {
            self.findings.push(Finding {
                anomaly,
                scope: Scope::Data,
                pattern: None,
                transactions: transactions.to_vec(),
                steps: Vec::new(),
                is_shortest: true,
                explanation: explain(),
            });
        }
    }

    /// Whether a finding of this kind would still be kept.
    pub(crate) fn has_room(&self, anomaly: Anomaly) -> bool {
        self.counts[anomaly as usize] < Self::FINDINGS_MAX as u64
    }

    pub(crate) fn sort(&mut self) {
        self.findings.sort_by_key(|finding| (finding.anomaly, finding.scope));
    }
}

/// The first few transactions of a list, for a sentence.
pub(crate) fn names(transactions: &[u32]) -> String {
    let mut names: Vec<String> = transactions.iter().take(8).map(|t| format!("T{t}")).collect();
    if names.len() < transactions.len() {
        names.push(format!("and {} more", transactions.len() - names.len()));
    }
    names.join(", ")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status() {
            Status::Holds => "holds",
            Status::Violated => "violated",
            Status::Unknown => "unknown",
        };
        writeln!(f, "{}: {status}", self.level.name())?;
        for finding in &self.findings {
            let scope = match finding.scope {
                Scope::Data => "",
                Scope::Process => "-process",
                Scope::RealTime => "-realtime",
            };
            let pattern = finding.pattern.map_or("", Pattern::name);
            let space = if pattern.is_empty() { "" } else { " " };
            writeln!(f, "{}{scope}{space}{pattern}", finding.anomaly.name())?;
            for line in finding.explanation.lines() {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}
