//! Breadth-first search for a linearization, from response to response.
//!
//! Lowe, *Testing for linearizability* (2017), section 6 (just-in-time linearization): at every
//! response, and only then, operations are placed until the one that responds is in. What remains
//! is a frontier of configurations, none of which is worse than another:
//!
//! - pure operations that fit are placed at once, always;
//! - of interchangeable open operations only the one with the earliest response is tried, and
//!   indeterminate ones are counted by class instead of named;
//! - a configuration is dropped if another with the same state and the same placed effects has used
//!   fewer indeterminate operations and placed more pure ones.
//!
//! Unlike the depth-first search it needs no luck: one contradiction or many indeterminate
//! operations do not make it try everything in every order.

use super::depth_first::{Found, Spent};
use super::fingerprint::Heads;
use super::machine::Machine;
use super::part::Part;
use crate::interner::Interner;
use crate::verdict::{Budget, Limit};

const NONE: u32 = u32::MAX;

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
    /// Another configuration with the same state and effects.
    twin: u32,
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
    unknown_classes: Vec<u32>,
}

struct Search<'a, M> {
    part: &'a Part<'a>,
    machine: &'a mut M,
    open: Open,
    /// Sorted multisets of indeterminate classes.
    used: Interner<Vec<u32>>,
    placed: Vec<Placement>,
    frontier: Vec<Configuration>,
    /// Configurations met while one response is being explained.
    met: Vec<Configuration>,
    heads: Heads,
    left: u64,
    compact_at: usize,
}

/// Searches one part; `None` if more than 128 operations with an answer are open at once.
pub(crate) fn search<M: Machine>(
    part: &Part<'_>,
    machine: &mut M,
    budget: Budget,
    spent: &mut Spent,
) -> Option<Found> {
    let initial = machine.initial();
    let mut search = Search {
        part,
        open: Open::new(part),
        used: Interner::new(),
        placed: Vec::new(),
        frontier: Vec::new(),
        met: Vec::new(),
        heads: Heads::new(),
        left: budget.configurations,
        compact_at: 1 << 16,
        machine,
    };
    let used = search.used.intern(Vec::new());
    let first = Configuration { state: initial, used, effects: 0, pure: 0, last: NONE, twin: NONE };
    search.frontier.push(first);
    let found = search.run(budget, spent);
    spent.configurations += budget.configurations - search.left;
    found
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
            unknown_classes: Vec::new(),
        }
    }

    /// Opens an operation; `false` if there is no slot.
    fn call<M: Machine>(&mut self, part: &Part<'_>, machine: &M, operation: u32) -> bool {
        let pure = machine.is_pure(operation);
        if !part.spans[operation as usize].known {
            if !pure {
                let class = machine.class(operation);
                let at = self.unknown_classes.iter().position(|other| *other == class);
                let at = at.unwrap_or_else(|| {
                    self.unknown_classes.push(class);
                    self.unknown.push(Vec::new());
                    self.unknown.len() - 1
                });
                self.unknown[at].push(operation);
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
    fn run(&mut self, budget: Budget, spent: &mut Spent) -> Option<Found> {
        for event in self.part.events() {
            let operation = event >> 1;
            if event & 1 == 0 {
                if !self.open.call(self.part, self.machine, operation) {
                    return None;
                }
                continue;
            }
            let best = self.frontier.first().map_or(NONE, |configuration| configuration.last);
            if let Err(limit) = self.explain(operation, budget, spent) {
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
    fn explain(&mut self, operation: u32, budget: Budget, spent: &mut Spent) -> Result<(), Limit> {
        let slot = self.open.slot_of[operation as usize];
        let bit = 1_u128 << slot;
        let before = std::mem::take(&mut self.frontier);
        // Buckets by the number of indeterminate operations used: fewer first, so that what is
        // dominated is met after what dominates it.
        let mut buckets: Vec<Vec<u32>> = Vec::new();
        self.met.clear();
        self.heads.clear();
        for configuration in before {
            self.meet(configuration, &mut buckets);
        }
        let mut done = Vec::new();
        let mut level = 0;
        while level < buckets.len() {
            let Some(next) = buckets[level].pop() else {
                level += 1;
                continue;
            };
            let configuration = self.met[next as usize];
            if configuration.state == NONE {
                continue; // Dominated since.
            }
            if (configuration.effects | configuration.pure) & bit != 0 {
                done.push(next);
                continue;
            }
            self.left = self.left.checked_sub(1).ok_or(Limit::Configurations)?;
            self.expand(configuration, &mut buckets);
            let bytes = self.bytes();
            spent.bytes = spent.bytes.max(bytes);
            if bytes > budget.bytes {
                return Err(Limit::Bytes);
            }
        }
        for next in done {
            let mut configuration = self.met[next as usize];
            if configuration.state != NONE {
                configuration.effects &= !bit;
                configuration.pure &= !bit;
                self.frontier.push(configuration);
            }
        }
        self.open.respond(slot);
        Ok(())
    }

    /// Everything that can be placed next in a configuration.
    fn expand(&mut self, from: Configuration, buckets: &mut Vec<Vec<u32>>) {
        let waiting = self.open.effects & !from.effects;
        for slot in bits(waiting) {
            let operation = self.open.slots[slot as usize];
            if self.stands_back(operation, waiting) {
                continue;
            }
            if let Some(state) = self.machine.step(from.state, operation) {
                let last = self.place(from.last, operation);
                let effects = from.effects | 1 << slot;
                self.meet(Configuration { state, effects, last, ..from }, buckets);
            }
        }
        for at in 0..self.open.unknown.len() {
            let class = at as u32;
            let used = self.used.get(from.used);
            let start = used.partition_point(|other| *other < class);
            let count = used[start..].partition_point(|other| *other == class);
            let Some(&operation) = self.open.unknown[at].get(count) else { continue };
            let Some(state) = self.machine.step(from.state, operation) else { continue };
            if state == from.state {
                continue;
            }
            let mut with = used.clone();
            with.insert(start, class);
            let used = self.used.intern(with);
            let last = self.place(from.last, operation);
            self.meet(Configuration { state, used, last, ..from }, buckets);
        }
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

    /// Keeps a configuration unless one that was met is as good; drops those it is better than.
    fn meet(&mut self, mut new: Configuration, buckets: &mut Vec<Vec<u32>>) {
        for slot in bits(self.open.pure & !new.pure) {
            let operation = self.open.slots[slot as usize];
            if self.machine.step(new.state, operation).is_some() {
                new.pure |= 1 << slot;
                new.last = self.place(new.last, operation);
            }
        }
        let key = (u128::from(new.state) << 96) ^ new.effects.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let head = self.heads.get(key);
        let mut other = head;
        while other != NONE {
            let old = self.met[other as usize];
            other = old.twin;
            if old.state == new.state
                && old.effects == new.effects
                && new.pure & !old.pure == 0
                && self.is_subset(old.used, new.used)
            {
                return;
            }
        }
        let mut other = head;
        while other != NONE {
            let old = self.met[other as usize];
            if old.state == new.state
                && old.effects == new.effects
                && old.pure & !new.pure == 0
                && self.is_subset(new.used, old.used)
            {
                self.met[other as usize].state = NONE;
            }
            other = old.twin;
        }
        new.twin = head;
        let number = self.met.len() as u32;
        self.met.push(new);
        self.heads.set(key, number);
        let level = self.used.get(new.used).len();
        if buckets.len() <= level {
            buckets.resize_with(level + 1, Vec::new);
        }
        buckets[level].push(number);
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
        (configurations + placed + used) as u64 + self.heads.bytes() + self.machine.bytes()
    }
}
