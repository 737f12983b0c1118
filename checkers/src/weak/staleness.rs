//! How stale reads are: in versions (k-atomicity) and in time (Delta-atomicity).
//!
//! *k-atomicity* (Aiyer, Alvisi and Bazzi, *On the availability of non-strict quorum systems*, DISC
//! 2005): some order that respects real time lets each read return one of the last `k` values
//! written before it; 1-atomic is linearizable. Decided by three steps: a bound (a read that `k`
//! writes certainly separate from its source refutes it), zones for `k = 1` (Gibbons and Korach,
//! *Testing shared memories*, 1997), and otherwise a search with a budget.
//!
//! *Delta-atomicity* (Golab, Li and Shah, *Analyzing consistency properties for fun and profit*,
//! PODC 2011): the history is linearizable if every read is taken to have begun `delta` earlier.
//! [`staleness_time`] finds the smallest such `delta`, exactly.

use rustc_hash::FxHashSet;

use crate::meter::Meter;
use crate::report::Report;
use crate::verdict::{Budget, Limit};
use crate::weak::accesses::{Accesses, KeyAccesses, Refused, RegisterHistory};

/// Checks that every register is `k`-atomic; the budget is for all keys together.
///
/// # Errors
/// If a value is written twice to one key, or no recorder can have produced the history.
pub fn k_atomic(history: &RegisterHistory, k: u32, budget: Budget) -> Result<Report, Refused> {
    let mut report = Report::default();
    let mut meter = Meter::new(budget);
    let accesses = Accesses::new(history, &mut report)?;
    for key in accesses.by_key() {
        let before = report.breached;
        for (read, source, replaced) in certain_staleness(&accesses, &key, &mut report) {
            if k <= replaced {
                report.note("k-atomicity", &[read], || {
                    let source = source.map_or("nobody".to_owned(), |source| format!("#{source}"));
                    format!(
                        "operation #{read} read from {source}, which {replaced} later writes had \
                         certainly replaced"
                    )
                });
            }
        }
        if report.breached != before || report.is_exhausted {
            continue;
        }
        if k == 1 {
            let zones = zones(&accesses, &key, 0);
            if let Some((first, second)) = crossing(&zones) {
                report.note("k-atomicity", &[first, second], || {
                    format!("the values of #{first} and #{second} each had to come first")
                });
            }
        } else {
            search(&accesses, &key, k, &mut meter, &mut report);
        }
    }
    Ok(report)
}

/// The smallest shift of read calls, in the time unit of the history, that makes every register
/// linearizable; `None` if none does (a value read before it was written, or by nobody).
///
/// # Errors
/// If a value is written twice to one key, or no recorder can have produced the history.
pub fn staleness_time(history: &RegisterHistory) -> Result<Option<u64>, Refused> {
    let mut report = Report::default();
    let accesses = Accesses::new(history, &mut report)?;
    let keys = accesses.by_key();
    for key in &keys {
        certain_staleness(&accesses, key, &mut report);
    }
    if 0 < report.breached {
        return Ok(None);
    }
    let fits =
        |shift: u64| keys.iter().all(|key| crossing(&zones(&accesses, key, shift)).is_none());
    // Longer reads fit wherever shorter ones do, so the smallest shift is found by halving.
    let (mut low, mut high) = (0u64, u64::MAX);
    if !fits(high) {
        return Ok(None);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(Some(low))
}

/// For each read, how many writes began after its source had ended and ended before it began.
/// Reads that ended before their source was called are noted.
fn certain_staleness(
    accesses: &Accesses<'_>,
    key: &KeyAccesses,
    report: &mut Report,
) -> Vec<(u32, Option<u32>, u32)> {
    let mut calls: Vec<u64> = key.writes.iter().map(|write| accesses.call(*write)).collect();
    calls.sort_unstable();
    let mut counts = Counts { tree: vec![0; calls.len() + 1] };
    let mut ended = key.writes.clone();
    ended.sort_by_key(|write| accesses.returned(*write));
    let mut ended = ended.into_iter().peekable();
    let mut reads = key.reads.clone();
    reads.sort_by_key(|(read, _)| accesses.call(*read));
    let mut stale = Vec::with_capacity(reads.len());
    for (read, source) in reads {
        let call = accesses.call(read);
        while let Some(write) = ended.next_if(|write| accesses.returned(*write) < call) {
            counts.add(calls.partition_point(|call| *call < accesses.call(write)));
        }
        if let Some(source) = source
            && accesses.returned(read) < accesses.call(source)
        {
            report.note("read-from-future", &[read, source], || {
                format!("operation #{read} returned before its source #{source} was called")
            });
            continue;
        }
        let after = source.map_or(0, |source| {
            let end = accesses.returned(source);
            calls.partition_point(|call| *call <= end)
        });
        stale.push((read, source, counts.total() - counts.below(after)));
    }
    stale
}

/// A Fenwick tree: how many were added below a place.
struct Counts {
    tree: Vec<u32>,
}

impl Counts {
    fn add(&mut self, place: usize) {
        let mut at = place + 1;
        while at < self.tree.len() {
            self.tree[at] += 1;
            at += at & at.wrapping_neg();
        }
    }

    fn below(&self, place: usize) -> u32 {
        let (mut at, mut sum) = (place, 0);
        while 0 < at {
            sum += self.tree[at];
            at -= at & at.wrapping_neg();
        }
        sum
    }

    fn total(&self) -> u32 {
        self.below(self.tree.len() - 1)
    }
}

/// A value's first response and last call; it must be current all that time if `first < last`.
struct Zone {
    first: i128,
    last: i128,
    write: u32,
}

fn zones(accesses: &Accesses<'_>, key: &KeyAccesses, shift: u64) -> Vec<Zone> {
    let mut zones: Vec<Zone> = key
        .writes
        .iter()
        .map(|write| Zone {
            first: i128::from(accesses.returned(*write)),
            last: i128::from(accesses.call(*write)),
            write: *write,
        })
        .collect();
    let mut place = vec![usize::MAX; accesses.roles.len()];
    key.writes.iter().enumerate().for_each(|(at, write)| place[*write as usize] = at);
    // The initial value was written before time; as a witness it is named by its first reader.
    let mut initial: Option<Zone> = None;
    for (read, source) in &key.reads {
        let zone = match source {
            Some(source) => &mut zones[place[*source as usize]],
            None => initial.get_or_insert(Zone { first: -1, last: -1, write: *read }),
        };
        zone.first = zone.first.min(i128::from(accesses.returned(*read)));
        zone.last = zone.last.max(i128::from(accesses.call(*read)) - i128::from(shift));
    }
    zones.extend(initial);
    zones
}

/// Two values each of which must be current before the other.
fn crossing(zones: &[Zone]) -> Option<(u32, u32)> {
    let mut forward: Vec<&Zone> = zones.iter().filter(|zone| zone.first < zone.last).collect();
    forward.sort_by_key(|zone| (zone.first, zone.last));
    for pair in forward.windows(2) {
        if pair[1].first < pair[0].last {
            return Some((pair[0].write, pair[1].write));
        }
    }
    for zone in zones.iter().filter(|zone| zone.last <= zone.first) {
        let before = forward.partition_point(|other| other.first < zone.last);
        if let Some(other) = forward[..before].last()
            && zone.first < other.last
        {
            return Some((other.write, zone.write));
        }
    }
    None
}

/// Depth-first over the orders of one key that respect real time.
fn search(
    accesses: &Accesses<'_>,
    key: &KeyAccesses,
    k: u32,
    meter: &mut Meter,
    report: &mut Report,
) {
    let mut operations: Vec<(u32, Option<Option<u32>>)> =
        key.reads.iter().map(|(read, source)| (*read, Some(*source))).collect();
    operations.extend(key.writes.iter().map(|write| (*write, None)));
    operations.sort_by_key(|(index, _)| (accesses.call(*index), *index));
    let mut search = Search {
        accesses,
        operations: &operations,
        k: k as usize,
        meter,
        seen: FxHashSet::default(),
    };
    let found = search.run();
    report.configurations = meter.spent().configurations;
    match found {
        Ok(true) => {}
        Ok(false) => {
            let all: Vec<u32> = operations.iter().map(|(index, _)| *index).collect();
            report.note("k-atomicity", &all, || {
                format!("no order lets each read return one of the last {k} values")
            });
        }
        Err(_) => report.is_exhausted = true,
    }
}

struct Search<'s> {
    accesses: &'s Accesses<'s>,
    operations: &'s [(u32, Option<Option<u32>>)],
    k: usize,
    meter: &'s mut Meter,
    /// Placed operations (bits), then the last `k` values.
    seen: FxHashSet<(Vec<u64>, Vec<Option<u32>>)>,
}

impl Search<'_> {
    fn run(&mut self) -> Result<bool, Limit> {
        let words = self.operations.len().div_ceil(64);
        // Of a configuration, in the set or on the stack.
        let bytes = (words + self.k + 8) * 8;
        let mut stack = vec![(vec![0u64; words], vec![None::<u32>])];
        while let Some((placed, recent)) = stack.pop() {
            let open: Vec<usize> = (0..self.operations.len())
                .filter(|at| placed[at / 64] >> (at % 64) & 1 == 0)
                .collect();
            if open.is_empty() {
                return Ok(true);
            }
            self.meter.expand()?;
            self.meter.hold(((self.seen.len() + stack.len()) * bytes) as u64)?;
            self.meter.step(2 * self.operations.len() as u64)?;
            let deadline = open.iter().map(|at| self.accesses.returned(self.operations[*at].0));
            let deadline = deadline.min().unwrap_or(u64::MAX);
            for at in open.into_iter().rev() {
                let (index, read) = self.operations[at];
                if deadline < self.accesses.call(index) {
                    continue;
                }
                self.meter.step((8 + words) as u64)?;
                let mut recent = recent.clone();
                match read {
                    Some(source) if !recent.contains(&source) => continue,
                    Some(_) => {}
                    None => {
                        recent.insert(0, Some(index));
                        recent.truncate(self.k);
                    }
                }
                let mut placed = placed.clone();
                placed[at / 64] |= 1 << (at % 64);
                if self.seen.insert((placed.clone(), recent.clone())) {
                    stack.push((placed, recent));
                }
            }
        }
        Ok(false)
    }
}
