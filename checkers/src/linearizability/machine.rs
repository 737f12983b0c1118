//! States and operations as small integers: what the searches run on.

use super::part::Part;
use crate::history::History;
use crate::interner::Interner;
use crate::models::Model;

/// A sequential object over numbered states and the operations of one part.
pub(crate) trait Machine {
    /// The number of the first state.
    fn initial(&mut self) -> u32;
    /// The state after the operation at `position` took effect in `state`, if it can.
    fn step(&mut self, state: u32, position: u32) -> Option<u32>;
    /// Whether the operation changes no state in which it can take effect.
    fn is_pure(&self, position: u32) -> bool;
    /// Operations of one class are interchangeable: equal certainty, equal steps in every state.
    fn class(&self, position: u32) -> u32 {
        position
    }
    /// Bytes held, roughly.
    fn bytes(&self) -> u64;
}

/// Any model as a [`Machine`]: states are numbered as they are met.
pub(crate) struct ModelMachine<'a, M: Model> {
    model: &'a M,
    history: &'a History<M::Input, M::Output>,
    part: &'a Part<'a>,
    states: Interner<M::State>,
}

impl<'a, M: Model> ModelMachine<'a, M> {
    pub(crate) fn new(
        model: &'a M,
        history: &'a History<M::Input, M::Output>,
        part: &'a Part<'a>,
    ) -> Self {
        Self { model, history, part, states: Interner::new() }
    }

    fn output(&self, position: u32) -> (&'a M::Input, Option<&'a M::Output>) {
        let span = self.part.spans[position as usize];
        let operation = &self.history.operations[span.index as usize];
        let output = if span.known { operation.outcome.output() } else { None };
        (&operation.input, output)
    }
}

impl<M: Model> Machine for ModelMachine<'_, M> {
    fn initial(&mut self) -> u32 {
        self.states.intern(self.model.initial())
    }

    fn step(&mut self, state: u32, position: u32) -> Option<u32> {
        let (input, output) = self.output(position);
        let next = self.model.step(self.states.get(state), input, output)?;
        // Most operations of most histories are reads: spare them the hash.
        if next == *self.states.get(state) {
            return Some(state);
        }
        Some(self.states.intern(next))
    }

    fn is_pure(&self, position: u32) -> bool {
        let (input, output) = self.output(position);
        self.model.is_pure(input, output)
    }

    fn bytes(&self) -> u64 {
        // What a state owns on the heap is its own affair; count at least what is seen from here.
        (self.states.len() * (size_of::<M::State>() + 8)) as u64
    }
}
