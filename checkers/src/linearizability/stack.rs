//! A stack with distinct values, in O(n log n), with an order.
//!
//! Decrease and conquer, in the manner of Lee and Mathur, *Efficient decrease-and-conquer
//! linearizability monitoring* (2025), derived here from its statement:
//!
//! - A value whose push and pop overlap can be pushed and popped in one instant: it is left out.
//! - At an instant that no certain stay covers the stack may be empty: what lies before and after
//!   are judged apart.
//! - Between two such instants some value lies at the bottom all the time: its push comes first and
//!   its pop last. Any value that can be that may be that (moving it there keeps the others
//!   nested);
//!   without it the rest is judged again.
//!
//! Segment trees over the values (by the response of the push) and over time (how many certain
//! stays cover it) make each removal and each split logarithmic.

use super::containers::{self, NONE, Stay, Stays, by_time, parts};
use super::fast::Fast;
use super::part::Part;
use super::segment_tree::{Coverage, Maximum};
use crate::models::abstraction::ContainerStep;
use crate::verdict::Reason;

/// Decides a stack part.
pub(crate) fn decide(part: &Part<'_>, steps: &[ContainerStep]) -> Fast {
    let built = containers::gather(part, steps).and_then(|all| {
        let empty = containers::empty_instants(part, steps, &all)?;
        let mut stays: Vec<Stay> =
            all.stays.iter().filter(|stay| stay.certain().is_some()).copied().collect();
        stays.sort_unstable_by_key(|stay| (stay.insert_ret, stay.insert));
        let nested = Peeling::new(&stays).run(part, &empty);
        let nested = nested.map_err(|left| {
            let stays = fewest(part, left);
            let mut core: Vec<u32> = stays.iter().flat_map(Stay::operations).collect();
            core.sort_unstable();
            Fast::Contradiction { core, reason: Reason::WrongOrder }
        })?;
        Ok(with_brief(&all, nested))
    });
    built.map_or_else(|answer| answer, Fast::Order)
}

/// As few of these values as still cannot be nested: without any of them the others could be.
fn fewest(part: &Part<'_>, mut stays: Vec<Stay>) -> Vec<Stay> {
    /// Beyond this many it would cost more than the check.
    const MOST: usize = 256;
    let mut size = if stays.len() > MOST { 0 } else { stays.len() / 2 };
    while size > 0 {
        let mut at = 0;
        while at < stays.len() {
            let mut without = stays.clone();
            without.drain(at..(at + size).min(stays.len()));
            match Peeling::new(&without).run(part, &[]) {
                Ok(_) => at += size,
                Err(left) => stays = left,
            }
        }
        size /= 2;
    }
    stays
}

/// Puts in the values that come and leave in one instant.
fn with_brief(all: &Stays, nested: Vec<(u64, u32)>) -> Vec<u32> {
    let brief = all.stays.iter().enumerate().filter(|(_, stay)| stay.certain().is_none());
    let brief =
        by_time(brief.map(|(at, stay)| (stay.insert_call.max(stay.remove_call), at as u32)));
    let mut order = Vec::with_capacity(nested.len() + brief.len() * 2);
    let mut nested = nested.into_iter().peekable();
    for (instant, at) in brief.into_iter().map(parts) {
        while let Some((_, operation)) = nested.next_if(|(time, _)| *time <= instant) {
            order.push(operation);
        }
        order.extend(all.stays[at as usize].operations());
    }
    order.extend(nested.map(|(_, operation)| operation));
    order
}

/// Values from `first` to `end`, excluded, none of whose certain stays reaches outside.
type Range = (usize, usize);

/// What is left to do, the last first.
enum Task {
    /// Order these values.
    Nest(Range),
    /// This value leaves.
    Pop(usize),
}

struct Peeling<'a> {
    stays: &'a [Stay],
    /// First and last slot of each certain stay.
    slots: Vec<(usize, usize)>,
    coverage: Coverage,
    /// Over the values that are left: the earliest push response, negated, ...
    push_ret: Maximum,
    /// ... and the latest pop call.
    pop_call: Maximum,
    /// Over those not known to be able to come first: the earliest push call, negated.
    push_call: Maximum,
    /// Over those that can come first: the latest pop response.
    pop_ret: Maximum,
}

impl<'a> Peeling<'a> {
    fn new(stays: &'a [Stay]) -> Self {
        // Instants and the gaps between them take turns as slots, so that an open interval leaves
        // its own ends free.
        let mut instants: Vec<u64> =
            stays.iter().flat_map(|stay| [stay.insert_ret, stay.remove_call]).collect();
        instants.sort_unstable();
        instants.dedup();
        let slot = |time: u64| instants.partition_point(|other| *other < time) * 2;
        let slots: Vec<(usize, usize)> = stays
            .iter()
            .map(|stay| (slot(stay.insert_ret) + 1, slot(stay.remove_call) - 1))
            .collect();
        let mut coverage = Coverage::new(instants.len() * 2);
        for &(first, last) in &slots {
            coverage.add(first, last, 1);
        }
        let maximum = |of: fn(&Stay) -> u64| Maximum::new(stays.iter().map(of));
        Self {
            stays,
            slots,
            coverage,
            push_ret: maximum(|stay| u64::MAX - stay.insert_ret),
            pop_call: maximum(|stay| stay.remove_call),
            push_call: maximum(|stay| u64::MAX - stay.insert_call),
            pop_ret: Maximum::new(stays.iter().map(|_| 0)),
        }
    }

    /// The operations in order, each with the latest call up to it, removals that found nothing
    /// included; or the values none of which can be at the bottom.
    fn run(mut self, part: &Part<'_>, empty: &[(u64, u32)]) -> Result<Vec<(u64, u32)>, Vec<Stay>> {
        let mut order: Vec<(u64, u32)> = Vec::with_capacity(self.stays.len() * 2 + empty.len());
        let mut now = 0;
        let mut place = |at: u64, operation: u32| {
            now = at.max(now);
            order.push((now, operation));
        };
        let mut empty = empty.iter().peekable();
        let mut inside = 0;
        let mut tasks = vec![Task::Nest((0, self.stays.len()))];
        while let Some(task) = tasks.pop() {
            let (first, end) = match task {
                Task::Nest(range) => range,
                Task::Pop(value) => {
                    inside -= 1;
                    let remove = self.stays[value].remove;
                    if remove != NONE {
                        place(part.spans[remove as usize].call, remove);
                    }
                    continue;
                }
            };
            let Some((_, lowest)) = self.push_ret.of(first, end) else { continue };
            let from = self.slots[lowest].0;
            let Some((_, highest)) = self.pop_call.of(first, end) else { continue };
            let to = self.slots[highest].1;
            if let Some(free) = self.coverage.zero(from, to) {
                let split = first + self.slots[first..end].partition_point(|slot| slot.0 < free);
                tasks.push(Task::Nest((split, end)));
                tasks.push(Task::Nest((first, split)));
                continue;
            }
            // Nothing can be found empty while these are inside: it was before, or will be after.
            let begins = self.stays[lowest].insert_ret;
            while let Some((instant, operation)) =
                empty.next_if(|(instant, _)| inside == 0 && *instant <= begins)
            {
                place(*instant, *operation);
            }
            let Some(bottom) = self.bottom(first, end) else { return Err(self.left(first, end)) };
            self.remove(bottom);
            inside += 1;
            let insert = self.stays[bottom].insert;
            place(part.spans[insert as usize].call, insert);
            tasks.push(Task::Pop(bottom));
            tasks.push(Task::Nest((first, end)));
        }
        for (instant, operation) in empty {
            place(*instant, *operation);
        }
        Ok(order)
    }

    /// A value whose push can come first and whose pop last.
    fn bottom(&mut self, first: usize, end: usize) -> Option<usize> {
        let (earliest, _) = self.push_ret.of(first, end)?;
        while let Some((call, value)) = self.push_call.of(first, end)
            && call >= earliest
        {
            // It can come first, and always will: the earliest response only grows.
            self.push_call.clear(value);
            self.pop_ret.set(value, self.stays[value].remove_ret);
        }
        let (latest, _) = self.pop_call.of(first, end)?;
        let (ret, value) = self.pop_ret.of(first, end)?;
        (ret >= latest).then_some(value)
    }

    fn remove(&mut self, value: usize) {
        let (first, last) = self.slots[value];
        self.coverage.add(first, last, -1);
        for tree in [&mut self.push_ret, &mut self.pop_call, &mut self.push_call, &mut self.pop_ret]
        {
            tree.clear(value);
        }
    }

    fn left(&self, first: usize, end: usize) -> Vec<Stay> {
        let left = (first..end).filter(|value| self.push_ret.of(*value, value + 1).is_some());
        left.map(|value| self.stays[value]).collect()
    }
}
