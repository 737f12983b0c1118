//! What a hunt has seen so far, and the runs that showed it first.

use super::Dice;
use crate::report::Report;
use crate::run::{Level, Sight, Trial};
use seedfall_sim::Time;
use std::cell::Cell;

/// A run that showed something that nobody had seen.
#[derive(Clone, Debug)]
pub struct Exemplar {
    /// What to run, with its plan.
    pub trial: Trial,
    /// What it was the first to show: what counts most first.
    pub fresh: Vec<Sight>,
    /// How many events it has.
    pub events: u64,
    /// How many trials were made from it.
    pub tries: Cell<u64>,
}

/// How many exemplars are kept, at most; then half of them go, those with the least to give.
const EXEMPLARS: usize = 1_024;
/// How many sights of each.
const SIGHTS: usize = 12;
/// A mark is rare if one of so many runs reaches it, or fewer.
const RARE: u64 = 100;
/// Of how many exemplars, chosen at random, the one with the most to give is taken.
const TOURNAMENT: usize = 6;

/// What all strategies of a hunt have seen.
#[derive(Debug, Default)]
pub struct Archive {
    seen: Seen,
    exemplars: Vec<Exemplar>,
    runs: u64,
    sent: u64,
    pace: Vec<Time>,
}

impl Archive {
    /// How many states were seen.
    pub fn states(&self) -> u64 {
        self.seen.count as u64
    }

    /// In how many runs a state was seen.
    pub fn runs_with(&self, state: u64) -> u32 {
        self.seen.get(state)
    }

    /// The runs that showed something first.
    pub fn exemplars(&self) -> &[Exemplar] {
        &self.exemplars
    }

    /// How many messages a run sends, on average.
    pub fn messages(&self) -> u64 {
        (self.sent / self.runs.max(1)).max(1)
    }

    /// The time of a random event of a recent run: where there is much to be disturbed.
    pub(super) fn moment(&self, dice: &mut Dice) -> Option<Time> {
        dice.pick(&self.pace).copied()
    }

    /// Takes a run in; what it is the first to show, and marks that few runs reach.
    pub(super) fn learn(&mut self, trial: &Trial, report: &Report) -> Vec<Sight> {
        self.runs += 1;
        self.sent += report.counters.sent;
        let Some(observed) = &report.observed else { return Vec::new() };
        let runs = self.runs;
        let sights = observed.sights.iter().copied();
        let is_rare = |one: &Sight| {
            let count = self.seen.add(one.state);
            count == 1 || one.level == Level::Mark && u64::from(count) * RARE <= runs
        };
        let fresh: Vec<Sight> = sights.filter(is_rare).collect();
        self.pace.clone_from(&observed.pace);
        if !fresh.is_empty() {
            let mut kept = fresh.clone();
            kept.sort_by_key(|sight| std::cmp::Reverse((weight(sight), sight.event)));
            kept.truncate(SIGHTS);
            let plan = Some(report.plan.clone());
            let trial = Trial { plan, ..trial.clone() };
            let events = report.events;
            self.exemplars.push(Exemplar { trial, fresh: kept, events, tries: Cell::new(0) });
        }
        if EXEMPLARS < self.exemplars.len() {
            self.forget();
        }
        fresh
    }

    /// Lets those exemplars go that have the least to give.
    fn forget(&mut self) {
        let mut worth: Vec<(u64, usize)> =
            (0..self.exemplars.len()).map(|index| (self.worth(index), index)).collect();
        worth.sort_unstable();
        let gone = worth.len() / 2;
        let mut stays = vec![true; worth.len()];
        worth[..gone].iter().for_each(|(_, index)| stays[*index] = false);
        let mut stays = stays.into_iter();
        self.exemplars.retain(|_| stays.next().unwrap_or(false));
    }

    /// What an exemplar has to give: the rarer what it showed, and the fewer trials were made from
    /// it, the more.
    fn worth(&self, index: usize) -> u64 {
        let Exemplar { fresh, tries, .. } = &self.exemplars[index];
        let rarest = fresh.iter().map(|sight| self.worth_of(sight)).max();
        rarest.unwrap_or(0) / (1 + tries.get())
    }

    /// What a sight has to give: the rarer it is, the more.
    pub(super) fn worth_of(&self, sight: &Sight) -> u64 {
        weight(sight) * 1_000_000 / u64::from(self.seen.get(sight.state).max(1))
    }

    /// An exemplar from which another trial is to be made: mostly one with much to give.
    pub(super) fn choose(&self, dice: &mut Dice) -> Option<usize> {
        let all = self.exemplars.len();
        let drawn: Vec<usize> = (0..TOURNAMENT.min(all)).map(|_| dice.below(all)).collect();
        drawn.into_iter().max_by_key(|index| self.worth(*index))
    }
}

/// What the first sight of a state counts: of those of which there are few, more.
pub(super) fn weight(sight: &Sight) -> u64 {
    match sight.level {
        Level::Cluster => 1,
        Level::Node | Level::Fault => 4,
        Level::Marks => 8,
        Level::Mark => 32,
    }
}

/// How often each state was seen: open addressing, and nothing ever leaves.
#[derive(Debug)]
struct Seen {
    slots: Vec<(u64, u32)>,
    count: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self { slots: vec![(0, 0); 1 << 12], count: 0 }
    }
}

impl Seen {
    /// The slot of a state: its own, or the empty one where it belongs.
    fn slot(&self, state: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = state as usize & mask;
        while self.slots[at].1 > 0 && self.slots[at].0 != state {
            at = (at + 1) & mask;
        }
        at
    }

    fn get(&self, state: u64) -> u32 {
        self.slots[self.slot(state)].1
    }

    /// Counts a state; how often it was seen by now.
    fn add(&mut self, state: u64) -> u32 {
        let at = self.slot(state);
        let (_, count) = self.slots[at];
        self.slots[at] = (state, count.saturating_add(1));
        if count == 0 {
            self.count += 1;
            if self.slots.len() < self.count * 2 {
                self.grow();
            }
        }
        count.saturating_add(1)
    }

    fn grow(&mut self) {
        let wider = vec![(0, 0); self.slots.len() * 4];
        for slot in std::mem::replace(&mut self.slots, wider) {
            if slot.1 > 0 {
                let at = self.slot(slot.0);
                self.slots[at] = slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn states_are_counted_one_by_one_however_many_there_are() {
        let mut seen = Seen::default();
        for round in 1..=3 {
            for state in 0..10_000_u64 {
                assert_eq!(seen.add(state * 4_096), round);
            }
        }
        assert_eq!((seen.count, seen.get(4_096), seen.get(1)), (10_000, 3, 0));
    }
}
