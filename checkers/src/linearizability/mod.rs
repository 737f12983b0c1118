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
use part::{Part, split};
use schedule::{Outcome, Schedule};
pub use shrink::shrink;
pub use verify::{Evidence, Flaw, verify};

use crate::history::History;
use crate::models::Model;
use crate::verdict::{Budget, Certificate, Exhausted, Limit, Statistics, Verdict, Witness};

/// Judges whether `history` is linearizable with respect to `model`.
///
/// Definite failures are left out; an indeterminate operation may take effect at any time after its
/// call, or never. Deterministic: verdict, witness and statistics depend on the arguments alone.
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
/// let verdict = linearizable(&Kv::new(), &history, Budget::DEFAULT);
/// assert_eq!(verdict.witness().map(|witness| witness.operation), Some(1));
/// ```
pub fn linearizable<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    budget: Budget,
) -> Verdict {
    let mut statistics = Statistics::default();
    if u32::try_from(history.len()).map_or(true, |n| n > u32::MAX >> 2) {
        return Verdict::Unknown(Exhausted { limit: Limit::Operations, statistics });
    }
    let parts = split(model, history);
    statistics.partitions = parts.len() as u32;
    let mut schedule = Schedule { model, history, budget, statistics };
    let outcomes = match schedule.run(&parts) {
        Ok(outcomes) => outcomes,
        Err((number, outcome)) => {
            return verdict_of(parts.get(number), outcome, schedule.statistics);
        }
    };
    let statistics = schedule.statistics;
    let mut orders = Vec::with_capacity(parts.len());
    for (part, outcome) in parts.iter().zip(outcomes) {
        match outcome {
            Outcome::Order(order) => orders.push(indices(part, order)),
            other => return verdict_of(part, other, statistics),
        }
    }
    Verdict::Holds(Certificate { orders, statistics })
}

fn verdict_of(part: Part<'_>, outcome: Outcome, statistics: Statistics) -> Verdict {
    match outcome {
        Outcome::Order(order) => {
            Verdict::Holds(Certificate { orders: vec![indices(part, order)], statistics })
        }
        Outcome::OutOf(limit) => Verdict::Unknown(Exhausted { limit, statistics }),
        Outcome::Violated { operation, core, prefix, reason, answers_before } => {
            let window = window(part, &core);
            Verdict::Violated(Witness {
                operation: part.spans[operation as usize].index,
                core: indices(part, core),
                window,
                answers_before: answers_before.map(|op| {
                    let span = part.spans[op as usize];
                    (span.ret, span.index)
                }),
                prefix: indices(part, prefix),
                reason,
                statistics,
            })
        }
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
