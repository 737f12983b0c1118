//! Breadth-first search for a linearization, from response to response.
//!
//! Lowe, *Testing for linearizability* (2017), section 6 (just-in-time linearization): at every
//! response, and only then, operations are placed until the one that responds is in. What remains
//! is a frontier of configurations, none of which is worse than another:
//!
//! - pure operations that fit are placed at once, always;
//! - of interchangeable open operations only the one with the earliest response is tried, and
//!   indeterminate ones are counted by class instead of named;
//! - what commutes with all that the response can depend on waits (see [`super::depends`]);
//! - a configuration is dropped if another with the same state and the same placed effects has used
//!   fewer indeterminate operations and placed more pure ones.
//!
//! Unlike the depth-first search it needs no luck: one contradiction or many indeterminate
//! operations do not make it try everything in every order.

use super::depends::depends;
use super::depth_first::Found;
use super::fingerprint::Heads;
use super::machine::Machine;
use super::part::Part;
use crate::interner::Interner;
use crate::meter::Meter;
use crate::verdict::Limit;

const NONE: u32 = u32::MAX;

/// With so many others a configuration is compared at most. Those met first have used the fewest
/// indeterminate operations, so that what is worse than any is mostly worse than one of them; where
/// it is not, it is looked at in vain.
const COMPARED: usize = 64;

/// A state, and what was placed to get there.
#[derive(Clone, Copy)]
struct Configuration {
    state: u32,
    /// Which multiset of indeterminate classes was used, by number.
    used: u32,
    /// Slots of open operations with an effect that are placed.
    effects: u128,
    /// Slots of open pure operations that are placed.
    pure: u128,
    /// The latest placement, in `Search::placed`.
    last: u32,
    /// The next configuration with the same state and effects, in the order in which they were met.
    twin: u32,
    /// The last of them, kept by the first.
    newest: u32,
}

impl Configuration {
    fn key(&self) -> u128 {
        (u128::from(self.state) << 96) ^ self.effects.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// A key of everything that makes two configurations equal.
    fn exact(&self) -> u128 {
        let rest = self.pure.wrapping_mul(0xf135_7aea_2e62_a9c5) ^ u128::from(self.used);
        self.key().rotate_left(37) ^ rest.wrapping_mul(0xbf58_476d_1ce4_e5b9_94d0_49bb_1331_11eb)
    }

    fn equals(&self, other: &Self) -> bool {
        let all = |one: &Self| (one.state, one.effects, one.pure, one.used);
        all(self) == all(other)
    }
}

/// One placement, after another.
#[derive(Clone, Copy)]
struct Placement {
    before: u32,
    operation: u32,
}

/// The open operations with an answer, each in a slot, and the indeterminate ones called so far.
struct Open {
    slots: Vec<u32>,
    free: Vec<u32>,
    /// Slot of each open operation.
    slot_of: Vec<u32>,
    pure: u128,
    effects: u128,
    /// Called indeterminate operations with an effect, by class.
    unknown: Vec<Vec<u32>>,
    /// The place in `unknown` of each class of the machine.
    unknown_of: Vec<u32>,
}

struct Search<'a, M> {
    part: &'a Part<'a>,
    machine: &'a mut M,
    meter: &'a mut Meter,
    open: Open,
    /// Sorted multisets of indeterminate classes.
    used: Interner<Vec<u32>>,
    placed: Vec<Placement>,
    frontier: Vec<Configuration>,
    /// Configurations met while one response is being explained.
    met: Vec<Configuration>,
    /// The first configuration of each state and effects.
    heads: Heads,
    /// Every configuration.
    exact: Heads,
    /// What can be placed next, while one configuration is expanded.
    list: Vec<u32>,
    compact_at: usize,
}

/// Searches one part; `None` if more than 128 operations with an answer are open at once.
pub(crate) fn search<M: Machine>(
    part: &Part<'_>,
    machine: &mut M,
    meter: &mut Meter,
) -> Option<Found> {
    let state = machine.initial();
    let mut search = Search {
        part,
        open: Open::new(part),
        used: Interner::new(),
        placed: Vec::new(),
        frontier: Vec::new(),
        met: Vec::new(),
        heads: Heads::new(),
        exact: Heads::new(),
        list: Vec::new(),
        compact_at: 1 << 16,
        machine,
        meter,
    };
    let used = search.used.intern(Vec::new());
    let (last, twin, newest) = (NONE, NONE, NONE);
    search.frontier.push(Configuration { state, used, effects: 0, pure: 0, last, twin, newest });
    search.run()
}

impl Open {
    fn new(part: &Part<'_>) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            slot_of: vec![NONE; part.len()],
            pure: 0,
            effects: 0,
            unknown: Vec::new(),
            unknown_of: vec![NONE; part.len()],
        }
    }

    /// Opens an operation; `false` if there is no slot.
    fn call<M: Machine>(&mut self, part: &Part<'_>, machine: &M, operation: u32) -> bool {
        let pure = machine.is_pure(operation);
        if !part.spans[operation as usize].known {
            if !pure {
                let at = &mut self.unknown_of[machine.class(operation) as usize];
                if *at == NONE {
                    *at = self.unknown.len() as u32;
                    self.unknown.push(Vec::new());
                }
                self.unknown[*at as usize].push(operation);
            }
            return true;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(NONE);
            self.slots.len() as u32 - 1
        });
        if slot >= 128 {
            return false;
        }
        self.slots[slot as usize] = operation;
        self.slot_of[operation as usize] = slot;
        let bit = 1_u128 << slot;
        if pure {
            self.pure |= bit;
        } else {
            self.effects |= bit;
        }
        true
    }

    fn respond(&mut self, slot: u32) {
        self.free.push(slot);
        self.pure &= !(1 << slot);
        self.effects &= !(1 << slot);
        self.slots[slot as usize] = NONE;
    }
}

/// The set bits of a word, lowest first.
fn bits(mut word: u128) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < 128).then_some(bit)
    })
}

impl<M: Machine> Search<'_, M> {
    fn run(&mut self) -> Option<Found> {
        for event in self.part.events() {
            let operation = event >> 1;
            if event & 1 == 0 {
                if !self.open.call(self.part, self.machine, operation) {
                    return None;
                }
                continue;
            }
            let best = self.frontier.first().map_or(NONE, |configuration| configuration.last);
            if let Err(limit) = self.explain(operation) {
                return Some(Found::OutOf(limit));
            }
            if self.frontier.is_empty() {
                return Some(Found::Stuck { operation, prefix: self.order(best) });
            }
            if self.placed.len() > self.compact_at {
                self.compact();
            }
        }
        let best = self.frontier.first().map_or(NONE, |configuration| configuration.last);
        Some(Found::Order(self.order(best)))
    }

    /// Replaces the frontier by the configurations in which `operation` is placed.
    fn explain(&mut self, operation: u32) -> Result<(), Limit> {
        let slot = self.open.slot_of[operation as usize];
        let bit = 1_u128 << slot;
        let before = std::mem::take(&mut self.frontier);
        // Buckets by the number of indeterminate operations used: fewer first, so that what is
        // dominated is met after what dominates it.
        let mut buckets: Vec<Vec<u32>> = Vec::new();
        self.met.clear();
        self.heads.clear();
        self.exact.clear();
        for configuration in before {
            self.meet(configuration, &mut buckets)?;
        }
        let mut done = Vec::new();
        let mut level = 0;
        while level < buckets.len() {
            let Some(next) = buckets[level].pop() else {
                level += 1;
                continue;
            };
            let configuration = self.met[next as usize];
            if (configuration.effects | configuration.pure) & bit != 0 {
                done.push(next);
                continue;
            }
            if self.is_worse(&configuration)? {
                continue;
            }
            self.meter.expand()?;
            self.expand(configuration, operation, &mut buckets)?;
            self.meter.hold(self.bytes())?;
        }
        for next in done {
            let mut configuration = self.met[next as usize];
            if !self.is_worse(&configuration)? {
                configuration.effects &= !bit;
                configuration.pure &= !bit;
                self.frontier.push(configuration);
            }
        }
        self.open.respond(slot);
        Ok(())
    }

    /// Everything that can be placed next in a configuration, if the response of `first` may depend
    /// on it.
    fn expand(
        &mut self,
        from: Configuration,
        first: u32,
        buckets: &mut Vec<Vec<u32>>,
    ) -> Result<(), Limit> {
        let waiting = (self.open.effects | self.open.pure) & !(from.effects | from.pure);
        let slots = bits(waiting).map(|slot| self.open.slots[slot as usize]);
        let mut list = std::mem::take(&mut self.list);
        list.clear();
        list.extend(slots.filter(|operation| *operation != first));
        for (at, members) in self.open.unknown.iter().enumerate() {
            list.extend(members.get(self.count(from.used, at as u32).1));
        }
        depends(self.machine, self.meter, from.state, first, &mut list, 0)?;
        list.push(first);
        self.meter.look(list.len())?;
        for &operation in &list {
            let slot = self.open.slot_of[operation as usize];
            let known = slot != NONE;
            if known && (self.open.pure >> slot & 1 == 1 || self.stands_back(operation, waiting)) {
                continue; // A pure one that fitted would be placed.
            }
            let Some(state) = self.machine.step(from.state, operation) else { continue };
            let (mut effects, mut used) = (from.effects, from.used);
            if known {
                effects |= 1 << slot;
            } else if state == from.state {
                continue;
            } else {
                let class = self.open.unknown_of[self.machine.class(operation) as usize];
                let mut with = self.used.get(used).clone();
                with.insert(self.count(used, class).0, class);
                used = self.used.intern(with);
            }
            let last = self.place(from.last, operation);
            self.meet(Configuration { state, effects, used, last, ..from }, buckets)?;
        }
        self.list = list;
        Ok(())
    }

    /// Where a class of indeterminate operations begins in a multiset, and how often it is in it.
    fn count(&self, used: u32, class: u32) -> (usize, usize) {
        let used = self.used.get(used);
        let start = used.partition_point(|other| *other < class);
        (start, used[start..].partition_point(|other| *other == class))
    }

    /// Whether an interchangeable operation that waits responds earlier.
    fn stands_back(&self, operation: u32, waiting: u128) -> bool {
        let class = self.machine.class(operation);
        let rank = |op: u32| (self.part.spans[op as usize].ret, op);
        bits(waiting).any(|slot| {
            let other = self.open.slots[slot as usize];
            other != operation
                && self.machine.class(other) == class
                && rank(other) < rank(operation)
        })
    }

    fn place(&mut self, before: u32, operation: u32) -> u32 {
        self.placed.push(Placement { before, operation });
        self.placed.len() as u32 - 1
    }

    /// Keeps a configuration unless one that was met is as good.
    fn meet(&mut self, mut new: Configuration, buckets: &mut Vec<Vec<u32>>) -> Result<(), Limit> {
        for slot in bits(self.open.pure & !new.pure) {
            let operation = self.open.slots[slot as usize];
            if self.machine.step(new.state, operation).is_some() {
                new.pure |= 1 << slot;
                new.last = self.place(new.last, operation);
            }
        }
        let same = self.exact.get(new.exact());
        if same != NONE && self.met[same as usize].equals(&new) || self.is_worse(&new)? {
            return Ok(());
        }
        let number = self.met.len() as u32;
        let head = self.heads.get(new.key());
        let first = if head == NONE { None } else { self.met.get(head as usize) };
        if first.is_some_and(|first| (first.state, first.effects) == (new.state, new.effects)) {
            let newest = std::mem::replace(&mut self.met[head as usize].newest, number);
            self.met[newest as usize].twin = number;
        } else {
            self.heads.set(new.key(), number);
        }
        self.exact.set(new.exact(), number);
        (new.twin, new.newest) = (NONE, number);
        self.met.push(new);
        let level = self.used.get(new.used).len();
        if buckets.len() <= level {
            buckets.resize_with(level + 1, Vec::new);
        }
        buckets[level].push(number);
        Ok(())
    }

    /// Whether another configuration with the same state and effects has used fewer indeterminate
    /// operations and placed more pure ones.
    fn is_worse(&mut self, one: &Configuration) -> Result<bool, Limit> {
        let mut other = self.heads.get(one.key());
        let mut compared = 0;
        let mut is_worse = false;
        while other != NONE && compared < COMPARED && !is_worse {
            let old = &self.met[other as usize];
            is_worse = old.state == one.state
                && old.effects == one.effects
                && one.pure & !old.pure == 0
                && (old.pure, old.used) != (one.pure, one.used)
                && self.is_subset(old.used, one.used);
            other = old.twin;
            compared += 1;
        }
        self.meter.look(compared / 4)?;
        Ok(is_worse)
    }

    /// Whether one multiset of indeterminate classes is part of another.
    fn is_subset(&self, small: u32, large: u32) -> bool {
        if small == large {
            return true;
        }
        let (small, large) = (self.used.get(small), self.used.get(large));
        if small.len() >= large.len() {
            return false;
        }
        let mut rest = large.iter();
        small.iter().all(|class| rest.by_ref().any(|other| other == class))
    }

    fn order(&self, mut last: u32) -> Vec<u32> {
        let mut order = Vec::new();
        while last != NONE {
            let placement = self.placed[last as usize];
            order.push(placement.operation);
            last = placement.before;
        }
        order.reverse();
        order
    }

    /// Forgets the placements that no configuration of the frontier descends from.
    fn compact(&mut self) {
        let mut kept = vec![false; self.placed.len()];
        for configuration in &self.frontier {
            let mut last = configuration.last;
            while last != NONE && !std::mem::replace(&mut kept[last as usize], true) {
                last = self.placed[last as usize].before;
            }
        }
        let mut number = vec![NONE; self.placed.len()];
        let mut count = 0_u32;
        for at in 0..self.placed.len() {
            if kept[at] {
                let Placement { before, operation } = self.placed[at];
                let before = if before == NONE { NONE } else { number[before as usize] };
                self.placed[count as usize] = Placement { before, operation };
                number[at] = count;
                count += 1;
            }
        }
        self.placed.truncate(count as usize);
        for configuration in &mut self.frontier {
            if configuration.last != NONE {
                configuration.last = number[configuration.last as usize];
            }
        }
        self.compact_at = (self.placed.len() * 2).max(1 << 16);
    }

    fn bytes(&self) -> u64 {
        let configurations = (self.met.len() + self.frontier.len()) * size_of::<Configuration>();
        let placed = self.placed.len() * size_of::<Placement>();
        // Multisets are short; 48 bytes covers the vector and a few classes.
        let used = self.used.len() * 48;
        (configurations + placed + used) as u64
            + self.heads.bytes()
            + self.exact.bytes()
            + self.machine.bytes()
    }
}
