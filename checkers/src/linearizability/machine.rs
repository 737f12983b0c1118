//! States and operations as small integers: what the searches run on.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use super::part::Part;
use crate::history::{History, Outcome};
use crate::models::Model;

/// A sequential object over numbered states and the operations of one part.
pub(crate) trait Machine {
    /// The number of the first state.
    fn initial(&mut self) -> u32;
    /// The state after the operation at `position` took effect in `state`, if it can.
    fn step(&mut self, state: u32, position: u32) -> Option<u32>;
    /// Whether the operation changes no state in which it can take effect.
    fn is_pure(&self, position: u32) -> bool;
    /// Bytes held, roughly.
    fn bytes(&self) -> u64;
}

/// Gives equal values equal numbers, counting from 0, without keeping a second copy as a map would.
pub(crate) struct Interner<T> {
    values: Vec<T>,
    /// Open addressing over `values`; `u32::MAX` is free. Never iterated.
    table: Vec<u32>,
}

impl<T: Hash + Eq> Interner<T> {
    pub(crate) fn new() -> Self {
        Self { values: Vec::new(), table: vec![u32::MAX; 16] }
    }

    pub(crate) fn get(&self, number: u32) -> &T {
        &self.values[number as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The number of `value`, which is kept if it is new.
    pub(crate) fn intern(&mut self, value: T) -> u32 {
        let slot = match self.find(&value) {
            Ok(number) => return number,
            Err(slot) => slot,
        };
        let number = self.values.len() as u32;
        self.values.push(value);
        self.table[slot] = number;
        if self.values.len() * 2 > self.table.len() {
            self.grow();
        }
        number
    }

    /// The number of `value`, or the slot where it would go.
    pub(crate) fn find(&self, value: &T) -> Result<u32, usize> {
        let mask = self.table.len() - 1;
        let mut slot = Self::home(value) & mask;
        loop {
            let number = self.table[slot];
            if number == u32::MAX {
                return Err(slot);
            }
            if self.values[number as usize] == *value {
                return Ok(number);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn home(value: &T) -> usize {
        let mut hasher = FxHasher::default();
        value.hash(&mut hasher);
        // Fx leaves its entropy in the high bits for short keys.
        let hash = hasher.finish();
        (hash ^ (hash >> 32)) as usize
    }

    fn grow(&mut self) {
        let mut table = vec![u32::MAX; self.table.len() * 2];
        let mask = table.len() - 1;
        for (number, value) in self.values.iter().enumerate() {
            let mut slot = Self::home(value) & mask;
            while table[slot] != u32::MAX {
                slot = (slot + 1) & mask;
            }
            table[slot] = number as u32;
        }
        self.table = table;
    }
}

/// Any model as a [`Machine`]: states are numbered as they are met.
pub(crate) struct ModelMachine<'a, M: Model> {
    model: &'a M,
    history: &'a History<M::Input, M::Output>,
    part: &'a Part,
    states: Interner<M::State>,
}

impl<'a, M: Model> ModelMachine<'a, M> {
    pub(crate) fn new(
        model: &'a M,
        history: &'a History<M::Input, M::Output>,
        part: &'a Part,
    ) -> Self {
        Self { model, history, part, states: Interner::new() }
    }

    fn output(&self, position: u32) -> (&'a M::Input, Option<&'a M::Output>) {
        let span = self.part.spans[position as usize];
        let operation = &self.history.operations[span.index as usize];
        match &operation.outcome {
            Outcome::Ok { output, .. } => (&operation.input, Some(output)),
            Outcome::Failed { .. } | Outcome::Indeterminate => (&operation.input, None),
        }
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
