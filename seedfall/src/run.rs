//! One run: a scenario, a seed, a verdict.

mod broken;
mod builder;
mod course;
mod observe;
pub mod panics;
mod prefix;
mod pulse;
mod shape;
mod trial;
mod verdict;
mod wording;

pub use builder::Run;
pub(crate) use observe::Abstraction;
pub use observe::{Level, Observation, Sight};
pub use pulse::{Beat, Doing, Pulse};
pub use trial::{Call, Fork, Futures, Trial};
pub use verdict::told;

use crate::clients::simulated::SimulatedClients;
use crate::plan::{Class, FaultBudget, FaultPlan};
use crate::property::Kind;
use crate::report::Report;
use crate::scenario::{Expectation, Scenario};
use crate::workload::OperationId;
use seedfall_faults::nemesis::Nemesis;
use seedfall_net::Wire;
use seedfall_sim::{Monitor, Nodes, Protocol, Seed, SystemModel, Time, World};
use std::fmt::Debug;
use std::sync::Arc;

use broken::Broken;
use course::next_look;
use observe::Observer;

/// A scenario of any protocol, as the commands and tests see it: what [`Scenario`] implements, and
/// whoever brings a world of another kind. To run a scenario take [`Run`] or
/// [`check`](crate::check).
pub trait Runnable: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What happens in it.
    fn story(&self) -> &'static str;
    /// Which of its properties are expected to hold.
    fn expect(&self) -> Expectation;
    /// What is wrong with the scenario itself, so that no run of it would mean anything.
    ///
    /// # Errors
    /// The field, what it says, and what would do.
    fn validate(&self) -> Result<(), String>;
    /// The same scenario, for a thread that may outlive whoever asks: one that hangs is left
    /// behind.
    fn shared(&self) -> Arc<dyn Runnable>;
    /// Its properties, in words: `always linearizable`.
    fn properties(&self) -> Vec<String>;
    /// The marks that a sweep must reach.
    fn sometimes(&self) -> Vec<&'static str>;
    /// What a fault plan must fit into.
    fn fault_budget(&self) -> FaultBudget;
    /// The operations of its workload, those after the faults included.
    fn operations(&self) -> Vec<OperationId>;
    /// The faults that a seed draws within a budget.
    fn plan_within(&self, seed: Seed, budget: &FaultBudget) -> FaultPlan;
    /// With how few nodes it makes sense.
    fn fewest(&self) -> usize;
    /// How many seeds, from zero on, it takes to show everything that its seeds go through one by
    /// one; zero: each seed is as good as any other.
    fn least_seeds(&self) -> u64 {
        0
    }
    /// Does what a test does with the scenario in a process that is made for it alone, where that
    /// keeps the machine out of its runs; by default here and now.
    fn alone(&self, body: &mut dyn FnMut()) {
        body();
    }
    /// Called once before anything is done with it in a process of its own, as commands are; it may
    /// have the process made anew.
    fn prepare(&self) {}
    /// Runs it once. The plan of the trial must fit the [`Runnable::fault_budget_of`] it.
    fn run(&self, trial: &Trial) -> Report;

    /// Whether its runs show a search what they went through ([`Trial::observe`]), and take the
    /// turns and priorities of a trial.
    fn is_observable(&self) -> bool {
        false
    }

    /// How many of the futures of a run fail: after so many events everything is drawn anew, by
    /// each of these seeds. Where a run can be taken up in its midst, the past is run once.
    fn futures(&self, trial: &Trial, of: &Futures<'_>) -> usize {
        let one = |index: usize| {
            let fork = Some(Fork { after: of.after, seed: (of.seed)(index) });
            (of.fails)(&self.run(&Trial { fork, ..trial.clone() }))
        };
        crate::parallel::count(of.jobs, of.count, &one)
    }

    /// What its nodes and clients are called, where they have names beside `n1` and `c1`.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    /// What it assumes.
    fn model(&self) -> SystemModel {
        self.fault_budget().model
    }

    /// The faults that a seed draws.
    fn plan(&self, seed: Seed) -> FaultPlan {
        self.plan_within(seed, &self.fault_budget())
    }

    /// What a fault plan must fit into under another model: where that lets nodes lie, and this one
    /// does not, one of them may.
    fn fault_budget_under(&self, model: SystemModel) -> FaultBudget {
        let own = self.fault_budget();
        let more = usize::from(own.model.nodes < model.nodes && model.nodes == Nodes::Byzantine);
        FaultBudget { model, spare: own.spare.max(more), ..own }
    }

    /// What the fault plan of a trial must fit into. With every node that does not take part the
    /// cluster can spare one less.
    fn fault_budget_of(&self, trial: &Trial) -> FaultBudget {
        let all =
            trial.model.map_or_else(|| self.fault_budget(), |model| self.fault_budget_under(model));
        let nodes = trial.nodes.map_or(all.nodes, |nodes| nodes.min(all.nodes));
        let faults = trial.faults.map_or(all.faults, |faults| faults.min(all.faults));
        FaultBudget { nodes, faults, spare: all.spare.saturating_sub(all.nodes - nodes), ..all }
    }
}

impl<P, I, O> Runnable for Scenario<P, I, O>
where
    P: Protocol + 'static,
    P::Config: Send + Sync,
    I: Debug + 'static,
    O: Debug + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn story(&self) -> &'static str {
        self.story
    }

    fn expect(&self) -> Expectation {
        self.expect.expectation()
    }

    fn validate(&self) -> Result<(), String> {
        Scenario::validate(self)
    }

    fn shared(&self) -> Arc<dyn Runnable> {
        Arc::new(self.clone())
    }

    fn properties(&self) -> Vec<String> {
        let judged = self.properties.iter().filter(|property| !property.is_abstraction());
        judged.map(|property| format!("{property:?}")).collect()
    }

    fn sometimes(&self) -> Vec<&'static str> {
        let marks = self.properties.iter().filter_map(|property| match property.kind {
            Kind::Sometimes(mark) => Some(mark),
            Kind::Seen(_) => Some(property.name),
            _ => None,
        });
        marks.collect()
    }

    fn fault_budget(&self) -> FaultBudget {
        FaultBudget {
            model: self.model,
            nodes: self.cluster.nodes,
            clients: self.cluster.clients,
            spare: self.cluster.spare,
            faults: self.horizon.faults,
        }
    }

    fn operations(&self) -> Vec<OperationId> {
        let numbers = 0..self.workload.operations + self.workload.final_operations;
        let clients = 0..self.cluster.clients as u16;
        let of = |client| seedfall_sim::ClientId::new(client);
        clients
            .flat_map(|client| {
                numbers.clone().map(move |number| OperationId { client: of(client), number })
            })
            .collect()
    }

    fn plan_within(&self, seed: Seed, budget: &FaultBudget) -> FaultPlan {
        self.faults.draw(seed, budget)
    }

    fn fewest(&self) -> usize {
        self.cluster.fewest
    }

    fn is_observable(&self) -> bool {
        true
    }

    fn run(&self, trial: &Trial) -> Report {
        let budget = self.fault_budget_of(trial);
        let plan = trial.plan.clone();
        let plan = plan.unwrap_or_else(|| self.plan_within(trial.seed, &budget));
        if let Err(error) = plan.check(&budget) {
            // Plans from outside are checked where they are read.
            panic!("the swarm of scenario {} drew a plan that does not fit: {error}", self.name);
        }
        let mut run = Running {
            scenario: self,
            trial,
            budget,
            look_at: next_look(trial, 0).min(self.horizon.events + 1),
            nemesis: Nemesis::new(plan.clone(), Time::ZERO + budget.faults),
            monitors: Vec::new(),
            observer: trial.observe.then(|| Box::new(Observer::new(budget.nodes))),
            world: None,
            settled_check: Time::ZERO,
            when_over: None,
            judging: None,
            broken: Vec::new(),
        };
        // The seam between the user's code, which may panic, and the sweep, which goes on.
        let course = panics::catch(|| run.go());
        run.report(plan, course)
    }
}

/// One run, while it goes on.
struct Running<'a, P: Protocol, I, O> {
    scenario: &'a Scenario<P, I, O>,
    trial: &'a Trial,
    budget: FaultBudget,
    /// At how many events there is something to be done: the fork, the fix, the end that the trial
    /// asks for, or the end of patience.
    look_at: u64,
    nemesis: Nemesis,
    monitors: Vec<(&'static str, Box<dyn Monitor<P>>)>,
    /// Who observes it for a search; `None`: nobody.
    observer: Option<Box<Observer>>,
    world: Option<World<P, Wire, SimulatedClients<P, I, O>>>,
    settled_check: Time,
    /// What faults had done when the plan was over: from then on they do nothing more.
    when_over: Option<([u64; Class::ALL.len()], u64)>,
    /// The property that is being judged: who is to blame for a panic.
    judging: Option<&'static str>,
    /// What has been found broken in the course of it.
    broken: Vec<Broken>,
}

impl<P: Protocol, I, O> Running<'_, P, I, O> {
    fn world(&self) -> &World<P, Wire, SimulatedClients<P, I, O>> {
        self.world.as_ref().expect("a run is looked at only after it began")
    }
}
