//! A counter: add, read, add-and-read.
//!
//! Judged by the searches alone: with deltas of both signs the question is NP-hard. For long runs
//! see [`workloads::counter`](crate::workloads), which checks necessary bounds in O(n log n).

use super::{Model, Seen};

/// What a client asks of a counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CounterInput {
    /// Adds this, which may be negative.
    Add(i64),
    /// Adds this and answers the new value.
    AddAndRead(i64),
    /// The current value.
    Read,
}

/// What a counter answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum CounterOutput {
    /// To an add.
    Done,
    /// To a read or an add-and-read.
    Value(i64),
}

/// Counter model; it wraps around at the limits of `i64`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Counter {
    /// The value before the first add.
    pub initial: i64,
}

impl Model for Counter {
    type Input = CounterInput;
    type Output = CounterOutput;
    type State = i64;
    type Key = ();

    fn initial(&self) -> i64 {
        self.initial
    }

    fn step(
        &self,
        state: &i64,
        input: &CounterInput,
        output: Option<&CounterOutput>,
    ) -> Option<i64> {
        use {CounterInput as In, CounterOutput as Out};
        match (input, output) {
            (In::Add(n), None | Some(Out::Done)) | (In::AddAndRead(n), None) => {
                Some(state.wrapping_add(*n))
            }
            (In::AddAndRead(n), Some(Out::Value(seen))) => {
                let after = state.wrapping_add(*n);
                (after == *seen).then_some(after)
            }
            (In::Read, None) => Some(*state),
            (In::Read, Some(Out::Value(seen))) => (seen == state).then_some(*state),
            _ => None,
        }
    }

    fn is_pure(&self, input: &CounterInput, _: Option<&CounterOutput>) -> bool {
        matches!(input, CounterInput::Read | CounterInput::Add(0) | CounterInput::AddAndRead(0))
    }

    /// Adds commute unless somebody is told what they add up to.
    fn commutes(
        &self,
        one: Seen<'_, CounterInput, CounterOutput>,
        other: Seen<'_, CounterInput, CounterOutput>,
    ) -> bool {
        let tells = |(_, output): Seen<'_, _, _>| matches!(output, Some(CounterOutput::Value(_)));
        !tells(one) && !tells(other)
    }
}
