//! Causal consistency by bad patterns (Bouajjani, Enea, Guerraoui and Hamza, *On verifying causal
//! consistency*, POPL 2017, table 1), for registers whose values are written once.
//!
//! CO is session order and reads-from, closed under transitivity.
//!
//! - *CC* (weak causal consistency) forbids `CyclicCO`, `ThinAirRead`, `WriteCOInitRead` (a read of
//!   the initial state with a write of the key in its past) and `WriteCORead` (a read from `w1`
//!   with a `w2` of the key between `w1` and the read).
//! - *`CCv`* (causal convergence) adds `CyclicCF`: CO and CF have a cycle, where `w1` CF `w2` if
//!   `w1` is in the past of a read from `w2`. In near-linear time, by `transactions::weak`.
//! - *CM* (causal memory) adds to CC `WriteHBInitRead` and `CyclicHB`, where HB of a session grows
//!   CO by ordering `w1` before `w2` whenever `w1` is in the HB-past of one of its reads from `w2`.

use crate::meter::Meter;
use crate::report::{Report, numbers};
use crate::transactions::graph::{PROCESS, WR};
use crate::transactions::report::{Level, Report as Anomalies};
use crate::transactions::weak::causal::{Clocks, WritersByKey, causal_order};
use crate::transactions::weak::sessions::Sessions;
use crate::transactions::weak::{BLOCK, Relation, WeakLevel, check_in_blocks};
use crate::transactions::writes::{Writes, committed};
use crate::transactions::{HistoryError, TransactionHistory};
use crate::verdict::{Budget, Limit};
use crate::weak::accesses::{Accesses, Refused, RegisterHistory};

/// The three kinds of causal consistency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Causal {
    /// CC: what is seen includes its causes.
    Weak,
    /// CM: and each session sees one order of all writes (Ahamad et al. 1995).
    Memory,
    /// `CCv`: and all sessions see the same order of conflicting writes.
    Convergent,
}

impl Causal {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Weak, Self::Memory, Self::Convergent];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weak => "causal",
            Self::Memory => "causal-memory",
            Self::Convergent => "causal-convergent",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Checks a kind of causal consistency. The budget bounds what clocks hold, and the work of the
/// inference and of causal memory's closure, in which 256 edges count as a configuration.
///
/// # Errors
/// If a value is written twice to one key, or no recorder can have produced the history.
pub fn causal(history: &RegisterHistory, kind: Causal, budget: Budget) -> Result<Report, Refused> {
    let mut meter = Meter::new(budget);
    let mut report = Report::default();
    let accesses = Accesses::new(history, &mut report)?;
    let judged = match kind {
        Causal::Convergent => convergent(&accesses, &mut meter, &mut report),
        Causal::Weak => weak(&accesses, &mut meter, &mut report),
        Causal::Memory => weak(&accesses, &mut meter, &mut report).and_then(|()| {
            if report.breached == 0 {
                memory(&accesses, &mut meter, &mut report)?;
            }
            Ok(())
        }),
    };
    // The only error left is size: values are unique, types are not mixed.
    report.is_exhausted |= judged.is_err();
    report.configurations = meter.spent().configurations;
    Ok(report)
}

/// `CCv`, of which the weak levels' causal consistency is the transactional form.
pub(crate) fn convergent(
    accesses: &Accesses<'_>,
    meter: &mut Meter,
    report: &mut Report,
) -> Result<(), HistoryError> {
    let (transactions, order) = accesses.transactions()?;
    let found = check_in_blocks(&transactions, WeakLevel::Causal, BLOCK, meter)?;
    report.is_exhausted |= found.exhausted.is_some();
    if found.cycle.is_empty() {
        return Ok(());
    }
    let forced = found.cycle.iter().filter(|step| step.relation == Relation::CommitOrder).count();
    let starts_initial = found.cycle.iter().any(|step| step.from.is_none());
    let rule = match (forced, starts_initial) {
        (0, _) => "CyclicCO",
        (_, true) => "WriteCOInitRead",
        (1, false) => "WriteCORead",
        (_, false) => "CyclicCF",
    };
    let name = |node: Option<u32>| {
        node.map_or("the initial state".to_owned(), |t| format!("operation #{}", order[t as usize]))
    };
    let involved: Vec<u32> =
        found.cycle.iter().filter_map(|step| step.from).map(|t| order[t as usize]).collect();
    report.note(rule, &involved, || {
        let steps = found.cycle.iter().map(|step| {
            let why = match step.relation {
                Relation::Session => "in session order",
                Relation::WriteRead => "which read from it",
                Relation::CommitOrder => "as someone who knew of the first read the second",
            };
            format!("{} before {}, {why}", name(step.from), name(step.to))
        });
        steps.collect::<Vec<_>>().join("; ")
    });
    Ok(())
}

/// The layout of single operations as sessions.
struct Layout {
    sessions: Sessions,
    /// The operation of each transaction.
    order: Vec<u32>,
}

impl Layout {
    fn new(accesses: &Accesses<'_>) -> Result<Self, HistoryError> {
        let (transactions, order): (TransactionHistory, Vec<u32>) = accesses.transactions()?;
        let writes = Writes::new(&transactions)?;
        let committed = committed(&transactions, &writes);
        let mut ignored = Anomalies::new(Level::ReadCommitted);
        Ok(Self {
            sessions: Sessions::new(&transactions, &writes, &committed, &mut ignored),
            order,
        })
    }

    fn operation(&self, node: u32) -> u32 {
        self.sessions.index(node).map_or(u32::MAX, |t| self.order[t as usize])
    }
}

/// CC: for each read and session, the latest write of the key in the read's past must not be behind
/// the one it read. Earlier ones need no look: if `w1` is before one of them it is before the
/// latest.
fn weak(
    accesses: &Accesses<'_>,
    meter: &mut Meter,
    report: &mut Report,
) -> Result<(), HistoryError> {
    let layout = Layout::new(accesses)?;
    let sessions = &layout.sessions;
    let Some(order) = causal_order(sessions) else {
        note_cyclic_co(&layout, report);
        return Ok(());
    };
    let width = sessions.sessions();
    if meter.hold(4 * width as u64 * u64::from(sessions.nodes())).is_err() {
        report.is_exhausted = true;
        return Ok(());
    }
    let clocks = Clocks::new(sessions, &order, 0, width);
    let writers = WritersByKey::new(sessions);
    for reader in 0..sessions.transactions() {
        for read in sessions.reads(reader) {
            let key = read.key as usize;
            let groups = writers.key_starts[key] as usize..writers.key_starts[key + 1] as usize;
            for group in &writers.groups[groups] {
                let past = clocks.row(reader)[group.session as usize];
                let positions = &writers.positions[group.start as usize..group.end as usize];
                let before = positions.partition_point(|at| *at < past);
                let Some(&latest) = positions[..before].last() else { continue };
                let write = sessions.starts[group.session as usize] + latest;
                judge_write(&layout, &clocks, reader, read.writer, write, report);
            }
        }
    }
    Ok(())
}

fn judge_write(
    layout: &Layout,
    clocks: &Clocks,
    reader: u32,
    source: u32,
    write: u32,
    report: &mut Report,
) {
    let sessions = &layout.sessions;
    let (read, newer) = (layout.operation(reader), layout.operation(write));
    if source == sessions.initial() {
        report.note("WriteCOInitRead", &[read, newer], || {
            format!("operation #{read} read the initial state with #{newer} in its past")
        });
    } else if source != write
        && sessions.position(source) < clocks.row(write)[sessions.session[source as usize] as usize]
    {
        let older = layout.operation(source);
        report.note("WriteCORead", &[read, older, newer], || {
            format!("operation #{read} read from #{older}, which #{newer} in its past replaced")
        });
    }
}

fn note_cyclic_co(layout: &Layout, report: &mut Report) {
    use crate::transactions::cycles::any_cycle;
    use crate::transactions::graph::{Edges, Mask, Masked, components};
    let mut edges = Edges::new(layout.sessions.nodes());
    layout.sessions.base_edges(&mut edges);
    let graph = edges.build();
    let mask = Mask::of(&[PROCESS, WR]);
    let parts = components(&Masked { graph: &graph, mask, within: None });
    if let Some(members) = parts.members.first()
        && let Some(cycle) = any_cycle(&graph, members, mask, &parts)
    {
        let involved: Vec<u32> =
            cycle.transactions.iter().map(|node| layout.operation(*node)).collect();
        report.note("CyclicCO", &involved, || {
            format!("operations {} each cause the next, in a circle", numbers(&involved))
        });
    }
}

/// CM: grows HB for each session until nothing changes.
fn memory(
    accesses: &Accesses<'_>,
    meter: &mut Meter,
    report: &mut Report,
) -> Result<(), HistoryError> {
    let layout = Layout::new(accesses)?;
    for session in 0..layout.sessions.sessions() {
        let mut growth = Growth::new(&layout, session, meter);
        report.is_exhausted |= growth.run(report).is_err();
        if 0 < report.breached || report.is_exhausted {
            break;
        }
    }
    Ok(())
}

struct Growth<'l, 'm> {
    layout: &'l Layout,
    meter: &'m mut Meter,
    session: usize,
    /// Extra predecessors: `(w1, w2)` pairs by `w2`.
    added: Vec<Vec<u32>>,
    stamp: Vec<u32>,
    now: u32,
}

impl<'l, 'm> Growth<'l, 'm> {
    fn new(layout: &'l Layout, session: usize, meter: &'m mut Meter) -> Self {
        let nodes = layout.sessions.nodes() as usize;
        let (added, stamp) = (vec![Vec::new(); nodes], vec![0; nodes]);
        Self { layout, meter, session, added, stamp, now: 0 }
    }

    fn run(&mut self, report: &mut Report) -> Result<(), Limit> {
        let sessions = &self.layout.sessions;
        let nodes = sessions.starts[self.session]..sessions.starts[self.session + 1];
        loop {
            let mut grew = false;
            for reader in nodes.clone() {
                for read in sessions.reads(reader) {
                    match self.grow(reader, read.key, read.writer, report)? {
                        Some(more) => grew |= more,
                        None => return Ok(()),
                    }
                }
            }
            if !grew {
                return Ok(());
            }
        }
    }

    /// Puts every write of the key in the reader's past before the one it read; `None` on a breach.
    fn grow(
        &mut self,
        reader: u32,
        key: u32,
        source: u32,
        report: &mut Report,
    ) -> Result<Option<bool>, Limit> {
        let sessions = &self.layout.sessions;
        let writes: Vec<u32> = self
            .past(reader)?
            .into_iter()
            .filter(|node| *node != source && sessions.writes(*node).contains(&key))
            .collect();
        let (read, first) = (self.layout.operation(reader), writes.first().copied());
        if source == sessions.initial() {
            let Some(first) = first else { return Ok(Some(false)) };
            let write = self.layout.operation(first);
            report.note("WriteHBInitRead", &[read, write], || {
                format!("to its session, #{write} happened before #{read}, which read nothing")
            });
            return Ok(None);
        }
        let mut grew = false;
        for write in writes {
            self.meter.step(1 + self.added[source as usize].len() as u64 / 4)?;
            if !self.added[source as usize].contains(&write) {
                self.added[source as usize].push(write);
                grew = true;
            }
        }
        if grew && self.past(source)?.contains(&source) {
            let write = self.layout.operation(source);
            report.note("CyclicHB", &[read, write], || {
                format!("to the session of #{read}, #{write} would have to precede itself")
            });
            return Ok(None);
        }
        Ok(Some(grew))
    }

    /// Everything before a node, in HB so far; the node itself only if it lies on a cycle.
    fn past(&mut self, node: u32) -> Result<Vec<u32>, Limit> {
        self.now += 1;
        let sessions = &self.layout.sessions;
        let mut past = Vec::new();
        let mut stack = vec![node];
        while let Some(at) = stack.pop() {
            let sources = sessions.reads(at).iter().map(|read| read.writer);
            let sources = sources.filter(|source| *source != sessions.initial());
            let added = self.added[at as usize].iter().copied();
            for before in sources.chain(added).chain(sessions.predecessor(at)) {
                self.meter.step(1)?;
                if self.stamp[before as usize] != self.now {
                    self.stamp[before as usize] = self.now;
                    past.push(before);
                    stack.push(before);
                }
            }
        }
        Ok(past)
    }
}
