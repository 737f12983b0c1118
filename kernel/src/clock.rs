//! The clocks that programs read: functions of virtual time and of the faults of their node.

use crate::kernel::{Kernel, NodeIndex};
use seedfall_sim::{Duration, Time};

/// What the wall clock shows as a run begins: 2026-01-01T00:00:00Z, in nanoseconds since 1970.
pub(crate) const EPOCH: u64 = 1_767_225_600 * 1_000_000_000;
/// What the monotonic clock shows then: a machine that has been up for a day, so that programs can
/// compute instants before their own start.
pub(crate) const UPTIME: u64 = 86_400 * 1_000_000_000;

impl Kernel {
    /// What a clock of the running program's node shows, in nanoseconds.
    pub(crate) fn clock(&mut self, clock: libc::clockid_t) -> u64 {
        if let Some(reading) = self.right_clock(clock) {
            return reading;
        }
        let is_wall = is_wall(clock);
        if self.nodes[self.here()].clocks.is_wrong() {
            self.feel(is_wall, false);
        }
        if is_wall {
            return self.wall();
        }
        let reading = self.nodes[self.here()].clocks.read(self.now);
        UPTIME.saturating_add(reading.as_nanos())
    }

    /// The same, if nothing is wrong with the clock.
    #[inline]
    pub(crate) fn right_clock(&mut self, clock: libc::clockid_t) -> Option<u64> {
        let here = self.here();
        let node = &mut self.nodes[here];
        node.looks += u64::from(is_wall(clock));
        let reading = node.clocks.read_right(self.now)?;
        // The time that a program computes is not simulated: it is the time that passes.
        let began = if is_wall(clock) { EPOCH } else { UPTIME };
        Some(began.saturating_add(reading.as_nanos()))
    }

    /// What the wall clock shows, for stamps that the kernel makes by itself.
    pub(crate) fn wall(&self) -> u64 {
        self.wall_of(self.here())
    }

    /// The same, of any node.
    pub(crate) fn wall_of(&self, node: NodeIndex) -> u64 {
        let clocks = &self.nodes[node].clocks;
        let reading = clocks.read(self.now);
        let wall = if clocks.is_wrong() { clocks.wall(reading) } else { reading };
        EPOCH.saturating_add(wall.as_nanos())
    }

    /// When a span by the node's monotonic clock is over.
    pub(crate) fn ring(&mut self, span: Duration) -> Time {
        let here = self.here();
        let node = &mut self.nodes[here];
        node.timers += 1;
        if node.clocks.is_wrong() {
            self.feel(false, true);
        }
        self.nodes[here].clocks.ring(self.now, span)
    }

    /// When a clock of the node shows these nanoseconds.
    pub(crate) fn ring_at(&mut self, clock: libc::clockid_t, nanos: u64) -> Time {
        let span = nanos.saturating_sub(self.clock(clock));
        self.ring(Duration::nanos(span))
    }

    /// A program reads a clock that is wrong, or sets a timer by it.
    #[cold]
    fn feel(&mut self, reads_wall: bool, sets_timer: bool) {
        let here = self.here();
        let node = &mut self.nodes[here];
        node.felt.wall += u64::from(reads_wall && node.clocks.is_misleading());
        node.felt.drift += u64::from(node.clocks.is_drifting());
        node.felt.timers += u64::from(sets_timer && node.clocks.moves_timers());
    }
}

fn is_wall(clock: libc::clockid_t) -> bool {
    matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI)
}
