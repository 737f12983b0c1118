//! The counter, the set and the registers, as joins (RR-7506, section 3).

use super::Dotted;
use super::state::{Dot, Vector};
use crate::kv::Text;
use seedfall_sim::{NodeId, SortedMap, SortedSet};

/// A PN-counter: what each replica has added and taken away. Each is known best by itself, and only
/// grows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counter(SortedMap<NodeId, (u64, u64)>);

impl Counter {
    /// A replica adds an amount, which may be negative.
    pub fn add(&mut self, node: NodeId, amount: i64) {
        let (added, taken) = self.0.entry(node).or_default();
        match amount < 0 {
            true => *taken += amount.unsigned_abs(),
            false => *added += amount.unsigned_abs(),
        }
    }

    /// Its value.
    pub fn value(&self) -> i64 {
        self.0.values().map(|(added, taken)| *added as i64 - *taken as i64).sum()
    }

    /// The join: of each replica's sums the greater.
    pub fn merge(&mut self, other: &Self) {
        for (node, (added, taken)) in &other.0 {
            let own = self.0.entry(*node).or_default();
            *own = (own.0.max(*added), own.1.max(*taken));
        }
    }
}

/// A register that the last writer wins: a value under a clock and the replica that decides between
/// equals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Last(Option<(u64, NodeId, Text)>);

impl Last {
    /// A write.
    pub fn assign(&mut self, clock: u64, node: NodeId, value: Text) {
        self.merge(&Self(Some((clock, node, value))));
    }

    /// Its value.
    pub fn value(&self) -> Option<&Text> {
        self.0.as_ref().map(|(_, _, value)| value)
    }

    /// The join: the later.
    pub fn merge(&mut self, other: &Self) {
        if self.0 < other.0 {
            self.0.clone_from(&other.0);
        }
    }
}

/// What is there under dots: the elements of a set that additions win, or the values of a register
/// that keeps all that no later write has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Alive(pub(super) Dotted<Text>);

impl Alive {
    /// Under which dots anything is there.
    pub fn dots(&self) -> impl Iterator<Item = Dot> {
        self.0.values().flatten().copied()
    }

    /// What is there.
    pub fn values(&self) -> SortedSet<Text> {
        self.0.keys().cloned().collect()
    }

    /// Something is there under a dot, in the place of all the same that its maker had seen.
    pub fn insert(&mut self, value: Text, dot: Dot, past: &Vector) {
        let dots = self.0.entry(value).or_default();
        dots.retain(|other| !past.has(*other));
        dots.insert(dot);
    }

    /// It is taken away, as far as it had been seen.
    pub fn remove(&mut self, value: &Text, past: &Vector) {
        if let Some(dots) = self.0.get_mut(value) {
            dots.retain(|dot| !past.has(*dot));
            if dots.is_empty() {
                self.0.remove(value);
            }
        }
    }

    /// Everything that had been seen is taken away.
    pub fn clear(&mut self, past: &Vector) {
        self.keep(|dot| !past.has(dot));
    }

    fn keep(&mut self, keeps: impl Fn(Dot) -> bool) {
        self.0.values_mut().for_each(|dots| dots.retain(|dot| keeps(*dot)));
        self.0.retain(|_, dots| !dots.is_empty());
    }

    /// The join. What one of the two has and the other has not is new to it, if its context does
    /// not have that dot; else it was there, and was taken away. `known` are dots that the other
    /// has, and did not send.
    pub fn merge(&mut self, own: &Vector, other: &Self, context: &Vector, known: &SortedSet<Dot>) {
        let there: SortedSet<Dot> = other.dots().collect();
        self.keep(|dot| there.contains(&dot) || known.contains(&dot) || !context.has(dot));
        for (value, dots) in &other.0 {
            let new: Vec<Dot> = dots.iter().filter(|dot| !own.has(**dot)).copied().collect();
            if !new.is_empty() {
                self.0.entry(value.clone()).or_default().extend(new);
            }
        }
    }

    /// Without what a context has.
    pub fn since(&self, context: &Vector) -> Self {
        let mut part = self.clone();
        part.keep(|dot| !context.has(dot));
        part
    }
}
