//! Linearizability: every operation takes effect at one instant between its call and its response.
//!
//! Herlihy and Wing, *Linearizability: a correctness condition for concurrent objects* (1990).

mod breadth_first;
pub mod claimed;
mod containers;
mod depends;
mod depth_first;
mod fast;
mod fingerprint;
mod machine;
mod membership;
pub mod online;
mod part;
mod priority_queue;
mod queue;
mod register_machine;
mod schedule;
mod segment_tree;
mod shrink;
mod stack;
#[cfg(test)]
mod tests;
pub mod verify;
mod zones;

pub use claimed::{Deviation, linearizable_as_claimed};
use part::{Part, Parts, split};
use schedule::{Outcome, Schedule, Violation};
pub use shrink::shrink;
pub use verify::{Evidence, Flaw, verify};

use crate::history::{History, HistoryError};
use crate::models::Model;
use crate::verdict::{Budget, Certificate, Exhausted, Statistics, Verdict, Witness};

/// Judges whether `history` is linearizable with respect to `model`.
///
/// Definite failures are left out; an indeterminate operation may take effect at any time after its
/// call, or never. Deterministic: verdict, witness and statistics depend on the arguments alone.
///
/// # Errors
/// What is wrong with the history, if no recorder can have produced it: [`History::validate`].
///
/// ```
/// use seedfall_checkers::models::{Kv, KvInput, KvOutput};
/// use seedfall_checkers::{Budget, History, linearizable};
///
/// let mut history = History::new();
/// let put = history.invoke(1, 10, KvInput::Put { key: "x", value: 7_u64 });
/// history.complete(put, 20, KvOutput::Done);
/// let get = history.invoke(2, 30, KvInput::Get { key: "x" });
/// history.complete(get, 40, KvOutput::Value(None));
///
/// let verdict = linearizable(&Kv::new(), &history, Budget::DEFAULT)?;
/// assert_eq!(verdict.witness().map(|witness| witness.operation), Some(1));
/// # Ok::<(), seedfall_checkers::HistoryError>(())
/// ```
pub fn linearizable<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    budget: Budget,
) -> Result<Verdict, HistoryError> {
    let parts = split(model, history)?;
    let statistics = Statistics { partitions: parts.len() as u32, ..Statistics::default() };
    let mut schedule = Schedule { model, history, budget, statistics };
    let outcomes = match schedule.run(&parts) {
        Ok(outcomes) => outcomes,
        Err((number, violation)) => {
            let witness = witness(parts.get(number), violation, schedule.statistics);
            return Ok(Verdict::Violated(witness));
        }
    };
    Ok(verdict(&parts, outcomes, schedule.statistics))
}

/// The verdict if no part is violated.
fn verdict(parts: &Parts, outcomes: Vec<Outcome>, statistics: Statistics) -> Verdict {
    let mut orders = Vec::with_capacity(parts.len());
    let mut out: Option<Exhausted> = None;
    for (part, outcome) in parts.iter().zip(outcomes) {
        match outcome {
            Outcome::Order(order) => orders.push(indices(part, order)),
            Outcome::Violated(violation) => {
                return Verdict::Violated(witness(part, violation, statistics));
            }
            Outcome::OutOf(limit) => {
                let none = Exhausted {
                    limit,
                    undecided: 0,
                    operations: 0,
                    indeterminate: 0,
                    statistics: Statistics::default(),
                };
                let out = out.get_or_insert(none);
                out.undecided += 1;
                out.operations += part.len() as u32;
                out.indeterminate += (part.len() - part.known().count()) as u32;
            }
        }
    }
    match out {
        None => Verdict::Holds(Certificate { orders, statistics }),
        Some(out) => Verdict::Unknown(Exhausted { statistics, ..out }),
    }
}

fn witness(part: Part<'_>, violation: Violation, statistics: Statistics) -> Witness {
    Witness {
        operation: part.spans[violation.operation as usize].index,
        window: window(part, &violation.core),
        core: indices(part, violation.core),
        answers_before: violation.answers_before.map(|op| {
            let span = part.spans[op as usize];
            (span.ret, span.index)
        }),
        prefix: indices(part, violation.prefix),
        reason: violation.reason,
        statistics,
    }
}

/// From the first call to the last response.
fn window(part: Part<'_>, core: &[u32]) -> (u64, u64) {
    let spans = core.iter().map(|op| part.spans[*op as usize]);
    let start = spans.clone().map(|span| span.call).min().unwrap_or(0);
    let end = spans.filter(|span| span.known).map(|span| span.ret).max().unwrap_or(start);
    (start, end)
}

/// Positions in a part as indices into the history.
fn indices(part: Part<'_>, mut positions: Vec<u32>) -> Vec<u32> {
    for position in &mut positions {
        *position = part.spans[*position as usize].index;
    }
    positions
}
