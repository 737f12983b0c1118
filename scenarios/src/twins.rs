//! Twins: every arrangement of leaders and partitions over seven rounds, with one replica that runs
//! twice, by number.
//!
//! Story: of four `HotStuff` replicas the first runs on two machines. In each of the first seven
//! views somebody leads, and the five machines are split into one part or two: 64 pairs, so 64^7
//! arrangements, of which 369,434,823,360 differ by more than names. The seed is the number of one
//! of them; links take one millisecond. Afterwards all hear all. Guards: the lemmas of `HotStuff`
//! at all five machines, linearizability, and that every operation completes.
//! Catches: `tests/planted/hs-*`.
//!
//! With two replicas of four that run twice (`hotstuff-two-twins`), which is `f + 1`, two blocks
//! are certified in one view, and a sweep that does not find that out fails.

use crate::raft_kv::{self, Input, Output};
use seedfall::plan::{FaultBudget, FaultPlan};
use seedfall::property::{every_operation_completes, invariants, linearizable, sometimes};
use seedfall::run::{Runnable, Trial};
use seedfall::scenario::{
    Cluster, Expect, Horizon, NEVER_PANICS, OperationId, Reply, Scenario, Workload,
};
use seedfall::{Expectation, Report, Swarm};
use seedfall_checkers::models::Kv;
use seedfall_net::Delay;
use seedfall_protocols::twins::{Arrangements, Config, Machine, Response, Space};
use seedfall_protocols::{hotstuff, layers};
use seedfall_sim::{Duration, NodeId, Nodes, Seed, SystemModel};
use std::sync::Arc;

type Replicas = Scenario<Machine<hotstuff::Replica>, Input, Output>;

/// A scenario for each arrangement of a space: the seed is its number.
#[derive(Clone)]
pub struct Enumerated {
    arrangements: Arc<Arrangements>,
    /// But for the arrangement.
    scenario: Replicas,
}

/// One replica of four runs twice, over seven rounds.
pub fn one() -> Enumerated {
    over(7)
}

/// The same over fewer rounds, or more: of so few that they can be gone through, so many seeds as
/// [`Arrangements::count`] says have all of them.
pub fn over(rounds: usize) -> Enumerated {
    let space = Space { replicas: 4, twins: 1, parts: 2, rounds };
    let mut scenario = replicas(&space);
    if 7 <= rounds {
        scenario.properties.extend(RARE.map(sometimes));
    }
    Enumerated { arrangements: Arc::new(space.arrangements()), scenario }
}

/// A negative control: one more runs twice than `HotStuff` survives.
pub fn two() -> Enumerated {
    let space = Space { replicas: 4, twins: 2, parts: 2, rounds: 7 };
    let scenario = Scenario {
        name: "hotstuff-two-twins",
        story: "Four HotStuff replicas of which two run twice: one more than they survive.",
        expect: Expect::Violates {
            properties: &[INVARIANTS, "linearizable", NEVER_PANICS],
            because: "two quorums of three among four may have no correct replica in common (Yin \
                      et al. 2019, section 3: n = 3f + 1)",
        },
        properties: vec![invariants(INVARIANTS, watched), linearizable(Kv::new())],
        ..replicas(&space)
    };
    Enumerated { arrangements: Arc::new(space.arrangements()), scenario }
}

fn replicas(space: &Space) -> Replicas {
    let machines = space.machines();
    let delay = Delay::Fixed(Duration::millis(1));
    let lan = Cluster::lan(machines, 2 * machines);
    Scenario {
        name: "hotstuff-twins",
        story: "Four HotStuff replicas, one of which runs twice: each seed is another arrangement.",
        model: SystemModel { nodes: Nodes::Byzantine, ..SystemModel::USUAL },
        cluster: Cluster { spare: 1, link: seedfall_net::LinkModel { delay, ..lan.link }, ..lan },
        config: Config {
            replicas: space.replicas,
            rounds: Vec::new(),
            above: hotstuff::Config {
                faulty: 1,
                leads: 4,
                leaders: Vec::new(),
                patience: Duration::millis(20),
            },
        },
        workload: Workload {
            operations: 1,
            final_operations: 1,
            think: Delay::Fixed(Duration::millis(1)),
            patience: Duration::secs(10),
            attempts: 4,
            // Nobody lies: what half of a replica answers is proved by certificates.
            agree: 1,
            ..Workload::short(raft_kv::generate, request, reply)
        },
        faults: Swarm::NONE,
        horizon: Horizon { faults: Duration::millis(1_500), ..Horizon::SHORT },
        properties: vec![
            invariants(INVARIANTS, watched),
            linearizable(Kv::new()),
            every_operation_completes(),
        ],
        expect: Expect::Holds,
    }
}

const INVARIANTS: &str = "the invariants of HotStuff";

const RARE: [&str; 6] = [
    "twins: said to another part",
    "twins: a request is kept back",
    "proposal: against the lock",
    "proposal: its parent is missing",
    "update: three certified blocks, not in consecutive views",
    "timeout: f + 1 others say that the view is over",
];

fn watched() -> layers::Above<hotstuff::Invariants> {
    layers::above(hotstuff::invariants())
}

fn request(_: OperationId, input: &Input) -> hotstuff::Request {
    hotstuff::Request(raft_kv::command(input))
}

fn reply(response: Response<hotstuff::Response>) -> Reply<Output> {
    match response {
        Response::Elsewhere(home) => Reply::Elsewhere(Some(home)),
        Response::Above(response) => Reply::Done(raft_kv::output(response.0)),
    }
}

impl Enumerated {
    /// What is gone through.
    pub fn arrangements(&self) -> &Arrangements {
        &self.arrangements
    }

    /// The scenario of a seed.
    pub fn of(&self, seed: Seed) -> Replicas {
        let rounds = self.arrangements.at(self.arrangements.number_of(seed.0));
        let leaders = rounds.iter().map(|round| NodeId::new(round.leader as u16)).collect();
        let mut scenario = self.scenario.clone();
        scenario.config.above.leaders = leaders;
        scenario.config.rounds = rounds;
        scenario
    }
}

/// Every run is one of the scenario of its seed; the rest all of them have in common.
impl Runnable for Enumerated {
    fn name(&self) -> &'static str {
        self.scenario.name()
    }

    fn story(&self) -> &'static str {
        self.scenario.story()
    }

    fn expect(&self) -> Expectation {
        Runnable::expect(&self.scenario)
    }

    fn validate(&self) -> Result<(), String> {
        Runnable::validate(&self.scenario)
    }

    fn shared(&self) -> Arc<dyn Runnable> {
        Arc::new(self.clone())
    }

    fn properties(&self) -> Vec<String> {
        Runnable::properties(&self.scenario)
    }

    fn sometimes(&self) -> Vec<&'static str> {
        Runnable::sometimes(&self.scenario)
    }

    fn fault_budget(&self) -> FaultBudget {
        self.scenario.fault_budget()
    }

    fn operations(&self) -> Vec<OperationId> {
        Runnable::operations(&self.scenario)
    }

    fn plan_within(&self, seed: Seed, budget: &FaultBudget) -> FaultPlan {
        self.scenario.plan_within(seed, budget)
    }

    fn fewest(&self) -> usize {
        self.scenario.fewest()
    }

    fn is_observable(&self) -> bool {
        self.scenario.is_observable()
    }

    fn run(&self, trial: &Trial) -> Report {
        self.of(trial.seed).run(trial)
    }
}
