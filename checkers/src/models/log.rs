//! A log: append at the end, read at an offset.
//!
//! Judged by the searches alone; offsets leave them little to choose. For long runs see
//! [`workloads::log`](crate::workloads), which checks necessary rules in near-linear time.

use std::hash::Hash;
use std::marker::PhantomData;

use super::Model;

/// What a client asks of a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogInput<V> {
    /// Adds a record; answers its offset.
    Append(V),
    /// The record at an offset.
    Read(u64),
    /// How many records there are.
    Length,
    /// All records.
    ReadAll,
}

/// What a log answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum LogOutput<V> {
    /// To an append: the record's offset, counted from 0.
    Offset(u64),
    /// To a read; `None` past the end.
    Record(Option<V>),
    /// To a length.
    Length(u64),
    /// To a read of everything.
    Records(Vec<V>),
}

/// Log model, empty at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log<V>(PhantomData<V>);

impl<V> Log<V> {
    /// An empty log.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<V> Default for Log<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Clone + Eq + Hash> Model for Log<V> {
    type Input = LogInput<V>;
    type Output = LogOutput<V>;
    type State = Vec<V>;
    type Key = ();

    fn initial(&self) -> Vec<V> {
        Vec::new()
    }

    fn step(
        &self,
        state: &Vec<V>,
        input: &LogInput<V>,
        output: Option<&LogOutput<V>>,
    ) -> Option<Vec<V>> {
        use {LogInput as In, LogOutput as Out};
        let at = |offset: &u64| usize::try_from(*offset).ok().and_then(|at| state.get(at));
        let fits = match (input, output) {
            (In::Append(record), seen) => {
                if seen.is_some_and(|seen| *seen != Out::Offset(state.len() as u64)) {
                    return None;
                }
                let mut after = state.clone();
                after.push(record.clone());
                return Some(after);
            }
            (_, None) => true,
            (In::Read(offset), Some(Out::Record(seen))) => seen.as_ref() == at(offset),
            (In::Length, Some(Out::Length(seen))) => *seen == state.len() as u64,
            (In::ReadAll, Some(Out::Records(seen))) => seen == state,
            _ => false,
        };
        fits.then(|| state.clone())
    }

    fn is_pure(&self, input: &LogInput<V>, _: Option<&LogOutput<V>>) -> bool {
        !matches!(input, LogInput::Append(_))
    }
}
