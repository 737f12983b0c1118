//! Chain replication as a key-value store, under everything that its model permits.
//!
//! Story: a master and four servers in a chain; clients update at the head and query at the tail.
//! Servers are cut off from the master and not from each other, crash, freeze and come back as the
//! tail; the chain is cut, mended and grows. Clocks run 5 % fast and slow, as the lease allows.
//! Guards: linearizability, S2 to S5 of the header, and that operations complete once the faults
//! are over. Catches: `tests/planted/chn-*`.
//!
//! With CRAQ (`chain-craq`) clients query any server, also one that is about to be taken out, and
//! keys of which an update is on its way.

use crate::raft_kv::{self, CLOCKS, Input, Output};
use crate::raft_lease;
use seedfall::Swarm;
use seedfall::property::{every_operation_completes, invariants, linearizable, sometimes};
use seedfall::scenario::{Cluster, Expect, Horizon, OperationId, Reply, Scenario, Workload};
use seedfall::workload::forgetful;
use seedfall_checkers::models::Kv;
use seedfall_net::Delay;
use seedfall_protocols::chain::{self, Config, Node, Reads, Request, Response};
use seedfall_sim::{Duration, SystemModel};

/// A master and four servers.
pub fn scenario() -> Scenario<Node, Input, Output> {
    Scenario {
        name: "chain",
        story: "Four servers in a chain keep three keys; whoever is silent is taken out.",
        model: SystemModel::USUAL,
        cluster: Cluster { clocks: &CLOCKS, fewest: 3, ..Cluster::lan(5, 4) },
        config: Config {
            interval: Duration::millis(20),
            lease: Duration::millis(100),
            remove_after: Duration::millis(130),
            updates_per_message: 4,
            reads: Reads::Tail,
        },
        workload: Workload {
            operations: 16,
            final_operations: 2,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(40) },
            patience: Duration::millis(150),
            attempts: 4,
            ..Workload::short(raft_kv::generate, request, reply)
        },
        // Clocks that go wrong by more than the lease allows break it: `drift` is left out.
        faults: Swarm { drifts: 0, ..crate::MEASURED },
        horizon: Horizon { faults: Duration::secs(3), ..Horizon::SHORT },
        properties: vec![
            invariants("the invariants of chain replication", chain::invariants),
            linearizable(Kv::new()),
            every_operation_completes(),
            sometimes("master: takes out a silent server"),
            sometimes("master: a server comes back as the tail"),
            sometimes("master: keeps the last server that is ready, silent or not"),
            sometimes("join: begins with nothing"),
            sometimes("join: the new tail has caught up"),
            sometimes("forward: updates before these are missing"),
            sometimes("forward: of another chain"),
            sometimes("query: the lease has run out"),
            sometimes("update: a retry has no second effect"),
        ],
        expect: Expect::Holds,
    }
}

/// The same, where every server answers queries.
pub fn craq() -> Scenario<Node, Input, Output> {
    let chain = scenario();
    let mut properties = chain.properties.clone();
    properties.extend([
        sometimes("query: a clean key, before the tail"),
        sometimes("query: a dirty key, the tail is asked"),
        sometimes("query: the lease has run out before the tail"),
        sometimes("version: an older one than the newest here"),
    ]);
    Scenario {
        name: "chain-craq",
        story: "Four servers in a chain keep three keys, and each of them answers queries.",
        config: Config { reads: Reads::Anywhere, ..chain.config },
        properties,
        ..chain
    }
}

/// The same with leases that clocks at their limits just allow, quick messages, and servers that
/// are cut off with a client: who reads on after its lease, or is taken out before its end, is
/// found out.
pub fn leases() -> Scenario<Node, Input, Output> {
    let craq = craq();
    Scenario {
        name: "chain-lease",
        story: "Four servers in a chain answer queries under leases as long as clocks just allow.",
        cluster: Cluster { link: raft_lease::QUICK, clients: 5, ..craq.cluster },
        // 100 ms on a clock that is slow by 5 % are 105.3 ms, and 111 on a fast one 105.7.
        config: Config { remove_after: Duration::millis(111), ..craq.config },
        workload: Workload {
            operations: 40,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(15) },
            patience: Duration::millis(40),
            attempts: 8,
            generate: forgetful(raft_lease::one_key),
            ..craq.workload
        },
        faults: Swarm { crashes: 3, ..raft_lease::LATE },
        properties: vec![
            invariants("the invariants of chain replication", chain::invariants),
            linearizable(Kv::new()),
            every_operation_completes(),
            sometimes("master: takes out a silent server"),
            sometimes("query: the lease has run out"),
            sometimes("query: the lease has run out before the tail"),
            sometimes("query: a clean key, before the tail"),
        ],
        ..craq
    }
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
