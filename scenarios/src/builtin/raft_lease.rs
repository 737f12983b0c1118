//! Raft that reads under a lease.
//!
//! Story: a leader answers reads by itself as long as its clock says that nobody else can lead.
//! Clocks run up to 5 % fast and slow, as the lease allows; leaders are cut off, paused and
//! deposed, and messages are late. Guards: linearizability, which is what a wrong lease breaks.
//! Catches: leases that are counted from the wrong moment.

use crate::builtin::raft_kv::{self, CLOCKS, Input, Output};
use crate::promise::sometimes;
use crate::scenario::{Cluster, OperationId, Workload};
use crate::{Scenario, Swarm};
use seedfall_checkers::models::KvInput;
use seedfall_net::Delay;
use seedfall_protocols::raft::{Config, Raft};
use seedfall_sim::{Draw, Duration};

/// Three nodes; the drift that the lease allows is the one that the clocks have.
pub fn scenario() -> Scenario<Raft, Input, Output> {
    let mut promises = raft_kv::promises();
    promises.extend([
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
        cluster: Cluster { clocks: &CLOCKS, ..three.cluster },
        config: Config {
            max_entries_per_append: 2,
            pre_vote: true,
            leader_stickiness: true,
            lease_drift: Some(50_000),
            ..Config::PAPER
        },
        workload: Workload {
            operations: 24,
            think: Delay::Exponential { min: Duration::millis(2), mean: Duration::millis(30) },
            patience: Duration::millis(150),
            generate,
            ..three.workload
        },
        // The clocks drift as far as the lease allows, all the time: not further.
        faults: Swarm { drifts: 0, ..Swarm::ALL },
        promises,
        ..three
    }
}

/// Writes and reads of one key: what one writes, another reads at once.
fn generate(operation: OperationId, draw: &mut Draw) -> Input {
    match draw.below(100) {
        0..60 => KvInput::Get { key: "x" },
        60..95 => KvInput::Put { key: "x", value: format!("{operation}") },
        _ => KvInput::Append { key: "x", value: format!("+{operation}") },
    }
}
