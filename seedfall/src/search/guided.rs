//! Guided by novelty: trials are made from those that showed a state that nobody had seen.
//!
//! As coverage-guided fuzzers do it, at the level of decisions (`mutate.rs`), and
//! with states of the cluster in the place of branches of the code: those are all taken at once,
//! and tell nothing of a protocol. What was seen rarely gets the most trials (Böhme et al.,
//! "Coverage-based Greybox Fuzzing as Markov Chain", CCS 2016).

use super::{Archive, Proposing, Strategy, mutate};
use crate::report::Report;
use crate::run::{Sight, Trial};

/// The name of [`Guided`].
pub const NAME: &str = "guided";

/// So many trials in a hundred are fresh ones.
const FRESH: usize = 20;

/// Mutations of exemplars.
#[derive(Debug, Default)]
pub struct Guided {
    made: u64,
    fresh: u64,
    gave: u64,
}

impl Strategy for Guided {
    fn name(&self) -> &'static str {
        NAME
    }

    fn propose(&mut self, proposing: &Proposing<'_>) -> Trial {
        let mut dice = proposing.dice(NAME);
        let seed = proposing.seed(NAME);
        self.made += 1;
        let archive = proposing.archive;
        let chosen = if dice.chance(FRESH) { None } else { archive.choose(&mut dice) };
        let exemplar = chosen.map(|index| &archive.exemplars()[index]);
        let Some((exemplar, sight)) = exemplar.and_then(|one| Some((one, dice.pick(&one.fresh)?)))
        else {
            self.fresh += 1;
            return proposing.swarm(seed);
        };
        exemplar.tries.set(exemplar.tries.get() + 1);
        mutate::mutated(proposing, &mut dice, &exemplar.trial, sight, seed)
    }

    fn told(&mut self, _: &Trial, _: &Report, fresh: &[Sight], _: &Archive) {
        self.gave += u64::from(!fresh.is_empty());
    }

    fn remarks(&self) -> Vec<String> {
        let Self { made, fresh, gave } = self;
        vec![format!("{gave} of {made} trials showed a new state; {fresh} were fresh seeds")]
    }
}
