//! A node's clock: a function of virtual time, wrong by an offset and a drift.

use crate::time::{Duration, Time};

/// How a node's clock differs from virtual time: `reading = offset + now * (1 + drift)`.
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

const MILLION: i128 = 1_000_000;

impl Clock {
    /// Shows virtual time itself.
    pub const TRUE: Self = Self { offset_nanos: 0, drift_ppm: 0 };

    /// What the clock shows at the virtual instant `now`.
    #[inline]
    pub fn read(&self, now: Time) -> Time {
        let span = self.rescale(now.as_nanos(), MILLION + i128::from(self.drift_ppm), MILLION);
        Time::from_nanos(span.saturating_add(self.offset_nanos))
    }

    /// How long it really takes until this clock has advanced by `span`.
    #[inline]
    pub fn until(&self, span: Duration) -> Duration {
        let rate = MILLION + i128::from(self.drift_ppm);
        Duration::nanos(self.rescale(span.as_nanos(), MILLION, rate))
    }

    #[inline]
    fn rescale(&self, nanos: u64, numerator: i128, denominator: i128) -> u64 {
        if self.drift_ppm == 0 {
            return nanos;
        }
        assert!(denominator > 0 && numerator > 0, "a clock that runs backwards: {self:?}");
        u64::try_from(i128::from(nanos) * numerator / denominator).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_shows_more_and_rings_earlier() {
        let fast = Clock { offset_nanos: 5, drift_ppm: 50_000 };
        assert_eq!(fast.read(Time::from_nanos(1_000_000)), Time::from_nanos(1_050_005));
        assert_eq!(fast.until(Duration::nanos(1_050_000)), Duration::nanos(1_000_000));
        assert_eq!(Clock::TRUE.read(Time::from_nanos(9)), Time::from_nanos(9));
    }
}
