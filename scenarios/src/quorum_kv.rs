//! The quorum store, under everything that its model permits, by what its quorums guarantee.
//!
//! Story: clients get, put and delete two keys, each of which has three homes among five nodes.
//! Homes are cut off, freeze and crash; others keep hints for them; concurrent puts leave siblings,
//! which a later put replaces; tombstones are forgotten while old messages are still under way.
//! Guards: S1 and S2 of the header after every event, S3 on the history where quorums are strict,
//! convergence after the faults. Catches: `tests/planted/qkv-05`, `qkv-06`, `qkv-07` and
//! `qkv-dvv-*`.

mod properties;

use seedfall::property::{always, eventually, every_operation_completes, invariants, sometimes};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall::workload::forgetful;
use seedfall::{Property, Swarm};
use seedfall_net::Delay;
use seedfall_protocols::kv::Text;
use seedfall_protocols::quorum_kv::{
    self, Config, Dot, QuorumKv, Request, Response, VersionVector, Versions,
};
use seedfall_sim::{Choices, Clock, Duration, SystemModel};

/// What a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Asks for the siblings under a key.
    Get {
        /// Which.
        key: &'static str,
    },
    /// Writes a value in the place of those that it was shown last.
    Put {
        /// Under which key.
        key: &'static str,
        /// What: no other put writes it.
        value: String,
    },
    /// Deletes those that it was shown last.
    Delete {
        /// Under which key.
        key: &'static str,
    },
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To a get.
    Siblings(Versions),
    /// To a put or a delete.
    Stored {
        /// The name of the version.
        dot: Dot,
        /// What it replaces.
        past: VersionVector,
        /// What is there after it.
        siblings: Versions,
    },
}

/// What a search tells apart of a node: what it holds, and for whom.
fn told_apart(node: &QuorumKv) -> (usize, usize, u64) {
    let most = node.store().values().map(|versions| versions.iter().count()).max();
    (node.hints().len().min(2), most.unwrap_or(0).min(3), node.epoch().min(3))
}

/// Strict quorums that meet: every get covers every acknowledged put.
pub fn strict() -> Scenario<QuorumKv, Input, Output> {
    Scenario {
        name: "quorum-kv",
        story: "Five nodes keep two keys at three homes each, with strict quorums of two.",
        model: SystemModel::USUAL,
        cluster: Cluster { clocks: &CLOCKS, fewest: 3, ..Cluster::lan(5, 4) },
        config: CONFIG,
        workload: workload(),
        faults: crate::MEASURED,
        horizon: Horizon { faults: Duration::secs(2), ..Horizon::SHORT },
        properties: properties([
            always("gets cover acknowledged puts", properties::gets_cover_acknowledged_puts),
            sometimes("read repair: a home was behind"),
            sometimes("hint: a stand-in keeps a put for a home"),
        ]),
        expect: Expect::Holds,
    }
    .abstraction(told_apart)
}

/// Strict quorums, with the wrong claim that no get goes back behind an earlier one.
pub fn inversion() -> Scenario<QuorumKv, Input, Output> {
    Scenario {
        name: "quorum-kv-inversion",
        story: "The strict quorum store, with the wrong claim that gets never go back.",
        properties: vec![always("gets never go back", properties::gets_never_go_back)],
        expect: Expect::Violates {
            properties: &["gets never go back"],
            because: "a put that has reached one home is seen by a get that asks it, and not by a \
                      later one that asks the other two",
        },
        ..strict()
    }
}

/// Sloppy quorums: always writeable as long as one home is reached; all comes together later.
pub fn sloppy() -> Scenario<QuorumKv, Input, Output> {
    Scenario {
        name: "quorum-kv-sloppy",
        story: "Five nodes keep two keys with sloppy quorums: hints count, all converges later.",
        config: Config { sloppy: true, ..CONFIG },
        workload: Workload { generate: forgetful(generate_few_deletions), ..workload() },
        properties: properties([
            sometimes("tombstone: forgotten by all"),
            sometimes("hint: brought a version home"),
            sometimes("anti-entropy: brought a version"),
        ]),
        ..strict()
    }
}

/// Sloppy quorums, with the wrong claim of what strict ones give.
pub fn gap() -> Scenario<QuorumKv, Input, Output> {
    Scenario {
        name: "quorum-kv-gap",
        story: "The sloppy quorum store, with the wrong claim that gets cover acknowledged puts.",
        properties: vec![always(
            "gets cover acknowledged puts",
            properties::gets_cover_acknowledged_puts,
        )],
        expect: Expect::Violates {
            properties: &["gets cover acknowledged puts"],
            because: "stand-ins count for a sloppy quorum, so the two quorums need not meet \
                      (Dynamo, section 4.6)",
        },
        workload: workload(),
        ..sloppy()
    }
}

/// Many deletions and a grace period that is shorter than most faults. No message is doubled: a
/// deletion that comes again after a crash is carried out again, and the history does not tell.
pub fn deletes() -> Scenario<QuorumKv, Input, Output> {
    Scenario {
        name: "quorum-kv-deletes",
        story: "The strict quorum store with many deletions, which it forgets soon.",
        config: Config { grace: Duration::millis(60), ..CONFIG },
        workload: Workload { generate: forgetful(generate_many_deletions), ..workload() },
        faults: Swarm { duplicate: 0, ..crate::MEASURED },
        properties: properties([
            always("gets cover acknowledged puts", properties::gets_cover_acknowledged_puts),
            sometimes("tombstone: forgotten by all"),
            sometimes("store: refused, as it was sent before a tombstone was forgotten"),
            sometimes("get: asks again, as a tombstone was forgotten meanwhile"),
        ]),
        ..strict()
    }
    .abstraction(told_apart)
}

/// One key, and no doubled messages, so that a client knows what it was shown.
pub fn siblings() -> Scenario<QuorumKv, Input, Output> {
    Scenario {
        name: "quorum-kv-siblings",
        story: "Four clients put one key of the quorum store, each over what it was shown.",
        workload: Workload { generate: forgetful(generate_one_key), ..workload() },
        faults: Swarm { duplicate: 0, ..crate::MEASURED },
        properties: properties([
            always("puts replace what was shown", properties::puts_replace_what_was_shown),
            sometimes("answer: shows siblings"),
        ]),
        ..strict()
    }
}

/// An hour ahead, 5 % fast, 5 % slow: who wrote last is no question of clocks.
const CLOCKS: [Clock; 3] = [
    Clock { offset_nanos: Duration::secs(3_600).as_nanos(), drift_ppm: 0 },
    Clock { offset_nanos: 0, drift_ppm: 50_000 },
    Clock { offset_nanos: 0, drift_ppm: -50_000 },
];

/// The paper's usual (3, 2, 2), section 6.
const CONFIG: Config = Config {
    homes: 3,
    read_quorum: 2,
    write_quorum: 2,
    sloppy: false,
    virtual_nodes: 8,
    retransmit_after: Duration::millis(40),
    handoff_every: Duration::millis(70),
    anti_entropy_every: Duration::millis(60),
    grace: Duration::millis(300),
};

/// How long a client waits before it asks another home: a put that was answered sooner was asked
/// for once.
const PATIENCE: Duration = Duration::millis(200);

fn workload() -> Workload<QuorumKv, Input, Output> {
    Workload {
        operations: 12,
        final_operations: 2,
        think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(40) },
        patience: PATIENCE,
        attempts: 3,
        ..Workload::short(generate, request, reply)
    }
}

fn properties<const N: usize>(
    more: [Property<QuorumKv, Input, Output>; N],
) -> Vec<Property<QuorumKv, Input, Output>> {
    let mut properties = vec![
        invariants("the invariants of the quorum store", quorum_kv::invariants),
        invariants("what is counted is stored", quorum_kv::promises),
        every_operation_completes(),
        eventually("all homes agree", quorum_kv::converged),
        sometimes("put: a sibling of what its client was not shown"),
        sometimes("put: several siblings were replaced by one"),
        sometimes("hint: handed off"),
    ];
    properties.extend(more);
    properties
}

fn generate(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    mix(operation, draw, 50, 100)
}

fn generate_one_key(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    let key = "x";
    match draw.below(3) {
        0 => Input::Get { key },
        _ => Input::Put { key, value: operation.to_string() },
    }
}

fn generate_few_deletions(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    mix(operation, draw, 45, 90)
}

fn generate_many_deletions(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    mix(operation, draw, 35, 70)
}

/// Gets below `gets`, puts below `puts`, deletions above; in per cent.
fn mix(operation: Invocation, draw: &mut Choices<'_>, gets: u32, puts: u32) -> Input {
    let key = ["x", "x", "y"][draw.below(3) as usize];
    match draw.below(100) {
        kind if kind < gets => Input::Get { key },
        kind if kind < puts => Input::Put { key, value: operation.to_string() },
        _ => Input::Delete { key },
    }
}

fn request(_: OperationId, input: &Input) -> Request {
    match input {
        Input::Get { key } => Request::Get { key: (*key).into() },
        Input::Put { key, value } => {
            Request::Put { key: (*key).into(), value: Some(Text::from(value)) }
        }
        Input::Delete { key } => Request::Put { key: (*key).into(), value: None },
    }
}

fn reply(response: Response) -> Reply<Output> {
    Reply::Done(match response {
        Response::NotHome { home } => return Reply::Elsewhere(Some(home)),
        Response::Siblings(siblings) => Output::Siblings(siblings),
        Response::Stored { dot, past, siblings } => Output::Stored { dot, past, siblings },
    })
}
