//! A priority queue with distinct values, in O(n log n), with an order.
//!
//! In the manner of Lee and Mathur, *Efficient decrease-and-conquer linearizability monitoring*
//! (2025), but by one sweep: a value may leave at an instant at which no greater value is certainly
//! inside, and whether it does constrains nobody greater. So the history is right if and only if
//! every removal has such an instant, after the insertion was called. (At an instant that no
//! certain stay of greater values covers, each of them can be moved to one side: if it was removed
//! later although it was called before, it could as well be removed now.)
//!
//! The order: every value leaves at the earliest such instant, and comes as late as it may before
//! that. No smaller value leaves in between: its instant would have been an earlier one for this.

use std::collections::BTreeMap;

use super::containers::{self, NONE, Stays};
use super::fast::Fast;
use super::part::Part;
use crate::models::abstraction::ContainerStep;
use crate::verdict::Reason;

/// Decides a priority queue part; value numbers are ordered as the values.
pub(crate) fn decide(part: &Part<'_>, steps: &[ContainerStep]) -> Fast {
    let built = containers::gather(part, steps).and_then(|all| {
        let leaves = leaves(&all)?;
        let empty = containers::empty_instants(part, steps, &all)?;
        Ok(order(&all, &leaves, &empty))
    });
    built.map_or_else(|answer| answer, Fast::Order)
}

/// When each value leaves, the end of time if never.
fn leaves(all: &Stays) -> Result<Vec<u64>, Fast> {
    let mut leaves = vec![u64::MAX; all.stays.len()];
    // `gather` keeps the order of the numbers.
    let mut greater = Cover::default();
    for (at, stay) in all.stays.iter().enumerate().rev() {
        if stay.remove != NONE {
            let from = stay.remove_call.max(stay.insert_call);
            leaves[at] = greater.first_free(from);
            if leaves[at] > stay.remove_ret {
                let inside = containers::chain(all.stays[at + 1..].iter(), from, stay.remove_ret);
                let mut core: Vec<u32> = stay.operations().collect();
                core.extend(inside.into_iter().flat_map(containers::Stay::operations));
                core.sort_unstable();
                return Err(Fast::Contradiction { core, reason: Reason::WrongOrder });
            }
        }
        if let Some(interval) = stay.certain() {
            greater.add(interval);
        }
    }
    Ok(leaves)
}

/// The operations in order of their instants. At one instant first what leaves, greatest first (and
/// comes, if it does not come earlier), then what finds nothing, then what comes and stays.
fn order(all: &Stays, leaves: &[u64], empty: &[(u64, u32)]) -> Vec<u32> {
    const LEAVES: u128 = 0;
    const EMPTY: u128 = 1;
    const COMES: u128 = 2;
    let word = |instant: u64, kind: u128, rank: u32| {
        u128::from(instant) << 34 | kind << 32 | u128::from(rank)
    };
    let mut words = Vec::with_capacity(all.stays.len() * 2 + empty.len());
    for (at, (stay, leaves)) in all.stays.iter().zip(leaves).enumerate() {
        let comes = stay.insert_ret.min(*leaves);
        if stay.remove == NONE || comes < *leaves {
            words.push(word(comes, COMES, at as u32));
        }
        if stay.remove != NONE {
            words.push(word(*leaves, LEAVES, !(at as u32)));
        }
    }
    words.extend(empty.iter().map(|(instant, operation)| word(*instant, EMPTY, *operation)));
    words.sort_unstable();
    let mut order = Vec::with_capacity(all.stays.len() * 2 + empty.len());
    for word in words {
        let rank = word as u32;
        match word >> 32 & 3 {
            EMPTY => order.push(rank),
            COMES => order.push(all.stays[rank as usize].insert),
            _ => {
                let at = !rank as usize;
                let stay = &all.stays[at];
                if leaves[at] <= stay.insert_ret {
                    order.push(stay.insert);
                }
                order.push(stay.remove);
            }
        }
    }
    order
}

/// A union of open intervals of time. Two that only touch leave the touching instant free.
#[derive(Default)]
struct Cover {
    /// End by start; disjoint.
    intervals: BTreeMap<u64, u64>,
}

impl Cover {
    fn add(&mut self, (mut start, mut end): (u64, u64)) {
        if let Some((&before, &until)) = self.intervals.range(..=start).next_back()
            && until > start
        {
            start = before;
            end = end.max(until);
        }
        while let Some((&next, &until)) = self.intervals.range(start..end).next() {
            end = end.max(until);
            self.intervals.remove(&next);
        }
        self.intervals.insert(start, end);
    }

    /// The first instant from `from` on that is free.
    fn first_free(&self, from: u64) -> u64 {
        let before = self.intervals.range(..from).next_back();
        before.map_or(from, |(_, &end)| end.max(from))
    }
}
