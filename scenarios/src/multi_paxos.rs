//! Multi-Paxos as a key-value store, under everything that its model permits.
//!
//! Story: clients read and change three keys, at a leader that answers reads under a lease. Leaders
//! are cut off with proposals that few have accepted, freeze, crash and are replaced; the next ones
//! propose again what may be chosen, and fill the gaps. Clocks run 5 % fast and slow, as the lease
//! allows. Guards: M1 to M5 of the header, linearizability, and that operations complete. Catches:
//! `tests/planted/mpx-*`.
//!
//! Clocks that drift further apart than that let a leader read on while another has something
//! chosen (`multi-paxos-drift` must find it); what is chosen stays as it is, for ballots ask no
//! clock.

use crate::raft_kv::{self, CLOCKS, Input, Output};
use crate::raft_lease;
use seedfall::Swarm;
use seedfall::property::{every_operation_completes, invariants, linearizable, sometimes};
use seedfall::scenario::{Cluster, Expect, Horizon, OperationId, Reply, Scenario, Workload};
use seedfall::workload::forgetful;
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
            invariants("the leases of Multi-Paxos", multi_paxos::leases),
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

/// Three nodes whose holds are longer than their leases by no more than the drift of their clocks,
/// and whose messages are quick: whatever is wrong with a lease shows.
pub fn leases() -> Scenario<MultiPaxos, Input, Output> {
    let three = three();
    Scenario {
        name: "multi-paxos-lease",
        story: "Three Multi-Paxos nodes read under leases that clocks at their limits just allow.",
        cluster: Cluster { link: raft_lease::QUICK, clients: 5, ..three.cluster },
        config: Config {
            elect_min: Duration::millis(70),
            elect_max: Duration::millis(110),
            // 60 ms on a clock that is slow by 5 % are 63.2 ms, and 67 on a fast one 63.8.
            hold: Duration::millis(67),
            ..three.config
        },
        workload: Workload {
            operations: 40,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(15) },
            patience: Duration::millis(40),
            attempts: 8,
            generate: forgetful(raft_lease::one_key),
            ..three.workload
        },
        faults: Swarm { crashes: 3, ..raft_lease::LATE },
        properties: vec![
            invariants(INVARIANTS, multi_paxos::invariants),
            invariants("the leases of Multi-Paxos", multi_paxos::leases),
            linearizable(Kv::new()),
            every_operation_completes(),
            sometimes("read: answered under a lease"),
            sometimes("prepare: another holds a lease"),
            sometimes("leader: a higher number is promised"),
        ],
        ..three
    }
}

/// A negative control: a clock that begins to drift by more than a hold outlasts a lease.
pub fn drifting() -> Scenario<MultiPaxos, Input, Output> {
    let three = three();
    Scenario {
        name: "multi-paxos-drift",
        story: "Three Multi-Paxos nodes read under a lease; a clock drifts more than it allows.",
        // A successor is elected and has something chosen soon after it may stand.
        cluster: Cluster { clocks: &[], link: raft_lease::QUICK, clients: 5, ..three.cluster },
        config: Config { elect_max: Duration::millis(110), ..three.config },
        workload: Workload {
            operations: 120,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(15) },
            // Short: a client that waits for a leader that was cut off writes nothing elsewhere.
            patience: Duration::millis(40),
            attempts: 8,
            generate: forgetful(raft_lease::one_key),
            ..three.workload
        },
        // A lease of 60 ms takes 150 or more on a clock that is slow by 60 %, and a hold 80 on one
        // that is right.
        faults: Swarm {
            drifts: 1,
            drift: [600_000, 750_000],
            partitions: 4,
            company: 1_000_000,
            ..Swarm::NONE
        },
        horizon: Horizon { faults: Duration::secs(4), ..three.horizon },
        properties: vec![
            invariants(INVARIANTS, multi_paxos::invariants),
            linearizable(Kv::new()),
            every_operation_completes(),
        ],
        expect: Expect::Violates {
            properties: &["linearizable"],
            because: "a lease lasts on the leader's clock, and the others hold still on theirs: \
                      none of it is left if they drift further apart than the hold is longer \
                      (Paxos Made Live, section 5.2)",
        },
        ..three
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
