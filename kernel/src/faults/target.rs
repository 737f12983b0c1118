//! What faults do to the simulated kernel.

use super::{Fault, Place, Target, counter};
use crate::kernel::{Errno, Event, Kernel, NodeIndex};
use crate::machine;
use crate::node::{Ambush, Power};
use crate::signal::Signal;
use crate::trace::Happening;
use seedfall_net::Disturbance;
use seedfall_sim::{
    ClockFault, CrashPoint, DiskFault, Duration, EffectKind, Site, StableHasher, Time,
};
use std::collections::BTreeSet;

impl Kernel {
    /// The program of a node is over. `power` is what its machine is from now on.
    pub(crate) fn end_program(&mut self, node: NodeIndex, power: Power) {
        self.nodes[node].power = power;
        // It may have been about to start, at this very instant.
        self.starts.retain(|starting| *starting != node);
        let shared = machine::is_run() && !machine::has_divided_statics();
        if node < self.servers && shared {
            self.nodes[node].left = Some((machine::Statics::look(), BTreeSet::new()));
        }
        self.end_mappings(node);
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

    /// A fault begins or ends: in the words in which it was announced.
    fn record_fault(&mut self, node: NodeIndex, peer: NodeIndex, what: u64) {
        let text = |kernel: &Self| kernel.striking.clone();
        self.record_text(Happening::Fault, node, peer, what, text);
    }

    /// The running program's files.
    pub(crate) fn tree(&mut self) -> &mut crate::file::Tree {
        let here = self.here();
        &mut self.nodes[here].tree
    }

    /// Whether the program of a node may end, or panic, without blame: its disk has failed it since
    /// it was started, or has been damaged before.
    pub(crate) fn is_excused(&self, node: NodeIndex) -> bool {
        let one = &self.nodes[node];
        one.tree.harm() > one.harm_before || one.tree.is_damaged()
    }

    /// The running program has come to a point: whether its machine crashes here, and the call that
    /// it is in does not come to its end.
    #[inline]
    pub(crate) fn reach(&mut self, point: CrashPoint) -> Result<(), Errno> {
        let here = self.here();
        match self.nodes[here].ambushes.iter().position(|ambush| ambush.is_at(point)) {
            Some(which) => self.spring(here, which),
            None => Ok(()),
        }
    }

    /// The running program is about to change its files: a write, a sync, a change of a length or
    /// of a name. Each has its number.
    #[inline]
    pub(crate) fn reach_change(&mut self) -> Result<(), Errno> {
        let here = self.here();
        let node = &mut self.nodes[here];
        node.changes += 1;
        let is_here = |ambush: &Ambush| !ambush.is_over && ambush.change == node.changes;
        match node.ambushes.iter().position(is_here) {
            Some(which) => self.spring(here, which),
            None => Ok(()),
        }
    }

    /// A thread of the running program begins to wait.
    #[inline]
    pub(crate) fn reach_wait(&mut self) {
        let here = self.here();
        let waits = |ambush: &Ambush| ambush.is_at(CrashPoint::Unsynced);
        if !self.nodes[here].ambushes.iter().any(waits) {
            return;
        }
        self.absorb_all(here);
        if self.nodes[here].tree.is_unsynced() {
            // A thread that is gone does not come back from its wait.
            let _ = self.reach(CrashPoint::Unsynced);
        }
    }

    #[cold]
    fn spring(&mut self, node: NodeIndex, which: usize) -> Result<(), Errno> {
        self.crash(Place(node), false);
        let ambush = &mut self.nodes[node].ambushes[which];
        ambush.sprung += 1;
        let down = ambush.down;
        self.queue.push(self.now + down, Event::Restart(node));
        Err(libc::EIO)
    }

    /// A machine that crashed at a point was down long enough.
    pub(crate) fn restart_after_ambush(&mut self, node: NodeIndex) {
        if self.nodes[node].ambushes.iter().any(|ambush| !ambush.is_over) {
            self.restart(Place(node));
        }
    }
}

impl Ambush {
    fn is_at(&self, point: CrashPoint) -> bool {
        // A program sends answers as it sends anything else.
        let plain = |point| match point {
            CrashPoint::Before(EffectKind::Respond) => CrashPoint::Before(EffectKind::Send),
            CrashPoint::After(EffectKind::Respond) => CrashPoint::After(EffectKind::Send),
            other => other,
        };
        !self.is_over && plain(self.point) == point
    }

    /// Whether it waits for what was planned at this point.
    fn is_open(&self, point: CrashPoint) -> bool {
        !self.is_over && self.point == point
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
        let text = |_: &Self| match lost {
            1 => "1 change of its files was not durable".to_owned(),
            _ => format!("{lost} changes of its files were not durable"),
        };
        self.record_text(Happening::Crash, node, node, lost as u64, text);
        true
    }

    fn crash_at(&mut self, Place(node): Place, point: CrashPoint, down: Duration) {
        self.record_fault(node, node, StableHasher::hash(&point));
        let one = &mut self.nodes[node];
        let change = match point {
            CrashPoint::Change(number) => one.changes + u64::from(number),
            _ => 0,
        };
        one.ambushes.push(Ambush { point, down, sprung: 0, change, is_over: false });
    }

    fn crash_waiting(&mut self, node: Place, point: CrashPoint) -> bool {
        let mut all = self.nodes[node.0].ambushes.iter();
        let waits = all.any(|ambush| ambush.is_open(point) && ambush.sprung == 0);
        waits && self.crash(node, false)
    }

    fn crash_end(&mut self, node: Place, point: CrashPoint) -> bool {
        self.record_fault(node.0, node.0, 3);
        let one = &mut self.nodes[node.0];
        if let Some(ambush) = one.ambushes.iter_mut().find(|ambush| ambush.is_open(point)) {
            ambush.is_over = true;
        }
        self.nodes[node.0].power == Power::Off && self.restart(node)
    }

    fn wipe(&mut self, Place(node): Place) -> bool {
        let was_on = self.crash(Place(node), true);
        let one = &mut self.nodes[node];
        one.tree.replace(one.image.clone());
        self.record_fault(node, node, 4);
        was_on
    }

    fn slow(&mut self, Place(node): Place, each: Duration, begins: bool) {
        self.record_fault(node, node, 8 * each.as_nanos() + 4 + u64::from(begins));
        let slow = &mut self.nodes[node].slow;
        *slow = if begins { *slow + each } else { *slow - each };
    }

    fn stall(&mut self, Place(node): Place, each: Duration, begins: bool) {
        self.record_fault(node, node, 8 * each.as_nanos() + 6 + u64::from(begins));
        let stall = &mut self.nodes[node].stall;
        *stall = if begins { *stall + each } else { *stall - each };
    }

    fn disk_begin(&mut self, Place(node): Place, fault: &DiskFault) {
        self.record_fault(node, node, StableHasher::hash(fault));
        let one = &mut self.nodes[node];
        one.disk_faults += 1;
        let index = (1 << 62) | one.disk_faults;
        let draw = self.draws.at(Site::Disk(Self::place(node)), index);
        let rests = self.nodes[node].power == Power::Off;
        self.nodes[node].tree.begin_fault(fault, draw, rests);
    }

    fn disk_end(&mut self, Place(node): Place, fault: &DiskFault) {
        self.record_fault(node, node, StableHasher::hash(fault));
        self.absorb_all(node);
        self.nodes[node].tree.end_fault(fault);
        self.refresh_all(node);
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

    fn signal(&mut self, Place(node): Place, signal: Signal) -> bool {
        self.send_signal(node, None, signal.number())
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
        one.actions.clear();
        one.told_to_end = false;
        one.starts += 1;
        one.made_threads = 0;
        one.umask = crate::node::UMASK;
        one.harm_before = one.tree.harm();
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
        self.record_fault(0, 0, StableHasher::hash(disturbance));
        self.wire.begin(disturbance, until);
    }

    fn end(&mut self, disturbance: &Disturbance, until: Time) {
        self.record_fault(0, 1, StableHasher::hash(disturbance));
        // It ends when it was said to, so what it held has arrived.
        let released = self.wire.end(disturbance, until, self.now);
        assert!(released.is_empty() || until > self.now, "held beyond its end: {released:?}");
        if matches!(disturbance, Disturbance::Partition(_) | Disturbance::Flap { .. }) {
            self.retry_all();
        }
    }

    fn clock_begin(&mut self, Place(node): Place, fault: ClockFault) {
        self.record_fault(node, node, StableHasher::hash(&fault));
        self.nodes[node].clocks.begin(self.now, fault);
    }

    fn clock_end(&mut self, Place(node): Place, fault: ClockFault) -> bool {
        self.record_fault(node, node, StableHasher::hash(&fault));
        self.nodes[node].clocks.end(self.now, fault)
    }

    fn announce(&mut self, fault: &Fault) {
        if self.trace.is_full() {
            self.striking = fault.to_string();
        }
    }

    fn felt(&self, fault: &Fault) -> u64 {
        let node = |place: &Place| &self.nodes[place.0];
        match fault {
            Fault::Begin(disturbance) => counter(self.wire.tally(), disturbance),
            Fault::CrashAt(place, point, _) => {
                let same = |ambush: &&Ambush| ambush.point == *point;
                node(place).ambushes.iter().filter(same).map(|ambush| ambush.sprung).sum()
            }
            Fault::SlowBegin(place, _) => node(place).felt.slow,
            Fault::StallBegin(place, _) => node(place).felt.stalls,
            Fault::DiskBegin(place, wrong) => node(place).tree.counters().of(wrong),
            Fault::ClockBegin(place, wrong) => match wrong {
                ClockFault::Step { .. } | ClockFault::Freeze => node(place).felt.wall,
                ClockFault::Drift { .. } => node(place).felt.drift,
                ClockFault::Early { .. }
                | ClockFault::Late { .. }
                | ClockFault::Coalesce { .. } => node(place).felt.timers,
            },
            _ => 0,
        }
    }
}
