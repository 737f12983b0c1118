//! The four session guarantees (Terry et al., *Session guarantees for weakly consistent replicated
//! data*, PDIS 1994).
//!
//! Each read shows a set of writes, those that its server had applied: at least the one it returns.
//! A guarantee adds writes to that set, or orders writes, or both:
//!
//! - *read your writes*: the client's earlier writes are in it;
//! - *monotonic reads*: what the client's earlier reads returned is in it;
//! - *monotonic writes*: with a write, the earlier writes of its client are in it, ordered before
//!   it;
//! - *writes follow reads*: with a write, what its client had read before is in it, ordered before
//!   it.
//!
//! A history keeps a set of guarantees if one order of all writes, the same for everyone, makes
//! each read return the latest of the writes of its key that it shows. Ask for one guarantee or
//! several: together they forbid more than each alone. (Read your writes alone does not mind if a
//! client's two writes take effect in the other order: that is for monotonic writes to forbid.)
//!
//! With unique values this is a cycle search. The sets are built write by write and counted against
//! the budget; with monotonic reads they only grow, so the work is at most writes times clients.

use crate::meter::Meter;
use crate::report::{Report, numbers};
use crate::transactions::cycles::any_cycle;
use crate::transactions::graph::{Edges, Mask, Masked, PROCESS, WR, WW, components};
use crate::verdict::{Budget, Limit};
use crate::weak::accesses::{Accesses, Refused, RegisterHistory, Role};

/// A guarantee to one client about what it sees of its own past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guarantee {
    /// A read shows the client's earlier writes.
    ReadYourWrites,
    /// A read shows what earlier reads showed.
    MonotonicReads,
    /// A client's writes take effect in their order, everywhere.
    MonotonicWrites,
    /// A write takes effect after what its client had read, everywhere.
    WritesFollowReads,
}

impl Guarantee {
    /// All four.
    pub const ALL: [Self; 4] = [
        Self::ReadYourWrites,
        Self::MonotonicReads,
        Self::MonotonicWrites,
        Self::WritesFollowReads,
    ];

    /// The name on the command line and in breaches.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadYourWrites => "read-your-writes",
            Self::MonotonicReads => "monotonic-reads",
            Self::MonotonicWrites => "monotonic-writes",
            Self::WritesFollowReads => "writes-follow-reads",
        }
    }

    /// The guarantee of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|guarantee| guarantee.name() == name)
    }
}

/// Checks a set of guarantees together; 256 writes put into sets count as a configuration.
///
/// # Errors
/// If a value is written twice to one key, or no recorder can have produced the history.
pub fn session_guarantees(
    history: &RegisterHistory,
    guarantees: &[Guarantee],
    budget: Budget,
) -> Result<Report, Refused> {
    let mut report = Report::default();
    let accesses = Accesses::new(history, &mut report)?;
    let rule = match guarantees {
        [only] => only.name(),
        _ => "session-guarantees",
    };
    let mut sets = Sets::new(&accesses, guarantees, budget);
    sets.order_writes();
    let rows = 0..sets.rows.len();
    let shown = rows.into_iter().try_for_each(|row| sets.show_reads(row, rule, &mut report));
    // Half a set proves nothing, but what was found before it stands.
    report.is_exhausted = shown.is_err();
    report.configurations = sets.meter.spent().configurations;
    let graph = sets.edges.build();
    let mask = Mask::of(&[PROCESS, WR, WW]);
    let parts = components(&Masked { graph: &graph, mask, within: None });
    if let Some(members) = parts.members.first()
        && let Some(cycle) = any_cycle(&graph, members, mask, &parts)
    {
        report.note(rule, &cycle.transactions, || {
            let all = numbers(&cycle.transactions);
            format!("the writes {all} would each have to take effect before the next")
        });
    }
    Ok(report)
}

const NONE: u32 = u32::MAX;

struct Sets<'h> {
    accesses: &'h Accesses<'h>,
    has: [bool; 4],
    rows: Vec<crate::weak::accesses::Session>,
    /// Per operation: the last write of its client up to it, itself included.
    last_write: Vec<u32>,
    /// Per operation: the last read of its client up to it, itself included.
    last_read: Vec<u32>,
    /// Per operation: the one before it in its session.
    before: Vec<u32>,
    edges: Edges,
    /// The set being built: who was put in for the row or read of that number.
    stamp: Vec<u32>,
    now: u32,
    /// Writes in the set, by key.
    shown: Vec<Vec<u32>>,
    touched: Vec<u32>,
    meter: Meter,
}

impl<'h> Sets<'h> {
    fn new(accesses: &'h Accesses<'h>, guarantees: &[Guarantee], budget: Budget) -> Self {
        let count = accesses.len();
        Self {
            accesses,
            has: Guarantee::ALL.map(|guarantee| guarantees.contains(&guarantee)),
            rows: accesses.sessions(),
            last_write: vec![NONE; count as usize],
            last_read: vec![NONE; count as usize],
            before: vec![NONE; count as usize],
            edges: Edges::new(count),
            stamp: vec![NONE; count as usize],
            now: 0,
            shown: vec![Vec::new(); accesses.keys],
            touched: Vec::new(),
            meter: Meter::new(budget),
        }
    }

    fn has(&self, guarantee: Guarantee) -> bool {
        self.has[guarantee as usize]
    }

    fn source(&self, read: u32) -> Option<u32> {
        match self.accesses.roles[read as usize] {
            Role::Read(source) => source,
            Role::Write | Role::Nothing => None,
        }
    }

    /// Links each operation to its past and orders writes behind what they must follow.
    fn order_writes(&mut self) {
        // Per operation: a junction that all sources of its client's reads so far lead to.
        let mut gathered = vec![NONE; self.before.len()];
        for row in 0..self.rows.len() {
            let mut before = self.rows[row].after.unwrap_or(NONE);
            for at in 0..self.rows[row].operations.len() {
                let index = self.rows[row].operations[at];
                self.before[index as usize] = before;
                let past =
                    |column: &[u32]| if before == NONE { NONE } else { column[before as usize] };
                let (write, read) = (past(&self.last_write), past(&self.last_read));
                let known = past(&gathered);
                if self.accesses.roles[index as usize] == Role::Write {
                    if self.has(Guarantee::MonotonicWrites) && write != NONE {
                        self.edges.push(write, index, PROCESS);
                    }
                    if self.has(Guarantee::WritesFollowReads) && known != NONE {
                        self.edges.push(known, index, crate::transactions::graph::PASS);
                    }
                    (self.last_write[index as usize], self.last_read[index as usize]) =
                        (index, read);
                    gathered[index as usize] = known;
                } else {
                    (self.last_write[index as usize], self.last_read[index as usize]) =
                        (write, index);
                    gathered[index as usize] = self.gather(index, known);
                }
                before = index;
            }
        }
    }

    fn gather(&mut self, read: u32, known: u32) -> u32 {
        let Some(source) = self.source(read) else { return known };
        let junction = self.edges.junction();
        self.edges.push(source, junction, WR);
        if known != NONE {
            self.edges.push(known, junction, crate::transactions::graph::PASS);
        }
        junction
    }

    fn clear(&mut self) {
        self.now += 1;
        for key in self.touched.drain(..) {
            self.shown[key as usize].clear();
        }
    }

    /// Puts a write into the set, with all that must come with it.
    fn put(&mut self, write: u32) -> Result<(), Limit> {
        let mut stack = vec![write];
        while let Some(write) = stack.pop() {
            if self.stamp[write as usize] == self.now {
                continue;
            }
            self.stamp[write as usize] = self.now;
            self.meter.step(1)?;
            let key = self.accesses.key[write as usize];
            self.shown[key as usize].push(write);
            self.touched.push(key);
            let before = self.before[write as usize];
            if before == NONE {
                continue;
            }
            let earlier = self.last_write[before as usize];
            if self.has(Guarantee::MonotonicWrites) && earlier != NONE {
                stack.push(earlier);
            }
            if self.has(Guarantee::WritesFollowReads) {
                let mut read = self.last_read[before as usize];
                while read != NONE {
                    self.meter.step(1)?;
                    stack.extend(self.source(read));
                    let before = self.before[read as usize];
                    // Reads before an earlier write come with that write, if it comes.
                    let stop = before == NONE
                        || self.has(Guarantee::MonotonicWrites)
                            && earlier != NONE
                            && self.last_write[before as usize] != earlier;
                    read = if stop { NONE } else { self.last_read[before as usize] };
                }
            }
        }
        Ok(())
    }

    fn show_reads(
        &mut self,
        row: usize,
        rule: &'static str,
        report: &mut Report,
    ) -> Result<(), Limit> {
        self.clear();
        let grows = self.has(Guarantee::MonotonicReads);
        let own = self.has(Guarantee::ReadYourWrites);
        for at in 0..self.rows[row].operations.len() {
            let index = self.rows[row].operations[at];
            if self.accesses.roles[index as usize] == Role::Write {
                if own && grows {
                    self.put(index)?;
                }
                continue;
            }
            if !grows {
                self.clear();
                let mut write = if own { self.last_write[index as usize] } else { NONE };
                while write != NONE {
                    self.put(write)?;
                    let before = self.before[write as usize];
                    write = if before == NONE { NONE } else { self.last_write[before as usize] };
                }
            }
            self.show(index, rule, report)?;
        }
        Ok(())
    }

    /// The source of a read is the latest of the writes of its key in the set.
    fn show(&mut self, read: u32, rule: &'static str, report: &mut Report) -> Result<(), Limit> {
        let key = self.accesses.key[read as usize] as usize;
        let Some(source) = self.source(read) else {
            if let Some(&write) = self.shown[key].first() {
                report.note(rule, &[read, write], || {
                    format!(
                        "operation #{read} read the initial state, though it must show #{write}"
                    )
                });
            }
            return Ok(());
        };
        self.put(source)?;
        let shown = std::mem::take(&mut self.shown[key]);
        for &write in &shown {
            self.edges.push(write, source, WW);
        }
        self.meter.hold(self.edges.len() as u64 * 8)?;
        // The others are before `source` now, and so is what is before it.
        self.shown[key] = vec![source];
        Ok(())
    }
}
