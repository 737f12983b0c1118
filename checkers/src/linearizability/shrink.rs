//! The smallest core: operations taken away one by one while the contradiction stands.
//!
//! Delta debugging (Zeller and Hildebrandt, *Simplifying and isolating failure-inducing input*,
//! 2002, section 3) over the operations of a core, with the check itself as the test. To take an
//! operation away is to forget its answer: it may then take effect at any time after its call, or
//! never. That only allows more, so what still contradicts itself is a core in the sense of
//! [`Witness::core`]. Halves first, then quarters, down to single operations, until none can go or
//! the budget is spent; deterministic.

use super::part::{Part, Parts, Span, split};
use super::schedule::Schedule;
use crate::history::History;
use crate::models::Model;
use crate::verdict::{Budget, Reason, Statistics, Witness};

/// Makes the core of a witness smaller; with enough budget no operation of it can be left out.
///
/// Meant for explanations: a check does not do it, because it may cost more than the check. Each
/// try costs a configuration for every operation of the partition, besides those that its search
/// expands. The statistics of the witness stay those of the check.
#[must_use]
pub fn shrink<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    witness: &Witness,
    budget: Budget,
) -> Witness {
    // What breaks the order of a queue, stack or priority queue is small already, and without the
    // answer of a removal no algorithm but the search would apply.
    let is_small = [Reason::WrongOrder, Reason::NotEmpty, Reason::TakenTwice, Reason::NeverWritten];
    if is_small.contains(&witness.reason) {
        return witness.clone();
    }
    let has = |part: &Part<'_>| part.spans.iter().any(|span| span.index == witness.operation);
    let Ok(parts) = split(model, history) else { return witness.clone() };
    let Some(part) = parts.iter().find(has) else { return witness.clone() };
    let statistics = Statistics::default();
    let schedule = Schedule { model, history, budget, statistics };
    let mut shrinking = Shrinking { schedule, part };
    let answered = |index: &u32| {
        let outcome = history.operations.get(*index as usize).map(|operation| &operation.outcome);
        outcome.is_some_and(|outcome| outcome.output().is_some())
    };
    let core: Vec<u32> = witness.core.iter().copied().filter(answered).collect();
    let Some(mut core) = shrinking.contradiction(&core) else { return witness.clone() };
    let mut size = core.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut smaller = false;
        while at < core.len() && !shrinking.is_spent() {
            let end = (at + size).min(core.len());
            let without: Vec<u32> = core[..at].iter().chain(&core[end..]).copied().collect();
            match shrinking.contradiction(&without) {
                Some(found) => (core, smaller) = (found, true),
                None => at = end,
            }
        }
        if size > 1 || !smaller {
            size /= 2;
        }
        if shrinking.is_spent() {
            break;
        }
    }
    shrinking.witness(witness, core)
}

struct Shrinking<'a, M: Model> {
    schedule: Schedule<'a, M>,
    part: Part<'a>,
}

impl<M: Model> Shrinking<'_, M> {
    fn is_spent(&self) -> bool {
        self.schedule.statistics.configurations >= self.schedule.budget.configurations
    }

    /// The core of the contradiction, if only the answers of `core` are known and there is one.
    fn contradiction(&mut self, core: &[u32]) -> Option<Vec<u32>> {
        if core.is_empty() {
            return None;
        }
        self.schedule.statistics.configurations += self.part.len() as u64;
        let mut spans: Vec<Span> = self.part.spans.to_vec();
        for span in &mut spans {
            if core.binary_search(&span.index).is_err() {
                (span.known, span.ret) = (false, u64::MAX);
            }
        }
        let alone = Parts::of_one(spans);
        match self.schedule.run(&alone) {
            Err((_, violation)) => {
                let known = violation.core.iter().map(|at| alone.get(0).spans[*at as usize]);
                let mut known: Vec<u32> =
                    known.filter(|span| span.known).map(|span| span.index).collect();
                known.sort_unstable();
                Some(known)
            }
            Ok(_) => None,
        }
    }

    /// The witness with another core.
    fn witness(&self, witness: &Witness, mut core: Vec<u32>) -> Witness {
        if core.len() >= witness.core.len() {
            return witness.clone();
        }
        let spans = self.part.spans.iter().filter(|span| core.binary_search(&span.index).is_ok());
        let start = spans.clone().map(|span| span.call).min().unwrap_or(witness.window.0);
        let end = spans.clone().map(|span| span.ret).max().unwrap_or(witness.window.1);
        core = spans.map(|span| span.index).collect();
        Witness { core, window: (start, end), answers_before: None, ..witness.clone() }
    }
}
