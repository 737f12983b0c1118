//! The order that a system itself claims: one pass, for any model.
//!
//! A simulator sees more than a client: the log index or commit time of every operation. If
//! that order explains the history, it is linearizable, whatever a search would cost. If it does
//! not, that is no verdict yet, but a finding of its own: clients may be content while the system's
//! own order is not a linearization. Both are reported side by side.

use std::fmt;

use rustc_hash::FxHashMap;

use super::linearizable;
use crate::history::{History, HistoryError, Outcome};
use crate::models::Model;
use crate::verdict::{Budget, Certificate, Path, Statistics, Verdict};

/// Why an order does not explain a history. Numbers are indices into the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deviation {
    /// The order names an operation that the history does not have.
    Unknown(u32),
    /// The order names it twice.
    Twice(u32),
    /// It certainly never happened.
    Failed(u32),
    /// It certainly happened, but the order lacks it.
    Missing(u32),
    /// It cannot have answered what it did at this place.
    WrongAnswer(u32),
    /// The first comes before the second, but was called after the second had returned.
    AgainstTime(u32, u32),
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(op) => write!(f, "the order names operation {op}, which is none"),
            Self::Twice(op) => write!(f, "the order names operation {op} twice"),
            Self::Failed(op) => write!(f, "operation {op} is in the order but failed"),
            Self::Missing(op) => write!(f, "operation {op} succeeded but is not in the order"),
            Self::WrongAnswer(op) => write!(f, "operation {op} cannot have answered this here"),
            Self::AgainstTime(op, before) => {
                write!(
                    f,
                    "operation {op} comes before {before}, which had returned when it was called"
                )
            }
        }
    }
}

/// Replays one order: answers by the model, real time by the running maximum of calls. O(n).
///
/// # Errors
/// The first place at which the order does not explain what it contains. Operations that it lacks
/// are not looked for: see [`follows`].
pub fn replay<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    order: &[u32],
    placed: &mut [bool],
) -> Result<(), Deviation> {
    let mut states: FxHashMap<Option<&M::Key>, M::State> = FxHashMap::default();
    let mut latest: Option<(u64, u32)> = None;
    for &index in order {
        let place = placed.get_mut(index as usize).ok_or(Deviation::Unknown(index))?;
        if std::mem::replace(place, true) {
            return Err(Deviation::Twice(index));
        }
        let operation = &history.operations[index as usize];
        let end = match operation.outcome {
            Outcome::Ok { returned, .. } => returned,
            Outcome::Failed { .. } => return Err(Deviation::Failed(index)),
            Outcome::Indeterminate => u64::MAX,
        };
        if let Some((_, other)) = latest.filter(|(call, _)| *call > end) {
            return Err(Deviation::AgainstTime(other, index));
        }
        if latest.is_none_or(|(call, _)| operation.call > call) {
            latest = Some((operation.call, index));
        }
        let key = model.partition(&operation.input);
        let state = states.entry(key).or_insert_with(|| model.initial());
        *state = model
            .step(state, &operation.input, operation.outcome.output())
            .ok_or(Deviation::WrongAnswer(index))?;
    }
    Ok(())
}

/// Checks that an order explains the whole history: [`replay`], and nothing is missing.
///
/// # Errors
/// The first deviation.
pub fn follows<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    order: &[u32],
) -> Result<(), Deviation> {
    let mut placed = vec![false; history.len()];
    replay(model, history, order, &mut placed)?;
    match missing(history, &placed) {
        Some(index) => Err(Deviation::Missing(index)),
        None => Ok(()),
    }
}

/// The first operation that certainly happened and is not placed.
pub(super) fn missing<I, O>(history: &History<I, O>, placed: &[bool]) -> Option<u32> {
    let certain = |index: &usize| history.operations[*index].outcome.output().is_some();
    (0..history.len()).find(|index| !placed[*index] && certain(index)).map(|index| index as u32)
}

/// Judges a history by the order that the system claims and, if that does not explain it, as
/// [`linearizable`] does. The deviation is reported beside the verdict.
///
/// # Errors
/// What is wrong with the history, if no recorder can have produced it: [`History::validate`].
pub fn linearizable_as_claimed<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    order: &[u32],
    budget: Budget,
) -> Result<(Verdict, Option<Deviation>), HistoryError> {
    history.validate()?;
    match follows(model, history, order) {
        Ok(()) => {
            let mut statistics = Statistics { partitions: 1, ..Statistics::default() };
            statistics.decided[Path::ClaimedOrder as usize] = 1;
            let orders = vec![order.to_vec()];
            Ok((Verdict::Holds(Certificate { orders, statistics }), None))
        }
        Err(deviation) => Ok((linearizable(model, history, budget)?, Some(deviation))),
    }
}
