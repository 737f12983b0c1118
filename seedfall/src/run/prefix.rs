//! Whether a check of histories is prefix-closed: what it finds right must have been right at every
//! earlier instant.

use super::panics::catch;
use crate::property::{JudgeHistory, Judgement};
use seedfall_checkers::{History, Outcome};
use seedfall_sim::Seed;

/// Of so many seeds one is looked at.
const EVERY: u64 = 64;
/// How many prefixes are judged of it.
const PREFIXES: usize = 3;

/// Whether prefixes are to be judged in the run of this seed: in builds with debug assertions, a
/// few runs of a sweep.
pub(super) fn is_due(seed: Seed) -> bool {
    cfg!(debug_assertions) && seed.0 % EVERY == EVERY / 2
}

/// Judges a few prefixes of a history that was found right; says of the first that is found wrong
/// when it ends, and why. The history is afterwards as it was.
pub(super) fn refused<I, O>(
    judge: &JudgeHistory<I, O>,
    history: &mut History<I, O>,
) -> Option<(u64, String)> {
    let calls: Vec<u64> = history.operations.iter().map(|one| one.call).collect();
    (1..=PREFIXES).find_map(|nth| {
        let last = (calls.len() * nth / (PREFIXES + 1)).checked_sub(1)?;
        let until = calls[last];
        match judged_until(judge, history, until) {
            Judgement::Violated { reason, .. } => Some((until, reason)),
            Judgement::Holds | Judgement::Unknown(_) => None,
        }
    })
}

/// What is said of the history up to an instant, after which nobody has heard of anything.
fn judged_until<I, O>(
    judge: &JudgeHistory<I, O>,
    history: &mut History<I, O>,
    until: u64,
) -> Judgement {
    let kept = history.operations.iter().take_while(|one| one.call <= until).count();
    let later = history.operations.split_off(kept);
    let mut open = Vec::new();
    for (place, operation) in history.operations.iter_mut().enumerate() {
        if operation.outcome.returned().is_some_and(|returned| until < returned) {
            let outcome = std::mem::replace(&mut operation.outcome, Outcome::Indeterminate);
            open.push((place, outcome));
        }
    }
    let judged = catch(|| judge(history))
        .unwrap_or_else(|panic| Judgement::violated(format!("it panics: {}", panic.message)));
    for (place, outcome) in open {
        history.operations[place].outcome = outcome;
    }
    history.operations.extend(later);
    judged
}
