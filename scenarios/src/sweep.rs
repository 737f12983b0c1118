//! Many seeds: a parallel sweep, and what it proves.

use crate::fault::Class;
use crate::report::{Conclusion, Failure, FailureKind, Report};
use crate::run::{Runnable, Trial};
use crate::scenario::Expect;
use seedfall_sim::{Seed, StableHasher, SystemModel};
use std::collections::BTreeMap;
use std::mem;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What to sweep over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// The seeds, in order.
    pub seeds: Range<u64>,
    /// When to stop taking new seeds, by the machine's clock.
    pub time: Option<Duration>,
    /// How many threads; the result for given seeds does not depend on it.
    pub jobs: NonZeroUsize,
    /// Whether to go on after a failure.
    pub keep_going: bool,
    /// The model within which faults stay; `None`: that of the scenario.
    pub model: Option<SystemModel>,
    /// Classes of faults that are left out of every plan.
    pub without: Vec<Class>,
}

impl Sweep {
    /// Every seed, for ever, until the first failure.
    pub fn new(jobs: NonZeroUsize) -> Self {
        Self {
            seeds: 0..u64::MAX,
            time: None,
            jobs,
            keep_going: false,
            model: None,
            without: Vec::new(),
        }
    }

    /// The trial of one seed.
    fn trial(&self, scenario: &dyn Runnable, seed: Seed) -> Trial {
        let mut trial = Trial { model: self.model, ..Trial::of(seed) };
        if !self.without.is_empty() {
            let model = self.model.unwrap_or_else(|| scenario.model());
            let mut plan = scenario.plan_within(seed, &scenario.frame_under(model));
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
        let sweep = format!("cargo run --release -- sweep {name} --seeds {seed}..{}", seed + 1);
        (!options.is_empty()).then(|| sweep + &options)
    }
}

/// What a sweep came to. For given seeds it is the same however many threads ran it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Runs.
    pub seeds: u64,
    /// Of these, with every promise kept.
    pub passed: u64,
    /// Of these, proving nothing.
    pub vacuous: u64,
    /// Why, by how many runs each.
    pub vacuous_because: BTreeMap<String, u64>,
    /// Of these, with a broken promise.
    pub failed: u64,
    /// The failures with the lowest seeds, in order of seed; a few at most.
    pub failures: Vec<Failure>,
    /// Events, over all runs.
    pub events: u64,
    /// Messages delivered, over all runs.
    pub delivered: u64,
    /// Operations completed, over all runs.
    pub completed: u64,
    /// Operations with an unknown outcome, over all runs.
    pub indeterminate: u64,
    /// In how many runs a fault of the class was planned, and in how many it had an effect.
    pub fired: BTreeMap<Class, (u64, u64)>,
    /// In how many runs each mark was reached.
    pub marks: BTreeMap<&'static str, u64>,
    /// A hash over the hashes of all runs, whatever their order.
    pub hash: u64,
    /// How long it took, by the machine's clock.
    pub took: Duration,
}

/// How many failures a summary keeps.
const FAILURES_KEPT: usize = 8;

/// From how many seeds on a sweep must have reached every `sometimes` and fired every class of
/// fault.
pub const COVERAGE_FROM: u64 = 500;

/// What a sweep means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Every promise was kept; a negative control broke the promise that it should.
    Good,
    /// A promise was broken, first at this seed.
    Broken(FailureKind),
    /// Nothing was broken, and nothing is proved; says why.
    Vacuous(String),
}

impl Summary {
    fn add(&mut self, report: Report) {
        self.seeds += 1;
        self.events += report.events;
        self.delivered += report.counters.delivered;
        self.completed += report.completed;
        self.indeterminate += report.indeterminate;
        let own = StableHasher::hash(&(report.seed.0, report.hash));
        self.hash = self.hash.wrapping_add(own);
        let mut classes: BTreeMap<Class, bool> = BTreeMap::new();
        for (class, fired) in report.fired {
            *classes.entry(class).or_default() |= fired;
        }
        for (class, fired) in classes {
            let counts = self.fired.entry(class).or_default();
            *counts = (counts.0 + 1, counts.1 + u64::from(fired));
        }
        for (mark, _) in report.marks {
            *self.marks.entry(mark).or_default() += 1;
        }
        match report.conclusion {
            Conclusion::Passed => self.passed += 1,
            Conclusion::Vacuous(why) => {
                self.vacuous += 1;
                *self.vacuous_because.entry(why).or_default() += 1;
            }
            Conclusion::Failed(failure) => {
                self.failed += 1;
                self.keep(*failure);
            }
        }
    }

    fn keep(&mut self, failure: Failure) {
        let at = self.failures.partition_point(|kept| kept.seed < failure.seed);
        self.failures.insert(at, failure);
        self.failures.truncate(FAILURES_KEPT);
    }

    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.passed += other.passed;
        self.vacuous += other.vacuous;
        self.failed += other.failed;
        self.events += other.events;
        self.delivered += other.delivered;
        self.completed += other.completed;
        self.indeterminate += other.indeterminate;
        self.hash = self.hash.wrapping_add(other.hash);
        for (why, count) in other.vacuous_because {
            *self.vacuous_because.entry(why).or_default() += count;
        }
        for (class, (planned, fired)) in other.fired {
            let counts = self.fired.entry(class).or_default();
            *counts = (counts.0 + planned, counts.1 + fired);
        }
        for (mark, count) in other.marks {
            *self.marks.entry(mark).or_default() += count;
        }
        other.failures.into_iter().for_each(|failure| self.keep(failure));
    }

    /// What the sweep means for a scenario.
    pub fn meaning(&self, scenario: &dyn Runnable) -> Meaning {
        match (self.failures.first(), scenario.expect()) {
            (Some(failure), Expect::Violation) if failure.kind == FailureKind::Safety => {
                return Meaning::Good;
            }
            (Some(failure), Expect::Blocks) if failure.excuse.is_some() => return Meaning::Good,
            (Some(failure), _) => return Meaning::Broken(failure.kind),
            (None, Expect::Violation) => {
                let why = "a negative control that broke no promise: the search is too weak";
                return Meaning::Vacuous(why.to_owned());
            }
            (None, Expect::Blocks) => {
                let why = "a protocol that blocks was never stuck: the search is too weak";
                return Meaning::Vacuous(why.to_owned());
            }
            (None, Expect::Holds) => {}
        }
        if self.passed == 0 {
            let why = self.vacuous_because.keys().next().map_or("no run", String::as_str);
            return Meaning::Vacuous(format!("no run proves anything ({why})"));
        }
        if self.seeds < COVERAGE_FROM {
            return Meaning::Good;
        }
        if let Some((class, _)) = self.fired.iter().find(|(_, (_, fired))| *fired == 0) {
            return Meaning::Vacuous(format!("no {} ever had an effect", class.name()));
        }
        match scenario.sometimes().iter().find(|mark| !self.marks.contains_key(**mark)) {
            Some(mark) => Meaning::Vacuous(format!("never reached: {mark}")),
            None => Meaning::Good,
        }
    }
}

/// Seeds that a thread takes at a time.
const BLOCK: u64 = 16;

/// Runs a scenario over many seeds. `progress` is told, from any thread, how many runs and events
/// were added.
///
/// Unless told to keep going, the sweep ends with the first failure, and all lower seeds have been
/// run: the failure that it reports first is the one with the lowest seed, whatever the number of
/// threads.
pub fn sweep(
    scenario: &dyn Runnable,
    sweep: &Sweep,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Summary {
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "a sweep is bounded and timed by the machine's clock; its runs never see it"
    )]
    let started = std::time::Instant::now();
    let next = AtomicU64::new(sweep.seeds.start);
    let stop_after = AtomicU64::new(u64::MAX);
    let total = Mutex::new(Summary::default());
    let work = || {
        let mut own = Summary::default();
        loop {
            let first = next.fetch_add(BLOCK, Ordering::Relaxed);
            let late = sweep.time.is_some_and(|time| started.elapsed() >= time);
            if first >= sweep.seeds.end || first > stop_after.load(Ordering::Relaxed) || late {
                break;
            }
            let (seeds, events) = (own.seeds, own.events);
            for seed in first..sweep.seeds.end.min(first.saturating_add(BLOCK)) {
                if seed > stop_after.load(Ordering::Relaxed) {
                    break;
                }
                let report = scenario.run(&sweep.trial(scenario, Seed(seed)));
                if matches!(report.conclusion, Conclusion::Failed(_)) && !sweep.keep_going {
                    stop_after.fetch_min(seed, Ordering::Relaxed);
                }
                own.add(report);
            }
            progress(own.seeds - seeds, own.events - events);
        }
        // A poisoned lock means that a thread panicked outside a run; its own panic is the one to
        // report.
        total.lock().unwrap_or_else(std::sync::PoisonError::into_inner).merge(own);
    };
    std::thread::scope(|scope| {
        for _ in 1..sweep.jobs.get() {
            scope.spawn(work);
        }
        work();
    });
    let mut total = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    for failure in &mut total.failures {
        failure.replay = sweep.replay(failure).unwrap_or_else(|| mem::take(&mut failure.replay));
    }
    total.took = started.elapsed();
    total
}

/// As many threads as the machine has cores.
pub fn all_cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
