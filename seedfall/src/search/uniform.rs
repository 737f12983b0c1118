//! Strategies that learn nothing: what a sweep does, and plans without the swarm.

use super::{Proposing, Strategy, mutate};
use crate::run::Trial;
use seedfall_sim::Seed;

/// The name of [`Swarm`].
pub const SWARM: &str = "swarm";
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
        let entries = (0..many).filter_map(|_| mutate::donor(proposing, &mut dice)).collect();
        trial.plan = Some(mutate::fitted(entries, &proposing.budget));
        trial
    }
}
