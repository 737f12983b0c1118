//! A set: insert, remove, contains, each answering whether the element was there or changed.

use std::hash::Hash;
use std::marker::PhantomData;

use super::abstraction::{Abstraction, MembershipStep};
use super::{Model, Seen};

/// What a client asks of a set; the answer is a `bool`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SetInput<V> {
    /// Adds; answers whether the element was absent.
    Insert(V),
    /// Takes away; answers whether the element was present.
    Remove(V),
    /// Answers whether the element is present.
    Contains(V),
}

impl<V> SetInput<V> {
    /// The element.
    pub fn element(&self) -> &V {
        match self {
            Self::Insert(element) | Self::Remove(element) | Self::Contains(element) => element,
        }
    }
}

/// Set model, empty at first; each element is a partition of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set<V>(PhantomData<V>);

impl<V> Set<V> {
    /// An empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<V> Default for Set<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Eq + Hash> Model for Set<V> {
    type Input = SetInput<V>;
    type Output = bool;
    type State = bool;
    type Key = V;

    fn initial(&self) -> bool {
        false
    }

    fn step(&self, state: &bool, input: &SetInput<V>, output: Option<&bool>) -> Option<bool> {
        let (after, answer) = match input {
            SetInput::Insert(_) => (true, !state),
            SetInput::Remove(_) => (false, *state),
            SetInput::Contains(_) => (*state, *state),
        };
        output.is_none_or(|seen| *seen == answer).then_some(after)
    }

    fn partition<'a>(&self, input: &'a SetInput<V>) -> Option<&'a V> {
        Some(input.element())
    }

    fn is_pure(&self, input: &SetInput<V>, output: Option<&bool>) -> bool {
        matches!(input, SetInput::Contains(_)) || output == Some(&false)
    }

    fn abstraction<'a>(
        &'a self,
        operations: &mut dyn Iterator<Item = Seen<'a, SetInput<V>, bool>>,
    ) -> Option<Abstraction<'a>> {
        let steps = operations
            .map(|(input, output)| match (input, output) {
                (SetInput::Insert(_), Some(true)) => MembershipStep::Became(true),
                (SetInput::Insert(_), Some(false)) => MembershipStep::Was(true),
                (SetInput::Insert(_), None) => MembershipStep::Set(true),
                (SetInput::Remove(_), Some(true)) => MembershipStep::Became(false),
                (SetInput::Remove(_), Some(false)) => MembershipStep::Was(false),
                (SetInput::Remove(_), None) => MembershipStep::Set(false),
                (SetInput::Contains(_), Some(seen)) => MembershipStep::Was(*seen),
                (SetInput::Contains(_), None) => MembershipStep::Nothing,
            })
            .collect();
        Some(Abstraction::Membership(steps))
    }
}
