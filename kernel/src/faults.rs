//! What can be done to a world of programs, and the seam through which it is done.

mod target;

use crate::signal::Signal;
use seedfall_net::{Disturbance, Tally};
use seedfall_sim::{ClockFault, CrashPoint, DiskFault, Duration, Time};

/// A node of the world: servers first, then clients, each in the order in which they were named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub usize);

/// One thing that is done to the world at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Something is wrong with the wire from now on.
    Begin(Disturbance),
    /// It is not any more.
    End(Disturbance),
    /// A machine stops at once: no thread of its program runs again and nobody is told. What was
    /// not synced is kept or lost page by page, by draws.
    Crash(Place),
    /// Several machines stop at one instant, and lose all that was not synced.
    PowerLoss(Vec<Place>),
    /// A machine is to crash at a point of its program, each time that the program comes there, and
    /// is started anew after so long. Of the effects that a point can name, `Sync` is a call of
    /// `fsync` and its kin, `Append` a write to a file, `Send` and `Respond` what is sent by a
    /// socket; `Unsynced` is a thread that begins to wait while something is not synced; `Change`
    /// is the so-manieth write to a file, change of a length, sync, or change of a name from now
    /// on, and the machine crashes there once.
    CrashAt(Place, CrashPoint, Duration),
    /// A machine that is to crash at this point and has not come there yet crashes now.
    CrashWaiting(Place, CrashPoint),
    /// No crash is waited for at this point any more, and the machine is started if it is off.
    CrashEnd(Place, CrashPoint),
    /// A machine loses its disk, and stops; it has at its next start what it had at its first.
    Wipe(Place),
    /// Whenever a thread of the program was woken, its node is busy for so long from then on, and
    /// no other goes on meanwhile: a slow processor.
    SlowBegin(Place, Duration),
    /// It is not slow any more.
    SlowEnd(Place, Duration),
    /// Every sync of a file keeps the thread that asks for it waiting for so long, and is done
    /// then: a slow disk.
    StallBegin(Place, Duration),
    /// It is not slow any more.
    StallEnd(Place, Duration),
    /// Something is wrong with the disk of a node from now on.
    DiskBegin(Place, DiskFault),
    /// It is not any more; what was lost stays lost.
    DiskEnd(Place, DiskFault),
    /// The program is killed (`kill -9`); its machine lives on: files keep everything, connections
    /// are ended, and new ones refused.
    Kill(Place),
    /// The program is sent a signal, as by an operator who stops it: what it has asked for is done,
    /// its handler runs or it takes no notice; without having asked for anything, it is ended. One
    /// that ends with code 0 thereafter, or with 128 and the number of the signal, is not to blame.
    Signal(Place, Signal),
    /// A machine that is off, or whose program ended, starts it anew: `main` from the beginning,
    /// with what the disk kept.
    Restart(Place),
    /// No thread of the program runs (`SIGSTOP`), while its machine goes on receiving.
    Pause(Place),
    /// It runs again.
    Resume(Place),
    /// Something is wrong with a node's clocks from now on.
    ClockBegin(Place, ClockFault),
    /// It is not any more.
    ClockEnd(Place, ClockFault),
}

impl Fault {
    /// Whether it does harm, rather than end what does.
    pub fn strikes(&self) -> bool {
        !matches!(
            self,
            Self::End(_)
                | Self::Restart(_)
                | Self::Resume(_)
                | Self::CrashEnd(..)
                | Self::SlowEnd(..)
                | Self::StallEnd(..)
                | Self::DiskEnd(..)
                | Self::ClockEnd(..)
        )
    }

    /// Whether it lasts, so that its effects come later, until the other one ends it.
    fn is_ended_by(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Begin(one), Self::End(other)) => one == other,
            (Self::CrashAt(one, point, _), Self::CrashEnd(other, same)) => {
                (one, point) == (other, same)
            }
            (Self::SlowBegin(one, each), Self::SlowEnd(other, same))
            | (Self::StallBegin(one, each), Self::StallEnd(other, same)) => {
                (one, each) == (other, same)
            }
            (Self::DiskBegin(one, wrong), Self::DiskEnd(other, same)) => {
                (one, wrong) == (other, same)
            }
            (Self::ClockBegin(one, wrong), Self::ClockEnd(other, same)) => {
                (one, wrong) == (other, same)
            }
            _ => false,
        }
    }
}

/// What faults act on. Each method says whether it had an effect: a crash of a machine that is off
/// has none.
pub trait Target {
    /// The virtual time.
    fn now(&self) -> Time;
    /// How many nodes there are, clients included.
    fn count(&self) -> usize;
    /// Whether the program of a node runs.
    fn is_up(&self, node: Place) -> bool;
    /// See [`Fault::Crash`]; `all`: everything that was not synced is lost, without a draw.
    fn crash(&mut self, node: Place, all: bool) -> bool;
    /// See [`Fault::CrashAt`].
    fn crash_at(&mut self, node: Place, point: CrashPoint, down: Duration);
    /// See [`Fault::CrashWaiting`].
    fn crash_waiting(&mut self, node: Place, point: CrashPoint) -> bool;
    /// See [`Fault::CrashEnd`].
    fn crash_end(&mut self, node: Place, point: CrashPoint) -> bool;
    /// See [`Fault::Wipe`].
    fn wipe(&mut self, node: Place) -> bool;
    /// See [`Fault::SlowBegin`] and [`Fault::SlowEnd`]: by how much slower than before, or less
    /// slow.
    fn slow(&mut self, node: Place, each: Duration, begins: bool);
    /// See [`Fault::StallBegin`] and [`Fault::StallEnd`].
    fn stall(&mut self, node: Place, each: Duration, begins: bool);
    /// See [`Fault::DiskBegin`].
    fn disk_begin(&mut self, node: Place, fault: &DiskFault);
    /// See [`Fault::DiskEnd`].
    fn disk_end(&mut self, node: Place, fault: &DiskFault);
    /// See [`Fault::Kill`].
    fn kill(&mut self, node: Place) -> bool;
    /// See [`Fault::Signal`].
    fn signal(&mut self, node: Place, signal: Signal) -> bool;
    /// See [`Fault::Restart`].
    fn restart(&mut self, node: Place) -> bool;
    /// See [`Fault::Pause`].
    fn pause(&mut self, node: Place) -> bool;
    /// See [`Fault::Resume`].
    fn resume(&mut self, node: Place) -> bool;
    /// See [`Fault::Begin`]; it ends at `until`.
    fn begin(&mut self, disturbance: &Disturbance, until: Time);
    /// See [`Fault::End`]: what was begun with the same `until`.
    fn end(&mut self, disturbance: &Disturbance, until: Time);
    /// See [`Fault::ClockBegin`].
    fn clock_begin(&mut self, node: Place, fault: ClockFault);
    /// See [`Fault::ClockEnd`].
    fn clock_end(&mut self, node: Place, fault: ClockFault) -> bool;
    /// How often faults of the kind of this one, one that lasts, have had an effect so far, on its
    /// node if it strikes one: segments and datagrams that the wire treated otherwise; wakes that a
    /// slow node let wait; syncs that waited; what the disk did wrong; readings of a clock that was
    /// wrong and timers that were set by one; crashes at a point.
    fn felt(&self, fault: &Fault) -> u64;
    /// This is about to be done: for whoever tells what happens.
    fn announce(&mut self, fault: &Fault) {
        let _ = fault;
    }
}

/// Who strikes: a plan, or anything that looks at the world first.
pub trait Nemesis {
    /// Does what is due now, and says when to be asked again; `None`: never.
    fn strike(&mut self, target: &mut dyn Target) -> Option<Time>;
    /// Whether it strikes before any program has begun, rather than as soon as all wait: where it
    /// counts from the first thing that a program does.
    fn comes_first(&self) -> bool {
        false
    }
    /// How many effects each of its faults had, in its own order, as the run is over.
    fn effects(&self, target: &dyn Target) -> Vec<u64>;
    /// What it had still to do it does otherwise: these faults, and nothing else, are to come.
    fn replan(&mut self, faults: &[(Time, Fault)]) {
        let _ = faults;
    }
}

/// Applies one fault: how many effects it had at once. Those that last have theirs later, and are
/// counted by [`Target::felt`]; a disturbance that begins ends at `until`.
pub fn apply(target: &mut dyn Target, fault: &Fault, until: Time) -> u64 {
    target.announce(fault);
    let effect = match fault {
        Fault::Crash(node) => target.crash(*node, false),
        Fault::PowerLoss(nodes) => {
            return nodes.iter().map(|node| u64::from(target.crash(*node, true))).sum();
        }
        Fault::CrashWaiting(node, point) => target.crash_waiting(*node, *point),
        Fault::CrashEnd(node, point) => target.crash_end(*node, *point),
        Fault::Wipe(node) => target.wipe(*node),
        Fault::Kill(node) => target.kill(*node),
        Fault::Signal(node, signal) => target.signal(*node, *signal),
        Fault::Restart(node) => target.restart(*node),
        Fault::Pause(node) => target.pause(*node),
        Fault::Resume(node) => target.resume(*node),
        Fault::ClockEnd(node, fault) => target.clock_end(*node, *fault),
        lasting => {
            last(target, lasting, until);
            false
        }
    };
    u64::from(effect)
}

/// Applies a fault that has no effect at once.
fn last(target: &mut dyn Target, fault: &Fault, until: Time) {
    match fault {
        Fault::Begin(disturbance) => target.begin(disturbance, until),
        Fault::End(disturbance) => target.end(disturbance, until),
        Fault::CrashAt(node, point, down) => target.crash_at(*node, *point, *down),
        Fault::SlowBegin(node, each) => target.slow(*node, *each, true),
        Fault::SlowEnd(node, each) => target.slow(*node, *each, false),
        Fault::StallBegin(node, each) => target.stall(*node, *each, true),
        Fault::StallEnd(node, each) => target.stall(*node, *each, false),
        Fault::DiskBegin(node, wrong) => target.disk_begin(*node, wrong),
        Fault::DiskEnd(node, wrong) => target.disk_end(*node, wrong),
        Fault::ClockBegin(node, wrong) => target.clock_begin(*node, *wrong),
        other => unreachable!("{other:?} has its effect at once"),
    }
}

/// What the disturbances of one kind did so far.
fn counter(tally: &Tally, disturbance: &Disturbance) -> u64 {
    match disturbance {
        Disturbance::Loss { .. } => tally.lost,
        Disturbance::Duplicate { .. } => tally.duplicated,
        Disturbance::Reorder { .. } => tally.reordered,
        Disturbance::Clog { .. } => tally.clogged,
        Disturbance::Swizzle { .. } => tally.swizzled,
        Disturbance::Partition(_) => tally.cut,
        Disturbance::Burst { .. } => tally.burst,
        Disturbance::Latency { .. } => tally.lagged,
        Disturbance::Throttle { .. } => tally.throttled,
        Disturbance::Corrupt { .. } => tally.corrupted,
        Disturbance::Flap { .. } => tally.flapped,
        Disturbance::Stretch { .. } => tally.stretched,
    }
}

/// Faults at instants.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// By time; of one instant, in the order in which they were planned.
    faults: Vec<(Time, usize, Fault)>,
    next: usize,
    effects: Vec<u64>,
    /// Faults in force: which of the plan, and how often those of their kind had had an effect
    /// before.
    open: Vec<(usize, Fault, u64)>,
}

impl Plan {
    /// A plan of these faults, in any order.
    pub(crate) fn new(faults: &[(Time, Fault)]) -> Self {
        let mut sorted: Vec<(Time, usize, Fault)> = faults
            .iter()
            .enumerate()
            .map(|(index, (at, fault))| (*at, index, fault.clone()))
            .collect();
        sorted.sort_by_key(|(at, index, _)| (*at, *index));
        Self { effects: vec![0; faults.len()], faults: sorted, next: 0, open: Vec::new() }
    }

    /// When the fault ends that begins at this place of the plan; never, if nothing ends it.
    fn end_of(&self, place: usize, fault: &Fault) -> Time {
        let end = self.faults[place + 1..].iter().find(|(.., other)| fault.is_ended_by(other));
        end.map_or(Time::MAX, |(at, ..)| *at)
    }
}

impl Nemesis for Plan {
    fn strike(&mut self, target: &mut dyn Target) -> Option<Time> {
        while let Some((at, index, fault)) = self.faults.get(self.next) {
            if *at > target.now() {
                return Some(*at);
            }
            let until = self.end_of(self.next, fault);
            let before = target.felt(fault);
            self.effects[*index] += apply(target, fault, until);
            if let Some(at) = self.open.iter().position(|(_, open, _)| open.is_ended_by(fault)) {
                let (began, open, before) = self.open.remove(at);
                self.effects[began] += target.felt(&open) - before;
            }
            if fault.strikes() {
                self.open.push((*index, fault.clone(), before));
            }
            self.next += 1;
        }
        None
    }

    fn comes_first(&self) -> bool {
        let counts = |fault: &Fault| matches!(fault, Fault::CrashAt(_, CrashPoint::Change(_), _));
        self.faults.iter().any(|(at, _, fault)| *at == Time::ZERO && counts(fault))
    }

    fn replan(&mut self, faults: &[(Time, Fault)]) {
        *self = Self::new(faults);
    }

    fn effects(&self, target: &dyn Target) -> Vec<u64> {
        let mut effects = self.effects.clone();
        for (index, fault, before) in &self.open {
            effects[*index] += target.felt(fault) - before;
        }
        effects
    }
}
