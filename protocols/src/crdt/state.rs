//! All objects of a replica as one state: what it has received, how updates change it, how two
//! merge.

use super::objects::{Alive, Counter, Last};
use super::text::Array;
use super::{Operation, Place, Update};
use crate::kv::Text;
use seedfall_sim::{NodeId, SortedMap, SortedSet};

/// The name of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Whose.
    pub node: NodeId,
    /// Which of that replica's, from one on.
    pub number: u64,
}

/// Updates of each replica: those up to a number.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vector(SortedMap<NodeId, u64>);

impl Vector {
    /// Up to which of a replica's.
    pub fn of(&self, node: NodeId) -> u64 {
        self.0.get(&node).copied().unwrap_or(0)
    }

    /// Whether an update is among them.
    pub fn has(&self, dot: Dot) -> bool {
        dot.number <= self.of(dot.node)
    }

    /// Whether all of the others are among them.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(node, number)| *number <= self.of(*node))
    }

    /// Those, too.
    pub fn join(&mut self, other: &Self) {
        for (node, number) in &other.0 {
            let own = self.0.entry(*node).or_default();
            *own = (*own).max(*number);
        }
    }

    /// What both have.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        Self(self.0.iter().map(|(node, own)| (*node, (*own).min(other.of(*node)))).collect())
    }

    /// Every update among them.
    pub fn dots(&self) -> impl Iterator<Item = Dot> {
        self.0.iter().flat_map(|(node, last)| (1..=*last).map(|number| Dot { node: *node, number }))
    }
}

/// What a replica shows to clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shown {
    /// The counter.
    pub counter: i64,
    /// The elements of the set.
    pub set: SortedSet<Text>,
    /// What the last writer wrote.
    pub last: Option<Text>,
    /// What no later write has seen.
    pub values: SortedSet<Text>,
    /// The text.
    pub text: String,
}

/// The state of a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    context: Vector,
    clock: u64,
    counter: Counter,
    set: Alive,
    last: Last,
    values: Alive,
    text: Array,
}

/// What of a state a replica lacks that has received so much.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delta {
    since: Vector,
    /// The state, without what that context has.
    state: State,
    /// Which of the dots that it has are still there.
    known: SortedSet<Dot>,
}

impl Delta {
    /// What the receiver must have received.
    pub fn since(&self) -> &Vector {
        &self.since
    }

    /// What the sender had received.
    pub fn context(&self) -> &Vector {
        &self.state.context
    }
}

impl State {
    /// What it has received.
    pub fn context(&self) -> &Vector {
        &self.context
    }

    /// Lamport's clock: no update received is later.
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// The name of a replica's next update.
    pub fn next(&self, node: NodeId) -> Dot {
        Dot { node, number: self.context.of(node) + 1 }
    }

    /// The text, character by character.
    pub fn text(&self) -> Vec<(Place, char)> {
        self.text.shown()
    }

    /// What it shows.
    pub fn shown(&self) -> Shown {
        Shown {
            counter: self.counter.value(),
            set: self.set.values(),
            last: self.last.value().cloned(),
            values: self.values.values(),
            text: self.text().into_iter().map(|(_, char)| char).collect(),
        }
    }

    /// Applies one update: all that it rests on was applied, and itself not.
    pub fn apply(&mut self, update: &Update) {
        let Update { dot, past, clock, operation } = update;
        match operation {
            Operation::Add(amount) => self.counter.add(dot.node, *amount),
            Operation::Insert(element) => self.set.insert(element.clone(), *dot, past),
            Operation::Remove(element) => self.set.remove(element, past),
            Operation::Assign(value) => self.last.assign(*clock, dot.node, value.clone()),
            Operation::Write(value) => {
                self.values.clear(past);
                self.values.insert(value.clone(), *dot, past);
            }
            Operation::Type(behind, char) => {
                let place = Place { clock: *clock, node: dot.node };
                self.text.insert(place, *behind, *char, *dot);
            }
            Operation::Erase(place) => self.text.erase(*place, *dot),
        }
        self.clock = self.clock.max(*clock);
        let mut one = Vector::default();
        one.0.insert(dot.node, dot.number);
        self.context.join(&one);
    }

    /// What a replica lacks that has received so much.
    pub fn delta(&self, since: &Vector) -> Delta {
        let known = self.set.dots().chain(self.values.dots()).filter(|dot| since.has(*dot));
        let state = Self {
            context: self.context.clone(),
            clock: self.clock,
            counter: self.counter.clone(),
            set: self.set.since(since),
            last: self.last.clone(),
            values: self.values.since(since),
            text: self.text.since(since),
        };
        Delta { since: since.clone(), state, known: known.collect() }
    }

    /// The join of two states, where this one has all that the other was cut from. Whether anything
    /// was new.
    pub fn merge(&mut self, Delta { state: other, known, .. }: &Delta) -> bool {
        let before = self.clone();
        self.counter.merge(&other.counter);
        self.set.merge(&self.context, &other.set, &other.context, known);
        self.last.merge(&other.last);
        self.values.merge(&self.context, &other.values, &other.context, known);
        self.text.merge(&self.context, &other.text);
        self.context.join(&other.context);
        self.clock = self.clock.max(other.clock);
        *self != before
    }

    /// Forgets erased characters whose erasure all have received.
    pub(super) fn collect(&mut self, stable: &Vector) -> bool {
        self.text.collect(stable)
    }
}
