//! The report of one run.

use crate::faults::ActsOn;
use crate::plan::{Class, Entry as Planned, FaultPlan};
use crate::run::{Call, Observation};
use crate::scenario::OperationId;
use seedfall_sim::{Counters, DrawAddress, Entry, NodeId, Seed, Time};
use std::fmt;
use std::fmt::Write as _;

/// The report of one run. Two runs with equal hashes were equal, event for event.
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
    /// What faults could act on, and the protocol has none of.
    pub without: Vec<ActsOn>,
    /// What the protocol ignored and reached, and how often.
    pub marks: Vec<(&'static str, u64)>,
    /// Marks that the programs of the run declare, beside those of the scenario: over a whole sweep
    /// each must be reached.
    pub declared: Vec<&'static str>,
    /// What was planned.
    pub plan: FaultPlan,
    /// For each entry of the plan, its class and whether it had an effect.
    pub fired: Vec<(Class, bool)>,
    /// For each entry of the plan that has begun, how it struck last: an entry may aim, and look
    /// for work, at other nodes than it names.
    pub struck: Vec<Option<Planned>>,
    /// Everything that is wrong with the run, each property at most once: first what the scenario
    /// does not expect, and among these what showed first.
    pub failures: Vec<Failure>,
    /// The properties whose check ran out of its budget: neither kept nor broken, for all that is
    /// known.
    pub unknown: Vec<Unknown>,
    /// Why the run proves nothing, if it does not.
    pub vacuous: Option<String>,
    /// The events, as far as they were recorded.
    pub trace: Vec<Entry>,
    /// What programs printed, a line each, with the time and the node; nothing of protocols.
    pub printed: Vec<String>,
    /// What a search is shown of the run, if the trial asks for it.
    pub observed: Option<Observation>,
    /// The draws, if they were logged.
    pub draws: Vec<(DrawAddress, [u32; 4])>,
    /// How each operation was called, if draws were logged.
    pub calls: Vec<(OperationId, Call)>,
}

impl Report {
    /// The report of a run in which nothing happened and nothing was planned: who runs something of
    /// their own as a [`Runnable`](crate::Runnable) fills in what did.
    pub fn new(scenario: &'static str, seed: Seed) -> Report {
        Report {
            scenario,
            seed,
            hash: 0,
            events: 0,
            ended: Time::ZERO,
            counters: Counters::default(),
            completed: 0,
            indeterminate: 0,
            without: Vec::new(),
            marks: Vec::new(),
            declared: Vec::new(),
            plan: FaultPlan::default(),
            fired: Vec::new(),
            struck: Vec::new(),
            failures: Vec::new(),
            unknown: Vec::new(),
            vacuous: None,
            trace: Vec::new(),
            printed: Vec::new(),
            observed: None,
            draws: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// The outcome of the run, in a word: the gravest of everything that was judged.
    pub fn conclusion(&self) -> Conclusion<'_> {
        match (self.failures.first(), self.unknown.first(), &self.vacuous) {
            (Some(failure), ..) => Conclusion::Failed(failure),
            (None, Some(unknown), _) => Conclusion::Unknown(unknown),
            (None, None, Some(why)) => Conclusion::Vacuous(why),
            (None, None, None) => Conclusion::Passed,
        }
    }

    /// The first failure: one that is not expected, if there is one.
    pub fn failure(&self) -> Option<&Failure> {
        self.failures.first()
    }

    /// Whether something is wrong with the run.
    pub fn failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// The faults of the run, a line each: whom each struck, which need not be whom it names, and
    /// what did not come to it.
    pub fn faults(&self) -> Vec<String> {
        let fired = self.fired.iter().map(|(_, fired)| *fired).chain(std::iter::repeat(true));
        let lines = faults(&self.plan, &self.struck).into_iter().zip(fired);
        lines.map(|(line, fired)| line + if fired { "" } else { "  (no effect)" }).collect()
    }

    /// The failure that has this fingerprint.
    pub fn failure_like(&self, fingerprint: &str) -> Option<&Failure> {
        self.failures.iter().find(|failure| failure.fingerprint == fingerprint)
    }
}

/// The entries of a plan in words: as each struck, if it has begun.
pub(crate) fn faults(plan: &FaultPlan, struck: &[Option<Planned>]) -> Vec<String> {
    let struck = struck.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    let one = |(entry, struck): (&Planned, Option<&Planned>)| match struck {
        Some(struck) => struck.to_string(),
        None => entry.to_string(),
    };
    plan.entries.iter().zip(struck).map(one).collect()
}

/// The outcome of a run, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion<'a> {
    /// Every property holds, and there was something to be kept.
    Passed,
    /// Nothing is wrong, for all that is known: a check ran out of its budget.
    Unknown(&'a Unknown),
    /// Nothing is wrong, but the run proves nothing; says why.
    Vacuous(&'a str),
    /// Something is wrong: the first of [`Report::failures`].
    Failed(&'a Failure),
}

/// A property whose check ran out of its budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Which: `always linearizable`.
    pub property: String,
    /// How far the check came, and what would help.
    pub why: String,
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
    /// Nothing will ever happen again, or the run loops without end, with work undone.
    Stuck,
    /// The user's code is wrong: the protocol, the workload or a property panicked, or a property
    /// is not prefix-closed.
    Crash,
    /// A handler or a check does not end, or eats up the memory.
    Hang,
    /// Two runs of one seed differ: the code reads something that the seed does not decide.
    Nondeterminism,
    /// Seedfall itself panicked.
    Internal,
}

impl FailureKind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Safety => "safety",
            Self::Liveness => "liveness",
            Self::Stuck => "stuck",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Nondeterminism => "nondeterminism",
            Self::Internal => "internal",
        }
    }

    /// Whether runs that fail like this come to their end, and to the same end: only these can be
    /// made small.
    pub const fn can_be_shrunk(self) -> bool {
        !matches!(self, Self::Hang | Self::Nondeterminism)
    }

    /// Whether it is that something does not happen: only waiting shows it.
    pub const fn is_late(self) -> bool {
        matches!(self, Self::Liveness | Self::Stuck)
    }
}

/// A broken property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// Which scenario.
    pub scenario: &'static str,
    /// Which seed.
    pub seed: Seed,
    /// Which property: `always linearizable`.
    pub property: String,
    /// What is wrong, in a sentence.
    pub explanation: String,
    /// Why the scenario expects it, if it does: a negative control breaks its property, a protocol
    /// that blocks waits for whom it must.
    pub expected: Option<String>,
    /// The operations that take part, the one at fault marked.
    pub operations: Vec<String>,
    /// What the nodes are called, in their order, if they have names of their own.
    pub nodes: Vec<&'static str>,
    /// The events up to the moment at which it showed.
    pub event: u64,
    /// That moment.
    pub at: Time,
    /// The trace hash of the run.
    pub hash: u64,
    /// What the same bug looks like in another run: the property and the shape of what broke it.
    pub fingerprint: String,
    /// The faults of the run, in words.
    pub faults: Vec<String>,
    /// The line that replays it.
    pub replay: String,
}

impl Failure {
    /// Whether it breaks the property that a scenario declares by this name.
    pub fn is_about(&self, property: &str) -> bool {
        let words = self.property.split_once(' ').map(|(_, words)| words);
        self.property == property || words == Some(property)
    }

    /// What is broken, and the operations that show it: what a reader wants first.
    pub fn witness(&self) -> String {
        let mut text =
            format!("{}: a property is violated ({})\n", self.scenario, self.kind.name());
        row(&mut text, "property", &self.property);
        row(&mut text, "but", &self.explanation);
        if let Some(why) = &self.expected {
            row(&mut text, "expected", why);
        }
        self.operations.iter().for_each(|operation| row(&mut text, "", operation));
        text.truncate(text.trim_end().len());
        text
    }

    /// The run in which it is broken: its nodes, its faults, the moment, its hash, and the line
    /// that replays it.
    pub fn run(&self) -> String {
        let mut text = String::new();
        let nodes = NodeId::all(self.nodes.len()).zip(&self.nodes);
        let nodes: Vec<_> = nodes.map(|(node, name)| format!("{node} {name}")).collect();
        if let [_, _, ..] = nodes.as_slice() {
            row(&mut text, "nodes", &nodes.join(", "));
        }
        for (index, fault) in self.faults.iter().enumerate() {
            row(&mut text, if index == 0 { "faults" } else { "" }, fault);
        }
        row(&mut text, "seen at", &format!("{}, event {}", self.at, self.event));
        row(&mut text, "hash", &format!("{:#018x}", self.hash));
        row(&mut text, "replay", &self.replay);
        text.truncate(text.trim_end().len());
        text
    }
}

/// A line with its name before it.
fn row(text: &mut String, name: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {name:<10} {value}");
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.witness(), self.run())
    }
}

impl std::error::Error for Failure {}
