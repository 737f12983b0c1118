//! The clocks that programs read: functions of virtual time and of the faults of their node.

use crate::kernel::Kernel;
use seedfall_sim::{Duration, Time};

/// What the wall clock shows as a run begins: 2026-01-01T00:00:00Z, in nanoseconds since 1970.
pub(crate) const EPOCH: u64 = 1_767_225_600 * 1_000_000_000;
/// What the monotonic clock shows then: a machine that has been up for a day, so that programs can
/// compute instants before their own start.
pub(crate) const UPTIME: u64 = 86_400 * 1_000_000_000;

impl Kernel {
    /// What a clock of the running program's node shows, in nanoseconds.
    #[inline]
    pub(crate) fn clock(&self, clock: libc::clockid_t) -> u64 {
        let clocks = &self.nodes[self.here()].clocks;
        let reading = clocks.read(self.now);
        match clock {
            libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => {
                let wall = if clocks.is_wrong() { clocks.wall(reading) } else { reading };
                EPOCH.saturating_add(wall.as_nanos())
            }
            // The time that a program computes is not simulated: it is the time that passes.
            _ => UPTIME.saturating_add(reading.as_nanos()),
        }
    }

    /// When a span by the node's monotonic clock is over.
    pub(crate) fn ring(&self, span: Duration) -> Time {
        self.nodes[self.here()].clocks.ring(self.now, span)
    }

    /// When a clock of the node shows these nanoseconds.
    pub(crate) fn ring_at(&self, clock: libc::clockid_t, nanos: u64) -> Time {
        let span = nanos.saturating_sub(self.clock(clock));
        self.ring(Duration::nanos(span))
    }
}
