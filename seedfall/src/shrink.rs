//! From a failing run to a small one that fails in the same way, and to its story.
//!
//! Because draws are addressed, a fault, an operation or the fate of one message can be left out or
//! made nominal without moving any other decision. Delta debugging (Zeller and Hildebrandt,
//! "Simplifying and Isolating Failure-Inducing Input", 2002) then works on each kind of thing in
//! turn, again until nothing changes: faults, nodes, the time until faults stop, clients and
//! operations, random draws (fates of messages, jitter of timers), and each fault that is left,
//! which is made shorter, narrower and weaker. Then operations and faults are moved to where the
//! run becomes shorter. Every candidate is a real run, and only one with the same fingerprint that
//! takes no more events than the run to be shrunk counts. The result is 1-minimal in faults,
//! operations and draws unless the effort ran out, which it says.
//!
//! What an `always` says of a history must hold at any moment. So a run is over here as soon as
//! one is broken, and both runs, the original and the small one, are measured up to there. (What
//! breaks an `eventually` is waited for to the end.)
//!
//! Candidates are tried on several cores; the first of them in order is taken, so the result does
//! not depend on how many there are.

mod alike;
mod changes;
mod clock;
mod fewer;
mod lifted;
mod matter;
mod moves;
mod scene;
mod search;
mod simpler;
mod story;

pub use alike::{alike, shrink_best};
pub use matter::{Matter, arrivals, matter};
pub(crate) use story::fate;
pub use story::story;

use crate::report::{Failure, Report};
use crate::run::{Runnable, Trial};
use crate::sweep::all_cores;
use crate::words::{counted, left};
use search::{FAULT, ORDERS, Search};
use seedfall_sim::{DrawAddress, Nominal, Recording, Site};
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

/// How many runs a shrink may take, unless it is told otherwise: some seconds.
pub const DEFAULT_RUNS: u64 = 20_000;

/// A run of this size is not shrunk again in another order.
const SMALL: u64 = 80;

/// What a shrink may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// How many runs, at most.
    pub runs: u64,
    /// How long, at most, by the machine's clock: where it decides, so does the machine.
    pub time: Option<Duration>,
    /// How many threads; the result does not depend on it, unless time ran out.
    pub jobs: NonZeroUsize,
}

impl Effort {
    /// So many runs, on all cores, in whatever time.
    pub fn runs(runs: u64) -> Self {
        Self { runs, time: None, jobs: all_cores() }
    }
}

/// Why a shrink came to an end before nothing was left to be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its runs are used up.
    Runs,
    /// Its time is up.
    Time,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Runs => "its runs were used up",
            Self::Time => "its time was up",
        })
    }
}

/// How much there is in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Entries of the fault plan.
    pub faults: usize,
    /// Operations that clients called.
    pub operations: u64,
    /// Draws of links, nodes and disks that are random.
    pub draws: usize,
    /// Messages that were delivered.
    pub delivered: u64,
    /// Events of the trace.
    pub events: u64,
}

/// A failing run, made small.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What to run.
    pub trial: Trial,
    /// Its report, recorded in full.
    pub report: Report,
    /// The original's size, up to the event by which it has failed.
    pub before: Size,
    /// How many events the original has, to its end.
    pub whole: u64,
    /// Its own size, likewise up to the event by which it has failed.
    pub after: Size,
    /// How many runs it took; 0: it was small already.
    pub runs: u64,
    /// Why it may be smaller still; `None`: nothing was left to be tried.
    pub stopped: Option<Stop>,
    /// Which of its arrivals matter; `None`: it fails by waiting, or was not made small.
    pub matter: Option<Matter>,
}

impl Shrunk {
    /// The failure of the small run.
    pub fn failure(&self) -> Option<&Failure> {
        failure(&self.report)
    }

    /// What came to its end before what did not, then the smaller.
    fn rank(&self) -> (bool, u64) {
        (self.stopped.is_some(), self.after.events + FAULT * self.after.faults as u64)
    }

    fn fingerprint(&self) -> Option<&str> {
        self.failure().map(|failure| failure.fingerprint.as_str())
    }

    /// The failure with its story: what is broken, the small run step by step, and then its faults
    /// and the line that replays it. `None` if it does not fail.
    pub fn told(&self, replay: &str) -> Option<String> {
        let failure = Failure { replay: replay.to_owned(), ..self.failure()?.clone() };
        let story = story(self).join("\n");
        let shrunk = match self.runs {
            0 => String::new(),
            _ => format!("  shrunk to  {}\n", self.summary()),
        };
        Some(format!("{}\n{shrunk}  story\n{story}\n{}", failure.witness(), failure.run()))
    }

    /// One line: what is left of what there was, `1 of 20 faults`, up to the violation in both.
    pub fn summary(&self) -> String {
        let Size { faults, operations, draws, delivered, events } = self.after;
        let was = self.before;
        let stopped = match self.stopped {
            Some(why) => format!("; not minimal: {why}"),
            None => String::new(),
        };
        let matter = match &self.matter {
            Some(matter) => format!(" ({} matter)", matter.matter),
            None => String::new(),
        };
        format!(
            "{}, {}, {}, {}{matter}, {}, in {}{stopped}",
            left(faults as u64, was.faults as u64, "fault"),
            left(operations, was.operations, "operation"),
            left(draws as u64, was.draws as u64, "random draw"),
            left(delivered, was.delivered, "message"),
            left(events, was.events, "event"),
            counted(self.runs, "run"),
        )
    }
}

/// Shrinks a failing run. `None` if it does not fail.
pub fn shrink(scenario: &dyn Runnable, trial: &Trial, effort: &Effort) -> Option<Shrunk> {
    // A run that has no nominal draws yet gets those with which nodes do not do all at once.
    let nominal = if trial.is_nominal() { trial.nominal } else { Nominal::PerNode };
    let trial = &Trial { nominal, ..trial.clone() };
    let full = Trial { recording: Recording::Full, log_draws: true, ..trial.clone() };
    let original = scenario.run(&full);
    let broken = failure(&original)?;
    let plan = Some(original.plan.clone());
    let best = Trial { plan, spans: false, recording: Recording::Hash, ..trial.clone() };
    let mut search = Search::new(scenario, broken, best, original.events, effort);
    search.bound();
    let best = search.best().clone();
    let failed = Trial { until: best.until, ..full };
    let before = size(&failed, &scenario.run(&failed));
    let mut smallest: Option<((bool, u64), Trial, Option<Stop>)> = None;
    let mut left = *effort;
    let mut runs = 0;
    for order in ORDERS {
        let search = Search::new(scenario, broken, best.clone(), before.events, &left);
        let mut search = search.ordered(order);
        search.until_nothing_changes();
        runs += search.runs();
        left.runs = left.runs.saturating_sub(search.runs());
        left.time = left.time.map(|time| time.saturating_sub(search.elapsed()));
        let (size, stopped) = (search.size(), search.stopped());
        // What came to its end before what did not.
        let rank = (stopped.is_some(), size);
        if smallest.as_ref().is_none_or(|(least, ..)| rank < *least) {
            smallest = Some((rank, search.into_best(), stopped));
        }
        if stopped.is_some() || size < SMALL {
            break;
        }
    }
    let (_, small, stopped) = smallest?;
    let as_it_is = as_it_is(scenario, &small, effort)?;
    Some(Shrunk { before, whole: original.events, runs, stopped, ..as_it_is })
}

/// A failing run to be told: one that was made small earlier as it is, since to look for a smaller
/// one took as long as the first time and found none; any other shrunk. `None` if it does not fail.
pub fn shrink_once(scenario: &dyn Runnable, trial: &Trial, effort: &Effort) -> Option<Shrunk> {
    match trial.random {
        Some(_) => as_it_is(scenario, trial, effort),
        None => shrink(scenario, trial, effort),
    }
}

/// A small run and what matters in it, which may take a quarter of the effort.
fn as_it_is(scenario: &dyn Runnable, small: &Trial, effort: &Effort) -> Option<Shrunk> {
    let trial = Trial { recording: Recording::Full, log_draws: true, ..small.clone() };
    let report = scenario.run(&trial);
    failure(&report)?;
    let size = size(&trial, &report);
    let asking =
        Effort { runs: effort.runs / 4, time: effort.time.map(|time| time / 4), ..*effort };
    let matter = matter(scenario, &trial, &asking);
    let whole = report.events;
    let (before, after, runs, stopped) = (size, size, 0, None);
    Some(Shrunk { trial, report, before, whole, after, runs, stopped, matter })
}

fn failure(report: &Report) -> Option<&Failure> {
    report.failure()
}

/// Whether a draw can be made nominal.
fn can_be_calm(address: &DrawAddress) -> bool {
    match address.site {
        Site::Link(..)
        | Site::Node(_)
        | Site::Disk(_)
        | Site::Lie(_)
        | Site::Twin(_)
        | Site::Thread(_) => true,
        Site::Tie | Site::Client(_) | Site::Plan | Site::Entropy(_) => false,
    }
}

fn size(trial: &Trial, report: &Report) -> Size {
    let drawn = report.draws.iter().map(|(address, _)| address).filter(|one| can_be_calm(one));
    let random = |address: &&DrawAddress| match &trial.random {
        Some(random) => random.contains(address),
        None => true,
    };
    Size {
        faults: report.plan.entries.len(),
        operations: report.completed + report.indeterminate,
        draws: drawn.filter(random).count(),
        delivered: report.counters.delivered,
        events: report.events,
    }
}
