//! The point of no return: at which event of a failing run its failure becomes likely.
//!
//! The run is replayed up to some event, and everything after it is drawn anew, many times: how
//! many of these futures break the same property? *Everything* is delays, losses and timers, whom
//! clients ask, what, and when, and when and where the faults strike that have not begun
//! ([`Fork`](crate::run::Fork)); which operations and which faults there are, stays. At the first
//! event that share is
//! how likely such a run is at all; at the last it is one. The point of no return is where the
//! share comes to a half and never falls below it again: from there on the failure is more likely
//! than not, whatever else happens.
//!
//! The futures of all prefixes use the same seeds, and draws are addressed, so that two prefixes
//! differ in what happened and not in luck.
//!
//! What is named so is checked against [`cause`], which knows nothing of likelihood: the last
//! decision that the run cannot fail without. A bug may act long before (a vote is granted that is
//! not durable) and do no harm until something else happens (the voter crashes): that something is
//! the cause. Or it may act long after: an entry that only a deposed leader holds is bound to be
//! overwritten, and what overwrites it wrongly is bound to run.
//!
//! Nor is every decision that a run cannot fail without a cause: a read may only show what went
//! wrong before. Where a program holds its own fix ([`planted::has_fix`]), [`too_late`] tells the
//! two apart. The futures of each prefix are run with the fix: what is decided after the step from
//! which on it comes too late has done no harm.
//!
//! [`planted::has_fix`]: seedfall_sim::planted::has_fix

mod cause;

pub use cause::{Cause, cause};

use crate::report::Failure;
use crate::run::{self, Runnable, Trial};
use seedfall_sim::{Address, Entry, Kind, Recording, Seed, StableHasher, Time};
use serde::Serialize;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// How many futures of each prefix are run, unless somebody says otherwise.
pub const FUTURES: usize = 100;

/// Prefixes that are tried before it is looked for by halving.
const COARSE: usize = 16;
/// How many steps before and after it are looked at one by one.
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
    /// In how many futures the property was broken.
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

    fn is_likely(&self) -> bool {
        self.of <= self.failed * 2
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
    /// The last event of its step.
    pub ends: u64,
    /// The event in words.
    pub text: String,
    /// When what arrives with that event left: a message, a request or an answer.
    pub left: Option<u64>,
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
    /// The property that is broken.
    pub property: String,
    /// How many events the run has.
    pub events: u64,
    /// The prefixes that were looked at, in order.
    pub curve: Vec<Chance>,
    /// The point of no return: the last step before which less than half of all futures fail.
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
    let mut search = Search::new(scenario, trial, futures, false)?;
    let jump = search.jump();
    let decided = search.last_open(Chance::is_decided);
    let (jump, decided) = (search.turn(jump), search.turn(decided));
    let curve = search.known.into_values().collect();
    Some(Point { property: search.property, events: search.events, curve, jump, decided })
}

/// The step from which on the fix of the program ([`planted::has_fix`]) comes too late: before it
/// less than half of the futures fail that have the fix, and from after it on at least half do.
/// `None`: the run does not fail, or it does though it has the fix from its first event on.
///
/// [`planted::has_fix`]: seedfall_sim::planted::has_fix
pub fn too_late(scenario: &dyn Runnable, trial: &Trial, futures: Futures) -> Option<Turn> {
    let mut search = Search::new(scenario, trial, futures, true)?;
    let mended = scenario.run(&Trial { fix: Some(0), ..search.trial.clone() });
    let breaks = |broken: &Failure| broken.property == search.property;
    if mended.failure().is_some_and(breaks) || search.chance(0).is_likely() {
        return None;
    }
    let step = search.jump();
    Some(search.turn(step))
}

/// For each step, how many events happened before it: a step begins when something arrives, a timer
/// rings, or the nemesis acts.
fn starts(trace: &[Entry]) -> Vec<u64> {
    // What a program does that nothing caused that arrived: a thread of it has slept.
    let wakes = |one: &Entry, two: &Entry| {
        use Kind::{Call, Connect, Exit, File, Note, Output, Panic, Switch};
        let own = matches!(two.event.kind, Connect | Exit | File | Note | Output | Panic | Switch);
        two.event.kind == Call || own && one.event.at < two.event.at
    };
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
                | Kind::Signal
                | Kind::Fault
                | Kind::Refuse
        )
    };
    let first = [0].into_iter();
    let later = (1..).zip(trace.windows(2));
    let later = later.filter(|(_, pair)| begins(pair[1].event.kind) || wakes(&pair[0], &pair[1]));
    first.chain(later.map(|(index, _)| index)).collect()
}

/// The place of the event with which that left which arrives at this place.
fn departure(trace: &[Entry], arrives: usize) -> Option<usize> {
    let event = trace.get(arrives)?.event;
    if !matches!(event.kind, Kind::Deliver | Kind::Asked | Kind::Answered) {
        return None;
    }
    left(trace, event.peer, event.actor, event.index)
}

/// The place of the event with which the message, request or answer left that has this index on
/// its link.
fn left(trace: &[Entry], from: Address, to: Address, index: u64) -> Option<usize> {
    trace.iter().position(|Entry { event, .. }| {
        matches!(event.kind, Kind::Send | Kind::Request | Kind::Respond)
            && (event.actor, event.peer, event.index) == (from, to, index)
    })
}

struct Search<'a> {
    scenario: &'a dyn Runnable,
    trial: Trial,
    trace: Vec<Entry>,
    property: String,
    futures: Futures,
    /// Whether futures have the fix.
    fix: bool,
    /// For each step, how many events happened before it.
    starts: Vec<u64>,
    events: u64,
    /// What is known, by the number of steps taken.
    known: BTreeMap<usize, Chance>,
}

impl<'a> Search<'a> {
    fn new(scenario: &'a dyn Runnable, trial: &Trial, futures: Futures, fix: bool) -> Option<Self> {
        let first = scenario.run(trial);
        // What goes another way may take longer to break its property.
        let open_until = Some(Time::ZERO + first.ended.since(Time::ZERO).scale(2, 1));
        let recording = Recording::Full;
        let full = Trial { plan: Some(first.plan), recording, spans: false, ..trial.clone() };
        let report = scenario.run(&full);
        let property = report.failure()?.property.clone();
        let recording = Recording::Hash;
        Some(Self {
            scenario,
            trial: Trial { recording, log_draws: false, until: None, open_until, ..full },
            starts: starts(&report.trace),
            trace: report.trace,
            property,
            futures,
            fix,
            events: report.events,
            known: BTreeMap::new(),
        })
    }

    fn turn(&mut self, step: usize) -> Turn {
        let first = self.starts[step];
        let text = self.trace.get(first as usize).map(ToString::to_string).unwrap_or_default();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (before, after) = (self.chance(step), self.chance(step + 1));
        let ends = self.starts.get(step + 1).copied().unwrap_or(self.events);
        let left = departure(&self.trace, first as usize).map(|place| place as u64 + 1);
        Turn { event: first + 1, ends, text, left, before, after }
    }

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
        let futures = run::Futures {
            after,
            count: of,
            seed: &|future| Seed(StableHasher::hash(&(self.trial.seed.0, future))),
            fails: &|report| report.failure().is_some_and(|one| one.property == self.property),
            jobs: self.futures.jobs,
        };
        let trial = Trial { fix: self.fix.then_some(after), ..self.trial.clone() };
        // From its last event on a run has one future alone.
        let failed = if after < self.events { self.scenario.futures(&trial, &futures) } else { of };
        let chance = Chance { after, failed, of };
        self.known.insert(steps, chance);
        chance
    }

    /// The last step before which less than half of the futures fail, and after which at least half
    /// do: by halving between the last prefix tried that is below a half and the next, then looked
    /// at more closely, with the steps around it. The first step, if half of them always fail.
    fn jump(&mut self) -> usize {
        let last = self.steps();
        for index in 0..=COARSE {
            self.chance(last * index / COARSE);
        }
        let found = self.last_open(Chance::is_likely);
        let around = found.saturating_sub(AROUND)..=(found + 1 + AROUND).min(last);
        for step in around {
            self.chance_of(step, self.futures.of_each * CLOSER);
        }
        self.last_open(Chance::is_likely)
    }

    /// The step after which something holds for good, and before which it does not, by halving;
    /// the first, if it always holds.
    fn last_open(&mut self, holds: impl Fn(&Chance) -> bool) -> usize {
        let open = self.known.iter().rev().find(|(_, chance)| !holds(chance));
        let Some(mut open) = open.map(|(steps, _)| *steps) else { return 0 };
        let mut closed =
            self.known.range(open + 1..).next().map_or(self.steps(), |(steps, _)| *steps);
        while closed - open > 1 {
            let middle = (open + closed) / 2;
            let chance = self.chance(middle);
            if holds(&chance) { closed = middle } else { open = middle }
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
