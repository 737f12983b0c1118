//! Viewstamped Replication as a key-value store, in both models that it claims, and without what
//! the second one needs.
//!
//! Story: clients read and change three keys of a store that nobody keeps on a disk. Primaries are
//! cut off, freeze and stop for good, and views change (`vsr`); replicas crash, lose all that they
//! had, and fetch it from the others (`vsr-recovery`). Guards: V1 to V6 of the header,
//! linearizability, and that operations complete, unless more replicas have lost their state than
//! the protocol can stand. Catches: `tests/planted/vsr-*`.
//!
//! A replica that comes back with nothing and says nothing of it loses what was committed
//! (`vsr-no-recovery` must find it).

use crate::raft_kv::{self, CLOCKS, Input, Output};
use seedfall::property::{every_operation_completes, invariants, linearizable, sometimes};
use seedfall::scenario::{Cluster, Expect, Horizon, OperationId, Reply, Scenario, Workload};
use seedfall::{Property, Swarm};
use seedfall_checkers::models::Kv;
use seedfall_net::Delay;
use seedfall_protocols::vsr::{self, Config, Replica, Request, Response, Status};
use seedfall_sim::{Duration, NodeId, Nodes, SystemModel};

/// Five replicas that stop for good: room for two of them, and for logs that differ.
pub fn five() -> Scenario<Replica, Input, Output> {
    Scenario {
        name: "vsr",
        story: "Five replicas keep three keys without a disk; views change, two may stop.",
        model: SystemModel { nodes: Nodes::CrashStop, ..SystemModel::USUAL },
        cluster: Cluster { clocks: &CLOCKS, spare: 2, fewest: 3, ..Cluster::lan(5, 4) },
        config: CONFIG,
        workload: workload(),
        faults: Swarm { company: 300_000, ..crate::MEASURED },
        horizon: Horizon { faults: Duration::secs(3), ..Horizon::SHORT },
        properties: properties(
            vsr::invariants_without_crashes,
            [
                sometimes("start view: operations are prepared anew"),
                sometimes("view change: operations of an earlier view are dropped"),
            ],
        ),
        expect: Expect::Holds,
    }
}

/// Three replicas that crash and come back with nothing.
pub fn recovery() -> Scenario<Replica, Input, Output> {
    Scenario {
        name: "vsr-recovery",
        story: "Three replicas without a disk crash, and fetch from the others what they had.",
        model: SystemModel::USUAL,
        cluster: Cluster { fewest: 3, ..Cluster::lan(3, 3) },
        faults: Swarm { crashes: 2, power_losses: 0, storms: 0, ..crate::MEASURED },
        horizon: Horizon { faults: Duration::secs(2), ..Horizon::SHORT },
        properties: properties(
            vsr::invariants,
            [
                sometimes("recovery: a replica has its state again"),
                sometimes("recovery: the primary of the latest view has not answered"),
                sometimes("recovery: the one who asks has taken part in a later view"),
            ],
        ),
        expect: Expect::blocks(
            "every operation completes",
            "the state is gone once more than f replicas have lost it (Liskov and Cowling 2012, \
             section 4.3)",
            too_many_have_failed,
        ),
        ..five()
    }
}

/// A negative control: who was down goes on as if nothing had happened.
pub fn no_recovery() -> Scenario<Replica, Input, Output> {
    Scenario {
        name: "vsr-no-recovery",
        story: "Three replicas without a disk crash, and go on with nothing.",
        config: Config { recovers: false, ..CONFIG },
        properties: vec![
            invariants(INVARIANTS, vsr::invariants),
            linearizable(Kv::new()),
            every_operation_completes(),
        ],
        expect: Expect::Violates {
            properties: &[INVARIANTS, "linearizable", "every operation completes"],
            because: "a replica that lost its log takes part in the next view change, which may \
                      then miss what was committed (Liskov and Cowling 2012, section 4.3)",
        },
        ..recovery()
    }
}

pub(crate) const CONFIG: Config = Config {
    interval: Duration::millis(20),
    view_change_after: Duration::millis(70),
    recovers: true,
};

const INVARIANTS: &str = "the invariants of Viewstamped Replication";

fn workload() -> Workload<Replica, Input, Output> {
    Workload {
        operations: 14,
        final_operations: 2,
        think: Delay::Exponential { min: Duration::millis(2), mean: Duration::millis(50) },
        patience: Duration::millis(200),
        attempts: 4,
        ..Workload::short(raft_kv::generate, request, reply)
    }
}

fn properties<const N: usize>(
    watcher: fn() -> vsr::Invariants,
    more: [Property<Replica, Input, Output>; N],
) -> Vec<Property<Replica, Input, Output>> {
    let mut properties = vec![
        invariants(INVARIANTS, watcher),
        linearizable(Kv::new()),
        every_operation_completes(),
        sometimes("request: a retry is answered from the client-table"),
        sometimes("prepare: operations before this are missing"),
        sometimes("state transfer: a view has begun without this replica"),
        sometimes("view change: a primary is replaced"),
        sometimes("view change: the view before did not come about"),
        sometimes("view change: another replica has the best log"),
    ];
    properties.extend(more);
    properties
}

/// Why nobody could have gone on.
fn too_many_have_failed(replicas: &[Option<&Replica>]) -> Result<String, String> {
    let all = NodeId::all(replicas.len()).zip(replicas);
    let failed: Vec<NodeId> = all
        .filter(|(_, one)| one.is_none_or(|one| one.status() == Status::Recovering))
        .map(|(id, _)| id)
        .collect();
    if failed.len() <= (replicas.len() - 1) / 2 {
        return Err(format!("no more than f replicas have lost their state: {failed:?}"));
    }
    Ok(format!("{failed:?} have lost their state, more than f"))
}

fn request(_: OperationId, input: &Input) -> Request {
    Request(raft_kv::command(input))
}

fn reply(response: Response) -> Reply<Output> {
    match response {
        Response::Elsewhere(whom) => Reply::Elsewhere(whom),
        Response::Done(answer) => Reply::Done(raft_kv::output(answer)),
    }
}
