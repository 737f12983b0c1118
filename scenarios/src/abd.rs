//! ABD's registers, under everything that their model permits.
//!
//! Story: clients read and write two registers through whichever node they meet. Messages are lost,
//! doubled and late, nodes are cut off, freeze, crash while they store a value that few have yet,
//! and come back with what they synced. Guards: S1 to S3 of the header, and that every operation
//! called after the faults completes. Catches: `tests/planted/qkv-01`, `qkv-04` and `qkv-abd-*`.
//!
//! Without the write-back of a read the registers are regular (`abd-regular` holds) and not atomic:
//! of two reads, one after the other, the later may return the older value (`abd-inversion` must
//! find one).

use crate::registers::{self, Input, Output};
use seedfall::Property;
use seedfall::property::{
    always, eventually, every_operation_completes, invariants, linearizable, sometimes,
};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall_checkers::models::{Kv, KvInput, KvOutput};
use seedfall_net::Delay;
use seedfall_protocols::abd::{self, Abd, Config, Request, Response, Writers};
use seedfall_sim::{Choices, Clock, Duration, Links, NodeId, SystemModel};

/// Five nodes, each the writer of some clients.
pub fn many() -> Scenario<Abd, Input, Output> {
    Scenario {
        name: "abd",
        story: "Five ABD nodes keep two registers with many writers, under every fault.",
        model: SystemModel::USUAL,
        cluster: Cluster { clocks: &CLOCKS, fewest: 3, ..Cluster::lan(5, 5) },
        config: CONFIG,
        workload: workload(),
        faults: crate::MEASURED,
        horizon: Horizon { faults: Duration::secs(2), ..Horizon::SHORT },
        properties: properties([
            linearizable(Kv::new()),
            sometimes("read: wrote back a value that not everybody had"),
            sometimes("store: concurrent writes, told apart by their writers"),
        ]),
        expect: Expect::Holds,
    }
}

/// The same over links that flip bits: with a checksum, which turns a changed message into a lost
/// one, arbitrary links are fair-loss links.
pub fn arbitrary() -> Scenario<Abd, Input, Output> {
    Scenario {
        name: "abd-flipped-bits",
        story: "ABD over links that flip bits, with messages that carry a checksum.",
        model: SystemModel { links: Links::Arbitrary, ..SystemModel::USUAL },
        ..many()
    }
}

/// Three nodes, one of which is the only writer: the paper's own case.
pub fn single() -> Scenario<Abd, Input, Output> {
    Scenario {
        name: "abd-single-writer",
        story: "Three ABD nodes keep two registers that one of them alone writes.",
        cluster: Cluster::lan(3, 4),
        config: Config { writers: Writers::Single(NodeId::new(0)), ..CONFIG },
        properties: properties([
            linearizable(Kv::new()),
            sometimes("read: wrote back a value that not everybody had"),
        ]),
        ..many()
    }
}

/// Reads return without writing back: every register is regular.
pub fn regular() -> Scenario<Abd, Input, Output> {
    Scenario {
        name: "abd-regular",
        story: "Three ABD nodes whose reads do not write back: regular registers.",
        cluster: Cluster::lan(3, 4),
        config: Config { write_back: false, ..CONFIG },
        properties: properties([
            always("regular", registers::regular),
            sometimes("store: concurrent writes, told apart by their writers"),
        ]),
        ..many()
    }
}

/// The same, asked to be atomic.
pub fn inversion() -> Scenario<Abd, Input, Output> {
    Scenario {
        name: "abd-inversion",
        story: "Three ABD nodes whose reads do not write back, wrongly claimed to be atomic.",
        properties: properties([linearizable(Kv::new())]),
        expect: Expect::Violates {
            properties: &["linearizable"],
            because: "a read that does not write back may be followed by one that sees an older \
                      value (ABD, the reason for its second phase)",
        },
        ..regular()
    }
}

/// An hour ahead, 5 % fast, 5 % slow: no property of ABD rests on a clock.
const CLOCKS: [Clock; 3] = [
    Clock { offset_nanos: Duration::secs(3_600).as_nanos(), drift_ppm: 0 },
    Clock { offset_nanos: 0, drift_ppm: 50_000 },
    Clock { offset_nanos: 0, drift_ppm: -50_000 },
];

const CONFIG: Config =
    Config { writers: Writers::Many, write_back: true, retransmit_after: Duration::millis(40) };

fn workload() -> Workload<Abd, Input, Output> {
    Workload {
        operations: 12,
        final_operations: 2,
        think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(40) },
        patience: Duration::millis(200),
        attempts: 3,
        ..Workload::short(generate, request, reply)
    }
}

fn properties<const N: usize>(
    more: [Property<Abd, Input, Output>; N],
) -> Vec<Property<Abd, Input, Output>> {
    let mut properties = vec![
        invariants("the invariants of ABD", abd::invariants),
        every_operation_completes(),
        eventually("L1: what is under way completes", all_complete),
        sometimes("write: a retry goes on under the tag that it has"),
        sometimes("write: a retry goes on under the tag that it got before a crash"),
        sometimes("write: its client has written since"),
        sometimes("store: an older value came late"),
        sometimes("retransmission: no majority has answered in time"),
    ];
    properties.extend(more);
    properties
}

/// Eventually: nobody coordinates an operation that does not come to its end, whether its client
/// still waits or not.
fn all_complete(nodes: &[Option<&Abd>]) -> Result<(), String> {
    match nodes.iter().flatten().find(|node| 0 < node.incomplete()) {
        None => Ok(()),
        Some(node) => Err(format!("{}: {} operations are under way", node.id(), node.incomplete())),
    }
}

/// Reads and writes of two keys, more of the first, so that operations meet.
fn generate(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    let key = ["x", "x", "y"][draw.below(3) as usize];
    match draw.below(100) {
        0..55 => KvInput::Get { key },
        _ => KvInput::Put { key, value: operation.to_string() },
    }
}

fn request(_: OperationId, input: &Input) -> Request {
    match input {
        KvInput::Put { key, value } => Request::Write { key: (*key).into(), value: value.into() },
        other => Request::Read { key: (*other.key()).into() },
    }
}

fn reply(response: Response) -> Reply<Output> {
    Reply::Done(match response {
        Response::NotProxy { proxy } => return Reply::Elsewhere(Some(proxy)),
        Response::Value(value) => KvOutput::Value(value.map(Into::into)),
        Response::Written => KvOutput::Done,
    })
}
