//! What queues, stacks and priority queues have in common: values that go in once and come out
//! once.

use std::collections::BTreeMap;

use super::fast::Fast;
use super::part::Part;
use crate::models::abstraction::ContainerStep;
use crate::verdict::Reason;

pub(super) const NONE: u32 = u32::MAX;

/// The two operations on one value. A removal that never came is called and responds at the end of
/// time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stay {
    /// Position of the insertion.
    pub(super) insert: u32,
    pub(super) insert_call: u64,
    pub(super) insert_ret: u64,
    /// Position of the removal, [`NONE`] if there was none.
    pub(super) remove: u32,
    pub(super) remove_call: u64,
    pub(super) remove_ret: u64,
}

impl Stay {
    /// When the value was certainly inside, ends excluded; `None` if there is no such time.
    pub(super) fn certain(&self) -> Option<(u64, u64)> {
        (self.insert_ret < self.remove_call).then_some((self.insert_ret, self.remove_call))
    }

    /// The operations, for a core.
    pub(super) fn operations(&self) -> impl Iterator<Item = u32> {
        [self.insert, self.remove].into_iter().filter(|operation| *operation != NONE)
    }
}

/// The values of a part and the removals that found nothing.
pub(super) struct Stays {
    /// By value number; values that were never inserted for certain are left out.
    pub(super) stays: Vec<Stay>,
    pub(super) empty: Vec<u32>,
}

/// Gathers a part.
///
/// Indeterminate insertions, exactly: one whose value was never removed is left out (it may never
/// have happened, and nothing depends on it); one whose value was removed took effect, with a
/// response at the end of time. Indeterminate removals are not covered, nor values inserted twice.
///
/// Errors are answers: [`Fast::NotApplicable`], or what a single value contradicts.
pub(super) fn gather(part: &Part, steps: &[ContainerStep]) -> Result<Stays, Fast> {
    let values = steps.iter().map(|step| match step {
        ContainerStep::Insert(value) | ContainerStep::Remove(value) => value + 1,
        _ => 0,
    });
    let mut insert = vec![NONE; values.max().unwrap_or(0) as usize];
    let mut remove = insert.clone();
    let mut empty = Vec::new();
    let mut odd = None;
    for (position, step) in steps.iter().enumerate() {
        let position = position as u32;
        match *step {
            ContainerStep::Insert(value) => {
                if insert[value as usize] != NONE {
                    return Err(Fast::NotApplicable);
                }
                insert[value as usize] = position;
            }
            ContainerStep::Remove(value) => {
                let first = std::mem::replace(&mut remove[value as usize], position);
                if first != NONE {
                    odd = odd.or(Some((vec![first, position], Reason::TakenTwice)));
                }
            }
            ContainerStep::Empty => empty.push(position),
            ContainerStep::RemoveUnseen => return Err(Fast::NotApplicable),
            ContainerStep::Impossible => odd = Some((vec![position], Reason::WrongElement)),
        }
    }
    if let Some((core, reason)) = odd {
        return Err(Fast::Contradiction { core, reason });
    }
    let mut stays = Vec::with_capacity(insert.len());
    for (insert, remove) in insert.into_iter().zip(remove) {
        stays.extend(stay(part, insert, remove)?);
    }
    Ok(Stays { stays, empty })
}

fn stay(part: &Part, insert: u32, remove: u32) -> Result<Option<Stay>, Fast> {
    if insert == NONE {
        if remove == NONE {
            return Ok(None);
        }
        return Err(Fast::Contradiction { core: vec![remove], reason: Reason::NeverWritten });
    }
    let into = part.spans[insert as usize];
    let (remove_call, remove_ret) = match part.spans.get(remove as usize) {
        Some(out) => (out.call, out.ret),
        None if !into.known => return Ok(None),
        None => (u64::MAX, u64::MAX),
    };
    if remove_ret < into.call {
        let core = vec![insert, remove];
        return Err(Fast::Contradiction { core, reason: Reason::ReadFromFuture });
    }
    Ok(Some(Stay {
        insert,
        insert_call: into.call,
        insert_ret: into.ret,
        remove,
        remove_call,
        remove_ret,
    }))
}

/// A union of open intervals of time. Two that only touch leave the touching instant free.
#[derive(Default)]
pub(super) struct Cover {
    /// End by start; disjoint.
    intervals: BTreeMap<u64, u64>,
}

impl Cover {
    pub(super) fn add(&mut self, (mut start, mut end): (u64, u64)) {
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

    /// Whether no instant of `from..=to` is free.
    pub(super) fn covers(&self, from: u64, to: u64) -> bool {
        let before = self.intervals.range(..from).next_back();
        before.is_some_and(|(_, &end)| end > to)
    }
}

/// Few of `stays` that together are certainly inside during all of `from..=to`.
pub(super) fn chain<'a>(
    stays: impl Iterator<Item = &'a Stay>,
    from: u64,
    to: u64,
) -> Vec<&'a Stay> {
    let mut inside: Vec<(u64, u64, &Stay)> = stays
        .filter_map(|stay| stay.certain().map(|(start, end)| (start, end, stay)))
        .filter(|(start, end, _)| *start < to.max(from) || *end > from)
        .collect();
    inside.sort_unstable_by_key(|(start, end, stay)| (*start, *end, stay.insert));
    let mut chain = Vec::new();
    let mut reached = from;
    let mut at = 0;
    loop {
        // Of those that begin before the instant to be covered, the one that lasts longest.
        let mut best: Option<(u64, &Stay)> = None;
        while let Some(&(start, end, stay)) = inside.get(at)
            && start < reached
        {
            if best.is_none_or(|(longest, _)| end > longest) {
                best = Some((end, stay));
            }
            at += 1;
        }
        let Some((end, stay)) = best.filter(|(end, _)| *end > reached) else { return chain };
        chain.push(stay);
        reached = end;
        if reached > to {
            return chain;
        }
    }
}

/// Removals that found nothing although something was certainly inside all the while.
///
/// Complete for queues (Henzinger, Sezgin and Vafeiadis 2013), and for stacks and priority queues
/// as well: at an instant that no certain stay covers, every value can be on one side of it.
pub(super) fn check_empty(part: &Part, all: &Stays) -> Result<(), Fast> {
    if all.empty.is_empty() {
        return Ok(());
    }
    let mut cover = Cover::default();
    for interval in all.stays.iter().filter_map(Stay::certain) {
        cover.add(interval);
    }
    for &operation in &all.empty {
        let span = part.spans[operation as usize];
        if cover.covers(span.call, span.ret) {
            let mut core = vec![operation];
            for stay in chain(all.stays.iter(), span.call, span.ret) {
                core.extend(stay.operations());
            }
            core.sort_unstable();
            return Err(Fast::Contradiction { core, reason: Reason::NotEmpty });
        }
    }
    Ok(())
}
