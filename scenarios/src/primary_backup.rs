//! Primary-backup replication as a key-value store: synchronous, under everything that its model
//! permits; asynchronous, and with the truncation that Kafka had before KIP-101, to lose what was
//! answered.
//!
//! Story: a controller and three replicas, of whom those in sync must have what is committed.
//! Primaries are cut off from the controller and not from their backups, crash and come back;
//! backups are taken out and catch up. Guards: P1 to P5 of the header, linearizability, that
//! operations complete, and that backups catch up. Catches: `tests/planted/pb-*`.
//!
//! Asynchronous replication loses what the primary alone had (`primary-backup-async` must find it);
//! a backup that cuts off whatever it does not know to be committed loses what is
//! (`primary-backup-high-watermark`).

use crate::raft_kv::{self, CLOCKS, Input, Output};
use seedfall::property::{
    eventually, every_operation_completes, invariants, linearizable, sometimes,
};
use seedfall::scenario::{Cluster, Expect, Horizon, OperationId, Reply, Scenario, Workload};
use seedfall_checkers::models::Kv;
use seedfall_net::Delay;
use seedfall_protocols::primary_backup::{self, Acks, Config, Node, Request, Response, Truncation};
use seedfall_sim::{Duration, NodeId, SystemModel};

/// A controller and three replicas, synchronous.
pub fn synchronous() -> Scenario<Node, Input, Output> {
    Scenario {
        name: "primary-backup",
        story: "A primary and two backups keep three keys; a controller says who leads.",
        model: SystemModel::USUAL,
        cluster: Cluster { clocks: &CLOCKS, fewest: 3, ..Cluster::lan(4, 4) },
        config: Config {
            interval: Duration::millis(20),
            remove_after: Duration::millis(90),
            acks: Acks::InSync,
            truncation: Truncation::Epoch,
        },
        workload: Workload {
            operations: 14,
            final_operations: 2,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(50) },
            patience: Duration::millis(150),
            attempts: 4,
            ..Workload::short(raft_kv::generate, request, reply)
        },
        faults: crate::MEASURED,
        horizon: Horizon { faults: Duration::secs(3), ..Horizon::SHORT },
        properties: vec![
            invariants(INVARIANTS, primary_backup::invariants),
            linearizable(Kv::new()),
            every_operation_completes(),
            eventually("L2: every replica has what is committed", all_have_caught_up),
            sometimes("controller: a silent primary is replaced"),
            sometimes("controller: waits for the last that is in sync"),
            sometimes("view: a primary is replaced"),
            sometimes("in sync: a silent backup is taken out"),
            sometimes("in sync: a backup has caught up"),
            sometimes("truncation: a backup has more than the primary"),
            sometimes("truncation: the primary does not have the backup's epoch"),
            sometimes("truncation: an answer to an earlier life"),
            sometimes("recovery: a primary asks for another epoch"),
            sometimes("request: a retry has no second effect"),
        ],
        expect: Expect::Holds,
    }
}

/// A negative control: clients are answered before the backups have anything.
pub fn asynchronous() -> Scenario<Node, Input, Output> {
    Scenario {
        name: "primary-backup-async",
        story: "A primary that answers at once, and two backups that follow as they can.",
        config: Config { acks: Acks::Primary, ..synchronous().config },
        properties: safety(),
        expect: Expect::Violates {
            properties: &[INVARIANTS, "linearizable"],
            because: "what the primary alone has is lost when another takes over (Wang et al. \
                      2015, section 4.3: acks=1)",
        },
        ..synchronous()
    }
}

/// A negative control: what led to KIP-101.
pub fn high_watermark() -> Scenario<Node, Input, Output> {
    Scenario {
        name: "primary-backup-high-watermark",
        story: "Backups that cut off what they do not know to be committed: Kafka before KIP-101.",
        config: Config { truncation: Truncation::HighWatermark, ..synchronous().config },
        properties: safety(),
        expect: Expect::Violates {
            properties: &[INVARIANTS, "linearizable"],
            because: "a backup learns late what is committed, and cuts it off as it comes to an \
                      epoch; if it leads the next one, it is lost (KIP-101, scenario 1)",
        },
        ..synchronous()
    }
}

const INVARIANTS: &str = "the invariants of primary-backup replication";

fn safety() -> Vec<seedfall::Property<Node, Input, Output>> {
    vec![invariants(INVARIANTS, primary_backup::invariants), linearizable(Kv::new())]
}

fn all_have_caught_up(nodes: &[Option<&Node>]) -> Result<(), String> {
    let count = |node: &&Node| node.replica().map(|replica| replica.committed().len());
    let most = nodes.iter().flatten().filter_map(count).max().unwrap_or(0);
    for (id, node) in NodeId::all(nodes.len()).zip(nodes) {
        if let Some(has) = node.as_ref().and_then(count).filter(|has| *has < most) {
            return Err(format!("{id} knows of {has} committed entries of {most}"));
        }
    }
    Ok(())
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
