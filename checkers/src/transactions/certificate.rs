//! Proof that a verdict is right, checked by code that shares nothing with the search.
//!
//! For `Holds` of a serializable level, [`serial_order`] names an order and [`verify_order`]
//! replays it. For a cycle, [`verify_cycle`] looks up every edge again in the transactions
//! themselves. Both read only what clients saw. (An inferred order of registers that are written
//! without being read may fail to replay: inference knows too little there, and says so by
//! failing.)

use rustc_hash::FxHashMap;

use crate::history::Outcome;
use crate::transactions::graph::{Dependency, Graph};
use crate::transactions::history::{HistoryError, Micro, TransactionHistory};
use crate::transactions::report::{Finding, Level, Report, Scope, Step};

/// Why an order does not explain a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrderError {
    /// A transaction stands twice in it, failed, or does not exist.
    Stray(u32),
    /// An `Ok` transaction is missing.
    Missing(u32),
    /// A transaction would have read something else.
    WrongRead(u32),
    /// A transaction stands behind one that began after it had ended, by the level's scope.
    OutOfOrder(u32),
}

/// An order of all transactions that took effect, if inference finds no cycle.
///
/// # Errors
/// If a value is written twice to one key.
pub fn serial_order(
    history: &TransactionHistory,
    level: Level,
) -> Result<Option<Vec<u32>>, HistoryError> {
    let mut report = Report::new(level);
    let (graph, committed) = super::infer(history, level, &mut report)?;
    Ok(topological(&graph).map(|nodes| {
        let counts = |node: &u32| graph.is_transaction(*node) && committed[*node as usize];
        nodes.into_iter().filter(counts).collect()
    }))
}

fn topological(graph: &Graph) -> Option<Vec<u32>> {
    let mut waiting_for = vec![0u32; graph.nodes() as usize];
    for node in 0..graph.nodes() {
        graph.successors(node).for_each(|(head, _)| waiting_for[head as usize] += 1);
    }
    let mut ready: Vec<u32> =
        (0..graph.nodes()).rev().filter(|node| waiting_for[*node as usize] == 0).collect();
    let mut order = Vec::with_capacity(waiting_for.len());
    while let Some(node) = ready.pop() {
        order.push(node);
        for (head, _) in graph.successors(node) {
            waiting_for[head as usize] -= 1;
            if waiting_for[head as usize] == 0 {
                ready.push(head);
            }
        }
    }
    (order.len() == waiting_for.len()).then_some(order)
}

/// Replays an order, one transaction after the other, and checks that it respects the scope.
///
/// # Errors
/// The first transaction that does not fit.
pub fn verify_order(
    history: &TransactionHistory,
    order: &[u32],
    scope: Scope,
) -> Result<(), OrderError> {
    let mut placed = vec![false; history.len()];
    let mut state: FxHashMap<u64, Vec<u64>> = FxHashMap::default();
    // Per process the latest call placed, and the latest of all.
    let mut called: FxHashMap<u32, u64> = FxHashMap::default();
    let mut latest = 0;
    for &t in order {
        let stray = placed.get(t as usize).is_none_or(|placed| *placed);
        if stray || matches!(history.outcome(t), Outcome::Failed { .. }) {
            return Err(OrderError::Stray(t));
        }
        placed[t as usize] = true;
        let end = history.outcome(t).returned().unwrap_or(u64::MAX);
        let before = called.entry(history.process(t)).or_default();
        let own = end != u64::MAX && history.call(t) < *before;
        let late = end < latest && scope == Scope::RealTime;
        if late || own && Scope::Process <= scope {
            return Err(OrderError::OutOfOrder(t));
        }
        *before = history.call(t).max(*before);
        latest = latest.max(history.call(t));
        for micro in history.transaction(t) {
            let fits = match &micro {
                Micro::Append { key, value } | Micro::Write { key, value } => {
                    state.entry(*key).or_default().push(*value);
                    true
                }
                Micro::ReadList { key, values } => state.entry(*key).or_default() == values,
                Micro::Read { key, value } => {
                    state.entry(*key).or_default().last() == value.as_ref()
                }
                Micro::Unread { .. } => true,
            };
            if !fits {
                return Err(OrderError::WrongRead(t));
            }
        }
    }
    let told = |t: &u32| matches!(history.outcome(*t), Outcome::Ok { .. });
    let missing = (0..history.len() as u32).find(|t| told(t) && !placed[*t as usize]);
    missing.map_or(Ok(()), |missing| Err(OrderError::Missing(missing)))
}

/// Whether the steps of a finding form a circle and every one of them follows from what the
/// transactions read and wrote, or from when they ran. Linear in the history for each step.
#[must_use]
pub fn verify_cycle(history: &TransactionHistory, finding: &Finding) -> bool {
    let steps = &finding.steps;
    let next = |at: usize| &steps[(at + 1) % steps.len()];
    !steps.is_empty()
        && (0..steps.len()).all(|at| steps[at].to == next(at).from)
        && steps.iter().all(|step| follows(history, step))
}

fn follows(history: &TransactionHistory, step: &Step) -> bool {
    let (from, to) = (step.from, step.to);
    let ended = match history.outcome(from) {
        Outcome::Ok { returned, .. } => Some(returned),
        Outcome::Failed { .. } | Outcome::Indeterminate => None,
    };
    let (a, b) = (history.transaction(from), history.transaction(to));
    let mut pairs = a.iter().flat_map(|a| b.iter().map(move |b| (a, b)));
    match step.dependency {
        Dependency::Process => {
            history.process(from) == history.process(to)
                && ended.is_some_and(|ended| ended <= history.call(to))
        }
        Dependency::RealTime => ended.is_some_and(|ended| ended < history.call(to)),
        Dependency::WriteRead => pairs.any(|pair| match pair {
            (Micro::Append { key, value }, Micro::ReadList { key: k, values }) => {
                key == k && values.last() == Some(value)
            }
            (Micro::Write { key, value }, Micro::Read { key: k, value: seen }) => {
                key == k && Some(*value) == *seen
            }
            _ => false,
        }),
        Dependency::ReadWrite => pairs.any(|pair| match pair {
            (Micro::ReadList { key, values }, Micro::Append { key: k, value }) => {
                key == k && !values.contains(value)
            }
            (Micro::Read { key, value: seen }, Micro::Write { key: k, value }) => {
                let read = |micro: &Micro| *micro == Micro::Read { key: *k, value: *seen };
                key == k && *seen != Some(*value) && (seen.is_none() || b.iter().any(read))
            }
            _ => false,
        }),
        Dependency::WriteWrite => pairs.any(|pair| match pair {
            (Micro::Append { key, value: first }, Micro::Append { key: k, value: second }) => {
                key == k && appended_before(history, *key, *first, *second)
            }
            (Micro::Write { key, value: first }, Micro::Write { key: k, .. }) => {
                key == k && b.contains(&Micro::Read { key: *k, value: Some(*first) })
            }
            _ => false,
        }),
    }
}

/// Whether some read shows `first` with `second` behind it, or `first` is seen and `second` never.
fn appended_before(history: &TransactionHistory, key: u64, first: u64, second: u64) -> bool {
    let (mut saw_first, mut saw_second) = (false, false);
    for t in 0..history.len() as u32 {
        for micro in history.transaction(t) {
            let Micro::ReadList { key: k, values } = micro else { continue };
            if k != key {
                continue;
            }
            let place = |wanted: u64| values.iter().position(|value| *value == wanted);
            match (place(first), place(second)) {
                // Reads that contradict each other are an anomaly of their own.
                (Some(a), Some(b)) if a < b => return true,
                (a, b) => {
                    saw_first |= a.is_some();
                    saw_second |= b.is_some();
                }
            }
        }
    }
    saw_first && !saw_second
}
