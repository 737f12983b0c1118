//! Viewstamped Replication whose group changes.
//!
//! Story: six machines keep three keys without a disk, three of them at first; while clients use
//! the store, they also ask for other groups of three to five. Primaries are cut off, freeze and
//! stop for good in the middle of it; others find out what was decided, hand on the state and shut
//! down. Guards: V1 to V6 and E1 to E3 of the header, linearizability (also of the group, which is
//! a key of the store), and that operations complete. Catches: `tests/planted/vsr-*`.

use crate::raft_kv::{self, CLOCKS, Input, Output};
use seedfall::Swarm;
use seedfall::property::{every_operation_completes, invariants, linearizable, sometimes};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall_checkers::models::{Kv, KvInput};
use seedfall_net::Delay;
use seedfall_protocols::vsr::reconfiguration::{
    self, Config, GROUP, Member, Request, Response, read, written,
};
use seedfall_sim::{Choices, Duration, NodeId, Nodes, SystemModel};

/// Six nodes of which one may stop for good: every group has room for it.
pub fn six() -> Scenario<Member, Input, Output> {
    Scenario {
        name: "vsr-reconfiguration",
        story: "Three of six nodes keep three keys without a disk; the group changes all the time.",
        model: SystemModel { nodes: Nodes::CrashStop, ..SystemModel::USUAL },
        cluster: Cluster { clocks: &CLOCKS, spare: 1, fewest: 5, ..Cluster::lan(NODES, 4) },
        config: Config { replica: crate::vsr::CONFIG, members: 3 },
        workload: Workload {
            operations: 14,
            final_operations: 2,
            think: Delay::Exponential { min: Duration::millis(2), mean: Duration::millis(50) },
            patience: Duration::millis(200),
            attempts: 4,
            ..Workload::short(generate, request, reply)
        },
        faults: Swarm { company: 300_000, ..crate::MEASURED },
        horizon: Horizon { faults: Duration::secs(3), ..Horizon::SHORT },
        properties: vec![
            invariants(
                "the invariants of Viewstamped Replication across epochs",
                reconfiguration::invariants,
            ),
            linearizable(Kv::new()),
            every_operation_completes(),
            sometimes("epoch: a new group has served an operation"),
            sometimes("epoch: a new replica has the state"),
            sometimes("epoch: a replaced replica shuts down"),
            sometimes("epoch: ended by another primary than the one that was asked"),
            sometimes("start epoch: a member has begun it already"),
            sometimes("message: of an earlier epoch"),
            sometimes("message: of an epoch that has not begun here"),
            sometimes("request: the group is changing"),
            sometimes("view change: a primary is replaced"),
            sometimes("view change: another replica has the best log"),
        ],
        expect: Expect::Holds,
    }
}

const NODES: usize = 6;

/// One operation of eight changes the group, or looks who is in it.
fn generate(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    match draw.below(100) {
        0..10 => {
            let mut group: Vec<NodeId> = NodeId::all(NODES).collect();
            for _ in 0..1 + draw.below(3) {
                group.remove(draw.below(group.len() as u32) as usize);
            }
            KvInput::Put { key: GROUP, value: written(&group).to_string() }
        }
        10..13 => KvInput::Get { key: GROUP },
        _ => raft_kv::generate(operation, draw),
    }
}

fn request(_: OperationId, input: &Input) -> Request {
    match input {
        KvInput::Put { key: GROUP, value } => {
            Request::Reconfigure(read(value).expect("written by `generate`"))
        }
        _ => Request::Ask(raft_kv::command(input)),
    }
}

fn reply(response: Response) -> Reply<Output> {
    match response {
        Response::Elsewhere(whom) => Reply::Elsewhere(whom),
        Response::Refused => Reply::Failed,
        Response::Done(answer) => Reply::Done(raft_kv::output(answer)),
    }
}
