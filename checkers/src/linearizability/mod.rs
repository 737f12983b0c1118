//! Linearizability: every operation takes effect at one instant between its call and its response.
//!
//! Herlihy and Wing, *Linearizability: a correctness condition for concurrent objects* (1990).

mod depth_first;
mod fingerprint;
mod machine;
mod part;

use depth_first::{Found, Spent, search};
use machine::ModelMachine;
use part::{Part, split};

use crate::history::History;
use crate::models::Model;
use crate::verdict::{
    Budget, Certificate, Exhausted, Limit, Path, Reason, Statistics, Verdict, Witness,
};

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
    let mut orders = Vec::with_capacity(parts.len());
    let mut exhausted = None;
    for part in &parts {
        let mut machine = ModelMachine::new(model, history, part);
        let mut spent = Spent::default();
        let found = search(part, &mut machine, budget, &mut spent);
        statistics.configurations += spent.configurations;
        statistics.bytes = statistics.bytes.max(spent.bytes);
        match found {
            Found::Order(order) => orders.push(indices(part, &order)),
            Found::Stuck { operation, prefix } => {
                statistics.decided[Path::DepthFirst as usize] += 1;
                return Verdict::Violated(witness(part, operation, &prefix, statistics));
            }
            Found::OutOf(limit) => exhausted = Some(limit),
        }
        statistics.decided[Path::DepthFirst as usize] += 1;
    }
    match exhausted {
        Some(limit) => Verdict::Unknown(Exhausted { limit, statistics }),
        None => Verdict::Holds(Certificate { orders, statistics }),
    }
}

fn indices(part: &Part, positions: &[u32]) -> Vec<u32> {
    positions.iter().map(|position| part.spans[*position as usize].index).collect()
}

/// A witness from a search that failed: everything called before the response that cannot be
/// explained, except what the shortest window does not need.
fn witness(part: &Part, operation: u32, prefix: &[u32], statistics: Statistics) -> Witness {
    let last = part.spans[operation as usize];
    let core: Vec<u32> =
        part.spans.iter().filter(|s| s.call <= last.ret).map(|s| s.index).collect();
    let first = part.spans.first().map_or(last.call, |span| span.call);
    Witness {
        operation: last.index,
        core,
        window: (first, last.ret),
        prefix: indices(part, prefix),
        reason: Reason::NoOrder,
        statistics,
    }
}
