//! How long a search may take, by the machine's clock.

use std::sync::atomic::{AtomicBool, Ordering};

/// Until when to go on.
#[expect(
    clippy::disallowed_types,
    reason = "a search is bounded by the machine's clock; its runs never see it"
)]
pub(super) struct Clock {
    started: std::time::Instant,
    time: Option<std::time::Duration>,
    /// Somebody saw that the time is up.
    late: AtomicBool,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "a search is bounded by the machine's clock; its runs never see it"
    )]
    pub(super) fn start(time: Option<std::time::Duration>) -> Self {
        Self { started: std::time::Instant::now(), time, late: AtomicBool::new(false) }
    }

    pub(super) fn elapsed(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    /// Whether the time is up.
    pub(super) fn is_late(&self) -> bool {
        let late = self.time.is_some_and(|time| self.started.elapsed() >= time);
        if late {
            self.late.store(true, Ordering::Relaxed);
        }
        late
    }

    /// Whether anybody has seen that it is.
    pub(super) fn was_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }
}
