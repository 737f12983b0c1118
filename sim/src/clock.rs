//! A node's clocks: functions of virtual time, wrong in the ways that real ones are.
//!
//! A node has two. Its **monotonic** clock measures spans and rings timers: it may start anywhere
//! and run fast or slow, and never goes back. Its **wall** clock is the monotonic one with somebody
//! else's corrections: it may be ahead, step in both directions, or stand still.

use crate::time::{Duration, Time};
use std::fmt;

/// How a node's clocks differ from virtual time as a run begins: `reading = offset + now * (1 +
/// drift)`.
///
/// Both are inputs of a scenario; [`Clock::TRUE`] is the clock of a node whose clock does not
/// matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Clock {
    /// What the clock shows at the start of the run, in nanoseconds.
    pub offset_nanos: u64,
    /// How much faster it runs than virtual time, in parts per million; above -1,000,000.
    pub drift_ppm: i32,
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ahead = Duration::nanos(self.offset_nanos);
        write!(f, "{ahead} ahead, {:+} ppm", self.drift_ppm)
    }
}

/// What can go wrong with the clocks of a node while a run goes on. (Ranges: Jepsen's clock
/// nemesis; drifts of 200 ppm are usual, 5 % is what a hostile virtual machine reaches.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case", deny_unknown_fields))]
pub enum ClockFault {
    /// The wall clock jumps by so many nanoseconds, forward or back, and jumps back at the end.
    Step {
        /// How far; negative: into the past.
        nanos: i64,
    },
    /// The wall clock stands still, and is right again at the end.
    Freeze,
    /// Both clocks run faster by so many parts per million; the monotonic clock keeps what it
    /// gained.
    Drift {
        /// How much faster; negative: slower.
        ppm: i32,
    },
    /// Timers ring up to so much earlier than they were set for, but not before half their time.
    Early {
        /// In nanoseconds.
        by: Duration,
    },
    /// Timers ring so much later than they were set for.
    Late {
        /// In nanoseconds.
        by: Duration,
    },
    /// Timers ring only at multiples of this span, many at once (timer coalescing).
    Coalesce {
        /// In nanoseconds.
        to: Duration,
    },
}

const MILLION: i128 = 1_000_000;
/// A clock may be slowed to a tenth, and no further: what is set must ring.
const SLOWEST_PPM: i32 = -900_000;

impl Clock {
    /// Shows virtual time itself.
    pub const TRUE: Self = Self { offset_nanos: 0, drift_ppm: 0 };
}

/// The clocks of one node, in the course of a run.
#[derive(Clone, Debug)]
pub struct Clocks {
    /// What the monotonic clock showed at `since`.
    reading: Time,
    since: Time,
    drift_ppm: i32,
    /// What is wrong with them now, and what the monotonic clock showed when that began; `None`:
    /// nothing.
    faults: Option<Vec<(ClockFault, Time)>>,
}

impl Clocks {
    /// The clocks of a node at the start of a run.
    pub fn new(clock: Clock) -> Self {
        let reading = Time::from_nanos(clock.offset_nanos);
        Self { reading, since: Time::ZERO, drift_ppm: clock.drift_ppm, faults: None }
    }

    /// What the monotonic clock shows at the virtual instant `now`.
    #[inline]
    pub fn read(&self, now: Time) -> Time {
        let span = now.as_nanos() - self.since.as_nanos();
        let span = rescale(span, MILLION + i128::from(self.drift_ppm), MILLION, self.drift_ppm);
        Time::from_nanos(span.saturating_add(self.reading.as_nanos()))
    }

    /// What both clocks show at `now`, if nothing is wrong with them, as is usual.
    #[inline]
    pub fn read_right(&self, now: Time) -> Option<Time> {
        let is_right = self.faults.is_none() && self.drift_ppm == 0;
        let span = now.as_nanos() - self.since.as_nanos();
        is_right.then(|| Time::from_nanos(span.saturating_add(self.reading.as_nanos())))
    }

    /// True if a fault is in force.
    #[inline]
    pub fn is_wrong(&self) -> bool {
        self.faults.is_some()
    }

    /// What the wall clock shows when the monotonic clock shows `reading`.
    #[cold]
    pub fn wall(&self, reading: Time) -> Time {
        let faults = self.faults.iter().flat_map(|faults| faults.iter());
        let mut wall = i128::from(reading.as_nanos());
        let (mut frozen, mut ahead) = (None, 0);
        for (fault, began) in faults {
            match fault {
                ClockFault::Step { nanos } => ahead += i128::from(*nanos),
                ClockFault::Freeze => frozen = frozen.or(Some(*began)),
                _ => {}
            }
        }
        if let Some(began) = frozen {
            wall = i128::from(began.as_nanos());
        }
        Time::from_nanos(u64::try_from((wall + ahead).max(0)).unwrap_or(u64::MAX))
    }

    /// When a timer that is set at `now` rings, if it is to ring `after` this long by this clock.
    #[inline]
    pub fn ring(&self, now: Time, after: Duration) -> Time {
        let rate = MILLION + i128::from(self.drift_ppm);
        let span = Duration::nanos(rescale(after.as_nanos(), MILLION, rate, self.drift_ppm));
        if self.faults.is_none() { now + span } else { self.ring_wrong(now, span) }
    }

    #[cold]
    fn ring_wrong(&self, now: Time, span: Duration) -> Time {
        let mut at = now + span;
        let earliest = now + Duration::nanos(span.as_nanos() / 2);
        for (fault, _) in self.faults.iter().flat_map(|faults| faults.iter()) {
            at = match fault {
                // Where several of these are in force, too: or a timer that is set again whenever
                // it rings would ring for ever at one instant.
                ClockFault::Early { by } => earliest + at.since(earliest + *by),
                ClockFault::Late { by } => at + *by,
                ClockFault::Coalesce { to } => {
                    Time::from_nanos(at.as_nanos().next_multiple_of(to.as_nanos().max(1)))
                }
                _ => at,
            };
        }
        at
    }

    /// True if the fault moves timers, rather than what the clocks show.
    pub fn moves_timers(&self) -> bool {
        use ClockFault::{Coalesce, Early, Late};
        self.suffers(|fault| matches!(fault, Early { .. } | Late { .. } | Coalesce { .. }))
    }

    /// True if a fault makes the wall clock wrong.
    pub fn is_misleading(&self) -> bool {
        self.suffers(|fault| matches!(fault, ClockFault::Step { .. } | ClockFault::Freeze))
    }

    /// True if a fault makes the clocks run fast or slow.
    pub fn is_drifting(&self) -> bool {
        self.suffers(|fault| matches!(fault, ClockFault::Drift { .. }))
    }

    fn suffers(&self, is_such: impl Fn(&ClockFault) -> bool) -> bool {
        self.faults.iter().flatten().any(|(fault, _)| is_such(fault))
    }

    /// From `now` on, this is wrong too.
    pub fn begin(&mut self, now: Time, fault: ClockFault) {
        if let ClockFault::Drift { ppm } = fault {
            self.accelerate(now, ppm);
        }
        let began = self.read(now);
        self.faults.get_or_insert_default().push((fault, began));
    }

    /// From `now` on, this is not wrong any more. False if it was not.
    pub fn end(&mut self, now: Time, fault: ClockFault) -> bool {
        let Some(faults) = &mut self.faults else { return false };
        let Some(at) = faults.iter().position(|(other, _)| *other == fault) else { return false };
        faults.remove(at);
        if faults.is_empty() {
            self.faults = None;
        }
        if let ClockFault::Drift { ppm } = fault {
            self.accelerate(now, -ppm);
        }
        true
    }

    fn accelerate(&mut self, now: Time, ppm: i32) {
        (self.reading, self.since) = (self.read(now), now);
        self.drift_ppm += ppm;
        assert!(self.drift_ppm >= SLOWEST_PPM, "a clock slowed by {} ppm", -self.drift_ppm);
    }
}

/// `nanos * numerator / denominator`; as it is, where nothing drifts.
#[inline]
fn rescale(nanos: u64, numerator: i128, denominator: i128, drift_ppm: i32) -> u64 {
    if drift_ppm == 0 {
        return nanos;
    }
    assert!(denominator > 0 && numerator > 0, "a clock that runs backwards: {drift_ppm} ppm");
    u64::try_from(i128::from(nanos) * numerator / denominator).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Time {
        Time::from_nanos(nanos)
    }

    #[test]
    fn a_fast_clock_shows_more_and_rings_earlier() {
        let fast = Clocks::new(Clock { offset_nanos: 5, drift_ppm: 50_000 });
        assert_eq!(fast.read(at(1_000_000)), at(1_050_005));
        assert_eq!(fast.ring(at(0), Duration::nanos(1_050_000)), at(1_000_000));
        assert_eq!(Clocks::new(Clock::TRUE).read(at(9)), at(9));
    }

    #[test]
    fn a_monotonic_clock_never_goes_back_whatever_begins_and_ends() {
        let mut clocks = Clocks::new(Clock { offset_nanos: 70, drift_ppm: 200 });
        let faults = [
            ClockFault::Drift { ppm: -50_000 },
            ClockFault::Step { nanos: -1_000_000 },
            ClockFault::Drift { ppm: 80_000 },
            ClockFault::Freeze,
        ];
        let mut last = clocks.read(at(0));
        for turn in 0..40_u64 {
            let fault = faults[turn as usize % 4];
            let now = at(turn * 12_345);
            if turn / 4 % 2 == 0 {
                clocks.begin(now, fault);
            } else {
                assert!(clocks.end(now, fault));
            }
            let reading = clocks.read(now);
            assert!(last <= reading, "from {last} to {reading}");
            last = reading;
        }
        assert!(!clocks.is_wrong());
    }

    #[test]
    fn a_wall_clock_steps_and_stands_and_is_right_again() {
        let mut clocks = Clocks::new(Clock::TRUE);
        let step = ClockFault::Step { nanos: -300 };
        clocks.begin(at(1_000), step);
        assert_eq!(clocks.wall(at(1_000)), at(700));
        clocks.begin(at(1_100), ClockFault::Freeze);
        assert_eq!((clocks.wall(at(1_200)), clocks.wall(at(1_900))), (at(800), at(800)));
        assert!(clocks.end(at(2_000), ClockFault::Freeze) && clocks.end(at(2_000), step));
        assert_eq!(clocks.wall(at(2_000)), at(2_000));
    }

    #[test]
    fn timers_ring_early_late_and_together() {
        let ring = |fault| {
            let mut clocks = Clocks::new(Clock::TRUE);
            clocks.begin(at(0), fault);
            clocks.ring(at(1_000), Duration::nanos(100))
        };
        assert_eq!(ring(ClockFault::Early { by: Duration::nanos(20) }), at(1_080));
        assert_eq!(ring(ClockFault::Early { by: Duration::secs(1) }), at(1_050), "half its time");
        assert_eq!(ring(ClockFault::Late { by: Duration::nanos(20) }), at(1_120));
        assert_eq!(ring(ClockFault::Coalesce { to: Duration::nanos(500) }), at(1_500));
    }
}
