//! What one run came to.

use crate::plan::{Class, FaultPlan};
use crate::run::Call;
use crate::scenario::OperationId;
use seedfall_sim::{Counters, DrawAddress, Entry, Seed, Time};
use std::fmt;
use std::fmt::Write as _;

/// What one run came to. Two runs with equal hashes were equal, event for event.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which scenario.
    pub scenario: &'static str,
    /// Which seed.
    pub seed: Seed,
    /// The trace hash.
    pub hash: u64,
    /// How many events.
    pub events: u64,
    /// When the run ended.
    pub ended: Time,
    /// What happened, in numbers.
    pub counters: Counters,
    /// Operations that completed.
    pub completed: u64,
    /// Operations whose outcome nobody knows.
    pub indeterminate: u64,
    /// What the protocol ignored and reached, and how often.
    pub marks: Vec<(&'static str, u64)>,
    /// What was planned.
    pub plan: FaultPlan,
    /// For each entry of the plan, its class and whether it had an effect.
    pub fired: Vec<(Class, bool)>,
    /// How it ended.
    pub conclusion: Conclusion,
    /// The events, as far as they were recorded.
    pub trace: Vec<Entry>,
    /// The draws, if they were logged.
    pub draws: Vec<(DrawAddress, [u32; 4])>,
    /// How each operation was called, if draws were logged.
    pub calls: Vec<(OperationId, Call)>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Every promise was kept, and there was something to be kept.
    Passed,
    /// Nothing was broken, but the run proves little; says why.
    Vacuous(String),
    /// A promise was broken.
    Failed(Box<Failure>),
}

/// The kinds of failed runs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// An `always` was broken.
    Safety,
    /// An `eventually` did not come true in time.
    Liveness,
    /// The run came to a standstill, or ran in circles, with work undone.
    Stuck,
    /// The protocol panicked.
    Crash,
}

impl FailureKind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Safety => "safety",
            Self::Liveness => "liveness",
            Self::Stuck => "stuck",
            Self::Crash => "crash",
        }
    }

    /// Whether it is that something does not happen: only waiting shows it.
    pub const fn is_late(self) -> bool {
        matches!(self, Self::Liveness | Self::Stuck)
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// Which scenario.
    pub scenario: &'static str,
    /// Which seed.
    pub seed: Seed,
    /// What was promised: `always linearizable`.
    pub promise: String,
    /// What is wrong, in a sentence.
    pub explanation: String,
    /// Why nothing else was to be expected, if the faults excuse it.
    pub excuse: Option<String>,
    /// The operations that take part, the one at fault marked.
    pub operations: Vec<String>,
    /// The events up to the moment at which it showed.
    pub event: u64,
    /// That moment.
    pub at: Time,
    /// The trace hash of the run.
    pub hash: u64,
    /// What the same bug looks like in another run: the promise and the shape of what broke it.
    pub fingerprint: String,
    /// The faults of the run, in words.
    pub faults: Vec<String>,
    /// The line that replays it.
    pub replay: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{}: a promise is broken ({})\n", self.scenario, self.kind.name());
        let mut line = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:<10} {value}");
        };
        line("promised", &self.promise);
        line("but", &self.explanation);
        if let Some(excuse) = &self.excuse {
            line("excused by", excuse);
        }
        for operation in &self.operations {
            line("", operation);
        }
        for (index, fault) in self.faults.iter().enumerate() {
            line(if index == 0 { "faults" } else { "" }, fault);
        }
        line("seen at", &format!("{}, event {}", self.at, self.event));
        line("hash", &format!("{:#018x}", self.hash));
        line("replay", &self.replay);
        f.write_str(text.trim_end())
    }
}

impl std::error::Error for Failure {}
