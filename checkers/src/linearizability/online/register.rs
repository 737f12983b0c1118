//! A register with unique writes, judged while it runs, in O(log n) per response.
//!
//! Gibbons and Korach, *Testing shared memories* (1997), section 4, turned around in time. The zone
//! of a value runs from its earliest response `f` to its latest call `s`; two values contradict
//! each other if and only if `f(A) < s(B)` and `f(B) < s(A)`. Responses come in order of time, so
//! `f` is fixed by the first response to a value and only `s` grows:
//!
//! - zones with `f < s` are disjoint as long as nothing is wrong: a growing one is compared with
//!   its two neighbours;
//! - of the other zones, one that lies inside another makes that one redundant; what is left is
//!   ordered by both ends, and a growing zone is compared with the last that ends before its end.
//!
//! Forgotten is a value that cannot be seen again without a contradiction: there is a zone B with
//! `f(A) < s(B)` that ended before the earliest open call, so that everything still to come was
//! called after it. What is left is bounded by the operations that overlap the open ones. A write
//! whose answer never came and that nobody saw may be seen at any time: it is kept.

use std::collections::BTreeMap;
use std::hash::Hash;

use rustc_hash::FxHashMap;

use super::{Breach, Inbox, Standing};
use crate::models::{RegisterInput, RegisterOutput};

/// The operations on one value.
struct Cluster<V> {
    value: V,
    write: u32,
    write_call: u64,
    /// The zone, once something responded.
    zone: Option<Zone>,
    /// Whether seeing the value again would be a contradiction.
    dead: bool,
}

#[derive(Clone, Copy)]
struct Zone {
    f: u64,
    f_of: u32,
    s: u64,
    s_of: u32,
}

struct Open<V> {
    call: u64,
    /// The value, if it is a write.
    write: Option<V>,
}

enum Ending<V> {
    Written,
    Read(V),
    /// No register can have answered that.
    Wrong,
    Failed,
}

/// By `f` and number of the write.
type Place = (u64, u32);

/// Judges reads and writes of one register as they are called and respond; for a store, keep one
/// per key. No value may be written twice, nor the initial one. Gibbons and Korach 1997, section 4.
///
/// ```
/// use seedfall_checkers::linearizability::online::{RegisterMonitor, Standing};
/// use seedfall_checkers::models::{RegisterInput, RegisterOutput};
///
/// let mut monitor = RegisterMonitor::new(0);
/// let write = monitor.call(10, RegisterInput::Write(7));
/// monitor.complete(write, 20, RegisterOutput::Done);
/// let read = monitor.call(30, RegisterInput::Read);
/// monitor.complete(read, 40, RegisterOutput::Value(0));
/// assert!(matches!(monitor.settle(), Standing::Violated(breach) if breach.operation == read));
/// ```
pub struct RegisterMonitor<V> {
    initial: V,
    /// The earliest response to a value that was written, and whose it is.
    first: Option<(u64, u32)>,
    /// By number of the write.
    clusters: BTreeMap<u32, Cluster<V>>,
    /// Write of each value; never iterated.
    by_value: FxHashMap<V, u32>,
    /// Zones with `f < s`; their `s`.
    forward: BTreeMap<Place, u64>,
    /// The other zones, none inside another; their `s`.
    backward: BTreeMap<Place, u64>,
    open: BTreeMap<u32, Open<V>>,
    inbox: Inbox<Ending<V>>,
    standing: Standing,
    called: u32,
    forget_at: usize,
}

impl<V: Clone + Eq + Hash> RegisterMonitor<V> {
    /// A monitor before the first call.
    #[must_use]
    pub fn new(initial: V) -> Self {
        Self {
            initial,
            first: None,
            clusters: BTreeMap::new(),
            by_value: FxHashMap::default(),
            forward: BTreeMap::new(),
            backward: BTreeMap::new(),
            open: BTreeMap::new(),
            inbox: Inbox::new(),
            standing: Standing::Holds,
            called: 0,
            forget_at: 64,
        }
    }

    /// An operation was called; returns its number: 0, 1, and so on in the order of the calls.
    pub fn call(&mut self, time: u64, input: RegisterInput<V>) -> u32 {
        let due = self.inbox.advance(time);
        self.judge(due);
        let operation = self.called;
        self.called += 1;
        if self.standing != Standing::Holds {
            return operation;
        }
        let call = self.inbox.now;
        let write = match input {
            RegisterInput::Read => None,
            RegisterInput::Write(value) => Some(value),
            RegisterInput::Cas { .. } => {
                self.standing = Standing::NotCovered { operation };
                return operation;
            }
        };
        if let Some(value) = &write {
            if *value == self.initial || self.by_value.contains_key(value) {
                self.standing = Standing::NotCovered { operation };
                return operation;
            }
            self.by_value.insert(value.clone(), operation);
            let cluster = Cluster {
                value: value.clone(),
                write: operation,
                write_call: call,
                zone: None,
                dead: false,
            };
            self.clusters.insert(operation, cluster);
        }
        self.open.insert(operation, Open { call, write });
        operation
    }

    /// The answer to an operation came.
    pub fn complete(&mut self, operation: u32, time: u64, output: RegisterOutput<V>) {
        let ending = match output {
            RegisterOutput::Value(value) => Ending::Read(value),
            RegisterOutput::Done => Ending::Written,
            RegisterOutput::Mismatch | RegisterOutput::MismatchSaw(_) => Ending::Wrong,
        };
        self.end(operation, time, ending);
    }

    /// An operation certainly never happened.
    pub fn fail(&mut self, operation: u32, time: u64) {
        self.end(operation, time, Ending::Failed);
    }

    /// The answer to an operation will never come: it may take effect at any time from its call.
    pub fn give_up(&mut self, operation: u32) {
        if !self.inbox.waiting.contains_key(&operation) {
            self.open.remove(&operation);
        }
    }

    /// What is known of the responses before the latest instant.
    #[must_use]
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Judges the responses of the latest instant as well: no call of that instant will follow.
    pub fn settle(&mut self) -> &Standing {
        let due = self.inbox.take();
        self.judge(due);
        &self.standing
    }

    /// How many values and open operations are remembered.
    #[must_use]
    pub fn size(&self) -> usize {
        self.clusters.len() + self.open.len()
    }

    /// Forgets after the next response already.
    #[cfg(test)]
    pub(crate) fn forget_often(&mut self) {
        self.forget_at = 0;
    }

    fn end(&mut self, operation: u32, time: u64, ending: Ending<V>) {
        let due = self.inbox.advance(time);
        self.judge(due);
        if self.open.contains_key(&operation) {
            self.inbox.waiting.entry(operation).or_insert(ending);
        }
    }

    fn judge(&mut self, (time, due): (u64, BTreeMap<u32, Ending<V>>)) {
        for (operation, ending) in due {
            if self.standing != Standing::Holds {
                return;
            }
            let Some(open) = self.open.remove(&operation) else { continue };
            let operations = match (ending, open.write) {
                (Ending::Written, Some(_)) => self.add(operation, open.call, operation, time),
                (Ending::Read(value), None) => self.read(operation, open.call, &value, time),
                (Ending::Failed, Some(value)) => self.failed(operation, &value),
                (Ending::Failed, None) => Ok(()),
                (Ending::Written, None) | (Ending::Read(_), Some(_)) | (Ending::Wrong, _) => {
                    Err(Vec::new())
                }
            };
            if let Err(mut operations) = operations {
                operations.push(operation);
                operations.sort_unstable();
                operations.dedup();
                self.standing = Standing::Violated(Breach { operation, time, operations });
            }
            if self.clusters.len() >= self.forget_at {
                self.forget(time);
                self.forget_at = (2 * self.clusters.len()).max(64);
            }
        }
    }

    /// Errors are contradictions: the operations besides the one that responds.
    fn read(&mut self, operation: u32, call: u64, value: &V, time: u64) -> Result<(), Vec<u32>> {
        if *value == self.initial {
            // Nothing comes before the initial value.
            return match self.first.filter(|(f, _)| *f < call) {
                Some((_, other)) => Err(vec![other]),
                None => Ok(()),
            };
        }
        // Never written, or forgotten because nobody may see it any more.
        let write = *self.by_value.get(value).ok_or_else(Vec::new)?;
        self.add(operation, call, write, time)
    }

    /// A failed write is no write: nobody may have seen it, nobody may see it.
    fn failed(&mut self, operation: u32, value: &V) -> Result<(), Vec<u32>> {
        self.by_value.remove(value);
        let seen = self.clusters.remove(&operation).and_then(|cluster| cluster.zone);
        seen.map_or(Ok(()), |zone| Err(vec![zone.f_of]))
    }

    /// Widens the zone of a value by an operation that responds.
    fn add(&mut self, operation: u32, call: u64, write: u32, time: u64) -> Result<(), Vec<u32>> {
        let Some(cluster) = self.clusters.get_mut(&write) else { return Err(Vec::new()) };
        if cluster.dead && operation != write {
            return Err(vec![write]);
        }
        let old = cluster.zone;
        let mut zone = old.unwrap_or(Zone {
            f: time,
            f_of: operation,
            s: cluster.write_call,
            s_of: cluster.write,
        });
        if call > zone.s {
            (zone.s, zone.s_of) = (call, operation);
        }
        cluster.zone = Some(zone);
        self.first = self.first.or(Some((time, operation)));
        let place = (zone.f, write);
        if old.is_some_and(|old| old.s == zone.s) {
            return Ok(());
        }
        let other = if zone.f < zone.s {
            self.backward.remove(&place);
            let other = self.crossed_by(place, zone.s);
            self.forward.insert(place, zone.s);
            other
        } else {
            self.keep_backward(place, zone.s);
            let around = self.forward.range(..(zone.s, 0)).next_back();
            around.filter(|(_, s)| **s > zone.f).map(|(other, _)| other.1)
        };
        match other.and_then(|other| self.clusters.get(&other)).and_then(|other| other.zone) {
            None => Ok(()),
            Some(other) => Err(vec![zone.f_of, zone.s_of, other.f_of, other.s_of]),
        }
    }

    /// A zone that crosses the one with `f < s` at `place`, which now ends at `s`.
    fn crossed_by(&self, place: Place, s: u64) -> Option<u32> {
        let before = self.forward.range(..place).next_back();
        let before = before.filter(|(_, end)| **end > place.0).map(|(other, _)| other.1);
        let next = self.forward.range((place.0, place.1 + 1)..(s, 0)).next();
        let inside = self.backward.range(..(s, 0)).next_back();
        let inside = inside.filter(|(_, call)| **call > place.0).map(|(other, _)| other.1);
        before.or(next.map(|(other, _)| other.1)).or(inside)
    }

    /// Keeps a zone with `f >= s` unless another lies inside it; drops those around it.
    fn keep_backward(&mut self, place: Place, s: u64) {
        self.backward.remove(&place);
        if self.backward.range(..place).next_back().is_some_and(|(_, other)| *other >= s) {
            return;
        }
        while let Some((around, _)) =
            self.backward.range(place..).next().filter(|(_, other)| **other <= s)
        {
            let around = *around;
            self.backward.remove(&around);
        }
        self.backward.insert(place, s);
    }

    /// Forgets what cannot contradict anything that is still to come. Calls still to come are not
    /// before `now`.
    fn forget(&mut self, now: u64) {
        let open = self.open.values().map(|open| open.call).min();
        let horizon = open.map_or(now, |call| call.min(now));
        // The latest call among zones that ended before the horizon, and the next latest.
        let mut latest: [(u64, u32); 2] = [(0, u32::MAX); 2];
        for (write, cluster) in &self.clusters {
            if let Some(zone) = cluster.zone.filter(|zone| zone.f < horizon) {
                let entry = (zone.s, *write);
                if latest[0].1 == u32::MAX || entry > latest[0] {
                    latest = [entry, latest[0]];
                } else if latest[1].1 == u32::MAX || entry > latest[1] {
                    latest[1] = entry;
                }
            }
        }
        let mut earliest = u64::MAX;
        for (write, cluster) in &mut self.clusters {
            let Some(zone) = cluster.zone else { continue };
            let other = if latest[0].1 == *write { latest[1] } else { latest[0] };
            cluster.dead |= other.1 != u32::MAX && zone.f < other.0;
            if !cluster.dead {
                earliest = earliest.min(zone.f);
            }
        }
        let gone = |cluster: &Cluster<V>| {
            let zone = cluster.zone.filter(|zone| cluster.dead && zone.s <= earliest);
            zone.map(|zone| (zone.f, cluster.write))
        };
        let gone: Vec<Place> = self.clusters.values().filter_map(gone).collect();
        for place in gone {
            self.forward.remove(&place);
            self.backward.remove(&place);
            if let Some(cluster) = self.clusters.remove(&place.1) {
                self.by_value.remove(&cluster.value);
            }
        }
    }
}
