//! The machine's clock, for what is outside of runs: budgets, heartbeats, dates.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a campaign is bounded and dated by the machine's clock; its runs never see it"
)]

use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Counts from when it was made, on a clock that nobody sets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch(Instant);

impl Watch {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Seconds since 1970, by a clock that somebody may set: for people, never to decide anything.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A name that no other process has.
pub(super) fn unique() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}", std::process::id(), now.as_nanos())
}

pub(super) fn sleep(span: Duration) {
    std::thread::sleep(span);
}

/// Waits until a process has ended, or ends it once it has taken so long; how it ended, and whether
/// it did so by itself.
pub(super) fn wait(child: &mut Child, patience: Duration) -> std::io::Result<(ExitStatus, bool)> {
    const LONGEST: Duration = Duration::from_millis(20);
    let (started, mut nap) = (Watch::start(), Duration::from_millis(1));
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, true));
        }
        if patience <= started.elapsed() {
            child.kill()?;
            return Ok((child.wait()?, false));
        }
        sleep(nap);
        nap = LONGEST.min(nap * 2);
    }
}

/// The day as a number, 20261128, in universal time.
pub(super) fn date_of(unix: u64) -> u64 {
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": eras of 400 years from March.
    let days = unix / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    year * 10_000 + month * 100 + of_month
}

/// A moment for people: `2026-11-28 22:45 UTC`.
pub(super) fn told(unix: u64) -> String {
    let (date, minutes) = (date_of(unix), unix % 86_400 / 60);
    let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        assert_eq!(date_of(0), 19_700_101);
        assert_eq!(date_of(951_782_400), 20_000_229);
        assert_eq!(told(1_795_905_900), "2026-11-28 22:45 UTC");
    }
}
