//! Strategies that learn nothing: what a sweep does, the same of less, and plans without the swarm.

use super::{Proposing, Strategy, mutate};
use crate::run::Trial;
use seedfall_sim::Seed;

/// The name of [`Swarm`].
pub const SWARM: &str = "swarm";
/// The name of [`Small`].
pub const SMALL: &str = "small";
/// The name of [`Uniform`].
pub const UNIFORM: &str = "uniform";

/// Seeds one after the other from the base seed on, each with the plan that it draws: what a sweep
/// runs, run for run.
#[derive(Debug)]
pub struct Swarm;

impl Strategy for Swarm {
    fn name(&self) -> &'static str {
        SWARM
    }

    fn propose(&mut self, proposing: &Proposing<'_>) -> Trial {
        proposing.swarm(Seed(proposing.base.wrapping_add(proposing.index)))
    }
}

/// Plans of a few entries, each of any class that the scenario draws: no class is off, as with the
/// swarm, in half of all runs.
#[derive(Debug)]
pub struct Uniform;

impl Strategy for Uniform {
    fn name(&self) -> &'static str {
        UNIFORM
    }

    fn propose(&mut self, proposing: &Proposing<'_>) -> Trial {
        let mut dice = proposing.dice(UNIFORM);
        let mut trial = Trial::of(proposing.seed(UNIFORM));
        let many = 1 + dice.below(6);
        let entries = (0..many)
            .filter_map(|_| mutate::donor(proposing, &mut dice, &proposing.budget))
            .collect();
        trial.plan = Some(mutate::fitted(entries, &proposing.budget));
        trial
    }
}

/// Plain seeds of smaller clusters and workloads: as few nodes as make sense, in half of them, and
/// a part of the operations. A run costs less, and what needs an operation to be absent shows
/// (swarm testing, of the workload).
#[derive(Debug)]
pub struct Small;

impl Strategy for Small {
    fn name(&self) -> &'static str {
        SMALL
    }

    fn propose(&mut self, proposing: &Proposing<'_>) -> Trial {
        let mut dice = proposing.dice(SMALL);
        let scenario = proposing.scenario;
        let mut trial = Trial::of(proposing.seed(SMALL));
        // Not a number between: four sites of a quorum protocol may part in two halves, of which
        // neither can go on, where three and five cannot.
        if dice.chance(50) {
            trial.nodes = Some(scenario.fewest());
        }
        let share = [100, 75, 50, 25][dice.below(4)];
        let left_out = scenario.operations().into_iter().filter(|_| !dice.chance(share));
        trial.skip = left_out.collect();
        let budget = scenario.fault_budget_of(&trial);
        trial.plan = Some(scenario.plan_within(trial.seed, &budget));
        trial
    }
}
