//! A queue: first in, first out.

use std::hash::Hash;
use std::marker::PhantomData;

use super::abstraction::{Abstraction, ContainerStep, Numbering};
use super::{Model, Seen};

/// What a client asks of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QueueInput<V> {
    /// Adds at the tail.
    Enqueue(V),
    /// Takes the head.
    Dequeue,
}

/// What a queue answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum QueueOutput<V> {
    /// To an insertion.
    Done,
    /// To a removal: what came out, `None` if there was nothing.
    Removed(Option<V>),
}

/// Model of a queue, empty at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue<V>(PhantomData<V>);

impl<V> Queue<V> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<V> Default for Queue<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Clone + Eq + Hash> Model for Queue<V> {
    type Input = QueueInput<V>;
    type Output = QueueOutput<V>;
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
            (QueueInput::Enqueue(value), None | Some(QueueOutput::Done)) => {
                after = state.clone();
                after.push(value.clone());
            }
            (QueueInput::Dequeue, None) => {
                state.first()?;
                after = state.clone();
                after.remove(0);
            }
            (QueueInput::Dequeue, Some(QueueOutput::Removed(seen))) => {
                if seen.as_ref() != state.first() {
                    return None;
                }
                after = state.clone();
                if seen.is_some() {
                    after.remove(0);
                }
            }
            _ => return None,
        }
        Some(after)
    }

    fn is_pure(&self, _: &Self::Input, output: Option<&Self::Output>) -> bool {
        matches!(output, Some(QueueOutput::Removed(None)))
    }

    fn abstraction<'a>(
        &'a self,
        operations: &mut dyn Iterator<Item = Seen<'a, Self::Input, Self::Output>>,
    ) -> Option<Abstraction<'a>> {
        let mut numbers = Numbering::default();
        let steps = operations
            .map(|seen| match seen {
                (QueueInput::Enqueue(value), None | Some(QueueOutput::Done)) => {
                    ContainerStep::Insert(numbers.of(value))
                }
                (QueueInput::Dequeue, None) => ContainerStep::RemoveUnseen,
                (QueueInput::Dequeue, Some(QueueOutput::Removed(Some(value)))) => {
                    ContainerStep::Remove(numbers.of(value))
                }
                (QueueInput::Dequeue, Some(QueueOutput::Removed(None))) => ContainerStep::Empty,
                _ => ContainerStep::Impossible,
            })
            .collect();
        Some(Abstraction::Queue(steps))
    }
}
