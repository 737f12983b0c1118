//! The judge of the judges: every order, tried naively.

use crate::history::{History, Outcome};
use crate::models::Model;

/// Whether some order of the operations explains the history. For a dozen operations at most.
pub(crate) fn linearizable<M: Model>(model: &M, history: &History<M::Input, M::Output>) -> bool {
    let all: Vec<u32> = (0..history.len() as u32).collect();
    is_explained(model, history, &all)
}

/// The same if only the operations of `core` must take effect, and in time: the others may take
/// effect at any time after their call, or never, but answer what they answered.
pub(crate) fn is_explained<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    core: &[u32],
) -> bool {
    let mut left: Vec<usize> = (0..history.len())
        .filter(|i| !matches!(history.operations[*i].outcome, Outcome::Failed { .. }))
        .collect();
    // One key after the other: the state of a model is that of one key.
    while let Some(&first) = left.first() {
        let key = |i: usize| model.partition(&history.operations[i].input);
        let (here, others): (Vec<usize>, _) = left.iter().partition(|i| key(**i) == key(first));
        if !explains(model, history, core, &model.initial(), &here) {
            return false;
        }
        left = others;
    }
    true
}

fn explains<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    core: &[u32],
    state: &M::State,
    left: &[usize],
) -> bool {
    let op = |i: usize| &history.operations[i];
    let end = |i: usize| op(i).outcome.returned().filter(|_| core.contains(&(i as u32)));
    if left.iter().all(|i| end(*i).is_none()) {
        return true;
    }
    left.iter().any(|i| {
        let first = left.iter().all(|j| end(*j).is_none_or(|r| r >= op(*i).call));
        let rest: Vec<usize> = left.iter().copied().filter(|j| j != i).collect();
        first
            && model
                .step(state, &op(*i).input, op(*i).outcome.output())
                .is_some_and(|after| explains(model, history, core, &after, &rest))
    })
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
