//! A fault plan in the words of the simulated Linux.

use crate::fault::Fault;
use crate::plan::{Entry, FaultPlan};
use seedfall_kernel::{self as kernel, Place};
use seedfall_net::Disturbance;
use seedfall_sim::{ClockFault, Duration, Time};

/// What of a plan means something to programs. What lies inside a handler, a journal or a message
/// does not: a program has none that could be seen.
pub(super) fn meaningful(plan: FaultPlan) -> FaultPlan {
    let entries = plan.entries.into_iter().filter(|entry| !deeds(entry).is_empty());
    // Nobody looks on for work, and nobody leads, for all that can be seen.
    FaultPlan {
        entries: entries
            .map(|entry| Entry { aim: crate::plan::Aim::Named, retargets: false, ..entry })
            .collect(),
    }
}

/// What an entry does, and when; nothing, if it means nothing to programs.
pub(super) fn deeds(entry: &Entry) -> Vec<(Time, kernel::Fault)> {
    use kernel::Fault::{
        Begin, ClockBegin, ClockEnd, Crash, End, Pause, PowerLoss, Restart, Resume,
    };
    let place = |node: seedfall_sim::NodeId| Place(node.index());
    let begin = Time::ZERO + entry.at;
    let end = begin + entry.lasts;
    let once = |on, off| vec![(begin, on), (end, off)];
    match &entry.fault {
        Fault::Wire(flap @ Disturbance::Flap { half, .. }) => {
            again_and_again(begin, end, *half, &Begin(flap.clone()), &End(flap.clone()))
        }
        Fault::Wire(disturbance) => once(Begin(disturbance.clone()), End(disturbance.clone())),
        Fault::Crash { node, .. } => once(Crash(place(*node)), Restart(place(*node))),
        Fault::Storm { node, half } => {
            let node = place(*node);
            again_and_again(begin, end, *half, &Crash(node), &Restart(node))
        }
        Fault::Stop { node } => vec![(begin, Crash(place(*node)))],
        Fault::Pause { node } => once(Pause(place(*node)), Resume(place(*node))),
        Fault::PowerLoss { nodes } => {
            let lost = PowerLoss(nodes.iter().copied().map(place).collect());
            let back = nodes.iter().map(|node| (end, Restart(place(*node))));
            std::iter::once((begin, lost)).chain(back).collect()
        }
        Fault::Clock { node, wrong } => {
            once(ClockBegin(place(*node), *wrong), ClockEnd(place(*node), *wrong))
        }
        Fault::Strobe { node, nanos, half } => {
            let (node, step) = (place(*node), ClockFault::Step { nanos: *nanos });
            again_and_again(begin, end, *half, &ClockBegin(node, step), &ClockEnd(node, step))
        }
        Fault::Slow { .. }
        | Fault::Stall { .. }
        | Fault::Wipe { .. }
        | Fault::Disk { .. }
        | Fault::Lie { .. }
        | Fault::Twins { .. } => Vec::new(),
    }
}

/// On for half of a period, off for the other half, and off at the end.
fn again_and_again(
    begin: Time,
    end: Time,
    half: Duration,
    on: &kernel::Fault,
    off: &kernel::Fault,
) -> Vec<(Time, kernel::Fault)> {
    let half = half.max(Duration::millis(1));
    let mut deeds = Vec::new();
    let mut at = begin;
    while at < end {
        deeds.push((at, on.clone()));
        let over = (at + half).min(end);
        deeds.push((over, off.clone()));
        at = over + half;
    }
    deeds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Aim;
    use seedfall_sim::NodeId;

    #[test]
    fn what_comes_and_goes_is_gone_at_the_end() {
        let storm = Fault::Storm { node: NodeId::new(1), half: Duration::millis(30) };
        let (at, lasts) = (Duration::millis(10), Duration::millis(100));
        let entry = Entry { at, lasts, fault: storm, aim: Aim::Named, retargets: false };
        let deeds = deeds(&entry);
        assert_eq!(deeds.len(), 4, "{deeds:?}");
        let last = deeds.last().expect("four");
        assert_eq!(
            *last,
            (Time::ZERO + at + Duration::millis(90), kernel::Fault::Restart(Place(1)))
        );
    }
}
