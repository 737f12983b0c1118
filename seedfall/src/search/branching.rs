//! Branching: from where a run reached something rare, many futures.
//!
//! If each of `k` rare things happens in one run of `m`, all of them happen in one of `m^k`. Taken
//! one by one it is `k * m`: the first that reaches one of them is the past of all that look for
//! the next. A future is the run again up to there, as draws have addresses, and then the luck of
//! another seed, and other faults; so a point costs a few numbers, however large the cluster is.

use super::archive::weight;
use super::{Archive, Proposing, Strategy, mutate};
use crate::report::Report;
use crate::run::{Sight, Trial};
use crate::search::Dice;
use seedfall_sim::{Duration, Seed, Time};
use std::collections::VecDeque;

/// The name of [`Branching`].
pub const NAME: &str = "branching";

/// How many points are kept, at most.
const POINTS: usize = 256;
/// How many points one run may add.
const OF_EACH: usize = 4;
/// So many trials in a hundred are fresh ones.
const FRESH: usize = 20;
/// Of how many points, chosen at random, the one with the most to give is taken.
const TOURNAMENT: usize = 12;
/// A point of which so many futures in a row showed nothing new is doomed, and given up.
const DOOMED: u32 = 64;

/// Where a run reached something.
#[derive(Debug)]
struct Point {
    id: u64,
    trial: Trial,
    sight: Sight,
    futures: u64,
    /// How many futures in a row showed nothing new.
    barren: u32,
}

/// Futures from where something rare was reached.
#[derive(Debug, Default)]
pub struct Branching {
    points: Vec<Point>,
    /// From which point each trial was made that it has not been told of; `None`: from none.
    under_way: VecDeque<Option<u64>>,
    next: u64,
    futures: u64,
    doomed: u64,
}

impl Strategy for Branching {
    fn name(&self) -> &'static str {
        NAME
    }

    fn propose(&mut self, proposing: &Proposing<'_>) -> Trial {
        let mut dice = proposing.dice(NAME);
        let seed = proposing.seed(NAME);
        self.adopt(proposing.archive);
        let archive = proposing.archive;
        let worth = |point: &Point| archive.worth_of(&point.sight) / (1 + point.futures);
        let fresh = dice.chance(FRESH);
        let drawn: Vec<usize> = (0..TOURNAMENT).map(|_| dice.below(self.points.len())).collect();
        let best = drawn.into_iter().max_by_key(|index| self.points.get(*index).map(worth));
        let Some(point) = best.filter(|_| !fresh).and_then(|best| self.points.get_mut(best)) else {
            self.under_way.push_back(None);
            return proposing.swarm(seed);
        };
        point.futures += 1;
        self.futures += 1;
        self.under_way.push_back(Some(point.id));
        future(proposing, &mut dice, point, seed)
    }

    fn told(&mut self, trial: &Trial, report: &Report, fresh: &[Sight], archive: &Archive) {
        let from = self.under_way.pop_front().flatten();
        let place = from.and_then(|id| self.points.iter().position(|point| point.id == id));
        if let Some(place) = place {
            let point = &mut self.points[place];
            point.barren = if fresh.is_empty() { point.barren + 1 } else { 0 };
            if DOOMED <= point.barren {
                self.points.swap_remove(place);
                self.doomed += 1;
            }
        }
        self.add(trial, report, fresh, archive);
    }

    fn remarks(&self) -> Vec<String> {
        let Self { points, futures, doomed, .. } = self;
        vec![format!("{futures} futures; {doomed} points given up, {} open", points.len())]
    }
}

impl Branching {
    /// Where others reached something, if it has no point of its own.
    fn adopt(&mut self, archive: &Archive) {
        if !self.points.is_empty() {
            return;
        }
        for exemplar in archive.exemplars().iter().rev().take(POINTS / OF_EACH) {
            let trial = &exemplar.trial;
            exemplar.fresh.iter().take(OF_EACH).for_each(|sight| self.push(trial, sight));
        }
    }

    fn add(&mut self, trial: &Trial, report: &Report, fresh: &[Sight], archive: &Archive) {
        let trial = Trial { plan: Some(report.plan.clone()), ..trial.clone() };
        let mut sights: Vec<&Sight> = fresh.iter().collect();
        sights.sort_by_key(|sight| std::cmp::Reverse((weight(sight), sight.event)));
        sights.into_iter().take(OF_EACH).for_each(|sight| self.push(&trial, sight));
        if POINTS < self.points.len() {
            let worth = |point: &Point| archive.worth_of(&point.sight) / (1 + point.futures);
            self.points.sort_by_key(|point| std::cmp::Reverse((worth(point), point.id)));
            self.points.truncate(POINTS / 2);
        }
    }

    fn push(&mut self, trial: &Trial, sight: &Sight) {
        let id = self.next;
        self.next += 1;
        let (trial, sight) = (trial.clone(), *sight);
        self.points.push(Point { id, trial, sight, futures: 0, barren: 0 });
    }
}

/// The run up to the point, and then other luck and other faults.
fn future(proposing: &Proposing<'_>, dice: &mut Dice, point: &Point, seed: Seed) -> Trial {
    let mut trial = point.trial.clone();
    mutate::turned(&mut trial, point.sight.event, seed);
    let now = point.sight.at.since(Time::ZERO);
    let mut entries = trial.plan.take().unwrap_or_default().entries;
    // What has begun is the past; of what has not, some happens.
    entries.retain(|entry| entry.at <= now || dice.chance(50));
    let budget = proposing.scenario.fault_budget_of(&trial);
    let left = budget.faults - now.min(budget.faults);
    if Duration::millis(1) < left {
        for _ in 0..dice.below(4) {
            let Some(entry) = mutate::donor(proposing, dice, &budget) else { break };
            let at = point.sight.at + Duration::nanos(1) + dice.span(left);
            entries.push(mutate::begun_at(entry, at, &budget));
        }
    }
    trial.plan = Some(mutate::fitted(entries, &budget));
    trial
}
