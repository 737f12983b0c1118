//! A register: read, write, compare-and-set.

use std::hash::Hash;

use super::abstraction::{Abstraction, Numbering, RegisterStep, RegisterView};
use super::{Model, Seen};

/// What a client asks of a register.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RegisterInput<V> {
    /// The current value.
    Read,
    /// Overwrites.
    Write(V),
    /// Overwrites if the current value is the expected one.
    Cas {
        /// The value that must be there.
        expected: V,
        /// The value that replaces it.
        new: V,
    },
}

/// What a register answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RegisterOutput<V> {
    /// To a read.
    Value(V),
    /// To a write; to a compare-and-set: it replaced the value.
    Done,
    /// To a compare-and-set: the value was another one, nothing changed.
    Mismatch,
    /// To a compare-and-set: the value was this other one, nothing changed.
    MismatchSaw(V),
}

/// Register model, with or without compare-and-set: a history decides by what it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register<V> {
    /// The value before the first write.
    pub initial: V,
}

impl<V: Clone + Eq + Hash> Model for Register<V> {
    type Input = RegisterInput<V>;
    type Output = RegisterOutput<V>;
    type State = V;
    type Key = ();

    fn initial(&self) -> V {
        self.initial.clone()
    }

    fn step(&self, state: &V, input: &Self::Input, output: Option<&Self::Output>) -> Option<V> {
        use {RegisterInput as In, RegisterOutput as Out};
        match (input, output) {
            (In::Read, None) => Some(state.clone()),
            (In::Read, Some(Out::Value(seen))) => (seen == state).then(|| state.clone()),
            (In::Write(value), None | Some(Out::Done)) => Some(value.clone()),
            (In::Cas { expected, new }, None | Some(Out::Done)) => {
                (expected == state).then(|| new.clone())
            }
            (In::Cas { expected, .. }, Some(Out::Mismatch)) => {
                (expected != state).then(|| state.clone())
            }
            (In::Cas { expected, .. }, Some(Out::MismatchSaw(seen))) => {
                (expected != state && seen == state).then(|| state.clone())
            }
            _ => None,
        }
    }

    fn is_pure(&self, input: &Self::Input, output: Option<&Self::Output>) -> bool {
        match output {
            None | Some(RegisterOutput::Done) => matches!(input, RegisterInput::Read),
            Some(_) => true,
        }
    }

    fn abstraction<'a>(
        &'a self,
        operations: &mut dyn Iterator<Item = Seen<'a, Self::Input, Self::Output>>,
    ) -> Option<Abstraction<'a>> {
        use {RegisterInput as In, RegisterOutput as Out};
        let mut numbers = Numbering::starting_with(&self.initial);
        let steps = operations
            .map(|seen| match seen {
                (In::Read, None) => RegisterStep::Nothing,
                (In::Read, Some(Out::Value(seen))) => RegisterStep::Read(numbers.of(seen)),
                (In::Write(value), None | Some(Out::Done)) => {
                    RegisterStep::Write(numbers.of(value))
                }
                (In::Cas { expected, new }, None | Some(Out::Done)) => {
                    RegisterStep::Swap(numbers.of(expected), numbers.of(new))
                }
                (In::Cas { expected, .. }, Some(Out::Mismatch)) => {
                    RegisterStep::Differs(numbers.of(expected))
                }
                (In::Cas { expected, .. }, Some(Out::MismatchSaw(seen))) if expected != seen => {
                    RegisterStep::Read(numbers.of(seen))
                }
                _ => RegisterStep::Impossible,
            })
            .collect();
        let values = numbers.count();
        Some(Abstraction::Register(RegisterView { steps, values, texts: Vec::new() }))
    }
}
