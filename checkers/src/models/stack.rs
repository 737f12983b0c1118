//! A stack: last in, first out.

use std::hash::Hash;
use std::marker::PhantomData;

use super::abstraction::{Abstraction, ContainerStep, Numbering};
use super::{Model, Seen};

/// What a client asks of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StackInput<V> {
    /// Adds on top.
    Push(V),
    /// Takes the top.
    Pop,
}

/// What a stack answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum StackOutput<V> {
    /// To an insertion.
    Done,
    /// To a removal: what came out, `None` if there was nothing.
    Removed(Option<V>),
}

/// Model of a stack, empty at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack<V>(PhantomData<V>);

impl<V> Stack<V> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<V> Default for Stack<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Clone + Eq + Hash> Model for Stack<V> {
    type Input = StackInput<V>;
    type Output = StackOutput<V>;
    type State = Vec<V>;
    type Key = ();

    fn initial(&self) -> Vec<V> {
        Vec::new()
    }

    fn step(
        &self,
        state: &Vec<V>,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Vec<V>> {
        let mut after;
        match (input, output) {
            (StackInput::Push(value), None | Some(StackOutput::Done)) => {
                after = state.clone();
                after.push(value.clone());
            }
            (StackInput::Pop, None) => {
                state.last()?;
                after = state.clone();
                after.pop();
            }
            (StackInput::Pop, Some(StackOutput::Removed(seen))) => {
                if seen.as_ref() != state.last() {
                    return None;
                }
                after = state.clone();
                if seen.is_some() {
                    after.pop();
                }
            }
            _ => return None,
        }
        Some(after)
    }

    fn is_pure(&self, _: &Self::Input, output: Option<&Self::Output>) -> bool {
        matches!(output, Some(StackOutput::Removed(None)))
    }

    fn abstraction<'a>(
        &'a self,
        operations: &mut dyn Iterator<Item = Seen<'a, Self::Input, Self::Output>>,
    ) -> Option<Abstraction<'a>> {
        let mut numbers = Numbering::default();
        let steps = operations
            .map(|seen| match seen {
                (StackInput::Push(value), None | Some(StackOutput::Done)) => {
                    ContainerStep::Insert(numbers.of(value))
                }
                (StackInput::Pop, None) => ContainerStep::RemoveUnseen,
                (StackInput::Pop, Some(StackOutput::Removed(Some(value)))) => {
                    ContainerStep::Remove(numbers.of(value))
                }
                (StackInput::Pop, Some(StackOutput::Removed(None))) => ContainerStep::Empty,
                _ => ContainerStep::Impossible,
            })
            .collect();
        Some(Abstraction::Stack(steps))
    }
}
