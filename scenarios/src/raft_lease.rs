//! Raft that reads under a lease.
//!
//! Story: a leader answers reads by itself as long as its clock says that nobody else can lead.
//! Clocks run up to 5 % fast and slow, as the lease allows; leaders are cut off, paused and
//! deposed, and messages are late. Guards: that nobody else leads while a lease lasts, and
//! linearizability, which is what a wrong lease breaks in the end.
//! Catches: leases that are counted from the wrong moment, and promises to a leader that are not
//! kept: the time between the end of a promise that is too short and the end of the lease must be
//! long enough for a successor, so `raft-lease-transfer` has long leases and good clocks.

use crate::raft_kv::{self, CLOCKS, Input, Output};
use crate::raft_members;
use seedfall::property::{invariants, sometimes};
use seedfall::scenario::{Cluster, Horizon, Invocation, Workload};
use seedfall::workload::forgetful;
use seedfall::{Scenario, Swarm};
use seedfall_checkers::models::KvInput;
use seedfall_net::{Delay, LinkModel, Order};
use seedfall_protocols::raft::{self, Config, Raft};
use seedfall_sim::{Choices, Clock, Duration};

/// The name of the invariant about leases.
const LEASES: &str = "the leases of Raft";

/// Three nodes; the drift that the lease allows is the one that the clocks have.
pub fn scenario() -> Scenario<Raft, Input, Output> {
    let mut properties = raft_kv::properties();
    properties.extend([
        invariants(LEASES, raft::leases),
        sometimes("read: answered under a lease"),
        sometimes("lease: it has expired, and a read asks a majority"),
        sometimes("election: a leader that reached no majority stepped down"),
        sometimes("election: a pre-vote was refused because there is a leader"),
        sometimes("election: a request for votes was ignored because there is a leader"),
    ]);
    let three = raft_kv::three();
    Scenario {
        name: "raft-lease",
        story: "Three Raft nodes whose leader reads under a lease, with clocks that drift.",
        cluster: Cluster { clocks: &CLOCKS, link: QUICK, clients: 5, ..three.cluster },
        config: Config {
            // Close to the shortest one, from which a lease follows: a successor comes soon.
            election_timeout_max: Duration::millis(180),
            max_entries_per_append: 2,
            pre_vote: true,
            leader_stickiness: true,
            lease_drift: Some(50_000),
            ..Config::PAPER
        },
        workload: Workload {
            operations: 80,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(10) },
            // Short: a client that waits for a leader that was cut off writes nothing elsewhere.
            patience: Duration::millis(40),
            attempts: 8,
            generate: forgetful(one_key),
            ..three.workload
        },
        faults: LATE,
        properties,
        ..three
    }
    .abstraction(raft_kv::told_apart)
}

/// What makes messages, timers and nodes late, and leaders that are cut off with a client: whatever
/// else goes wrong keeps the cluster from having a leader at all. The clocks drift as far as the
/// lease allows, all the time: not further. Wall clocks may show anything: no lease asks them.
pub(crate) const LATE: Swarm = Swarm {
    reorder: Swarm::ALL.reorder,
    clogs: Swarm::ALL.clogs,
    partitions: 2,
    company: 500_000,
    crashes: 2,
    pauses: Swarm::ALL.pauses,
    latency: Swarm::ALL.latency,
    flaps: Swarm::ALL.flaps,
    slows: Swarm::ALL.slows,
    stalls: Swarm::ALL.stalls,
    timers: Swarm::ALL.timers,
    clocks: Swarm::ALL.clocks,
    ..Swarm::NONE
};

/// A successor is elected and has committed something a few milliseconds after it may stand: what
/// is wrong with a lease is wrong for that short a time.
pub(crate) const QUICK: LinkModel = LinkModel {
    delay: Delay::Uniform { min: Duration::millis(1), max: Duration::millis(3) },
    loss: 0,
    duplicate: 0,
    order: Order::Free,
};

/// The same with clocks that are right until the nemesis makes one of them drift, by up to 20 %:
/// the lease allows for that.
pub fn drifting() -> Scenario<Raft, Input, Output> {
    let lease = scenario();
    Scenario {
        name: "raft-lease-drift",
        story: "Three Raft nodes whose leader reads under a lease, while a clock begins to drift.",
        cluster: Cluster { clocks: &[], clients: 4, ..lease.cluster },
        config: Config {
            // A drift takes from a long lease more than an election costs.
            election_timeout_min: Duration::millis(400),
            election_timeout_max: Duration::millis(430),
            heartbeat_interval: Duration::millis(100),
            lease_drift: Some(200_000),
            ..lease.config
        },
        workload: Workload {
            operations: 120,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(20) },
            ..lease.workload
        },
        horizon: Horizon { faults: Duration::secs(4), ..lease.horizon },
        faults: Swarm {
            drifts: 1,
            drift: [150_000, 200_000],
            partitions: 2,
            company: 1_000_000,
            ..Swarm::NONE
        },
        ..lease
    }
}

/// Leases that are long beside what an election costs, and leaders that hand over while they hold
/// one: dissertation 3.10 is the election that respects no lease.
pub fn transfer() -> Scenario<Raft, raft_members::Input, raft_members::Output> {
    let lease = scenario();
    let members = raft_members::four();
    let mut properties = raft_members::properties(&[
        "transfer: the chosen server leads",
        "read: answered under a lease",
        "lease: it has expired, and a read asks a majority",
        "election: a request for votes was ignored because there is a leader",
    ]);
    properties.push(invariants(LEASES, raft::leases_beside_transfers));
    Scenario {
        name: "raft-lease-transfer",
        story: "Three Raft nodes that hand over leadership, and read under long leases.",
        model: lease.model,
        cluster: Cluster { clocks: &GOOD_CLOCKS, ..lease.cluster },
        config: Config {
            election_timeout_min: Duration::millis(400),
            election_timeout_max: Duration::millis(440),
            heartbeat_interval: Duration::millis(100),
            lease_drift: Some(10_000),
            ..lease.config
        },
        workload: Workload {
            operations: 100,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(20) },
            patience: Duration::millis(40),
            attempts: 8,
            generate: forgetful(one_key_and_transfers),
            ..members.workload
        },
        horizon: lease.horizon,
        faults: Swarm {
            clogs: 8,
            partitions: 3,
            company: 800_000,
            crashes: 4,
            reorder: Swarm::ALL.reorder,
            pauses: Swarm::ALL.pauses,
            timers: Swarm::ALL.timers,
            ..Swarm::NONE
        },
        properties,
        expect: lease.expect,
    }
    .abstraction(raft_kv::told_apart)
}

/// One percent fast and slow, which is what the lease allows.
const GOOD_CLOCKS: [Clock; 3] = [
    Clock { offset_nanos: 0, drift_ppm: -10_000 },
    Clock { offset_nanos: 0, drift_ppm: 10_000 },
    Clock { offset_nanos: 0, drift_ppm: 0 },
];

/// Now and then another is to lead.
fn one_key_and_transfers(operation: Invocation, draw: &mut Choices<'_>) -> raft_members::Input {
    match draw.below(100) {
        0..4 => raft_members::Input::Transfer(raft_members::any_node(3, draw)),
        _ => raft_members::Input::Store(one_key(operation, draw)),
    }
}

/// Writes and reads of one key: what one writes, another reads at once.
pub(crate) fn one_key(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    match draw.below(100) {
        0..60 => KvInput::Get { key: "x" },
        60..95 => KvInput::Put { key: "x", value: format!("{operation}") },
        _ => KvInput::Append { key: "x", value: format!("+{operation}") },
    }
}
