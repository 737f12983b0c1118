//! Probabilistic concurrency testing over messages, timers and faults.
//!
//! A bug of depth `d` shows if `d` events come in a certain order, whatever the others do. Chains
//! of messages have random priorities, and at `d - 1` random messages one falls to the lowest: then
//! a bug of depth `d` shows with a probability of at least `1 / (w^2 n^(d-1))`, of `w` chains and
//! `n` messages (Ozkan et al., OOPSLA 2018), or `1 / (w n^(d-1))` where the chains are known
//! beforehand, as links are (Burckhardt et al., ASPLOS 2010). Faults and crash points take part: an
//! entry begins at a random event.
//!
//! A priority is a delay within what the link permits, so the bound is one of orders among messages
//! that are under way together: a message cannot be held back for longer than its link may take.

use super::{Archive, Dice, Proposing, Strategy, mutate};
use crate::report::Report;
use crate::run::{Sight, Trial};
use seedfall_sim::{Chains, Priorities, Seed, Time};

/// The name of [`Pct`].
pub const NAME: &str = "pct";
/// The name of [`Pos`].
pub const POS: &str = "pos";

/// The largest depth.
const DEEPEST: usize = 3;

/// Random priorities of chains, one to three of which change.
#[derive(Debug, Default)]
pub struct Pct {
    /// The most chains of causes, and messages, of a run so far.
    widest: (u64, u64),
    links: u64,
    trials: [u64; DEEPEST],
}

/// Every message a chain of its own, whose priority its draw decides (partial order sampling: Yuan
/// et al., CAV 2018), and faults that begin at random events.
#[derive(Debug)]
pub struct Pos;

impl Strategy for Pct {
    fn name(&self) -> &'static str {
        NAME
    }

    fn propose(&mut self, proposing: &Proposing<'_>) -> Trial {
        let mut dice = proposing.dice(NAME);
        let seed = proposing.seed(NAME);
        let depth = 1 + dice.below(DEEPEST);
        self.trials[depth - 1] += 1;
        // Some of the changes are faults.
        let faults = dice.below(depth + 1);
        let most = proposing.archive.messages() as usize;
        let many = (depth - 1).saturating_sub(faults);
        let mut changes: Vec<u64> = (0..many).map(|_| dice.below(most) as u64).collect();
        changes.sort_unstable();
        changes.dedup();
        let chains = if dice.chance(50) { Chains::Links } else { Chains::Causes };
        let timers = dice.chance(50);
        let mut trial = at_events(proposing, &mut dice, seed, Some(1 + faults));
        // Whoever waits for the faults to stop is owed chance again.
        let until = Time::ZERO + proposing.budget.faults;
        trial.priorities = Some(Priorities { seed, chains, timers, until, changes });
        trial
    }

    fn told(&mut self, trial: &Trial, report: &Report, _: &[Sight], _: &Archive) {
        let Some(observed) = &report.observed else { return };
        let chains = trial.priorities.as_ref().map(|one| one.chains);
        match chains {
            Some(Chains::Causes) => {
                self.widest.0 = self.widest.0.max(observed.chains);
            }
            _ => self.links = self.links.max(observed.chains),
        }
        self.widest.1 = self.widest.1.max(observed.messages);
    }

    fn remarks(&self) -> Vec<String> {
        let Self { widest: (chains, messages), links, trials } = self;
        let many = trials.map(|count| count.to_string()).join(", ");
        vec![
            format!("{many} trials of depth 1, 2, 3; at most {messages} messages a run,"),
            format!("on {links} links or in {chains} chains: an order of depth 2 shows in"),
            format!("1 run of {} (links) or better", links * messages),
        ]
    }
}

impl Strategy for Pos {
    fn name(&self) -> &'static str {
        POS
    }

    fn propose(&mut self, proposing: &Proposing<'_>) -> Trial {
        let mut dice = proposing.dice(POS);
        at_events(proposing, &mut dice, proposing.seed(POS), None)
    }
}

/// The trial of a seed, of whose faults some are left, at most so many; they begin at random
/// events.
fn at_events(proposing: &Proposing<'_>, dice: &mut Dice, seed: Seed, most: Option<usize>) -> Trial {
    let mut trial = proposing.swarm(seed);
    let mut entries = trial.plan.take().unwrap_or_default().entries;
    while most.is_some_and(|most| most < entries.len()) {
        entries.swap_remove(dice.below(entries.len()));
    }
    let moved = entries.into_iter().map(|entry| match proposing.archive.moment(dice) {
        // What disturbs every link all the time goes on doing so.
        Some(moment) if Time::ZERO + entry.at > Time::ZERO => {
            mutate::begun_at(entry, moment, &proposing.budget)
        }
        _ => entry,
    });
    trial.plan = Some(mutate::fitted(moved.collect(), &proposing.budget));
    trial
}
