//! What can be done to a world of programs, and the seam through which it is done.

use crate::kernel::{Kernel, NodeIndex};
use crate::node::Power;
use crate::trace::Happening;
use seedfall_net::{Disturbance, Tally};
use seedfall_sim::{ClockFault, StableHasher, Time};

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
    /// The program is killed (`kill -9`); its machine lives on: files keep everything, connections
    /// are ended, and new ones refused.
    Kill(Place),
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
    /// See [`Fault::Kill`].
    fn kill(&mut self, node: Place) -> bool;
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
    fn clock_begin(&mut self, node: Place, fault: ClockFault) -> bool;
    /// See [`Fault::ClockEnd`].
    fn clock_end(&mut self, node: Place, fault: ClockFault) -> bool;
    /// What the disturbances of the wire did so far.
    fn tally(&self) -> Tally;
    /// This is about to be done: for whoever tells what happens.
    fn announce(&mut self, fault: &Fault) {
        let _ = fault;
    }
}

/// Who strikes: a plan, or anything that looks at the world first.
pub trait Nemesis {
    /// Does what is due now, and says when to be asked again; `None`: never.
    fn strike(&mut self, target: &mut dyn Target) -> Option<Time>;
    /// How many effects each of its faults had, in its own order, as the run is over and the wire
    /// has this tally.
    fn effects(&self, tally: &Tally) -> Vec<u64>;
    /// What it had still to do it does otherwise: these faults, and nothing else, are to come.
    fn replan(&mut self, faults: &[(Time, Fault)]) {
        let _ = faults;
    }
}

/// Applies one fault: how many effects it had at once. Disturbances of the wire have theirs later,
/// and are counted by [`Target::tally`]; one that begins ends at `until`.
pub fn apply(target: &mut dyn Target, fault: &Fault, until: Time) -> u64 {
    target.announce(fault);
    let effect = match fault {
        Fault::Begin(disturbance) => {
            target.begin(disturbance, until);
            false
        }
        Fault::End(disturbance) => {
            target.end(disturbance, until);
            false
        }
        Fault::Crash(node) => target.crash(*node, false),
        Fault::PowerLoss(nodes) => {
            return nodes.iter().map(|node| u64::from(target.crash(*node, true))).sum();
        }
        Fault::Kill(node) => target.kill(*node),
        Fault::Restart(node) => target.restart(*node),
        Fault::Pause(node) => target.pause(*node),
        Fault::Resume(node) => target.resume(*node),
        Fault::ClockBegin(node, fault) => target.clock_begin(*node, *fault),
        Fault::ClockEnd(node, fault) => target.clock_end(*node, *fault),
    };
    u64::from(effect)
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
    }
}

/// Faults at instants.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// By time; of one instant, in the order in which they were planned.
    faults: Vec<(Time, usize, Fault)>,
    next: usize,
    effects: Vec<u64>,
    /// Disturbances in force: which fault began them, and what the tally of their kind was then.
    open: Vec<(usize, Disturbance, u64)>,
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

    /// When the disturbance ends that begins at this place of the plan; never, if nothing ends it.
    fn end_of(&self, place: usize, disturbance: &Disturbance) -> Time {
        let ends = |fault: &Fault| matches!(fault, Fault::End(other) if other == disturbance);
        let end = self.faults[place + 1..].iter().find(|(.., fault)| ends(fault));
        end.map_or(Time::MAX, |(at, ..)| *at)
    }
}

impl Nemesis for Plan {
    fn strike(&mut self, target: &mut dyn Target) -> Option<Time> {
        while let Some((at, index, fault)) = self.faults.get(self.next) {
            if *at > target.now() {
                return Some(*at);
            }
            let until = match fault {
                Fault::Begin(disturbance) => self.end_of(self.next, disturbance),
                _ => *at,
            };
            self.effects[*index] += apply(target, fault, until);
            let tally = target.tally();
            match fault {
                Fault::Begin(disturbance) => {
                    let before = counter(&tally, disturbance);
                    self.open.push((*index, disturbance.clone(), before));
                }
                Fault::End(disturbance) => {
                    let same = |(_, other, _): &(usize, Disturbance, u64)| other == disturbance;
                    if let Some(at) = self.open.iter().position(same) {
                        let (began, _, before) = self.open.remove(at);
                        self.effects[began] += counter(&tally, disturbance) - before;
                    }
                }
                _ => {}
            }
            self.next += 1;
        }
        None
    }

    fn replan(&mut self, faults: &[(Time, Fault)]) {
        *self = Self::new(faults);
    }

    fn effects(&self, tally: &Tally) -> Vec<u64> {
        let mut effects = self.effects.clone();
        for (index, disturbance, before) in &self.open {
            effects[*index] += counter(tally, disturbance) - before;
        }
        effects
    }
}

impl Kernel {
    /// The program of a node is over. `power` is what its machine is from now on.
    fn end_program(&mut self, node: NodeIndex, power: Power) {
        self.nodes[node].power = power;
        self.drop_threads(node);
        self.close_all(node);
    }

    /// A program ended by itself.
    pub(crate) fn exit(&mut self, node: NodeIndex, code: i32) {
        let text = |_: &Self| format!("with code {code}");
        self.record_text(Happening::Exit, node, node, code as u64, text);
        self.nodes[node].exit = Some(code);
        self.end_program(node, Power::Idle);
    }

    /// The running program's files.
    pub(crate) fn tree(&mut self) -> &mut crate::file::Tree {
        let here = self.here();
        &mut self.nodes[here].tree
    }
}

impl Target for Kernel {
    fn now(&self) -> Time {
        self.now
    }

    fn count(&self) -> usize {
        self.nodes.len()
    }

    fn is_up(&self, node: Place) -> bool {
        self.nodes[node.0].power == Power::Running
    }

    fn crash(&mut self, Place(node): Place, all: bool) -> bool {
        if self.nodes[node].power == Power::Off {
            return false;
        }
        self.end_program(node, Power::Off);
        let one = &mut self.nodes[node];
        one.crashes += 1;
        let crashes = one.crashes;
        let lost = one.tree.crash(&mut self.draws, Self::place(node), crashes, all);
        let text = |_: &Self| format!("{lost} changes of its files were not durable");
        self.record_text(Happening::Crash, node, node, lost as u64, text);
        true
    }

    fn kill(&mut self, Place(node): Place) -> bool {
        if self.nodes[node].power != Power::Running {
            return false;
        }
        self.end_program(node, Power::Idle);
        let text = |_: &Self| "its program is killed".to_owned();
        self.record_text(Happening::Crash, node, node, u64::MAX, text);
        true
    }

    fn restart(&mut self, Place(node): Place) -> bool {
        let one = &mut self.nodes[node];
        if one.power == Power::Running {
            return false;
        }
        if one.power == Power::Off {
            one.life += 1;
        }
        one.power = Power::Running;
        one.exit = None;
        one.made_threads = 0;
        self.starts.push_back(node);
        self.record(Happening::Start, node, node, 0);
        true
    }

    fn pause(&mut self, Place(node): Place) -> bool {
        self.nodes[node].pauses += 1;
        self.record(Happening::Pause, node, node, 1);
        self.nodes[node].power == Power::Running
    }

    fn resume(&mut self, Place(node): Place) -> bool {
        self.record(Happening::Resume, node, node, 2);
        let one = &mut self.nodes[node];
        let was = one.pauses;
        one.pauses = was.saturating_sub(1);
        self.make_ready(node);
        was > 0
    }

    fn begin(&mut self, disturbance: &Disturbance, until: Time) {
        self.record_text(Happening::Fault, 0, 0, StableHasher::hash(disturbance), |kernel| {
            kernel.striking.clone()
        });
        self.wire.begin(disturbance, until);
    }

    fn end(&mut self, disturbance: &Disturbance, until: Time) {
        self.record_text(Happening::Fault, 0, 1, StableHasher::hash(disturbance), |kernel| {
            kernel.striking.clone()
        });
        // It ends when it was said to, so what it held has arrived.
        let released = self.wire.end(disturbance, until, self.now);
        assert!(released.is_empty() || until > self.now, "held beyond its end: {released:?}");
        if matches!(disturbance, Disturbance::Partition(_) | Disturbance::Flap { .. }) {
            self.retry_all();
        }
    }

    fn clock_begin(&mut self, Place(node): Place, fault: ClockFault) -> bool {
        self.record_text(Happening::Fault, node, node, StableHasher::hash(&fault), |kernel| {
            kernel.striking.clone()
        });
        self.nodes[node].clocks.begin(self.now, fault);
        true
    }

    fn clock_end(&mut self, Place(node): Place, fault: ClockFault) -> bool {
        self.record_text(Happening::Fault, node, node, StableHasher::hash(&fault), |kernel| {
            kernel.striking.clone()
        });
        self.nodes[node].clocks.end(self.now, fault)
    }

    fn tally(&self) -> Tally {
        *self.wire.tally()
    }

    fn announce(&mut self, fault: &Fault) {
        if self.trace.is_full() {
            self.striking = fault.to_string();
        }
    }
}
