//! States and operations as small integers: what the searches run on.

use super::part::Part;
use crate::history::History;
use crate::interner::{Interner, weigh};
use crate::models::{Model, Seen, commute_in};

/// A sequential object over numbered states and the operations of one part.
pub(crate) trait Machine {
    /// The number of the first state.
    fn initial(&mut self) -> u32;
    /// The state after the operation at `position` took effect in `state`, if it can.
    fn step(&mut self, state: u32, position: u32) -> Option<u32>;
    /// Whether the operation changes no state in which it can take effect.
    fn is_pure(&self, position: u32) -> bool;
    /// Operations of one class are interchangeable: equal certainty, equal steps in every state.
    fn class(&self, position: u32) -> u32;
    /// Whether two operations commute in every state, as far as is known.
    fn commutes(&self, one: u32, other: u32) -> bool {
        let _ = (one, other);
        false
    }
    /// Panics if two operations that are said to commute do not commute in this state.
    fn assert_commute(&self, state: u32, one: u32, other: u32) {
        let _ = (state, one, other);
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
    classes: Vec<u32>,
    bytes: u64,
}

impl<'a, M: Model> ModelMachine<'a, M> {
    pub(crate) fn new(
        model: &'a M,
        history: &'a History<M::Input, M::Output>,
        part: &'a Part<'a>,
    ) -> Self {
        let mut machine = Self {
            model,
            history,
            part,
            states: Interner::new(),
            classes: Vec::with_capacity(part.len()),
            bytes: 0,
        };
        let mut classes = Interner::new();
        for position in 0..part.len() as u32 {
            let class = classes.intern(machine.seen(position));
            machine.classes.push(class);
        }
        machine
    }

    fn seen(&self, position: u32) -> Seen<'a, M::Input, M::Output> {
        let span = self.part.spans[position as usize];
        let operation = &self.history.operations[span.index as usize];
        let output = if span.known { operation.outcome.output() } else { None };
        (&operation.input, output)
    }

    /// The number of a state, which is weighed if it is new.
    fn number(&mut self, state: M::State) -> u32 {
        let known = self.states.len();
        let number = self.states.intern(state);
        if self.states.len() > known {
            let content = weigh(self.states.get(number));
            self.bytes += content + size_of::<M::State>() as u64 + 8;
        }
        number
    }
}

impl<M: Model> Machine for ModelMachine<'_, M> {
    fn initial(&mut self) -> u32 {
        self.number(self.model.initial())
    }

    fn step(&mut self, state: u32, position: u32) -> Option<u32> {
        let (input, output) = self.seen(position);
        let next = self.model.step(self.states.get(state), input, output)?;
        // Most operations of most histories are reads: spare them the hash.
        if next == *self.states.get(state) {
            return Some(state);
        }
        Some(self.number(next))
    }

    fn is_pure(&self, position: u32) -> bool {
        let (input, output) = self.seen(position);
        self.model.is_pure(input, output)
    }

    fn class(&self, position: u32) -> u32 {
        self.classes[position as usize]
    }

    fn commutes(&self, one: u32, other: u32) -> bool {
        self.model.commutes(self.seen(one), self.seen(other))
    }

    fn assert_commute(&self, state: u32, one: u32, other: u32) {
        let state = self.states.get(state);
        assert!(
            commute_in(self.model, state, self.seen(one), self.seen(other)),
            "Model::commutes says of operations {} and {} that they commute, but they do not in a \
             state that this history reaches",
            self.part.spans[one as usize].index,
            self.part.spans[other as usize].index
        );
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}
