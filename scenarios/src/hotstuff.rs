//! Chained `HotStuff` as a key-value store, one of whose four replicas is Byzantine.
//!
//! Story: that of `pbft`, with leaders that take turns. One replica lies about single
//! messages, runs twice, equivocates when it leads, proposes as if nothing had been certified or
//! even decided, or has a branch of its own certified if it can; meanwhile messages are lost,
//! replicas are cut off and crash between what they write and what they say. Guards: the lemmas of
//! the header while the run goes on, linearizability, and that whoever asks after the faults is
//! answered. Catches: `tests/planted/hs-*`.
//!
//! With two such replicas of four (`hotstuff-two-liars`), which is `f + 1`, a branch is certified
//! that does not extend what was decided, and a sweep that does not find that out fails.

use crate::raft_kv::{self, Input, Output};
use seedfall::property::{every_operation_completes, invariants, linearizable, sometimes};
use seedfall::scenario::{
    Cluster, Expect, Horizon, NEVER_PANICS, OperationId, Reply, Scenario, Workload,
};
use seedfall::{Property, Swarm};
use seedfall_checkers::models::Kv;
use seedfall_net::Delay;
use seedfall_protocols::hotstuff::{self, Config, Replica, Request, Response};
use seedfall_sim::{Duration, Nodes, SystemModel};

/// Four replicas, one of them Byzantine.
pub fn four() -> Scenario<Replica, Input, Output> {
    let mut properties = vec![
        invariants(INVARIANTS, hotstuff::invariants),
        linearizable(Kv::new()),
        every_operation_completes(),
    ];
    properties.extend(rare());
    Scenario {
        name: "hotstuff",
        story: "Four HotStuff replicas keep three keys for four clients; one of them is Byzantine.",
        model: SystemModel { nodes: Nodes::Byzantine, ..SystemModel::USUAL },
        cluster: Cluster { spare: 1, ..Cluster::lan(4, 4) },
        config: Config { faulty: 1, leads: 4, leaders: Vec::new(), patience: Duration::millis(60) },
        workload: Workload {
            operations: 10,
            final_operations: 1,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(40) },
            patience: Duration::millis(250),
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

/// A negative control: one Byzantine replica too many. Few seeds break it, too few for the short
/// sweeps of all scenarios: `tests/controls.rs` sweeps it.
pub fn two_liars() -> Scenario<Replica, Input, Output> {
    let four = four();
    let kept = |property: &&Property<Replica, Input, Output>| !property.is_sometimes();
    Scenario {
        name: "hotstuff-two-liars",
        story: "Four HotStuff replicas of which two are Byzantine: one more than they survive.",
        cluster: Cluster { spare: 2, ..four.cluster.clone() },
        faults: Swarm { strategies: 2, ..Swarm::NONE },
        properties: four.properties.iter().filter(kept).cloned().collect(),
        expect: Expect::Violates {
            properties: &[INVARIANTS, "linearizable", NEVER_PANICS],
            because: "two quorums of three among four may have no correct replica in common (Yin \
                      et al. 2019, section 3: n = 3f + 1)",
        },
        ..four
    }
}

const INVARIANTS: &str = "the invariants of HotStuff";

fn rare() -> impl Iterator<Item = Property<Replica, Input, Output>> {
    [
        "patience: a view lasts too long",
        "timeout: f + 1 others say that the view is over",
        "proposal: its parent is missing",
        "proposal: against the lock",
        "proposal: without a certificate",
        "update: three certified blocks, not in consecutive views",
        "decide: an ancestor is missing",
        "decide: a request that was executed before",
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
