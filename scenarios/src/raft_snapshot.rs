//! Raft with logs that are compacted all the time.
//!
//! Story: three servers replace their logs by snapshots every few entries, so that whoever was away
//! for a moment gets a snapshot, in small parts; two sessions are remembered for three clients, and
//! few entries may be on their way to a follower. Guards: Figure 3 across snapshots,
//! linearizability, recovery. Catches: snapshots and appends that come late.

use crate::raft_kv::{self, Input, Output};
use seedfall::Scenario;
use seedfall::property::sometimes;
use seedfall::scenario::{Invocation, Reply, Workload};
use seedfall::workload::forgetful;
use seedfall_checkers::models::{KvInput, KvOutput};
use seedfall_protocols::raft::{Config, Raft, Response};
use seedfall_sim::Choices;
use std::sync::Arc;

/// Three nodes, a snapshot every four entries.
pub fn scenario() -> Scenario<Raft, Input, Output> {
    let mut properties = raft_kv::properties();
    properties.extend([
        sometimes("snapshot: installed by a follower that lagged behind"),
        sometimes("snapshot: installed, and the entries after it kept"),
        sometimes("snapshot: one came that is older than what is applied"),
        sometimes("snapshot: a second chunk was sent"),
        sometimes("session: one expired"),
    ]);
    Scenario {
        name: "raft-snapshot",
        story: "Three Raft nodes that take a snapshot every four entries and keep two sessions.",
        config: Config {
            max_entries_per_append: 2,
            max_in_flight: 4,
            snapshot_after: Some(4),
            snapshot_chunk: 2,
            max_sessions: Some(2),
            ..Config::PAPER
        },
        workload: Workload {
            generate: forgetful(generate),
            reply: Arc::new(reply),
            ..raft_kv::workload()
        },
        properties,
        faults: crate::MEASURED,
        ..raft_kv::three()
    }
    .abstraction(raft_kv::told_apart)
}

/// Without compare-and-set: of all other writes it is known what the forgotten answer was.
fn generate(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    match raft_kv::generate(operation, draw) {
        KvInput::Cas { key, new, .. } => KvInput::Put { key, value: new },
        other => other,
    }
}

fn reply(response: Response) -> Reply<Output> {
    match response {
        Response::Expired => Reply::Done(KvOutput::Done),
        other => raft_kv::reply(other),
    }
}
