//! Raft as a key-value store, under everything that its model permits.
//!
//! Story: clients read and change three keys of a replicated store, each value written once.
//! Messages are lost, doubled and late; links jam; nodes are cut off alone, in groups, one way, in
//! pairs or in a ring; nodes freeze, crash between any two effects, lose what they did not sync,
//! and come back. Then all that stops, and every client asks twice more. Guards: S1 to S5 of the
//! paper while the run goes on, linearizability at its end, and recovery. Catches: the patches of
//! `tests/planted/`.

use seedfall::property::{every_operation_completes, invariants, linearizable, sometimes};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall::{Property, Swarm};
use seedfall_checkers::models::{Kv, KvInput, KvOutput};
use seedfall_net::Delay;
use seedfall_protocols::kv::{Answer, Command};
use seedfall_protocols::raft::{self, Config, Raft, Request, Response};
use seedfall_sim::{Choices, Clock, Duration, SystemModel};

pub(crate) type Input = KvInput<&'static str, String>;
pub(crate) type Output = KvOutput<String>;

/// Losses, late messages, partitions, crashes and pauses alone: where fewer kinds of faults share a
/// short episode, leaders change faster.
const FEW: Swarm = Swarm {
    loss: Swarm::ALL.loss,
    duplicate: Swarm::ALL.duplicate,
    reorder: Swarm::ALL.reorder,
    clogs: Swarm::ALL.clogs,
    partitions: Swarm::ALL.partitions,
    crashes: Swarm::ALL.crashes,
    pauses: Swarm::ALL.pauses,
    ..Swarm::NONE
};

/// The lemma of 5.2, which breaks long before Election Safety does.
pub(super) const ONE_VOTE: &str = "one vote a term";

/// The rules of Figure 2 for its state, which break long before any theorem does.
pub(super) const INDICES: &str = "the rules of Figure 2";

/// What reads without the log rest on.
pub(super) const READS: &str = "reads ask a majority";

/// All of them: servers that lie or lose their disks break them, and that says nothing of the
/// theorems.
pub(super) const LEMMAS: [&str; 3] = [ONE_VOTE, INDICES, READS];

/// Five nodes: room for two majorities that share one node only.
pub fn five() -> Scenario<Raft, Input, Output> {
    Scenario {
        name: "raft-kv",
        story: "Five Raft nodes keep three keys for four clients, under every fault of the model.",
        model: SystemModel::USUAL,
        cluster: Cluster { clocks: &CLOCKS, spare: 2, fewest: 3, ..Cluster::lan(5, 4) },
        config: Config { max_entries_per_append: 4, ..Config::PAPER },
        workload: workload(),
        faults: crate::MEASURED,
        horizon: Horizon { faults: Duration::secs(3), ..Horizon::SHORT },
        // Reads are left to the clients here: what a stale one does to them is README's failure.
        properties: properties().into_iter().filter(|one| one.name != READS).collect(),
        expect: Expect::Holds,
    }
    .abstraction(told_apart)
}

/// What a search tells apart of a node: its vote, and how its log ends.
pub(super) fn told_apart(node: &Raft) -> (bool, bool, u64, u64) {
    let (log, commit) = (node.log(), node.commit_index());
    let open = log.last_index().0.saturating_sub(commit.0).min(3);
    let behind = node.term().0.saturating_sub(log.last_term().0).min(3);
    (node.is_candidate(), node.voted_for().is_some(), open, behind)
}

/// Three nodes, short, one entry a message: the episodes in which most bugs of Raft show, thousands
/// a second.
pub fn three() -> Scenario<Raft, Input, Output> {
    Scenario {
        name: "raft-kv-3",
        story: "Three Raft nodes that replicate one entry at a time, in short episodes.",
        cluster: Cluster { spare: 1, ..Cluster::lan(3, 3) },
        config: Config { max_entries_per_append: 1, ..Config::PAPER },
        horizon: Horizon { faults: Duration::secs(2), ..Horizon::SHORT },
        faults: FEW,
        properties: properties(),
        ..five()
    }
}

/// Three nodes whose timeouts lie so close that candidates meet in a term, and votes decide: what
/// is forgotten of a vote shows here.
pub fn duel() -> Scenario<Raft, Input, Output> {
    Scenario {
        name: "raft-kv-duel",
        story: "Three Raft nodes whose candidates keep meeting, while voters crash and come back.",
        config: Config {
            election_timeout_max: Duration::millis(170),
            max_entries_per_append: 1,
            ..Config::PAPER
        },
        faults: Swarm { crashes: 14, ..crate::MEASURED },
        ..three()
    }
}

/// Three nodes of which one hears another late, time and again, while the way back is as fast as
/// ever: who is slow to whom depends on the direction.
pub fn slow_links() -> Scenario<Raft, Input, Output> {
    Scenario {
        name: "raft-kv-slow-links",
        story: "Three Raft nodes, and links that are slow in one direction.",
        faults: Swarm { slow_links: 4, ..FEW },
        ..three()
    }
}

/// One clock is an hour ahead, one runs fast and one slow by the 5 % that a hostile machine
/// reaches: no property of Raft rests on a clock.
pub(super) const CLOCKS: [Clock; 3] = [
    Clock { offset_nanos: Duration::secs(3_600).as_nanos(), drift_ppm: 0 },
    Clock { offset_nanos: 0, drift_ppm: 50_000 },
    Clock { offset_nanos: 0, drift_ppm: -50_000 },
];

pub(super) fn workload() -> Workload<Raft, Input, Output> {
    Workload {
        operations: 12,
        final_operations: 2,
        think: Delay::Exponential { min: Duration::millis(5), mean: Duration::millis(60) },
        patience: Duration::millis(300),
        attempts: 3,
        ..Workload::short(generate, request, reply)
    }
}

pub(super) fn properties() -> Vec<Property<Raft, Input, Output>> {
    vec![
        invariants("the invariants of Raft", raft::invariants),
        invariants(ONE_VOTE, raft::promises),
        invariants(INDICES, raft::indices),
        invariants(READS, raft::reads),
        linearizable(Kv::new()),
        every_operation_completes(),
        sometimes("election: a leader was deposed"),
        sometimes("election: a second candidate in a term"),
        sometimes("election: no majority before the timeout"),
        sometimes("replication: a conflicting suffix was removed"),
        sometimes("replication: an entry of an older term was committed by one of this term"),
        sometimes("session: a repeated entry had no effect"),
        sometimes("session: a retry was answered without the log"),
        sometimes("read: waits for the first commit of the term"),
    ]
}

/// Mostly reads and writes of few keys, so that operations meet; every value is written once.
pub(super) fn generate(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    let key = ["x", "y", "z"][draw.below(3) as usize];
    let value = format!("{operation}");
    match draw.below(100) {
        0..45 => KvInput::Get { key },
        45..70 => KvInput::Put { key, value },
        70..85 => KvInput::Append { key, value: format!("+{value}") },
        85..95 => {
            // A guess at what is there: nothing, or what another client put a moment ago.
            let guess = draw.below(5);
            let expected = (guess > 0).then(|| format!("c{guess}/{}", operation.number));
            KvInput::Cas { key, expected, new: value }
        }
        _ => KvInput::Delete { key },
    }
}

pub(super) fn request(operation: OperationId, input: &Input) -> Request {
    Request::Command { sequence: u64::from(operation.number) + 1, command: command(input) }
}

/// In the words of the state machine.
pub(super) fn command(input: &Input) -> Command {
    match input {
        KvInput::Get { key } => Command::Get { key: (*key).into() },
        KvInput::Put { key, value } => Command::Put { key: (*key).into(), value: value.into() },
        KvInput::Append { key, value } => {
            Command::Append { key: (*key).into(), value: value.into() }
        }
        KvInput::Cas { key, expected, new } => Command::Cas {
            key: (*key).into(),
            expected: expected.as_ref().map(Into::into),
            value: new.into(),
        },
        KvInput::Delete { key } => Command::Delete { key: (*key).into() },
    }
}

pub(super) fn reply(response: Response) -> Reply<Output> {
    Reply::Done(match response {
        Response::NotLeader { leader } => return Reply::Elsewhere(leader),
        // It took effect, and nobody knows the answer any more.
        Response::Expired => return Reply::Elsewhere(None),
        Response::Reconfigured | Response::Leads | Response::Refused => {
            unreachable!("nobody asks for that here")
        }
        Response::Done(answer) => output(answer),
    })
}

/// In the words of the model.
pub(super) fn output(answer: Answer) -> Output {
    match answer {
        Answer::Value(value) => KvOutput::Value(value.map(Into::into)),
        Answer::Done | Answer::Cas { swapped: true, .. } => KvOutput::Done,
        Answer::Cas { seen, .. } => KvOutput::MismatchSaw(seen.map(Into::into)),
    }
}
