//! Many seeds: a parallel sweep, and what it proves.

mod ledger;
mod summary;
mod twice;
mod watch;
mod work;

pub use summary::{COVERAGE_FROM, FAILURES_KEPT, Meaning, Summary};
pub use twice::run_twice;
pub use watch::{FITS_INTO_MEMORY, Limits, watched};

use crate::faults::Class;
use crate::report::Failure;
use crate::run::{Runnable, Trial};
use seedfall_sim::{Seed, SystemModel};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::time::Duration;

/// What to sweep over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// The seeds, in order.
    pub seeds: Range<u64>,
    /// Where a larger sweep begins, of which this one is a part; `None`: it is one by itself.
    pub part_of: Option<u64>,
    /// When to stop taking new seeds, by the machine's clock.
    pub time: Option<Duration>,
    /// How many threads; the result for given seeds does not depend on it.
    pub jobs: NonZeroUsize,
    /// Whether to go on after a failure that is not expected.
    pub keep_going: bool,
    /// The model within which faults stay; `None`: that of the scenario.
    pub model: Option<SystemModel>,
    /// Classes of faults that are left out of every plan.
    pub without: Vec<Class>,
    /// What a single run may take of the machine.
    pub limits: Limits,
}

impl Sweep {
    /// Every seed, for ever, until the first failure.
    pub fn new(jobs: NonZeroUsize) -> Self {
        Self {
            seeds: 0..u64::MAX,
            part_of: None,
            time: None,
            jobs,
            keep_going: false,
            model: None,
            without: Vec::new(),
            limits: Limits::DEFAULT,
        }
    }

    /// The trial of one seed.
    fn trial(&self, scenario: &dyn Runnable, seed: Seed) -> Trial {
        let mut trial = Trial { model: self.model, ..Trial::of(seed) };
        if !self.without.is_empty() {
            let model = self.model.unwrap_or_else(|| scenario.model());
            let mut plan = scenario.plan_within(seed, &scenario.fault_budget_under(model));
            plan.entries.retain(|entry| !self.without.contains(&entry.fault.class()));
            trial.plan = Some(plan);
        }
        trial
    }

    /// The line that finds a failure of this sweep again, where its seed alone does not, as other
    /// faults were drawn than the scenario's own.
    fn replay(&self, failure: &Failure) -> Option<String> {
        let mut options = String::new();
        if let Some(model) = self.model {
            options += &format!(" --under '{model}'");
        }
        for class in &self.without {
            options += &format!(" --without {}", class.name());
        }
        let (name, seed) = (failure.scenario, failure.seed.0);
        let sweep = format!("sweep {name} --seeds {seed}..{}", seed + 1);
        (!options.is_empty()).then(|| crate::words::command(&(sweep + &options)))
    }
}

/// How far a sweep has come since it was told last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Runs.
    pub seeds: u64,
    /// Events of these runs.
    pub events: u64,
    /// The seed that has been under way for the longest time, if that is more than a second: what
    /// it is doing, and for how long.
    pub slow: Option<(u64, String, Duration)>,
}

/// Runs a scenario over many seeds. `progress` is told, several times a second, what was added.
///
/// The same seeds come to the same summary whatever the number of threads, unless time ran out:
/// without `keep_going`, exactly the seeds up to the first failure that is not expected. A run that
/// does not end, or takes too much memory, is a failure too: its thread is left behind, and
/// another takes over.
pub fn sweep(
    scenario: &dyn Runnable,
    sweep: &Sweep,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Summary {
    let mut total = work::run(scenario, sweep, progress);
    let best = total.ways.values_mut().map(|(_, best)| best);
    for failure in total.failures.iter_mut().chain(best) {
        if let Some(replay) = sweep.replay(failure) {
            failure.replay = replay;
        }
    }
    total
}

/// As many threads as the machine has cores.
pub fn all_cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
