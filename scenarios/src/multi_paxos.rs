//! Multi-Paxos as a key-value store, under everything that its model permits.
//!
//! Story: clients read and change three keys, at a leader that answers reads under a lease. Leaders
//! are cut off with proposals that few have accepted, freeze, crash and are replaced; the next ones
//! propose again what may be chosen, and fill the gaps. Clocks run 5 % fast and slow, as the lease
//! allows. Guards: M1 to M4 of the header, linearizability, and that operations complete. Catches:
//! `tests/planted/mpx-*`.
//!
//! Where clocks drift by more than the lease is shorter than what the acceptors hold, two leaders
//! answer (`multi-paxos-drift` must find it).

use crate::raft_kv::{self, CLOCKS, Input, Output};
use seedfall::Swarm;
use seedfall::property::{every_operation_completes, invariants, linearizable, sometimes};
use seedfall::scenario::{Cluster, Expect, Horizon, OperationId, Reply, Scenario, Workload};
use seedfall_checkers::models::Kv;
use seedfall_net::Delay;
use seedfall_protocols::multi_paxos::{self, Config, MultiPaxos, Request, Response};
use seedfall_sim::{Duration, SystemModel};

/// Three nodes.
pub fn three() -> Scenario<MultiPaxos, Input, Output> {
    Scenario {
        name: "multi-paxos",
        story: "Three Multi-Paxos nodes keep three keys, and read under a lease.",
        model: SystemModel::USUAL,
        cluster: Cluster { clocks: &CLOCKS, fewest: 3, ..Cluster::lan(3, 4) },
        config: Config {
            interval: Duration::millis(20),
            elect_min: Duration::millis(85),
            elect_max: Duration::millis(160),
            lease: Duration::millis(60),
            hold: Duration::millis(80),
        },
        workload: Workload {
            operations: 14,
            final_operations: 2,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(50) },
            patience: Duration::millis(200),
            attempts: 4,
            ..Workload::short(raft_kv::generate, request, reply)
        },
        // Clocks that go wrong by more than the lease allows break it: `drift` is left out.
        faults: Swarm { drifts: 0, ..crate::MEASURED },
        horizon: Horizon { faults: Duration::secs(2), ..Horizon::SHORT },
        properties: vec![
            invariants(INVARIANTS, multi_paxos::invariants),
            linearizable(Kv::new()),
            every_operation_completes(),
            sometimes("election: a node wants to lead"),
            sometimes("election: what may be chosen is proposed again"),
            sometimes("election: a gap is filled with a no-op"),
            sometimes("leader: a higher number is promised"),
            sometimes("accept: a higher number is promised"),
            sometimes("prepare: another holds a lease"),
            sometimes("read: answered under a lease"),
            sometimes("learn: a slot that is chosen is missing"),
            sometimes("learn: a slot before is not chosen"),
            sometimes("request: a retry has no second effect"),
        ],
        expect: Expect::Holds,
    }
}

/// Five nodes: room for proposals that few have accepted.
pub fn five() -> Scenario<MultiPaxos, Input, Output> {
    Scenario {
        name: "multi-paxos-5",
        story: "Five Multi-Paxos nodes keep three keys, and read under a lease.",
        cluster: Cluster { clocks: &CLOCKS, fewest: 3, ..Cluster::lan(5, 4) },
        ..three()
    }
}

/// A negative control: clocks that drift by more than the lease allows.
pub fn drifting() -> Scenario<MultiPaxos, Input, Output> {
    let mut properties = three().properties;
    properties.retain(|property| !property.is_sometimes());
    Scenario {
        name: "multi-paxos-drift",
        story: "Three Multi-Paxos nodes that read under a lease, and a clock that nearly stands.",
        // A drift takes from a long lease more than an election costs.
        config: Config {
            lease: Duration::millis(300),
            hold: Duration::millis(301),
            elect_min: Duration::millis(302),
            elect_max: Duration::millis(330),
            ..three().config
        },
        faults: Swarm { drifts: 2, drift: [300_000, 450_000], company: 500_000, ..crate::MEASURED },
        horizon: Horizon { faults: Duration::secs(4), ..Horizon::SHORT },
        properties,
        expect: Expect::Violates {
            properties: &["linearizable"],
            because: "a leader whose clock runs slow takes its lease for valid when the acceptors \
                      have promised another (Chandra et al. 2007, section 5.2)",
        },
        ..three()
    }
}

const INVARIANTS: &str = "the invariants of Multi-Paxos";

fn request(_: OperationId, input: &Input) -> Request {
    Request(raft_kv::command(input))
}

fn reply(response: Response) -> Reply<Output> {
    match response {
        Response::Elsewhere(whom) => Reply::Elsewhere(whom),
        Response::Done(answer) => Reply::Done(raft_kv::output(answer)),
    }
}
