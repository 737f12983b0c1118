//! The orders that were tried: how far a few operations can be put in order, and what stops there.

use std::collections::BTreeSet;

use crate::history::{History, Outcome};
use crate::interner::Interner;
use crate::models::Model;
use crate::verdict::Witness;

/// Cores of more operations are not taken apart: their orders are too many to read.
const MOST: usize = 10;

/// An order of operations of a core that nothing can continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The operations placed, in order.
    pub order: Vec<u32>,
    /// Those that must come next, none of which can have answered what it did.
    pub stopped_by: Vec<u32>,
}

/// Every dead end among the orders of a witness's core, the longest first: the operations of the
/// core alone, all others left out as if they had never happened (the contradiction stands all the
/// same). Empty for a core of more than ten operations, or if some order explains them all.
pub fn attempts<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    witness: &Witness,
) -> Vec<Attempt> {
    let known = |index: &&u32| (**index as usize) < history.len();
    let core: Vec<u32> = witness.core.iter().filter(known).copied().collect();
    if core.len() > MOST || core.len() < witness.core.len() {
        return Vec::new();
    }
    let mut states = Interner::new();
    let first = states.intern(model.initial());
    let came = |index: u32| {
        let returned = history.operations[index as usize].outcome.returned()?;
        let limit = witness.answers_before;
        limit.is_none_or(|limit| (returned, index) < limit).then_some(returned)
    };
    let mut dead = Vec::new();
    let mut met = BTreeSet::new();
    let mut open: Vec<(Vec<u32>, u32)> = vec![(Vec::new(), first)];
    while let Some((order, state)) = open.pop() {
        let left: Vec<u32> = core.iter().filter(|index| !order.contains(index)).copied().collect();
        let end = left.iter().filter_map(|index| came(*index)).min();
        let Some(end) = end else { return Vec::new() };
        let mut stopped_by = Vec::new();
        let mut goes_on = false;
        for &index in &left {
            let operation = &history.operations[index as usize];
            if operation.call > end || matches!(operation.outcome, Outcome::Failed { .. }) {
                continue;
            }
            let output = operation.outcome.output().filter(|_| came(index).is_some());
            match model.step(states.get(state), &operation.input, output) {
                Some(after) => {
                    goes_on = true;
                    let after = states.intern(after);
                    let longer: Vec<u32> = order.iter().copied().chain([index]).collect();
                    let mut placed = longer.clone();
                    placed.sort_unstable();
                    // The same operations with the same state go on in the same way.
                    if met.insert((placed, after)) {
                        open.push((longer, after));
                    }
                }
                None => stopped_by.push(index),
            }
        }
        if !goes_on {
            dead.push(Attempt { order, stopped_by });
        }
    }
    dead.sort_by_key(|attempt| (usize::MAX - attempt.order.len(), attempt.order.clone()));
    dead
}

/// The attempts in words, a line each; a few of them. None where nothing could come first: then the
/// contradiction leans on what others may have done, and says nothing by itself.
pub fn attempts_in_words(attempts: &[Attempt]) -> Vec<String> {
    const SHOWN: usize = 4;
    let list = |indices: &[u32]| {
        let names: Vec<String> = indices.iter().map(|index| format!("#{index}")).collect();
        names.join(", ")
    };
    let line = |attempt: &Attempt| {
        format!("{}, then nothing fits: not {}", list(&attempt.order), list(&attempt.stopped_by))
    };
    let begun = attempts.iter().filter(|attempt| !attempt.order.is_empty());
    let hidden = begun.clone().count().saturating_sub(SHOWN);
    let mut lines: Vec<String> = begun.take(SHOWN).map(line).collect();
    if hidden > 0 {
        lines.push(format!("... and {hidden} others"));
    }
    lines
}
