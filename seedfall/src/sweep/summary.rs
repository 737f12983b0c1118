//! The result of a sweep, and what it means.

use crate::faults::{ActsOn, Class};
use crate::report::{Failure, FailureKind, Report};
use crate::run::Runnable;
use crate::scenario::Expectation;
use seedfall_sim::StableHasher;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The result of a sweep. For given seeds it is the same however many threads ran it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Runs.
    pub seeds: u64,
    /// Of these, in which every property holds.
    pub passed: u64,
    /// Of these, proving nothing.
    pub vacuous: u64,
    /// Why, by how many runs each.
    pub vacuous_because: BTreeMap<String, u64>,
    /// Of these, with a check that ran out of its budget, and nothing else wrong.
    pub unknown: u64,
    /// By property: in how many runs, the first of these seeds, and what would help.
    pub unknown_because: BTreeMap<String, (u64, u64, String)>,
    /// Of these, with a failure that the scenario does not expect.
    pub failed: u64,
    /// The failures that the scenario does not expect, in order of seed; of more than
    /// [`FAILURES_KEPT`], those with the lowest seeds.
    pub failures: Vec<Failure>,
    /// The same in kinds, by fingerprint, all of them: how many runs failed so, and the one to look
    /// at, which failed after the fewest events, then of the fewest faults.
    pub ways: BTreeMap<String, (u64, Failure)>,
    /// Runs that broke what the scenario expects to break, and nothing else.
    pub as_expected: u64,
    /// By property: in how many runs what is expected to break broke, and the first of these
    /// failures.
    pub expected: BTreeMap<String, (u64, Failure)>,
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
    /// In how many runs the protocol had what a class acts on.
    pub acted_on: BTreeMap<Class, u64>,
    /// In how many runs each mark was reached.
    pub marks: BTreeMap<&'static str, u64>,
    /// The marks that programs declared in some run, beside those of the scenario.
    pub declared: BTreeSet<&'static str>,
    /// How many runs were run twice, to see whether they are the same.
    pub twice: u64,
    /// A hash over the hashes of all runs, whatever their order.
    pub hash: u64,
    /// How long it took, by the machine's clock.
    pub took: Duration,
}

/// How many failures a summary keeps one by one.
pub const FAILURES_KEPT: usize = 10_000;

/// From how many seeds on a sweep must have reached every `sometimes` and fired every class of
/// fault.
pub const COVERAGE_FROM: u64 = 500;

/// What a sweep means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Every property holds; what was expected to break broke, and nothing else.
    AsExpected,
    /// Something failed that is not expected, first in this way.
    Broken(FailureKind),
    /// Nothing was broken, and nothing is proved; says why.
    Vacuous(String),
}

impl Summary {
    /// Adds one run.
    pub(crate) fn add(&mut self, report: Report) {
        self.seeds += 1;
        self.events += report.events;
        self.delivered += report.counters.delivered;
        self.completed += report.completed;
        self.indeterminate += report.indeterminate;
        self.hash = self.hash.wrapping_add(StableHasher::hash(&(report.seed.0, report.hash)));
        let mut classes: BTreeMap<Class, bool> = BTreeMap::new();
        for (class, fired) in &report.fired {
            *classes.entry(*class).or_default() |= fired;
        }
        for (class, fired) in classes {
            let acted_on = !report.without.contains(&class.acts_on());
            *self.acted_on.entry(class).or_default() += u64::from(acted_on);
            let counts = self.fired.entry(class).or_default();
            *counts = (counts.0 + 1, counts.1 + u64::from(fired));
        }
        for (mark, _) in &report.marks {
            *self.marks.entry(mark).or_default() += 1;
        }
        self.declared.extend(&report.declared);
        self.judge(report);
    }

    fn judge(&mut self, report: Report) {
        let mut failures = report.failures.into_iter().peekable();
        match (failures.peek(), report.unknown.first(), &report.vacuous) {
            (Some(failure), ..) if failure.expected.is_none() => self.failed += 1,
            (Some(_), ..) => self.as_expected += 1,
            (None, Some(_), _) => self.unknown += 1,
            (None, None, Some(why)) => {
                self.vacuous += 1;
                *self.vacuous_because.entry(why.clone()).or_default() += 1;
            }
            (None, None, None) => self.passed += 1,
        }
        for unknown in report.unknown {
            let first = (0, report.seed.0, unknown.why);
            self.unknown_because.entry(unknown.property).or_insert(first).0 += 1;
        }
        // The gravest of a run stands for it; the others are told when it is replayed.
        if let Some(failure) = failures.next_if(|failure| failure.expected.is_none()) {
            self.keep(failure);
        }
        for failure in failures.filter(|failure| failure.expected.is_some()) {
            self.expected.entry(failure.property.clone()).or_insert((0, failure)).0 += 1;
        }
    }

    /// Adds a run of which nothing is known but how it failed.
    pub(crate) fn add_lost(&mut self, failure: Failure) {
        self.seeds += 1;
        self.failed += 1;
        self.keep(failure);
    }

    fn keep(&mut self, failure: Failure) {
        self.count(1, failure.clone());
        self.list(failure);
    }

    /// Counts runs that failed in one way, of which this is the one to look at.
    fn count(&mut self, runs: u64, best: Failure) {
        let key = |failure: &Failure| (failure.event, failure.faults.len(), failure.seed);
        match self.ways.entry(best.fingerprint.clone()) {
            Entry::Vacant(way) => drop(way.insert((runs, best))),
            Entry::Occupied(mut way) => {
                let (count, known) = way.get_mut();
                *count += runs;
                if key(&best) < key(known) {
                    *known = best;
                }
            }
        }
    }

    fn list(&mut self, failure: Failure) {
        let at = self.failures.partition_point(|kept| kept.seed < failure.seed);
        self.failures.insert(at, failure);
        self.failures.truncate(FAILURES_KEPT);
    }

    /// The same with the runs of higher seeds.
    pub(crate) fn and(mut self, higher: Self) -> Self {
        self.took += higher.took;
        self.merge(higher);
        self
    }

    /// Adds the runs of higher seeds.
    pub(super) fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.passed += other.passed;
        self.vacuous += other.vacuous;
        self.unknown += other.unknown;
        self.failed += other.failed;
        self.as_expected += other.as_expected;
        self.events += other.events;
        self.delivered += other.delivered;
        self.completed += other.completed;
        self.indeterminate += other.indeterminate;
        self.twice += other.twice;
        self.hash = self.hash.wrapping_add(other.hash);
        for (why, count) in other.vacuous_because {
            *self.vacuous_because.entry(why).or_default() += count;
        }
        for (property, (count, seed, why)) in other.unknown_because {
            self.unknown_because.entry(property).or_insert((0, seed, why)).0 += count;
        }
        for (property, (count, failure)) in other.expected {
            self.expected.entry(property).or_insert((0, failure)).0 += count;
        }
        for (class, (planned, fired)) in other.fired {
            let counts = self.fired.entry(class).or_default();
            *counts = (counts.0 + planned, counts.1 + fired);
        }
        for (class, runs) in other.acted_on {
            *self.acted_on.entry(class).or_default() += runs;
        }
        for (mark, count) in other.marks {
            *self.marks.entry(mark).or_default() += count;
        }
        self.declared.extend(other.declared);
        other.ways.into_values().for_each(|(runs, first)| self.count(runs, first));
        other.failures.into_iter().for_each(|failure| self.list(failure));
    }

    /// The failure to be told: the first that is not expected, else the first that is.
    pub fn first_failure(&self) -> Option<&Failure> {
        let expected = || self.expected.values().map(|(_, failure)| failure);
        self.failures.first().or_else(|| expected().min_by_key(|failure| failure.seed))
    }

    /// What the sweep means for a scenario.
    pub fn meaning(&self, scenario: &dyn Runnable) -> Meaning {
        if let Some(failure) = self.failures.first() {
            return Meaning::Broken(failure.kind);
        }
        if let Some(missing) = self.not_broken(scenario.expect()) {
            return Meaning::Vacuous(format!(
                "`{missing}` should break and never did: the search is too weak"
            ));
        }
        if self.passed + self.as_expected == 0 {
            let undecided = self.unknown_because.keys().next();
            let why = self.vacuous_because.keys().next().or(undecided);
            let why = why.map_or("no run", String::as_str);
            return Meaning::Vacuous(format!("no run proves anything ({why})"));
        }
        if self.seeds < COVERAGE_FROM || scenario.expect() != Expectation::Holds {
            return Meaning::AsExpected;
        }
        let silent = |(class, (_, fired)): &(&Class, &(u64, u64))| {
            *fired == 0 && !self.is_not_applicable(**class)
        };
        if let Some((class, _)) = self.fired.iter().find(silent) {
            return Meaning::Vacuous(format!(
                "no {} ever had an effect: if the scenario gives it nothing to act on, leave it \
                 out of `faults` (`{knob}: Swarm::NONE.{knob}`)",
                class.name(),
                knob = class.knob()
            ));
        }
        match self.owed(scenario).into_iter().find(|mark| !self.marks.contains_key(mark)) {
            Some(mark) => Meaning::Vacuous(format!("never reached: {mark}")),
            None => Meaning::AsExpected,
        }
    }

    /// The marks that a sweep must reach: those of the scenario, and those that its programs
    /// declared.
    pub fn owed(&self, scenario: &dyn Runnable) -> Vec<&'static str> {
        scenario.sometimes().into_iter().chain(self.declared.iter().copied()).collect()
    }

    /// Whether faults of a class could have no effect in any run, as the protocol has nothing that
    /// they act on: one node, no timer, nothing written down.
    pub fn is_not_applicable(&self, class: Class) -> bool {
        let never = |count: Option<u64>| count.unwrap_or_default() == 0;
        class.acts_on() != ActsOn::Anything
            && never(self.acted_on.get(&class).copied())
            && never(self.fired.get(&class).map(|(_, fired)| *fired))
    }

    /// What is expected to break, and did not.
    fn not_broken(&self, expect: Expectation) -> Option<&'static str> {
        let property = match expect {
            Expectation::Holds => None,
            Expectation::Violates { properties, .. } => properties.first().copied(),
            Expectation::Blocks { property, .. } => Some(property),
        };
        let broke =
            |property: &&str| self.expected.values().any(|(_, failure)| failure.is_about(property));
        property.filter(|property| !broke(property))
    }
}
