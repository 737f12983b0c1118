//! The point of no return: at which event of a failing run its failure becomes likely.
//!
//! The run is replayed up to some event, and everything that is drawn after it is drawn anew, many
//! times: how many of these futures break the same promise? At the first event that share is what
//! the scenario and the fault plan alone make likely; at the last it is one. Where it jumps,
//! something was decided.
//!
//! The futures of all prefixes use the same seeds, and draws are addressed, so that two prefixes
//! differ in what happened and not in luck. The fault plan stays as it is in all of them: faults
//! are planned before a run begins.

use crate::parallel;
use crate::report::{Conclusion, Failure};
use crate::run::{Fork, Runnable, Trial};
use seedfall_sim::{Entry, Kind, Recording, Seed, StableHasher};
use serde::Serialize;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// How many futures of each prefix are run, unless somebody says otherwise.
pub const FUTURES: usize = 100;

/// Prefixes that are tried before the largest jump is looked for.
const COARSE: usize = 16;
/// Prefixes that the search for the largest jump may try.
const SEARCH: usize = 48;
/// How many steps before and after the largest jump are looked at one by one.
const AROUND: usize = 3;
/// How many times as many futures those get.
const CLOSER: usize = 4;
/// From this share on, in percent, a failure counts as decided.
const DECIDED: usize = 95;

/// How often a run fails from one of its steps on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Chance {
    /// How many events of the run had happened.
    pub after: u64,
    /// In how many futures the promise was broken.
    pub failed: usize,
    /// Of so many.
    pub of: usize,
}

impl Chance {
    /// The share of futures that failed.
    pub fn share(&self) -> f64 {
        self.failed as f64 / self.of.max(1) as f64
    }

    /// Between what the true share lies, with a confidence of 95 % (Wilson's interval, 1927).
    pub fn interval(&self) -> (f64, f64) {
        let (n, p, z) = (self.of.max(1) as f64, self.share(), 1.96_f64);
        let middle = p + z * z / (2.0 * n);
        let width = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z * z / n;
        (((middle - width) / scale).max(0.0), ((middle + width) / scale).min(1.0))
    }

    fn is_decided(&self) -> bool {
        self.of * DECIDED <= self.failed * 100
    }
}

/// An event at which something is decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Turn {
    /// Which event, counted from one: the first of its step.
    pub event: u64,
    /// The event in words.
    pub text: String,
    /// How often the run fails from before that step on.
    pub before: Chance,
    /// How often it fails from after it on.
    pub after: Chance,
}

impl Turn {
    /// Whether the two shares differ beyond doubt: their intervals are apart.
    pub fn is_sure(&self) -> bool {
        self.before.interval().1 < self.after.interval().0
    }
}

/// How the failure of a run became likely.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The promise that is broken.
    pub promise: String,
    /// How many events the run has.
    pub events: u64,
    /// The prefixes that were looked at, in order.
    pub curve: Vec<Chance>,
    /// The step at which the failure becomes more likely by most.
    pub jump: Turn,
    /// The step from which on at least 95 % of all futures fail.
    pub decided: Turn,
}

/// What looking for the point of no return may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Futures {
    /// How many of each prefix.
    pub of_each: usize,
    /// How many threads; the result does not depend on it.
    pub jobs: NonZeroUsize,
}

/// Looks for the point of no return. `None` if the run does not fail.
pub fn point(scenario: &dyn Runnable, trial: &Trial, futures: Futures) -> Option<Point> {
    let plan = Some(scenario.run(trial).plan);
    let full = Trial { plan, recording: Recording::Full, spans: false, ..trial.clone() };
    let report = scenario.run(&full);
    let broken = failure(&report.conclusion)?;
    let mut search = Search {
        scenario,
        trial: Trial { recording: Recording::Hash, log_draws: false, ..full },
        promise: broken.promise.clone(),
        futures,
        starts: starts(&report.trace),
        events: report.events,
        known: BTreeMap::new(),
    };
    let jump = search.jump();
    let decided = search.decided();
    let told = |step: usize, search: &mut Search<'_>| {
        let first = search.starts[step];
        let text = report.trace.get(first as usize).map(ToString::to_string);
        let (before, after) = (search.chance(step), search.chance(step + 1));
        let text = text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        Turn { event: first + 1, text, before, after }
    };
    let (jump, decided) = (told(jump, &mut search), told(decided, &mut search));
    let curve = search.known.into_values().collect();
    Some(Point { promise: search.promise, events: report.events, curve, jump, decided })
}

fn failure(conclusion: &Conclusion) -> Option<&Failure> {
    match conclusion {
        Conclusion::Failed(failure) => Some(failure),
        Conclusion::Passed | Conclusion::Vacuous(_) => None,
    }
}

/// For each step, how many events happened before it: a step begins when something arrives, a timer
/// rings, or the nemesis acts.
fn starts(trace: &[Entry]) -> Vec<u64> {
    let begins = |kind: Kind| {
        matches!(
            kind,
            Kind::Deliver
                | Kind::Lost
                | Kind::Asked
                | Kind::Answered
                | Kind::Timer
                | Kind::Crash
                | Kind::Pause
                | Kind::Resume
                | Kind::Fault
                | Kind::Refuse
        )
    };
    let first = [0].into_iter();
    let later = (1..).zip(trace.iter().skip(1)).filter(|(_, entry)| begins(entry.event.kind));
    first.chain(later.map(|(index, _)| index)).collect()
}

struct Search<'a> {
    scenario: &'a dyn Runnable,
    trial: Trial,
    promise: String,
    futures: Futures,
    /// For each step, how many events happened before it.
    starts: Vec<u64>,
    events: u64,
    /// What is known, by the number of steps taken.
    known: BTreeMap<usize, Chance>,
}

impl Search<'_> {
    fn steps(&self) -> usize {
        self.starts.len()
    }

    /// How often the run fails after so many of its steps.
    fn chance(&mut self, steps: usize) -> Chance {
        self.chance_of(steps, self.futures.of_each)
    }

    fn chance_of(&mut self, steps: usize, of: usize) -> Chance {
        if let Some(known) = self.known.get(&steps).filter(|known| of <= known.of) {
            return *known;
        }
        let after = self.starts.get(steps).copied().unwrap_or(self.events);
        let fails = |future: usize| {
            let seed = Seed(StableHasher::hash(&(self.trial.seed.0, future)));
            let trial = Trial { fork: Some(Fork { after, seed }), ..self.trial.clone() };
            let report = self.scenario.run(&trial);
            failure(&report.conclusion).is_some_and(|broken| broken.promise == self.promise)
        };
        // From its last event on a run has one future alone.
        let failed =
            if after < self.events { parallel::count(self.futures.jobs, of, &fails) } else { of };
        let chance = Chance { after, failed, of };
        self.known.insert(steps, chance);
        chance
    }

    /// The step at which the share rises most, as far as halving the interval with the largest rise
    /// finds it; then looked at more closely, with the steps around it.
    fn jump(&mut self) -> usize {
        let last = self.steps();
        for index in 0..=COARSE {
            self.chance(last * index / COARSE);
        }
        for _ in 0..SEARCH {
            let (from, to) = self.steepest();
            if to - from == 1 {
                break;
            }
            self.chance((from + to) / 2);
        }
        let (from, _) = self.steepest();
        let around = from.saturating_sub(AROUND)..=(from + 1 + AROUND).min(last);
        for step in around.clone() {
            self.chance_of(step, self.futures.of_each * CLOSER);
        }
        let rise = |step: &usize| self.known[&(step + 1)].share() - self.known[step].share();
        let steps = *around.start()..*around.end();
        // The first of those that rise most.
        steps.rev().max_by(|one, two| rise(one).total_cmp(&rise(two))).unwrap_or(from)
    }

    /// The neighbours among the known between which the share rises most; the first of equals.
    fn steepest(&self) -> (usize, usize) {
        let known: Vec<(usize, f64)> =
            self.known.iter().map(|(steps, chance)| (*steps, chance.share())).collect();
        let pairs = known.windows(2).map(|pair| (pair[0].0, pair[1].0, pair[1].1 - pair[0].1));
        let steepest = pairs.rev().max_by(|one, two| one.2.total_cmp(&two.2));
        steepest.map_or((0, 1), |(from, to, _)| (from, to))
    }

    /// The step after which the failure is decided, and before which it is not, by halving.
    fn decided(&mut self) -> usize {
        let undecided = self.known.iter().rev().find(|(_, chance)| !chance.is_decided());
        let Some((mut open, _)) = undecided.map(|(steps, chance)| (*steps, *chance)) else {
            return 0;
        };
        let mut closed =
            self.known.range(open + 1..).next().map_or(self.steps(), |(steps, _)| *steps);
        while closed - open > 1 {
            let middle = (open + closed) / 2;
            if self.chance(middle).is_decided() { closed = middle } else { open = middle }
        }
        open
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn an_interval_holds_its_share_and_narrows_with_the_number_of_futures() {
        let chance = |failed, of| Chance { after: 0, failed, of };
        let (low, high) = chance(50, 100).interval();
        assert!((0.40..0.41).contains(&low) && (0.59..0.60).contains(&high), "{low} {high}");
        assert!(chance(0, 100).interval().1 < 0.04);
        assert!(0.96 < chance(100, 100).interval().0);
        let width = |of| chance(of / 2, of).interval().1 - chance(of / 2, of).interval().0;
        assert!(width(400) < width(100));
    }
}
