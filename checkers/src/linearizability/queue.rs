//! A queue with distinct values, in O(n log n), with an order.
//!
//! Henzinger, Sezgin and Vafeiadis, *Aspect-oriented linearizability proofs* (2013): besides what
//! one value can contradict, a complete history is wrong if and only if two values left in the
//! other order than they came (`enq(a)` before `enq(b)`, `deq(b)` before `deq(a)` or `a` never
//! removed), or a removal found nothing while something was certainly inside.
//!
//! Here an order is built, and only what stands in its way is looked for in pairs. The order of the
//! values is a topological one: `a` comes before `b` if an operation on `a` returned before one of
//! the same kind on `b` was called, or if `a` left before `b` was called to come, or if a removal
//! that found nothing lies between. All of these compare a time of `a` with a time of `b`, so the
//! values that may come next are found by two sweeps over the calls.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::containers::{self, NONE, Stay, Stays, by_time, parts, word};
use super::fast::Fast;
use super::part::Part;
use crate::models::abstraction::ContainerStep;
use crate::verdict::Reason;

/// Decides a queue part.
pub(crate) fn decide(part: &Part<'_>, steps: &[ContainerStep]) -> Fast {
    let built = containers::gather(part, steps).and_then(|all| {
        let empty = containers::empty_instants(part, steps, &all)?;
        match order_of_values(&all, steps, &empty) {
            Some(values) => Ok(order(&all, &values, &empty)),
            // By the theorem one of the two is wrong; if not, the search shall judge.
            None => Err(crossing(&all).unwrap_or(Fast::NotApplicable)),
        }
    });
    built.map_or_else(|answer| answer, Fast::Order)
}

/// Values that entered one of the sweeps and have no place yet, the earliest response first.
#[derive(Default)]
struct Entered(BinaryHeap<Reverse<u128>>);

impl Entered {
    fn push(&mut self, response: u64, stay: u32) {
        self.0.push(Reverse(word(response, stay)));
    }

    /// The earliest response of those that have no place yet.
    fn earliest(&mut self, placed: &[bool]) -> u64 {
        while let Some(Reverse(first)) = self.0.peek() {
            let (response, stay) = parts(*first);
            if !placed[stay as usize] {
                return response;
            }
            self.0.pop();
        }
        u64::MAX
    }
}

/// An order in which the values can pass through, if there is one.
fn order_of_values(all: &Stays, steps: &[ContainerStep], empty: &[(u64, u32)]) -> Option<Vec<u32>> {
    let mut inserts = all.by_insert_call(steps).peekable();
    let mut removes = all.by_remove_call(steps).peekable();
    let (mut inserting, mut removing) = (Entered::default(), Entered::default());
    let mut instants = empty.iter().map(|(instant, _)| *instant).peekable();
    // A value in neither sweep, in one, in both and ready: then only its turn is missing.
    let mut entered = vec![false; all.stays.len()];
    let mut placed = vec![false; all.stays.len()];
    let mut ready = Vec::new();
    let mut order = Vec::with_capacity(all.stays.len());
    let mut enter = |at: u32, ready: &mut Vec<u32>| {
        if std::mem::replace(&mut entered[at as usize], true) {
            ready.push(at);
        }
    };
    while order.len() < all.stays.len() {
        // What has not entered was called later than this, so it responds later too.
        let mut first = inserting.earliest(&placed);
        while let Some(at) = inserts.next_if(|at| all.stays[*at as usize].insert_call <= first) {
            let stay = &all.stays[at as usize];
            let response = stay.insert_ret.min(stay.remove_ret);
            first = first.min(response);
            inserting.push(response, at);
            enter(at, &mut ready);
        }
        // What is certainly through before an instant of emptiness comes before what is not.
        while instants.next_if(|instant| *instant <= first).is_some() {}
        let mut limit = instants.peek().map_or(u64::MAX, |instant| *instant);
        limit = limit.min(removing.earliest(&placed));
        while let Some(at) = removes.next_if(|at| all.stays[*at as usize].remove_call <= limit) {
            let stay = &all.stays[at as usize];
            limit = limit.min(stay.remove_ret);
            removing.push(stay.remove_ret, at);
            enter(at, &mut ready);
        }
        // Any of these may be next, whatever becomes of the others.
        if ready.is_empty() {
            return None;
        }
        for next in ready.drain(..) {
            placed[next as usize] = true;
            order.push(next);
        }
    }
    Some(order)
}

/// The operations in order, given the order of the values: each as early as those before it allow.
fn order(all: &Stays, values: &[u32], empty: &[(u64, u32)]) -> Vec<u32> {
    let mut order = Vec::with_capacity(values.len() * 2 + empty.len());
    let stay = |at: usize| values.get(at).map(|value| &all.stays[*value as usize]);
    let (mut into, mut out) = (0, 0);
    // The latest call so far among insertions, and among both operations of removed values.
    let (mut latest_in, mut latest_out) = (0, 0);
    let mut empty = empty.iter().peekable();
    loop {
        let called = stay(out).map(|stay| latest_out.max(stay.insert_call).max(stay.remove_call));
        if into == out {
            // Nothing is inside: what found nothing goes first, unless this value was gone by then.
            let gone = |instant: u64| called.is_some_and(|called| called <= instant);
            if let Some((_, operation)) = empty.next_if(|(instant, _)| !gone(*instant)) {
                order.push(*operation);
                continue;
            }
        }
        let next = stay(into).filter(|next| {
            // The first value that is not gone by the next such instant waits for it.
            let called = latest_out.max(next.insert_call).max(next.remove_call);
            empty.peek().is_none_or(|(instant, _)| called <= *instant)
        });
        let inside = stay(out).filter(|inside| out < into && inside.remove != NONE);
        match (next, inside.zip(called)) {
            (Some(next), taken)
                if taken.is_none_or(|(_, at)| latest_in.max(next.insert_call) <= at) =>
            {
                latest_in = latest_in.max(next.insert_call);
                order.push(next.insert);
                into += 1;
            }
            (_, Some((inside, at))) => {
                latest_out = at;
                order.push(inside.remove);
                out += 1;
            }
            (_, None) => return order,
        }
    }
}

/// One sweep: for each value in the order in which its insertion was called, the latest removal
/// among the values that were inside before.
fn crossing(all: &Stays) -> Option<Fast> {
    let by = |of: fn(&Stay) -> u64| {
        by_time(all.stays.iter().enumerate().map(|(at, stay)| (of(stay), at as u32)))
    };
    let mut before = by(|stay| stay.insert_ret).into_iter().peekable();
    let mut latest: Option<&Stay> = None;
    for (call, at) in by(|stay| stay.insert_call).into_iter().map(parts) {
        let stay = &all.stays[at as usize];
        while let Some(other) = before.next_if(|other| parts(*other).0 < call) {
            let other = &all.stays[parts(other).1 as usize];
            if latest.is_none_or(|latest| other.remove_call > latest.remove_call) {
                latest = Some(other);
            }
        }
        if let Some(latest) = latest.filter(|latest| stay.remove_ret < latest.remove_call) {
            let mut core: Vec<u32> = stay.operations().chain(latest.operations()).collect();
            core.sort_unstable();
            return Some(Fast::Contradiction { core, reason: Reason::WrongOrder });
        }
    }
    None
}
