//! Cores of queues, stacks and priority queues: contradictions that a few stamps show.

use super::Fact;
use crate::models::abstraction::ContainerStep;
use crate::verdict::Reason;

type Facts = [Fact<ContainerStep>];

/// A value of the core: its insertion, and its removal if it was ever removed.
#[derive(Clone, Copy)]
struct Value<'a> {
    number: u32,
    into: &'a Fact<ContainerStep>,
    out: Option<&'a Fact<ContainerStep>>,
}

impl Value<'_> {
    /// When its removal was called and when it responded.
    fn leaves(&self) -> (u64, u64) {
        self.out.map_or((u64::MAX, u64::MAX), |out| (out.call, out.ret))
    }

    /// The open time in which it was certainly inside.
    fn certain(&self) -> Option<(u64, u64)> {
        let (into, out) = (self.into.ret, self.leaves().0);
        (into < out).then_some((into, out))
    }
}

fn values(core: &Facts) -> Vec<Value<'_>> {
    let value = |into: &'_ Fact<ContainerStep>| match into.step {
        ContainerStep::Insert(number) => Some(number),
        _ => None,
    };
    core.iter()
        .filter_map(|into| {
            let number = value(into)?;
            let out = core.iter().find(|fact| fact.step == ContainerStep::Remove(number));
            Some(Value { number, into, out })
        })
        .collect()
}

/// Whether a core contradicts itself as `reason` says; `None` where removals whose answer never
/// came could have taken anything. Every value of the argument must have been inserted once in the
/// whole part, `all`, and its removal be in the core.
pub(super) fn container_core(
    core: &Facts,
    all: &[ContainerStep],
    reason: Reason,
    wrong_order: fn(&Facts) -> bool,
) -> Option<bool> {
    if all.contains(&ContainerStep::RemoveUnseen) {
        return None;
    }
    let count = |step: ContainerStep| all.iter().filter(|other| **other == step).count();
    let taken = core.iter().filter_map(|fact| match fact.step {
        ContainerStep::Remove(number) => Some((number, fact)),
        _ => None,
    });
    let once = |number: u32| count(ContainerStep::Insert(number)) == 1;
    let whole = values(core).iter().all(|value| {
        let removed = count(ContainerStep::Remove(value.number));
        once(value.number) && removed == usize::from(value.out.is_some())
    });
    Some(match reason {
        Reason::WrongElement => core.iter().any(|fact| fact.step == ContainerStep::Impossible),
        Reason::NeverWritten => {
            taken.clone().any(|(number, _)| count(ContainerStep::Insert(number)) == 0)
        }
        Reason::TakenTwice => {
            let numbers: Vec<u32> = taken.map(|(number, _)| number).collect();
            let twice = |at: usize| numbers[at + 1..].contains(&numbers[at]);
            (0..numbers.len()).any(|at| twice(at) && count(ContainerStep::Insert(numbers[at])) < 2)
        }
        Reason::ReadFromFuture => values(core)
            .iter()
            .any(|value| once(value.number) && value.leaves().1 < value.into.call),
        Reason::NotEmpty => {
            let inside: Vec<_> = values(core).iter().filter_map(Value::certain).collect();
            whole
                && core.iter().any(|fact| {
                    fact.step == ContainerStep::Empty && covers(&inside, fact.call, fact.ret)
                })
        }
        Reason::WrongOrder => whole && wrong_order(core),
        _ => false,
    })
}

/// Whether every instant of `from..=to` lies inside one of these open times.
fn covers(times: &[(u64, u64)], from: u64, to: u64) -> bool {
    let mut free = from;
    // Each round leaves the end of a time behind, so there are no more rounds than times.
    while let Some((_, end)) = times.iter().find(|(start, end)| *start < free && free < *end) {
        if *end > to {
            return true;
        }
        free = *end;
    }
    false
}

/// Whether two values of a queue left in the other order than they came.
pub(super) fn left_in_other_order(core: &Facts) -> bool {
    let values = values(core);
    values.iter().any(|first| {
        values
            .iter()
            .any(|second| first.into.ret < second.into.call && second.leaves().1 < first.leaves().0)
    })
}

/// Whether values of a stack, some of which was inside at any instant, lack one that can have come
/// first and left last: the first to come lies at the bottom until the stack is empty.
pub(super) fn cannot_nest(core: &Facts) -> bool {
    let values = values(core);
    let certain: Option<Vec<(u64, u64)>> = values.iter().map(Value::certain).collect();
    let Some(certain) = certain else { return false };
    let (Some(start), Some(end)) =
        (certain.iter().map(|time| time.0).min(), certain.iter().map(|time| time.1).max())
    else {
        return false;
    };
    let bottom = |value: &Value<'_>| value.into.call <= start && value.leaves().1 >= end;
    let instants = certain.iter().map(|time| time.1).filter(|instant| *instant < end);
    let empty = |instant: u64| !covers(&certain, instant, instant);
    // Ends are open: the stack can be empty at the end of a time that no other covers, and nowhere
    // else.
    !instants.clone().any(empty) && !values.iter().any(bottom)
}

/// Whether a value left a priority queue although a greater one was inside all the while.
pub(super) fn passed_over(core: &Facts) -> bool {
    let values = values(core);
    values.iter().filter(|value| value.out.is_some()).any(|value| {
        let greater = values.iter().filter(|other| other.number > value.number);
        let inside: Vec<_> = greater.filter_map(Value::certain).collect();
        let (call, ret) = value.leaves();
        covers(&inside, call.max(value.into.call), ret)
    })
}
