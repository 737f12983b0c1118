//! A trial that a strategy made, as an ordinary one.

use crate::run::{Runnable, Trial};
use seedfall_sim::{Draws, Override};

/// The same run, decided by its seed, its plan and overridden draws alone: turns and priorities
/// become the draws that they decided, where the seed decides otherwise. So it can be replayed,
/// made small and kept as a case.
pub fn written(scenario: &dyn Runnable, trial: &Trial) -> Trial {
    let logged = Trial { log_draws: true, observe: false, ..trial.clone() };
    let report = scenario.run(&logged);
    let mut overrides = trial.overrides.clone();
    if !trial.turns.is_empty() || trial.priorities.is_some() {
        let mut own = Draws::new(trial.seed, 1, 0);
        own.keep_log();
        for (address, _) in &report.draws {
            own.at(address.site, address.index);
        }
        let both = report.draws.iter().zip(own.log());
        let differ = both.filter(|((_, made), (_, own))| made != own);
        for ((address, made), _) in differ {
            overrides.entry(*address).or_insert(Override::Words(*made));
        }
    }
    Trial {
        plan: Some(report.plan),
        overrides,
        turns: Vec::new(),
        priorities: None,
        observe: false,
        pulse: None,
        ..trial.clone()
    }
}
