//! Multi-Paxos as a key-value store, under everything that its model permits.
//!
//! Story: clients read and change three keys, at a leader that answers reads under a lease. Leaders
//! are cut off with proposals that few have accepted, freeze, crash and are replaced; the next ones
//! propose again what may be chosen, and fill the gaps. Clocks run 5 % fast and slow, as the lease
//! allows. Guards: M1 to M4 of the header, linearizability, and that operations complete. Catches:
//! `tests/planted/mpx-*`.

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
