//! Small cores: every order tried, naively.

use std::collections::BTreeSet;

use super::told;
use crate::history::{History, Outcome};
use crate::interner::Interner;
use crate::models::Model;
use crate::verdict::Witness;

/// Most configurations that are expanded.
const MOST: usize = 20_000;

/// Whether no order places the operations of the core, in time and with their answers. The others
/// of the partition may take effect at any time after their call, or never, but answer what they
/// answered. `None` if there are too many of them to say.
pub(super) fn has_no_order<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    witness: &Witness,
) -> Option<bool> {
    let key = |index: u32| model.partition(&history.operations[index as usize].input);
    let here = key(witness.operation);
    let must = |index: u32| {
        let returned = history.operations[index as usize].outcome.returned();
        let needed = told(history, witness, index) && witness.core.binary_search(&index).is_ok();
        returned.filter(|_| needed)
    };
    let last = witness.core.iter().filter_map(|index| must(*index)).max()?;
    let useful = |index: &u32| {
        let operation = &history.operations[*index as usize];
        let output = operation.outcome.output().filter(|_| told(history, witness, *index));
        let happened = !matches!(operation.outcome, Outcome::Failed { .. });
        let acts = must(*index).is_some() || !model.is_pure(&operation.input, output);
        happened && operation.call <= last && key(*index) == here && acts
    };
    let all: Vec<u32> = (0..history.len() as u32).filter(useful).collect();
    if all.len() > 64 {
        return None;
    }
    let mut states = Interner::new();
    let mut open = vec![(0_u64, states.intern(model.initial()))];
    let mut met = BTreeSet::new();
    while let Some((placed, state)) = open.pop() {
        let left = (0..all.len()).filter(|at| placed >> at & 1 == 0);
        let Some(end) = left.clone().filter_map(|at| must(all[at])).min() else {
            return Some(false);
        };
        for at in left {
            let operation = &history.operations[all[at] as usize];
            if operation.call > end {
                continue;
            }
            let output = operation.outcome.output().filter(|_| told(history, witness, all[at]));
            let after = model.step(states.get(state), &operation.input, output);
            let next = after.map(|after| (placed | 1 << at, states.intern(after)));
            if let Some(next) = next.filter(|next| met.insert(*next)) {
                open.push(next);
            }
        }
        if met.len() > MOST {
            return None;
        }
    }
    Some(true)
}
