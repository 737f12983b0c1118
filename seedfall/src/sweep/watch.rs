//! The watchdog: a run that does not come to its end, or eats up the memory, is a verdict.
//!
//! A thread cannot be stopped from outside without undefined behaviour, so one that hangs is left
//! behind, and goes on until the process ends.

use crate::report::{Failure, FailureKind, Report};
use crate::run::{Beat, Doing, Pulse, Runnable, Trial};
use crate::words::counted;
use seedfall_sim::{Seed, Time};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// What a single run may take of the machine. It is not a part of what decides a run: a run that
/// takes too much is a failure on any machine, only sooner or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long one event, or the check of one property, may take by the machine's clock.
    pub event: Duration,
    /// By how many bytes the process may grow. Where the machine does not tell (it does on Linux),
    /// nothing is watched.
    pub memory: u64,
}

impl Limits {
    /// Twenty seconds, a thousand times what the slowest event takes, and two gigabytes.
    pub const DEFAULT: Self = Self { event: Duration::from_secs(20), memory: 2 << 30 };
}

/// The property that a run violates which eats up the memory.
pub const FITS_INTO_MEMORY: &str = "a run fits into memory";

/// How often runs are looked at.
pub(super) const EVERY: Duration = Duration::from_millis(50);

/// Looks at one run after the other, and sees when one stands still.
pub(super) struct Watch {
    pulse: Arc<Pulse>,
    seen: Beat,
    /// How long nothing has moved, as far as was looked at.
    still: Duration,
    /// How long the run has been under way.
    under_way: Duration,
}

impl Watch {
    pub(super) fn new(pulse: Arc<Pulse>) -> Self {
        let seen = pulse.look();
        Self { pulse, seen, still: Duration::ZERO, under_way: Duration::ZERO }
    }

    /// Looks again, after so much time.
    pub(super) fn look(&mut self, since: Duration) {
        let now = self.pulse.look();
        self.still = if now == self.seen { self.still + since } else { Duration::ZERO };
        self.under_way =
            if now.runs == self.seen.runs { self.under_way + since } else { Duration::ZERO };
        self.seen = now;
        if now.doing == Doing::Idle {
            (self.still, self.under_way) = (Duration::ZERO, Duration::ZERO);
        }
    }

    pub(super) fn seed(&self) -> u64 {
        self.seen.seed
    }

    pub(super) fn still(&self) -> Duration {
        self.still
    }

    pub(super) fn under_way(&self) -> Duration {
        self.under_way
    }

    /// What the run is doing, in words.
    pub(super) fn doing(&self, scenario: &dyn Runnable) -> String {
        let Beat { events, doing, .. } = self.seen;
        match doing {
            Doing::Judge(place) => {
                let name = scenario.properties().get(place).cloned().unwrap_or_default();
                format!("judging `{name}` after {}", counted(events, "event"))
            }
            Doing::Event(actor) => format!("{actor} handling event {}", events + 1),
            other => format!("{other} (after {})", counted(events, "event")),
        }
    }

    /// The failure of a run that stands still.
    pub(super) fn hang(&self, scenario: &dyn Runnable) -> Failure {
        let why = format!(
            "for {} s of this machine's time the run has been {}, and does not go on",
            self.still.as_secs().max(1),
            self.doing(scenario)
        );
        self.failure(scenario, "every event comes to its end", why)
    }

    /// The failure of a run that eats up the memory.
    pub(super) fn glut(&self, scenario: &dyn Runnable, grown: u64) -> Failure {
        let why = format!(
            "the process has grown by {} MB, while the run was {}",
            grown >> 20,
            self.doing(scenario)
        );
        self.failure(scenario, FITS_INTO_MEMORY, why)
    }

    fn failure(&self, scenario: &dyn Runnable, property: &str, explanation: String) -> Failure {
        let (name, seed) = (scenario.name(), self.seen.seed);
        let doing = match self.seen.doing {
            Doing::Event(actor) => actor.to_string(),
            Doing::Judge(place) => scenario.properties().get(place).cloned().unwrap_or_default(),
            other => other.to_string(),
        };
        Failure {
            kind: FailureKind::Hang,
            scenario: name,
            seed: Seed(seed),
            property: property.to_owned(),
            explanation,
            expected: None,
            operations: Vec::new(),
            nodes: Vec::new(),
            event: self.seen.events + 1,
            at: Time::ZERO,
            hash: 0,
            fingerprint: format!("hang: {property}: {doing}"),
            faults: Vec::new(),
            replay: crate::words::command(&format!("trace {name} --seed {seed}")),
        }
    }
}

/// How much memory the process has in use, in bytes, where the machine says.
pub(super) fn memory_in_use() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes << 10)
}

/// Runs a trial under the eyes of the watchdog.
///
/// # Errors
/// The failure of a run that does not come to its end, or eats up the memory: there is no report of
/// it, and its thread is left behind.
pub fn watched(
    scenario: &dyn Runnable,
    trial: &Trial,
    limits: &Limits,
) -> Result<Report, Box<Failure>> {
    let pulse = Arc::new(Pulse::default());
    let mut watch = Watch::new(Arc::clone(&pulse));
    let (own, trial) = (scenario.shared(), Trial { pulse: Some(pulse), ..trial.clone() });
    let before = memory_in_use().unwrap_or(0);
    let (tell, told) = channel();
    #[expect(clippy::disallowed_methods, reason = "it is the run that is inside the thread")]
    let work = std::thread::spawn(move || {
        // Whoever asked may have given up by now.
        let _ = tell.send(own.run(&trial));
    });
    loop {
        match told.recv_timeout(EVERY) {
            Ok(report) => return Ok(report),
            Err(RecvTimeoutError::Disconnected) => match work.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => unreachable!("a thread that ends well has told its report"),
            },
            Err(RecvTimeoutError::Timeout) => {}
        }
        watch.look(EVERY);
        let grown = memory_in_use().unwrap_or(0).saturating_sub(before);
        if limits.event <= watch.still() {
            return Err(Box::new(watch.hang(scenario)));
        }
        if limits.memory <= grown {
            return Err(Box::new(watch.glut(scenario, grown)));
        }
    }
}
