//! A priority queue: the greatest comes out first.

use std::hash::Hash;
use std::marker::PhantomData;

use super::abstraction::{Abstraction, ContainerStep, Numbering};
use super::{Model, Seen};

/// What a client asks of a priority queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PriorityQueueInput<V> {
    /// Adds.
    Insert(V),
    /// Takes the greatest.
    Poll,
}

/// What a priority queue answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum PriorityQueueOutput<V> {
    /// To an insertion.
    Done,
    /// To a removal: what came out, `None` if there was nothing.
    Removed(Option<V>),
}

/// Model of a priority queue, empty at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorityQueue<V>(PhantomData<V>);

impl<V> PriorityQueue<V> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<V> Default for PriorityQueue<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Clone + Ord + Hash> Model for PriorityQueue<V> {
    type Input = PriorityQueueInput<V>;
    type Output = PriorityQueueOutput<V>;
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
            (PriorityQueueInput::Insert(value), None | Some(PriorityQueueOutput::Done)) => {
                after = state.clone();
                after.insert(after.partition_point(|other| other <= value), value.clone());
            }
            (PriorityQueueInput::Poll, None) => {
                state.last()?;
                after = state.clone();
                after.pop();
            }
            (PriorityQueueInput::Poll, Some(PriorityQueueOutput::Removed(seen))) => {
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
        matches!(output, Some(PriorityQueueOutput::Removed(None)))
    }

    fn abstraction<'a>(
        &'a self,
        operations: &mut dyn Iterator<Item = Seen<'a, Self::Input, Self::Output>>,
    ) -> Option<Abstraction<'a>> {
        let mut numbers = Numbering::default();
        let steps = operations
            .map(|seen| match seen {
                (PriorityQueueInput::Insert(value), None | Some(PriorityQueueOutput::Done)) => {
                    ContainerStep::Insert(numbers.of(value))
                }
                (PriorityQueueInput::Poll, None) => ContainerStep::RemoveUnseen,
                (PriorityQueueInput::Poll, Some(PriorityQueueOutput::Removed(Some(value)))) => {
                    ContainerStep::Remove(numbers.of(value))
                }
                (PriorityQueueInput::Poll, Some(PriorityQueueOutput::Removed(None))) => {
                    ContainerStep::Empty
                }
                _ => ContainerStep::Impossible,
            })
            .collect();
        Some(Abstraction::priority_queue(&numbers, steps))
    }
}
