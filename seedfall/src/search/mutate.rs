//! Mutations, at the level of decisions: what another trial is made of.

use super::{Dice, Proposing};
use crate::plan::{Entry, FaultBudget, FaultPlan};
use crate::run::{Fork, Sight, Trial};
use seedfall_sim::{Address, ClientId, DrawAddress, Duration, NodeId, Override, Seed, Site, Time};

/// How many entries a plan that was made by mutation has, at most.
const ENTRIES: usize = 24;

/// A fault such as the scenario draws: one entry of the plan of some seed.
pub(super) fn donor(
    proposing: &Proposing<'_>,
    dice: &mut Dice,
    budget: &FaultBudget,
) -> Option<Entry> {
    (0..4).find_map(|_| {
        let seed = Seed(dice.word());
        let plan = proposing.scenario.plan_within(seed, budget);
        dice.pick(&plan.entries).cloned()
    })
}

/// The plan of these entries, without those that do not fit beside those before them.
pub(super) fn fitted(entries: Vec<Entry>, budget: &FaultBudget) -> FaultPlan {
    let mut plan = FaultPlan { entries: Vec::new() };
    for mut entry in entries.into_iter().take(ENTRIES) {
        if budget.faults <= entry.at {
            continue;
        }
        entry.lasts = entry.lasts.min(budget.faults - entry.at);
        if plan.entries.iter().any(|other| are_in_the_way(other, &entry)) {
            continue;
        }
        plan.entries.push(entry);
        if plan.check(budget).is_err() {
            plan.entries.pop();
        }
    }
    plan
}

/// Whether two entries add up to what the scenario never draws: two that hold one node at a time
/// (and bend its clock twice as far, say), or the same disturbance of every link twice.
fn are_in_the_way(one: &Entry, other: &Entry) -> bool {
    let meet = one.at < other.at + other.lasts && other.at < one.at + one.lasts;
    let held = || one.fault.holds().iter().any(|node| other.fault.holds().contains(node));
    let of_all = |entry: &Entry| entry.fault.names().is_empty();
    let twice = one.fault.class() == other.fault.class() && of_all(one) && of_all(other);
    meet && (twice || held())
}

/// The entry, beginning at another time.
pub(super) fn begun_at(mut entry: Entry, at: Time, budget: &FaultBudget) -> Entry {
    entry.at = at.since(Time::ZERO).min(budget.faults);
    entry.lasts = entry.lasts.min(budget.faults - entry.at);
    entry
}

/// A trial made from one that showed something: up to three of its decisions are other ones.
pub(super) fn mutated(
    proposing: &Proposing<'_>,
    dice: &mut Dice,
    parent: &Trial,
    sight: &Sight,
    seed: Seed,
) -> Trial {
    let mut trial = parent.clone();
    let budget = proposing.scenario.fault_budget_of(&trial);
    for round in 0..3 {
        one(proposing, dice, &budget, &mut trial, sight, Seed(seed.0 ^ round));
        if dice.chance(60) {
            break;
        }
    }
    let entries = trial.plan.take().unwrap_or_default().entries;
    trial.plan = Some(fitted(entries, &budget));
    trial
}

fn one(
    proposing: &Proposing<'_>,
    dice: &mut Dice,
    budget: &FaultBudget,
    trial: &mut Trial,
    sight: &Sight,
    seed: Seed,
) {
    let mut entries = trial.plan.take().unwrap_or_default().entries;
    let which = dice.below(entries.len());
    match dice.below(16) {
        // Move a fault: to where something happened, or a little.
        0 | 1 if !entries.is_empty() => {
            let entry = &mut entries[which];
            let span = dice.span(budget.faults.scale(1, 5));
            let from = if dice.chance(50) { sight.at.since(Time::ZERO) } else { entry.at };
            entry.at = if dice.chance(50) { from + span } else { from - span.min(from) };
        }
        // Drop one.
        2 if !entries.is_empty() => drop(entries.swap_remove(which)),
        // Splice: what happens until then, and what happens after it in another run.
        3 | 4 => splice(proposing, dice, &mut entries),
        // Strengthen one, or weaken it.
        5 if !entries.is_empty() => {
            let entry = &mut entries[which];
            let (by, of) = if dice.chance(60) { (2, 1) } else { (1, 2) };
            entry.lasts = entry.lasts.scale(by, of).max(Duration::millis(1));
        }
        // Retarget one.
        6 | 7 if !entries.is_empty() => {
            let entry = &mut entries[which];
            let node = NodeId::new(dice.below(budget.nodes) as u16);
            let node = if dice.chance(50) { sight.node } else { node };
            if !entry.fault.class().takes_a_node() {
                entry.fault = entry.fault.aimed_at(node);
            }
        }
        // Decide one draw otherwise.
        8 => override_one(proposing, dice, trial, sight),
        // The same faults, and other luck.
        9 => {
            trial.seed = seed;
            trial.turns.clear();
            trial.overrides.clear();
        }
        // The same past, and other luck.
        10 | 11 => turned(trial, sight.event, seed),
        // Something else goes wrong where something happened.
        _ => {
            if let Some(entry) = donor(proposing, dice, budget) {
                let span = dice.span(budget.faults.scale(1, 10));
                let since = sight.at.since(Time::ZERO);
                let at = if dice.chance(70) { since + span } else { since - span.min(since) };
                let mut entry = begun_at(entry, Time::ZERO + at, budget);
                if dice.chance(40) && !entry.fault.class().takes_a_node() {
                    entry.fault = entry.fault.aimed_at(sight.node);
                }
                entries.push(entry);
            }
        }
    }
    trial.plan = Some(FaultPlan { entries });
}

/// From so many events on the trial has the luck of another seed.
pub(super) fn turned(trial: &mut Trial, after: u64, seed: Seed) {
    trial.turns.retain(|turn| turn.after < after);
    trial.turns.push(Fork { after, seed });
}

fn splice(proposing: &Proposing<'_>, dice: &mut Dice, entries: &mut Vec<Entry>) {
    let exemplars = proposing.archive.exemplars();
    let Some(other) = dice.pick(exemplars).and_then(|other| other.trial.plan.as_ref()) else {
        return;
    };
    let cut = proposing.budget.faults.scale(dice.below(256) as u64, 256);
    entries.retain(|entry| entry.at < cut);
    entries.extend(other.entries.iter().filter(|entry| cut <= entry.at).cloned());
}

/// One message of the node takes as long as it may, or as short, or is drawn otherwise.
fn override_one(proposing: &Proposing<'_>, dice: &mut Dice, trial: &mut Trial, sight: &Sight) {
    let FaultBudget { nodes, clients, .. } = proposing.budget;
    let other: Address = match dice.below(nodes + clients) {
        node if node < nodes => NodeId::new(node as u16).into(),
        client => ClientId::new((client - nodes) as u16).into(),
    };
    if other == sight.node.into() {
        return;
    }
    let links = (nodes * (nodes + clients)).max(1) as u64;
    let most = (2 * proposing.archive.messages() / links).max(4);
    let index = dice.below(most as usize) as u64;
    let site = if dice.chance(75) {
        Site::Link(sight.node.into(), other)
    } else {
        Site::Link(other, sight.node.into())
    };
    let word = dice.word() as u32;
    let rest = dice.word() as u32;
    let words = match dice.below(4) {
        0 => [u32::MAX, u32::MAX, rest, rest],
        1 => [u32::MAX, 0, rest, rest],
        2 => [0, word, rest, rest],
        _ => [word, rest, word.rotate_left(7), rest],
    };
    trial.overrides.insert(DrawAddress { site, index }, Override::Words(words));
}
