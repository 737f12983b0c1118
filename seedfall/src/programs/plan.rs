//! A fault plan in the words of the simulated Linux.

use crate::faults::Fault;
use crate::faults::classes::shutdown::EndSignal;
use crate::plan::{Entry, FaultPlan};
use seedfall_kernel::{self as kernel, Place};
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
            .map(|entry| Entry { aim: crate::plan::Aim::Named, retargets: false, ..entry })
            .collect(),
    }
}

/// What an entry does, and when; nothing, if it means nothing to programs.
pub(super) fn deeds(entry: &Entry) -> Vec<(Time, kernel::Fault)> {
    use kernel::Fault::{
        Begin, Crash, CrashAt, CrashEnd, CrashWaiting, End, Kill, Pause, PowerLoss, Restart,
        Resume, Signal, SlowBegin, SlowEnd, StallBegin, StallEnd, Wipe,
    };
    let place = |node: NodeId| Place(node.index());
    let begin = Time::ZERO + entry.at;
    let end = begin + entry.lasts;
    let once = |on, off| vec![(begin, on), (end, off)];
    match &entry.fault {
        Fault::Crash(fault) => {
            let node = place(fault.node);
            let Some(point) = fault.point else { return once(Crash(node), Restart(node)) };
            let half = begin + entry.lasts.scale(1, 2);
            let waits = (begin, CrashAt(node, point, fault.down));
            vec![waits, (half, CrashWaiting(node, point)), (end, CrashEnd(node, point))]
        }
        Fault::Storm(fault) => {
            let node = place(fault.node);
            again_and_again(begin, end, fault.half, &Crash(node), &Restart(node))
        }
        Fault::Stop(fault) => vec![(begin, Crash(place(fault.node)))],
        Fault::Shutdown(fault) => {
            let node = place(fault.node);
            let signal = match fault.signal {
                EndSignal::Terminate => kernel::Signal::Terminate,
                EndSignal::Interrupt => kernel::Signal::Interrupt,
            };
            let told = (begin, Signal(node, signal));
            vec![told, (end, Kill(node)), (end, Restart(node))]
        }
        Fault::Pause(fault) => once(Pause(place(fault.node)), Resume(place(fault.node))),
        Fault::PowerLoss(fault) => {
            let lost = PowerLoss(fault.nodes.iter().copied().map(place).collect());
            let back = fault.nodes.iter().map(|node| (end, Restart(place(*node))));
            std::iter::once((begin, lost)).chain(back).collect()
        }
        Fault::Slow(fault) => {
            let node = place(fault.node);
            once(SlowBegin(node, fault.each), SlowEnd(node, fault.each))
        }
        Fault::Stall(fault) => {
            let node = place(fault.node);
            once(StallBegin(node, fault.each), StallEnd(node, fault.each))
        }
        Fault::Wipe(fault) => once(Wipe(place(fault.node)), Restart(place(fault.node))),
        Fault::Clock(fault) => clock(entry, fault.node, fault.wrong.into()),
        Fault::Drift(fault) => clock(entry, fault.node, ClockFault::Drift { ppm: fault.ppm }),
        Fault::Timers(fault) => clock(entry, fault.node, fault.wrong.into()),
        Fault::DiskError(fault) => disk(place(fault.node), &fault.wrong, begin, entry.lasts),
        Fault::DiskDamage(fault) => disk(place(fault.node), &fault.wrong, begin, entry.lasts),
        Fault::DiskLie(fault) => disk(place(fault.node), &fault.wrong, begin, entry.lasts),
        other => match (other.disturbance(), other.half_period()) {
            (Some(wire), Some(half)) => {
                again_and_again(begin, end, half, &Begin(wire.clone()), &End(wire))
            }
            (Some(wire), None) => once(Begin(wire.clone()), End(wire)),
            (None, _) => Vec::new(),
        },
    }
}

/// A wrong clock, once or again and again.
fn clock(entry: &Entry, node: NodeId, wrong: ClockFault) -> Vec<(Time, kernel::Fault)> {
    let (begin, node) = (Time::ZERO + entry.at, Place(node.index()));
    let (on, off) = (kernel::Fault::ClockBegin(node, wrong), kernel::Fault::ClockEnd(node, wrong));
    match entry.fault.half_period() {
        Some(half) => again_and_again(begin, begin + entry.lasts, half, &on, &off),
        None => vec![(begin, on), (begin + entry.lasts, off)],
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
    use crate::faults::classes;

    #[test]
    fn what_comes_and_goes_is_gone_at_the_end() {
        let storm =
            Fault::Storm(classes::Storm { node: NodeId::new(1), half: Duration::millis(30) });
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
