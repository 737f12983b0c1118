//! A bag: a set that counts.
//!
//! Judged by the searches alone, one element after the other.

use std::hash::Hash;
use std::marker::PhantomData;

use super::{Model, Seen};

/// What a client asks of a bag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BagInput<V> {
    /// Adds one copy.
    Add(V),
    /// Takes one copy away, if there is one.
    Remove(V),
    /// How many copies there are.
    Count(V),
}

/// What a bag answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum BagOutput {
    /// To an add.
    Done,
    /// To a remove: whether there was a copy.
    Removed(bool),
    /// To a count.
    Copies(u64),
}

/// Bag model, empty at first; each element is a partition of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bag<V>(PhantomData<V>);

impl<V> Bag<V> {
    /// An empty bag.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<V> Default for Bag<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Eq + Hash> Model for Bag<V> {
    type Input = BagInput<V>;
    type Output = BagOutput;
    type State = u64;
    type Key = V;

    fn initial(&self) -> u64 {
        0
    }

    fn step(&self, state: &u64, input: &BagInput<V>, output: Option<&BagOutput>) -> Option<u64> {
        let (after, answer) = match input {
            BagInput::Add(_) => (state + 1, BagOutput::Done),
            BagInput::Remove(_) => (state.saturating_sub(1), BagOutput::Removed(*state > 0)),
            BagInput::Count(_) => (*state, BagOutput::Copies(*state)),
        };
        output.is_none_or(|seen| *seen == answer).then_some(after)
    }

    fn partition<'a>(&self, input: &'a BagInput<V>) -> Option<&'a V> {
        let (BagInput::Add(element) | BagInput::Remove(element) | BagInput::Count(element)) = input;
        Some(element)
    }

    fn is_pure(&self, input: &BagInput<V>, output: Option<&BagOutput>) -> bool {
        matches!(input, BagInput::Count(_)) || output == Some(&BagOutput::Removed(false))
    }

    fn commutes(
        &self,
        one: Seen<'_, BagInput<V>, BagOutput>,
        other: Seen<'_, BagInput<V>, BagOutput>,
    ) -> bool {
        matches!((one.0, other.0), (BagInput::Add(_), BagInput::Add(_)))
    }
}
