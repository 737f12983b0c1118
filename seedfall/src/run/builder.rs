//! One run, as a user asks for it.

use super::{Runnable, Trial};
use crate::plan::FaultPlan;
use crate::report::Report;
use crate::scenario::OperationId;
use crate::shrink::{self, Effort, Shrunk};
use seedfall_sim::{DrawAddress, Override, Recording, Seed};

/// One run of a scenario: what decides it, said piece by piece. Whatever is not said, the seed
/// decides.
///
/// ```
/// use seedfall::prelude::*;
/// # fn example<P: Protocol + 'static>(scenario: &Scenario<P, u64, u64>)
/// # where P::Config: Send + Sync {
/// let report = Run::new(scenario).seed(7).run();
/// let quiet = Run::new(scenario).seed(7).plan(FaultPlan::default()).run();
/// if report.failed() && !quiet.failed() {
///     println!("it takes a fault: {:?}", report.plan.entries);
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Run<'a> {
    scenario: &'a dyn Runnable,
    trial: Trial,
}

impl<'a> Run<'a> {
    /// The run of seed 0.
    pub fn new(scenario: &'a dyn Runnable) -> Self {
        Self { scenario, trial: Trial::of(Seed(0)) }
    }

    /// The run of this seed, which decides everything that is not said.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.trial.seed = Seed(seed);
        self
    }

    /// With these faults, instead of those that the seed draws.
    #[must_use]
    pub fn plan(mut self, plan: FaultPlan) -> Self {
        self.trial.plan = Some(plan);
        self
    }

    /// Without this operation; all others stay as they are.
    #[must_use]
    pub fn without(mut self, operation: OperationId) -> Self {
        self.trial.skip.insert(operation);
        self
    }

    /// With one draw decided otherwise than by the seed.
    #[must_use]
    pub fn with_draw(mut self, address: DrawAddress, value: Override) -> Self {
        self.trial.overrides.insert(address, value);
        self
    }

    /// With the first nodes of the cluster alone.
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.trial.nodes = Some(nodes);
        self
    }

    /// Keeps every event with its text, and every draw, in the report.
    #[must_use]
    pub fn recorded(mut self) -> Self {
        self.trial.recording = Recording::Full;
        self.trial.log_draws = true;
        self
    }

    /// Everything that decides the run, as the commands and cases have it.
    pub fn trial(&self) -> &Trial {
        &self.trial
    }

    /// Runs it.
    ///
    /// # Panics
    /// If the plan does things that the model does not permit, or names nodes that are not there:
    /// [`FaultPlan::check`] says so beforehand.
    pub fn run(&self) -> Report {
        self.scenario.run(&self.trial)
    }

    /// Makes a failing run as small as it can with so many runs, and keeps what it takes to tell it
    /// ([`story`](crate::shrink::story)); `None`: it does not fail.
    pub fn shrink(&self, runs: u64) -> Option<Shrunk> {
        shrink::shrink(self.scenario, &self.trial, &Effort::runs(runs))
    }
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (scenario, trial) = (self.scenario.name(), &self.trial);
        f.debug_struct("Run").field("scenario", &scenario).field("trial", trial).finish()
    }
}
