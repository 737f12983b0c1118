//! What queues, stacks and priority queues have in common: values that go in once and come out
//! once.

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
    /// In call order.
    pub(super) empty: Vec<u32>,
    /// Where the stay of each value number is, [`NONE`] if it was left out.
    places: Vec<u32>,
}

impl Stays {
    fn stay_of(&self, value: u32) -> Option<u32> {
        self.places.get(value as usize).copied().filter(|place| *place != NONE)
    }

    /// Places of all stays by the calls of their insertions: steps are in call order.
    pub(super) fn by_insert_call(&self, steps: &[ContainerStep]) -> impl Iterator<Item = u32> {
        steps.iter().filter_map(|step| match step {
            ContainerStep::Insert(value) => self.stay_of(*value),
            _ => None,
        })
    }

    /// Places of all stays by the calls of their removals, those without one last.
    pub(super) fn by_remove_call(&self, steps: &[ContainerStep]) -> impl Iterator<Item = u32> {
        let removed = steps.iter().filter_map(|step| match step {
            ContainerStep::Remove(value) => self.stay_of(*value),
            _ => None,
        });
        let stays = 0..self.stays.len() as u32;
        removed.chain(stays.filter(|at| self.stays[*at as usize].remove == NONE))
    }

    /// The open times at which something was certainly inside, disjoint and in order.
    fn cover(&self, steps: &[ContainerStep]) -> Vec<(u64, u64)> {
        let mut cover: Vec<(u64, u64)> = Vec::new();
        // Ends only grow: each swallows what came before from its own start on. Two that only touch
        // leave the touching instant free.
        for at in self.by_remove_call(steps) {
            let Some((mut start, end)) = self.stays[at as usize].certain() else { continue };
            while let Some((before, _)) = cover.pop_if(|(_, until)| *until > start) {
                start = start.min(before);
            }
            cover.push((start, end));
        }
        cover
    }
}

/// Gathers a part.
///
/// Indeterminate insertions, exactly: one whose value was never removed is left out (it may never
/// have happened, and nothing depends on it); one whose value was removed took effect, with a
/// response at the end of time. Indeterminate removals are not covered, nor values inserted twice.
///
/// Errors are answers: [`Fast::NotApplicable`], or what a single value contradicts.
pub(super) fn gather(part: &Part<'_>, steps: &[ContainerStep]) -> Result<Stays, Fast> {
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
    let mut places = insert;
    for (place, remove) in places.iter_mut().zip(remove) {
        match stay(part, *place, remove)? {
            Some(stay) => {
                *place = stays.len() as u32;
                stays.push(stay);
            }
            None => *place = NONE,
        }
    }
    Ok(Stays { stays, empty, places })
}

fn stay(part: &Part<'_>, insert: u32, remove: u32) -> Result<Option<Stay>, Fast> {
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
        let core = vec![insert.min(remove), insert.max(remove)];
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

/// For every removal that found nothing, the earliest instant of it at which nothing was certainly
/// inside, with the operation; in order of time.
///
/// That there is one is all that such a removal asks, in queues (Henzinger, Sezgin and Vafeiadis
/// 2013) as in stacks and priority queues: at an instant that no certain stay covers, every value
/// can be on one side of it.
///
/// Errors are answers: one that has none.
pub(super) fn empty_instants(
    part: &Part<'_>,
    steps: &[ContainerStep],
    all: &Stays,
) -> Result<Vec<(u64, u32)>, Fast> {
    let mut instants = Vec::with_capacity(all.empty.len());
    if all.empty.is_empty() {
        return Ok(instants);
    }
    let cover = all.cover(steps);
    let mut at = 0;
    for &operation in &all.empty {
        let span = part.spans[operation as usize];
        // Removals are in call order, so one sweep serves all.
        while cover.get(at).is_some_and(|(_, end)| *end <= span.call) {
            at += 1;
        }
        let inside = cover.get(at).filter(|(start, _)| *start < span.call);
        let instant = inside.map_or(span.call, |(_, end)| *end);
        if instant > span.ret {
            let mut core = vec![operation];
            for stay in chain(all.stays.iter(), span.call, span.ret) {
                core.extend(stay.operations());
            }
            core.sort_unstable();
            return Err(Fast::Contradiction { core, reason: Reason::NotEmpty });
        }
        instants.push((instant, operation));
    }
    Ok(instants)
}

/// A time and a number in one word: that sorts faster than a pair.
pub(super) fn word(time: u64, number: u32) -> u128 {
    u128::from(time) << 32 | u128::from(number)
}

/// The time and the number.
pub(super) fn parts(word: u128) -> (u64, u32) {
    ((word >> 32) as u64, word as u32)
}

/// Words in order of time, equal times by number.
pub(super) fn by_time(keyed: impl Iterator<Item = (u64, u32)>) -> Vec<u128> {
    let mut words: Vec<u128> = keyed.map(|(time, number)| word(time, number)).collect();
    words.sort_unstable();
    words
}
