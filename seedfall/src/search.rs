//! Search: where to look next, told by what runs have shown.
//!
//! A sweep runs seeds one after the other and learns nothing. A [`Strategy`] proposes [`Trial`]s (a
//! seed, a plan, draws decided otherwise, turns) and is told what each run showed: which abstract
//! states it came to ([`Observation`](crate::run::Observation)), which of them nobody had seen, its
//! marks, its verdict. [`hunt`] divides the runs among strategies by what each has found lately,
//! and ends at the first failure that is not expected, which is then [`written`] as an ordinary
//! trial: a seed, a plan and overridden draws, to be replayed, shrunk and kept as any other.
//!
//! Everything is a function of the base seed and the number of runs; the number of threads changes
//! nothing. Where a time decides, so does the machine.
//!
//! - [`uniform`]: seeds as a sweep runs them, and plans without the swarm;
//! - [`pct`]: priorities in the place of chance, with a bound that is stated;
//! - [`guided`]: mutations of runs that showed something new;
//! - [`branching`]: futures from the moment at which something rare was reached;
//! - [`lineage`]: the few losses and crashes that could undo what was acknowledged;
//! - [`corpus`]: runs that showed something, in files.

mod archive;
pub mod branching;
pub mod corpus;
mod dice;
pub mod guided;
mod hunt;
pub mod lineage;
mod mutate;
pub mod pct;
#[cfg(test)]
mod tests;
pub mod uniform;
mod written;

pub use archive::{Archive, Exemplar};
pub use hunt::{Found, Hunt, Hunted, Share, hunt};
pub use written::written;

use crate::plan::FaultBudget;
use crate::report::Report;
use crate::run::{Runnable, Sight, Trial};
use dice::Dice;
use seedfall_sim::{Seed, StableHasher};

/// What a strategy may know when it proposes a trial.
pub struct Proposing<'a> {
    /// The scenario.
    pub scenario: &'a dyn Runnable,
    /// What plans must fit into.
    pub budget: FaultBudget,
    /// What all strategies have seen so far.
    pub archive: &'a Archive,
    /// The base seed of the hunt.
    pub base: u64,
    /// How many trials this strategy has proposed so far.
    pub index: u64,
}

impl std::fmt::Debug for Proposing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proposing").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Proposing<'_> {
    /// What a strategy of this name throws for its next trial.
    fn dice(&self, name: &str) -> Dice {
        Dice::of(&(self.base, name, self.index))
    }

    /// A seed that belongs to a strategy of this name and its next trial alone.
    fn seed(&self, name: &str) -> Seed {
        Seed(StableHasher::hash(&(self.base, "seed", name, self.index)) >> 24)
    }

    /// The trial of a seed, as a sweep runs it.
    fn swarm(&self, seed: Seed) -> Trial {
        let plan = Some(self.scenario.plan_within(seed, &self.budget));
        Trial { plan, ..Trial::of(seed) }
    }
}

/// A way of choosing what to run next.
pub trait Strategy: Send {
    /// The word for it.
    fn name(&self) -> &'static str;

    /// The next trial. Its plan must be there, and fit the budget.
    fn propose(&mut self, proposing: &Proposing<'_>) -> Trial;

    /// What a trial of its own came to, in the order in which it proposed them; `fresh` are the
    /// states that nobody had seen before, and marks that few runs reach.
    fn told(&mut self, trial: &Trial, report: &Report, fresh: &[Sight], archive: &Archive) {
        let _ = (trial, report, fresh, archive);
    }

    /// What a reader of the result should know of it, in a line or two.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The names of all strategies, in the order in which they are first tried, and what each does.
pub const STRATEGIES: [(&str, &str); 7] = [
    (uniform::SWARM, "seeds one after the other, as `sweep` runs them"),
    (uniform::SMALL, "plain seeds of smaller clusters and workloads"),
    (uniform::UNIFORM, "plans of which each class of faults is as likely as any other"),
    (pct::NAME, "message orders by random priorities, one to three of which change"),
    (pct::POS, "message orders by priorities of single messages, and faults at random events"),
    (guided::NAME, "mutations of runs that showed something new"),
    (branching::NAME, "futures of runs from where they reached something rare"),
];

/// The strategy of this name.
pub fn strategy(name: &str) -> Option<Box<dyn Strategy>> {
    Some(match name {
        uniform::SWARM => Box::new(uniform::Swarm),
        uniform::SMALL => Box::new(uniform::Small),
        uniform::UNIFORM => Box::new(uniform::Uniform),
        pct::NAME => Box::<pct::Pct>::default(),
        pct::POS => Box::new(pct::Pos),
        guided::NAME => Box::<guided::Guided>::default(),
        branching::NAME => Box::<branching::Branching>::default(),
        _ => return None,
    })
}

/// The strategies of a hunt unless somebody says otherwise: plain seeds as the scenario has them,
/// and what is told what runs showed.
pub fn portfolio(scenario: &dyn Runnable) -> Vec<&'static str> {
    if scenario.is_observable() {
        vec![uniform::SWARM, pct::NAME, pct::POS, guided::NAME, branching::NAME]
    } else {
        vec![uniform::SWARM]
    }
}
