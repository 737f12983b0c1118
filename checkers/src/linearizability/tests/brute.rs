//! The judge of the judges: every order, tried naively.

use crate::history::{History, Outcome};
use crate::models::Model;

/// Whether some order of the operations explains the history. For a dozen operations at most.
pub(crate) fn linearizable<M: Model>(model: &M, history: &History<M::Input, M::Output>) -> bool {
    let ops: Vec<usize> = (0..history.len())
        .filter(|i| !matches!(history.operations[*i].outcome, Outcome::Failed { .. }))
        .collect();
    explains(model, history, &model.initial(), &ops)
}

fn explains<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    state: &M::State,
    left: &[usize],
) -> bool {
    let op = |i: usize| &history.operations[i];
    if left.iter().all(|i| op(*i).outcome.returned().is_none()) {
        return true;
    }
    left.iter().any(|i| {
        let first = left.iter().all(|j| op(*j).outcome.returned().is_none_or(|r| r >= op(*i).call));
        let rest: Vec<usize> = left.iter().copied().filter(|j| j != i).collect();
        first
            && model
                .step(state, &op(*i).input, op(*i).outcome.output())
                .is_some_and(|after| explains(model, history, &after, &rest))
    })
}

/// The history in which only the operations of `core` are constrained: the others may take effect
/// at any time after their call or never, and those that change nothing are left out.
pub(crate) fn relaxed<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    core: &[u32],
) -> History<M::Input, M::Output>
where
    History<M::Input, M::Output>: Clone,
{
    let mut relaxed = history.clone();
    for (index, operation) in relaxed.operations.iter_mut().enumerate() {
        if core.contains(&(index as u32)) {
            continue;
        }
        let pure = model.is_pure(&operation.input, operation.outcome.output());
        let never = matches!(operation.outcome, Outcome::Failed { .. }) || pure;
        operation.outcome =
            if never { Outcome::Failed { returned: 0 } } else { Outcome::Indeterminate };
    }
    relaxed
}

/// What was known just before an operation responded.
pub(crate) fn before_response<I: Clone, O: Clone>(
    history: &History<I, O>,
    operation: usize,
) -> History<I, O> {
    let mut before = history.clone();
    let end = history.operations[operation].outcome.returned().unwrap_or(u64::MAX);
    before.operations.retain(|op| op.call <= end);
    for (index, op) in before.operations.iter_mut().enumerate() {
        if op.outcome.returned().is_some_and(|returned| (returned, index) >= (end, operation)) {
            op.outcome = Outcome::Indeterminate;
        }
    }
    before
}
