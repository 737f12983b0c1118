//! PBFT as a key-value store, one of whose four replicas is Byzantine.
//!
//! Story: four replicas keep three keys for four clients, who believe what two replicas say. One
//! replica lies about single messages, runs twice, or follows a strategy: it equivocates with all
//! that it says, begins views wrongly, or serves some clients and cheats the others; meanwhile
//! messages are lost, primaries are cut off and crash, and views follow one another. Guards: the
//! lemmas of the header while the run goes on, linearizability, and that whoever asks after the
//! faults is answered. Catches: `tests/planted/pbft-*`.
//!
//! With two such replicas of four (`pbft-two-liars`), which is `f + 1`, two correct ones may
//! execute different requests, and a sweep that does not find that out fails.

use crate::raft_kv::{self, Input, Output};
use seedfall::property::{every_operation_completes, invariants, linearizable, sometimes};
use seedfall::scenario::{
    Cluster, Expect, Horizon, NEVER_PANICS, OperationId, Reply, Scenario, Workload,
};
use seedfall::{Property, Swarm};
use seedfall_checkers::models::Kv;
use seedfall_net::Delay;
use seedfall_protocols::pbft::{self, Config, Replica, Request, Response};
use seedfall_sim::{Duration, Nodes, SystemModel};

/// Four replicas, one of them Byzantine.
pub fn four() -> Scenario<Replica, Input, Output> {
    let mut properties = vec![
        invariants(INVARIANTS, pbft::invariants),
        linearizable(Kv::new()),
        every_operation_completes(),
    ];
    properties.extend(rare());
    Scenario {
        name: "pbft",
        story: "Four PBFT replicas keep three keys for four clients; one of them is Byzantine.",
        model: SystemModel { nodes: Nodes::Byzantine, ..SystemModel::USUAL },
        cluster: Cluster { spare: 1, ..Cluster::lan(4, 4) },
        config: Config {
            faulty: 1,
            checkpoint_every: 4,
            window: 8,
            patience: Duration::millis(100),
            tick: Duration::millis(40),
        },
        workload: Workload {
            operations: 12,
            final_operations: 1,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(40) },
            patience: Duration::millis(150),
            attempts: 4,
            agree: 2,
            ..Workload::short(raft_kv::generate, request, reply)
        },
        faults: Swarm { strategies: 1, ..crate::MEASURED },
        horizon: Horizon { faults: Duration::millis(1_500), ..Horizon::SHORT },
        properties,
        expect: Expect::Holds,
    }
}

/// A negative control: one Byzantine replica too many. One seed in about 140 breaks it, too few for
/// the short sweeps of all scenarios: `tests/controls.rs` sweeps it.
pub fn two_liars() -> Scenario<Replica, Input, Output> {
    let four = four();
    let kept = |property: &&Property<Replica, Input, Output>| !property.is_sometimes();
    Scenario {
        name: "pbft-two-liars",
        story: "Four PBFT replicas of which two are Byzantine: one more than they survive.",
        cluster: Cluster { spare: 2, ..four.cluster.clone() },
        faults: Swarm { strategies: 2, liars: 2, ..Swarm::NONE },
        properties: four.properties.iter().filter(kept).cloned().collect(),
        expect: Expect::Violates {
            properties: &[INVARIANTS, "linearizable", NEVER_PANICS],
            because: "two quorums of three among four may have no correct replica in common \
                      (Castro and Liskov 1999, section 3: n = 3f + 1 is the least)",
        },
        ..four
    }
}

const INVARIANTS: &str = "the invariants of PBFT";

fn rare() -> impl Iterator<Item = Property<Replica, Input, Output>> {
    [
        "pre-prepare: the primary says two things",
        "patience: the primary lets a request wait",
        "patience: the new view does not begin",
        "view change: f + 1 others ask for a later view",
        "new view: not what follows from the view changes",
        "new view: a number that nobody has prepared",
        "checkpoint: the others are ahead",
        "state: it leaps over what it has not executed",
        "execute: a request that was executed before",
        "request: the window is full",
        "recovery: from a journal",
    ]
    .into_iter()
    .map(sometimes)
}

fn request(_: OperationId, input: &Input) -> Request {
    Request(raft_kv::command(input))
}

fn reply(response: Response) -> Reply<Output> {
    Reply::Done(raft_kv::output(response.0))
}
