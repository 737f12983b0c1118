//! Our own key-value scenarios, with raft-rs in the place of our Raft: same clients, same faults,
//! same clocks, same checkers.

use crate::invariants::Invariants;
use crate::server::{Config, Server};
use seedfall_scenarios::raft_kv;
use seedfall::checkers::models::{Kv, KvInput, KvOutput};
use seedfall::sim::Duration;
use seedfall::{
    Expect, Property, Runnable, Scenario, Workload, every_operation_completes, invariants,
    linearizable, sometimes,
};
use seedfall_protocols::raft::Raft;

type Input = KvInput<&'static str, String>;
type Output = KvOutput<String>;

/// Timeouts of 150 to 275 ms and heartbeats every 50 ms, as near to the paper's as whole ticks
/// come.
const CONFIG: Config = Config {
    tick: Duration::millis(25),
    heartbeat_ticks: 2,
    election_ticks_min: 6,
    election_ticks_max: 12,
    max_size_per_message: 0,
    pre_vote: false,
    check_quorum: false,
    follower_reads: false,
    snapshot_after: None,
};

const NO_MAJORITY: &str = "election: no majority before the timeout";

/// All of them, and ours for comparison.
pub fn all() -> Vec<Box<dyn Runnable>> {
    vec![
        Box::new(five()),
        Box::new(three()),
        Box::new(snapshots()),
        Box::new(follower_reads()),
        Box::new(raft_kv::five()),
        Box::new(raft_kv::three()),
    ]
}

/// `raft-kv` with raft-rs.
pub fn five() -> Scenario<Server, Input, Output> {
    // Four entries of the workload.
    let config = Config { max_size_per_message: 128, ..CONFIG };
    let story = "Five raft-rs nodes keep three keys for four clients, under every fault.";
    like(raft_kv::five(), "raft-rs-kv", story, config)
}

/// `raft-kv-3` with raft-rs.
pub fn three() -> Scenario<Server, Input, Output> {
    let story = "Three raft-rs nodes that replicate one entry at a time, in short episodes.";
    like(raft_kv::three(), "raft-rs-kv-3", story, CONFIG)
}

/// The same with everything that `TiKV` switches on: pre-vote, check-quorum and, after every fifth
/// entry, a snapshot.
pub fn snapshots() -> Scenario<Server, Input, Output> {
    let config = Config { pre_vote: true, check_quorum: true, snapshot_after: Some(5), ..CONFIG };
    let story =
        "Three raft-rs nodes with pre-vote, check-quorum and a snapshot every five entries.";
    let mut scenario = like(raft_kv::three(), "raft-rs-snapshot", story, config);
    // With a pre-vote, who gets no majority is no candidate yet.
    scenario.properties.retain(|property| property.name != NO_MAJORITY);
    scenario.properties.push(sometimes("snapshot: installed from the leader"));
    scenario
}

/// The same where every node answers reads, asking its leader how far to wait.
pub fn follower_reads() -> Scenario<Server, Input, Output> {
    let config = Config { follower_reads: true, ..CONFIG };
    let story = "Three raft-rs nodes that all answer reads, by the library's forwarding.";
    like(raft_kv::three(), "raft-rs-follower-read", story, config)
}

/// A scenario of ours for another protocol that takes the same requests.
fn like(
    ours: Scenario<Raft, Input, Output>,
    name: &'static str,
    story: &'static str,
    config: Config,
) -> Scenario<Server, Input, Output> {
    Scenario {
        name,
        story,
        model: ours.model,
        cluster: ours.cluster,
        config,
        workload: Workload {
            operations: ours.workload.operations,
            final_operations: ours.workload.final_operations,
            think: ours.workload.think,
            patience: ours.workload.patience,
            attempts: ours.workload.attempts,
            agree: ours.workload.agree,
            generate: ours.workload.generate,
            request: ours.workload.request,
            reply: ours.workload.reply,
        },
        faults: ours.faults,
        horizon: ours.horizon,
        properties: properties(),
        expect: Expect::Holds,
    }
}

fn properties() -> Vec<Property<Server, Input, Output>> {
    vec![
        invariants("the invariants of Raft", Invariants::default),
        linearizable(Kv::new()),
        every_operation_completes(),
        sometimes("election: a leader was deposed"),
        sometimes(NO_MAJORITY),
        sometimes("replication: a conflicting suffix was removed"),
        sometimes("replication: an entry of an older term was committed by one of this term"),
        sometimes("session: a repeated entry had no effect"),
        sometimes("session: a retry was answered without the log"),
        sometimes("read: waits for the first commit of the term"),
    ]
}
