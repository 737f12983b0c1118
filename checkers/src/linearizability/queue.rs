//! A queue with distinct values, in O(n log n).
//!
//! Henzinger, Sezgin and Vafeiadis, *Aspect-oriented linearizability proofs* (2013): besides what
//! one value can contradict, a complete history is wrong if and only if two values left in the
//! other order than they came (`enq(a)` before `enq(b)`, `deq(b)` before `deq(a)` or `a` never
//! removed), or a removal found nothing while something was certainly inside.

use super::containers::{self, Stay, Stays};
use super::fast::Fast;
use super::part::Part;
use crate::models::abstraction::ContainerStep;
use crate::verdict::Reason;

/// Decides a queue part.
pub(crate) fn decide(part: &Part, steps: &[ContainerStep]) -> Fast {
    let all = match containers::gather(part, steps) {
        Ok(all) => all,
        Err(answer) => return answer,
    };
    match check_pairs(&all).and_then(|()| containers::check_empty(part, &all)) {
        Ok(()) => Fast::Consistent,
        Err(answer) => answer,
    }
}

/// One sweep: for each value in the order in which its insertion was called, the latest removal
/// among the values that were inside before.
fn check_pairs(all: &Stays) -> Result<(), Fast> {
    // Equal stamps are concurrent: their order does not matter. Keys are copied beside the numbers,
    // so that sorting does not run through the stays.
    let by = |of: fn(&Stay) -> u64| {
        let keyed = all.stays.iter().enumerate().map(|(at, stay)| (of(stay), at as u32));
        let mut keyed: Vec<(u64, u32)> = keyed.collect();
        keyed.sort();
        keyed
    };
    let by_call = by(|stay| stay.insert_call);
    let mut before = by(|stay| stay.insert_ret).into_iter().peekable();
    let mut latest: Option<&Stay> = None;
    for (call, at) in by_call {
        let stay = &all.stays[at as usize];
        while let Some((_, other)) = before.next_if(|(ret, _)| *ret < call) {
            let other = &all.stays[other as usize];
            if latest.is_none_or(|latest| other.remove_call > latest.remove_call) {
                latest = Some(other);
            }
        }
        if let Some(latest) = latest.filter(|latest| stay.remove_ret < latest.remove_call) {
            let mut core: Vec<u32> = stay.operations().chain(latest.operations()).collect();
            core.sort_unstable();
            return Err(Fast::Contradiction { core, reason: Reason::WrongOrder });
        }
    }
    Ok(())
}
