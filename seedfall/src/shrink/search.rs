//! The search for a smaller run that fails in the same way.

use super::clock::Clock;
use super::fewer::Names;
use super::scene::Scene;
use super::simpler::simpler;
use super::{Effort, Stop, can_be_calm, failure};
use crate::parallel;
use crate::plan::{Aim, Entry, FaultPlan};
use crate::report::{Failure, Report};
use crate::run::{Call, Runnable, Trial};
use crate::scenario::OperationId;
use seedfall_sim::{DrawAddress, Duration, Recording, StableHasher, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

/// A time in which nothing is planned is taken out if it is as long as this.
const WORTH: Duration = Duration::millis(20);

/// How much of it is taken out, in eighths: the most first.
const CUTS: [u64; 4] = [8, 6, 4, 2];

/// To a reader a fault is as much as so many events.
pub(super) const FAULT: u64 = 30;
/// Of so many faults and operations all pairs are left out.
const ALL_PAIRS_UP_TO: usize = 24;
/// Of so many faults and operations all triples are left out.
const ALL_TRIPLES_UP_TO: usize = 12;
/// How many runs with calls moved are tried.
const JITTERED_RUNS: u64 = 400;
/// By how much a call is moved, at most.
const JITTER: Duration = Duration::millis(20);

/// What is made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Faults,
    Nodes,
    Operations,
    Gaps,
    Draws,
    EachFault,
}

/// Delta debugging ends where nothing can be left out, and where that is depends on what was left
/// out first: several orders are tried.
pub(super) const ORDERS: [[Pass; 6]; 3] = [
    [Pass::Faults, Pass::Nodes, Pass::Operations, Pass::Gaps, Pass::Draws, Pass::EachFault],
    [Pass::Draws, Pass::Operations, Pass::Faults, Pass::Nodes, Pass::EachFault, Pass::Gaps],
    [Pass::Operations, Pass::Draws, Pass::Gaps, Pass::Faults, Pass::EachFault, Pass::Nodes],
];

pub(super) struct Search<'a> {
    scenario: &'a dyn Runnable,
    fingerprint: String,
    property: String,
    /// The smallest so far.
    best: Trial,
    /// In which order things are made smaller.
    order: [Pass; 6],
    runs: u64,
    limit: u64,
    /// By how many events a candidate must have failed; `None`: it is waited for.
    most: Option<u64>,
    jobs: NonZeroUsize,
    clock: Clock,
    /// The program knows its fix, and the run does not fail with it: nor may what is smaller.
    fix: bool,
    /// Where a candidate must break the property; `None`: anywhere.
    scene: Option<Scene>,
}

impl<'a> Search<'a> {
    /// A search that begins with `best`, which breaks this property after so many events.
    pub(super) fn new(
        scenario: &'a dyn Runnable,
        broken: &Failure,
        best: Trial,
        events: u64,
        effort: &Effort,
    ) -> Self {
        // Whoever waits for ever is only known by waiting.
        let most = if broken.kind.is_late() { None } else { Some(events) };
        let best = Trial { until: most, ..best };
        let fix = !breaks(scenario, &mended(&best), &broken.property);
        Self {
            scenario,
            fingerprint: broken.fingerprint.clone(),
            property: broken.property.clone(),
            best,
            order: ORDERS[0],
            runs: 0,
            limit: effort.runs,
            most,
            jobs: effort.jobs,
            clock: Clock::start(effort.time),
            fix,
            scene: None,
        }
    }

    /// The search among runs that break the property where this one does.
    pub(super) fn at_the_scene_of(self, broken: &Failure) -> Self {
        Self { scene: Some(Scene::of(broken)), ..self }
    }

    /// The search in this order.
    pub(super) fn ordered(self, order: [Pass; 6]) -> Self {
        Self { order, ..self }
    }

    /// How long it has taken.
    pub(super) fn elapsed(&self) -> std::time::Duration {
        self.clock.elapsed()
    }

    pub(super) fn runs(&self) -> u64 {
        self.runs
    }

    /// Why there is more to be tried, if there is.
    pub(super) fn stopped(&self) -> Option<Stop> {
        if self.clock.was_late() {
            return Some(Stop::Time);
        }
        (self.limit <= self.runs).then_some(Stop::Runs)
    }

    /// The smallest that was found so far.
    pub(super) fn best(&self) -> &Trial {
        &self.best
    }

    /// The smallest that was found, up to the event by which it has failed.
    pub(super) fn into_best(mut self) -> Trial {
        let until = self.most.map(|_| self.events_of_best());
        Trial { until, ..self.best }
    }

    /// Lets no candidate have more events than the run has now, up to the one by which it fails.
    pub(super) fn bound(&mut self) {
        self.most = self.most.map(|_| self.events_of_best());
        self.best.until = self.most;
    }

    pub(super) fn until_nothing_changes(&mut self) {
        // A run is over when its faults and its clients are; so that these can be left out, it is
        // to go on without them.
        let until = self.scenario.fault_budget_of(&self.best).faults;
        self.take(1, &|best, _| Trial { faults: Some(until), ..best.clone() });
        // What looks for work ends when its line says, if that will do.
        self.take(1, &|best, _| {
            let mut best = best.clone();
            let entries = best.plan.iter_mut().flat_map(|plan| &mut plan.entries);
            entries.for_each(|entry| entry.retargets = false);
            best
        });
        // An operation is to be called when it was, whatever becomes of those before it.
        let logged = self.scenario.run(&Trial { log_draws: true, ..self.best.clone() });
        let calls: BTreeMap<OperationId, Call> = logged.calls.into_iter().collect();
        self.take(1, &|best, _| Trial { calls: calls.clone(), ..best.clone() });
        self.changes();
        loop {
            while self.one_by_one() && self.stopped().is_none() {}
            let mut changed = self.moves();
            changed |= self.together();
            if !changed || self.stopped().is_some() {
                break;
            }
        }
    }

    fn one_by_one(&mut self) -> bool {
        let mut changed = false;
        for pass in self.order {
            changed |= match pass {
                Pass::Faults => self.faults(),
                Pass::Nodes => self.nodes(),
                Pass::Operations => self.operations(),
                Pass::Gaps => self.gaps(),
                Pass::Draws => self.draws(),
                Pass::EachFault => self.each_fault(),
            };
        }
        changed
    }

    /// Takes over the first of so many candidates that fails in the same way; says which. The
    /// candidates before it count as runs, whoever tried how many of them.
    pub(super) fn take(
        &mut self,
        count: usize,
        candidate: &(dyn Fn(&Trial, usize) -> Trial + Sync),
    ) -> Option<usize> {
        let left = self.limit.saturating_sub(self.runs);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(count);
        let fails =
            |index: usize| !self.clock.is_late() && self.fails(&candidate(&self.best, index));
        let found = parallel::first(self.jobs, count, &fails);
        self.runs += found.map_or(count, |index| index + 1) as u64;
        if let Some(index) = found {
            self.best = candidate(&self.best, index);
        }
        found
    }

    /// The run of a trial.
    pub(super) fn run(&self, trial: &Trial) -> Report {
        self.scenario.run(trial)
    }

    fn fails(&self, candidate: &Trial) -> bool {
        let budget = self.scenario.fault_budget_of(candidate);
        if candidate.plan.as_ref().is_some_and(|plan| plan.check(&budget).is_err()) {
            return false;
        }
        let mut trial = candidate.clone();
        loop {
            let report = self.scenario.run(&trial);
            let is_same = |one: &Failure| {
                one.fingerprint == self.fingerprint
                    && self.scene.as_ref().is_none_or(|scene| *scene == Scene::of(one))
            };
            if !failure(&report).is_some_and(is_same) {
                return false;
            }
            // What fails with the fix as well is another failure.
            let is_other = || self.fix && breaks(self.scenario, &mended(&trial), &self.property);
            let (Some(most), Some(until)) = (candidate.until, trial.until) else {
                return !is_other();
            };
            if report.events <= most {
                return !is_other();
            }
            // The last step brought more events than there may be: is it broken without that step?
            trial.until = until.checked_sub(1);
        }
    }

    pub(super) fn plan(&self) -> FaultPlan {
        self.best.plan.clone().unwrap_or_default()
    }

    /// Leaves faults out.
    fn faults(&mut self) -> bool {
        self.minimize(self.plan().entries, |best, entries| Trial {
            plan: Some(FaultPlan { entries }),
            ..best.clone()
        })
    }

    /// Leaves nodes out: the last ones, or any, those that stay being renamed.
    fn nodes(&mut self) -> bool {
        let (fewest, now) = (self.scenario.fewest(), self.nodes_of_best());
        let last = self.take(now.saturating_sub(fewest), &|best, more| Trial {
            nodes: Some(fewest + more),
            ..best.clone()
        });
        let now = self.nodes_of_best();
        let any = (fewest..now).any(|stay| {
            let names = Names::all(now, stay);
            self.take(names.len(), &|best, which| names[which].trial(best, stay)).is_some()
        });
        last.is_some() || any
    }

    /// Takes time out of the run in which nothing is planned: whatever is planned later happens
    /// earlier.
    fn gaps(&mut self) -> bool {
        let mut changed = false;
        let mut place = 0;
        loop {
            let moments = self.moments();
            let Some([from, to]) = moments.windows(2).nth(place).map(|pair| [pair[0], pair[1]])
            else {
                return changed;
            };
            let gap = to - from;
            let taken = gap >= WORTH
                && self
                    .take(CUTS.len(), &|best, which| {
                        let cut = gap.scale(CUTS[which], 8);
                        earlier(best, from, cut, self.scenario.fault_budget_of(best).faults)
                    })
                    .is_some();
            changed |= taken;
            if !taken {
                place += 1;
            }
        }
    }

    /// When something is planned: beginnings and ends of faults, calls, and the end of all faults.
    fn moments(&self) -> Vec<Duration> {
        let best = &self.best;
        let entries = self.plan().entries.into_iter();
        let faults = entries.flat_map(|entry| [entry.at, entry.at + entry.lasts]);
        let called = best.calls.iter().filter(|(operation, _)| !best.skip.contains(operation));
        let calls = called.map(|(_, call)| call.at.since(Time::ZERO));
        let end = self.scenario.fault_budget_of(best).faults;
        let all: BTreeSet<Duration> = faults.chain(calls).chain([Duration::ZERO, end]).collect();
        all.into_iter().collect()
    }

    /// Leaves whole clients out, then operations.
    fn operations(&mut self) -> bool {
        let all = self.scenario.operations();
        let left = |search: &Self| -> Vec<OperationId> {
            all.iter().filter(|one| !search.best.skip.contains(one)).copied().collect()
        };
        let clients: BTreeSet<_> = left(self).into_iter().map(|one| one.client).collect();
        let fewer_clients = self.minimize(clients.into_iter().collect(), |best, clients| {
            let out = all.iter().filter(|one| !clients.contains(&one.client));
            let skip = best.skip.iter().chain(out).copied().collect();
            Trial { skip, ..best.clone() }
        });
        let fewer = self.minimize(left(self), |best, operations| {
            let kept: BTreeSet<_> = operations.iter().collect();
            let skip = all.iter().filter(|one| !kept.contains(one)).copied().collect();
            Trial { skip, ..best.clone() }
        });
        fewer_clients || fewer
    }

    /// Leaves out two or three things at once, neither of which can be left out alone; and one
    /// thing while calls move a little, since what is left may need another rhythm.
    fn together(&mut self) -> bool {
        let mut changed = false;
        loop {
            let things = self.things();
            if things.len() < 2 {
                return changed;
            }
            let sets = sets(&things);
            let taken = self.take(sets.len(), &|best, which| {
                let (out, salt) = &sets[which];
                with_calls_jittered(without(best, out), *salt)
            });
            if taken.is_none() {
                return changed;
            }
            changed = true;
        }
    }

    /// Takes over the first of these candidates that fails within so many events.
    pub(super) fn take_within(&mut self, most: u64, candidates: &[Trial]) -> bool {
        let taken = self.take(candidates.len(), &|_, which| Trial {
            until: Some(most),
            ..candidates[which].clone()
        });
        // The bound was for these candidates alone.
        self.best.until = self.most;
        taken.is_some()
    }

    /// Whether it can become shorter: a run that waits for ever has no length.
    pub(super) fn has_length(&self) -> bool {
        self.most.is_some()
    }

    /// How many events the smallest run so far has, up to the one by which it has failed, and when
    /// that is.
    pub(super) fn length(&mut self) -> (u64, Duration) {
        let events = self.events_of_best();
        let trial = Trial { until: Some(events), ..self.best.clone() };
        (events, self.scenario.run(&trial).ended.since(Time::ZERO))
    }

    /// How many nodes take part in the smallest run so far.
    pub(super) fn nodes_of_best(&self) -> usize {
        self.scenario.fault_budget_of(&self.best).nodes
    }

    /// The size of the smallest run so far: its events, and a fault counts as many.
    pub(super) fn size(&mut self) -> u64 {
        self.events_of_best() + FAULT * self.plan().entries.len() as u64
    }

    /// How many events the smallest run so far has, up to the one by which it has failed: what is
    /// broken once stays broken, so halving finds it.
    fn events_of_best(&mut self) -> u64 {
        self.runs += 1;
        let mut failed = self.scenario.run(&self.best).events;
        if self.most.is_none() {
            return failed;
        }
        let mut open = 0;
        while open + 1 < failed {
            let middle = u64::midpoint(open, failed);
            self.runs += 1;
            let trial = Trial { until: Some(middle), ..self.best.clone() };
            if self.fails(&trial) { failed = middle } else { open = middle }
        }
        failed
    }

    /// Faults and operations.
    fn things(&self) -> Vec<Thing> {
        let faults = (0..self.plan().entries.len()).map(Thing::Fault);
        let all = self.scenario.operations();
        let operations = all.into_iter().filter(|one| !self.best.skip.contains(one));
        faults.chain(operations.map(Thing::Operation)).collect()
    }

    /// Makes draws nominal.
    fn draws(&mut self) -> bool {
        let trial = Trial { log_draws: true, recording: Recording::Hash, ..self.best.clone() };
        let report = self.scenario.run(&trial);
        self.runs += 1;
        let random: BTreeSet<DrawAddress> = report
            .draws
            .iter()
            .map(|(address, _)| *address)
            .filter(can_be_calm)
            .filter(|one| trial.random.as_ref().is_none_or(|random| random.contains(one)))
            .collect();
        // A draw that the smaller run no longer makes is not worth a run.
        let first = self.best.random.is_none();
        let only = |best: &Trial, random: Vec<DrawAddress>| {
            let random: BTreeSet<DrawAddress> = random.into_iter().collect();
            let mut overrides = best.overrides.clone();
            // What is made nominal is not decided otherwise.
            overrides.retain(|one, _| !can_be_calm(one) || random.contains(one));
            Trial { random: Some(random), overrides, ..best.clone() }
        };
        let made: Vec<DrawAddress> = random.into_iter().collect();
        if self.take(1, &|best, _| only(best, made.clone())).is_none() {
            return false;
        }
        let lifted = self.overrides();
        self.minimize(made, only) || first || lifted
    }

    /// Makes each fault shorter, narrower and weaker.
    fn each_fault(&mut self) -> bool {
        let mut changed = false;
        for index in 0..self.plan().entries.len() {
            loop {
                let budget = self.scenario.fault_budget_of(&self.best);
                let entry = self.plan().entries[index].clone();
                let struck = self.struck(index).filter(|struck| *struck != entry);
                let simpler: Vec<Entry> =
                    struck.into_iter().chain(simpler(&entry, &budget)).collect();
                let taken = self.take(simpler.len(), &|best, which| {
                    let mut plan = best.plan.clone().unwrap_or_default();
                    plan.entries[index] = simpler[which].clone();
                    Trial { plan: Some(plan), ..best.clone() }
                });
                if taken.is_none() {
                    break;
                }
                changed = true;
            }
        }
        changed
    }

    /// The entry as it strikes in the smallest run so far, if it aims or looks for work.
    fn struck(&self, index: usize) -> Option<Entry> {
        let entry = &self.best.plan.as_ref()?.entries[index];
        if !entry.retargets && entry.aim == Aim::Named {
            return None;
        }
        self.scenario.run(&self.best).struck.get(index)?.clone()
    }

    /// Delta debugging: looks for a smaller list whose run still fails, by leaving out ever smaller
    /// pieces, until no single item can be left out. True if it found one. The list itself is
    /// known to fail.
    pub(super) fn minimize<T: Clone + Sync>(
        &mut self,
        mut items: Vec<T>,
        of: impl Fn(&Trial, Vec<T>) -> Trial + Sync,
    ) -> bool {
        let whole = items.len();
        if whole > 0 && self.take(1, &|best, _| of(best, Vec::new())).is_some() {
            return true;
        }
        let mut piece = whole.div_ceil(2);
        while piece > 0 && items.len() > 1 {
            let mut start = 0;
            let mut smaller = false;
            while start < items.len() && piece < items.len() {
                let pieces = (items.len() - start).div_ceil(piece);
                let rest = |which: usize| {
                    let from = start + which * piece;
                    let to = items.len().min(from + piece);
                    [&items[..from], &items[to..]].concat()
                };
                let Some(which) = self.take(pieces, &|best, which| of(best, rest(which))) else {
                    break;
                };
                let rest = rest(which);
                start += which * piece;
                items = rest;
                smaller = true;
            }
            if piece == 1 && !smaller {
                break;
            }
            piece = if piece == 1 { 1 } else { piece.div_ceil(2) };
        }
        items.len() < whole
    }
}

/// The trial of a program that has its fix from the beginning, if it knows one.
fn mended(trial: &Trial) -> Trial {
    Trial { fix: Some(0), recording: Recording::Hash, log_draws: false, ..trial.clone() }
}

/// Whether a run breaks this property.
fn breaks(scenario: &dyn Runnable, trial: &Trial, property: &str) -> bool {
    scenario.run(trial).failures.iter().any(|failure| failure.property == property)
}

/// Something that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    /// The entry of the plan with this index.
    Fault(usize),
    Operation(OperationId),
}

/// What is left out together, each with the salt by which calls move.
fn sets(things: &[Thing]) -> Vec<(Vec<Thing>, u64)> {
    let mut sets = Vec::new();
    for (index, one) in things.iter().enumerate() {
        for (other, two) in things.iter().enumerate().skip(index + 1) {
            if things.len() <= ALL_PAIRS_UP_TO {
                sets.push((vec![*one, *two], 0));
            }
            if things.len() <= ALL_TRIPLES_UP_TO {
                let more = things.iter().skip(other + 1);
                sets.extend(more.map(|three| (vec![*one, *two, *three], 0)));
            }
        }
    }
    let any = |salt: u64, turn: u64| {
        let draw = StableHasher::hash(&(salt, turn)) >> 32;
        things[((draw * things.len() as u64) >> 32) as usize]
    };
    sets.extend((1..=JITTERED_RUNS).map(|salt| {
        let out = (0..=salt % 3).map(|turn| any(salt, turn)).collect();
        (out, salt)
    }));
    sets
}

fn without(trial: &Trial, out: &[Thing]) -> Trial {
    let mut trial = trial.clone();
    if let Some(plan) = &mut trial.plan {
        let mut index = 0;
        plan.entries.retain(|_| {
            index += 1;
            !out.contains(&Thing::Fault(index - 1))
        });
    }
    trial.skip.extend(out.iter().filter_map(|thing| match thing {
        Thing::Operation(operation) => Some(*operation),
        Thing::Fault(_) => None,
    }));
    trial
}

/// The trial with its calls a little later or earlier, otherwise for each salt; zero leaves them.
fn with_calls_jittered(mut trial: Trial, salt: u64) -> Trial {
    if salt > 0 {
        for (operation, call) in &mut trial.calls {
            let draw = StableHasher::hash(&(*operation, salt));
            let later = call.at.since(Time::ZERO) + JITTER.scale(draw >> 33, 1 << 30);
            call.at = Time::ZERO + (later - JITTER.min(later));
        }
    }
    trial
}

/// The trial, whose faults stop at `end`, with whatever is planned after `from` earlier by `cut`.
fn earlier(trial: &Trial, from: Duration, cut: Duration, end: Duration) -> Trial {
    let moved = |at: Duration| if from < at { at - cut } else { at };
    let mut trial = trial.clone();
    for entry in trial.plan.iter_mut().flat_map(|plan| &mut plan.entries) {
        let end = moved(entry.at + entry.lasts);
        entry.at = moved(entry.at);
        entry.lasts = end - entry.at;
    }
    for call in trial.calls.values_mut() {
        call.at = Time::ZERO + moved(call.at.since(Time::ZERO));
    }
    trial.faults = Some(moved(end));
    trial
}
