//! A fault plan in the words of the simulated Linux.

use crate::fault::Fault;
use crate::plan::{Entry, FaultPlan};
use seedfall_kernel::{self as kernel, Place};
use seedfall_net::Disturbance;
use seedfall_sim::{ClockFault, DiskFault, Duration, NodeId, Time};

/// What of a plan means something to programs. Two classes do not: to lie, and to run as twins. A
/// program's messages are bytes that nobody but it can read, so that a lie would be a flipped bit,
/// which TCP and UDP take for a loss; and two machines of one address are no fault that a network
/// of IP knows.
pub(super) fn meaningful(plan: FaultPlan) -> FaultPlan {
    let entries = plan.entries.into_iter().filter(|entry| !deeds(entry).is_empty());
    // Nobody looks on for work, and nobody leads, for all that can be seen.
    FaultPlan {
        entries: entries
            .map(|entry| Entry { aim: crate::plan::Aim::Named, insists: false, ..entry })
            .collect(),
    }
}

/// What an entry does, and when; nothing, if it means nothing to programs.
pub(super) fn deeds(entry: &Entry) -> Vec<(Time, kernel::Fault)> {
    use kernel::Fault::{
        Begin, ClockBegin, ClockEnd, Crash, CrashAt, CrashEnd, CrashWaiting, End, Pause, PowerLoss,
        Restart, Resume, SlowBegin, SlowEnd, StallBegin, StallEnd, Wipe,
    };
    let place = |node: NodeId| Place(node.index());
    let begin = Time::ZERO + entry.at;
    let end = begin + entry.lasts;
    let once = |on, off| vec![(begin, on), (end, off)];
    match &entry.fault {
        Fault::Wire(flap @ Disturbance::Flap { half, .. }) => {
            again_and_again(begin, end, *half, &Begin(flap.clone()), &End(flap.clone()))
        }
        Fault::Wire(disturbance) => once(Begin(disturbance.clone()), End(disturbance.clone())),
        Fault::Crash { node, point: None, .. } => once(Crash(place(*node)), Restart(place(*node))),
        Fault::Crash { node, point: Some(point), down } => {
            let node = place(*node);
            let half = begin + entry.lasts.scale(1, 2);
            vec![
                (begin, CrashAt(node, *point, *down)),
                (half, CrashWaiting(node)),
                (end, CrashEnd(node)),
            ]
        }
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
        Fault::Slow { node, each } => {
            once(SlowBegin(place(*node), *each), SlowEnd(place(*node), *each))
        }
        Fault::Stall { node, each } => {
            once(StallBegin(place(*node), *each), StallEnd(place(*node), *each))
        }
        Fault::Wipe { node } => once(Wipe(place(*node)), Restart(place(*node))),
        Fault::Clock { node, wrong } => {
            once(ClockBegin(place(*node), *wrong), ClockEnd(place(*node), *wrong))
        }
        Fault::Strobe { node, nanos, half } => {
            let (node, step) = (place(*node), ClockFault::Step { nanos: *nanos });
            again_and_again(begin, end, *half, &ClockBegin(node, step), &ClockEnd(node, step))
        }
        Fault::Disk { node, wrong } => disk(place(*node), wrong, begin, entry.lasts),
        Fault::Lie { .. } | Fault::Twins { .. } => Vec::new(),
    }
}

/// A fault of a disk. Halfway the machine crashes, so that its program must read back what it
/// wrote; it starts anew while the fault is still there, and if it ended then, once more when it is
/// not.
fn disk(
    node: Place,
    wrong: &DiskFault,
    begin: Time,
    lasts: Duration,
) -> Vec<(Time, kernel::Fault)> {
    use kernel::Fault::{Crash, DiskBegin, DiskEnd, Restart};
    let after = |eighths| begin + lasts.scale(eighths, 8);
    vec![
        (begin, DiskBegin(node, wrong.clone())),
        (after(4), Crash(node)),
        (after(5), Restart(node)),
        (after(8), DiskEnd(node, wrong.clone())),
        (after(8), Restart(node)),
    ]
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

    #[test]
    fn what_comes_and_goes_is_gone_at_the_end() {
        let storm = Fault::Storm { node: NodeId::new(1), half: Duration::millis(30) };
        let (at, lasts) = (Duration::millis(10), Duration::millis(100));
        let entry = Entry { at, lasts, fault: storm, aim: Aim::Named, insists: false };
        let deeds = deeds(&entry);
        assert_eq!(deeds.len(), 4, "{deeds:?}");
        let last = deeds.last().expect("four");
        assert_eq!(
            *last,
            (Time::ZERO + at + Duration::millis(90), kernel::Fault::Restart(Place(1)))
        );
    }
}
