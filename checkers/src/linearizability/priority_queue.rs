//! A priority queue with distinct values, in O(n log n).
//!
//! In the manner of Lee and Mathur, *Efficient decrease-and-conquer linearizability monitoring*
//! (2025), but by one sweep: a value may leave at an instant at which no greater value is certainly
//! inside, and whether it does constrains nobody greater. So the history is right if and only if
//! every removal has such an instant, after the insertion was called. (At an instant that no
//! certain stay of greater values covers, each of them can be moved to one side: if it was removed
//! later although it was called before, it could as well be removed now.)

use super::containers::{self, Cover};
use super::fast::Fast;
use super::part::Part;
use crate::models::abstraction::ContainerStep;
use crate::verdict::Reason;

/// Decides a priority queue part; value numbers are ordered as the values.
pub(crate) fn decide(part: &Part, steps: &[ContainerStep]) -> Fast {
    let all = match containers::gather(part, steps) {
        Ok(all) => all,
        Err(answer) => return answer,
    };
    // `gather` keeps the order of the numbers.
    let mut greater = Cover::default();
    for (at, stay) in all.stays.iter().enumerate().rev() {
        let from = stay.remove_call.max(stay.insert_call);
        if stay.remove != containers::NONE && greater.covers(from, stay.remove_ret) {
            let inside = containers::chain(all.stays[at + 1..].iter(), from, stay.remove_ret);
            let mut core: Vec<u32> = stay.operations().collect();
            core.extend(inside.into_iter().flat_map(containers::Stay::operations));
            core.sort_unstable();
            return Fast::Contradiction { core, reason: Reason::WrongOrder };
        }
        if let Some(interval) = stay.certain() {
            greater.add(interval);
        }
    }
    match containers::check_empty(part, &all) {
        Ok(()) => Fast::Consistent,
        Err(answer) => answer,
    }
}
