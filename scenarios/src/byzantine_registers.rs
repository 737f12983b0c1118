//! Registers on servers of which one lies.
//!
//! Story: clients read and write two keys; a server claims to hold what nobody has written, or
//! nothing at all, while messages are lost and servers are cut off, crash and come back. With
//! signatures four servers are enough for atomic registers (`dissemination`), without them five for
//! safe ones (`masking`). Guards: linearizability and safety of registers, that what is held is
//! kept, and that every operation completes. Catches: `tests/planted/bqs-*`.
//!
//! With one server less (`dissemination-three`, `masking-four`) two quorums may have nobody in
//! common who is to be believed, and a sweep that does not find that out fails.

use crate::registers::{self, Input, Output};
use seedfall::property::{
    Judgement, always, every_operation_completes, invariants, linearizable, sometimes,
};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall::workload::{Generate, forgetful};
use seedfall::{Property, Swarm};
use seedfall_checkers::models::{Kv, KvInput, KvOutput};
use seedfall_checkers::{History, weak};
use seedfall_net::Delay;
use seedfall_protocols::byzantine_registers::{self, Config, Kind, Request, Response, Server};
use seedfall_sim::{Choices, Duration, Nodes, SystemModel, Timing};

type Registers = Scenario<Server, Input, Output>;

/// Four servers, and signatures.
pub fn dissemination() -> Registers {
    Scenario {
        name: "dissemination",
        story: "Four servers, one of which lies, hold two registers whose values are signed.",
        model: SystemModel {
            nodes: Nodes::Byzantine,
            timing: Timing::Asynchronous,
            ..SystemModel::USUAL
        },
        cluster: Cluster { spare: 1, ..Cluster::lan(4, 4) },
        config: Config {
            kind: Kind::Dissemination,
            faulty: 1,
            retransmit_after: Duration::millis(40),
        },
        workload: Workload {
            operations: 12,
            final_operations: 2,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(40) },
            patience: Duration::millis(200),
            attempts: 3,
            ..Workload::short(generate, request, reply)
        },
        // Who forgets, or runs twice, would lie to its own clients too; and who does not come back
        // leaves those without a home.
        faults: Swarm {
            strategies: 1,
            stops: 0,
            twins: 0,
            wipes: 0,
            disk_lies: 0,
            disk_errors: 0,
            disk_damages: 0,
            ..crate::MEASURED
        },
        horizon: Horizon::SHORT,
        properties: properties([linearizable(Kv::new()), sometimes("held: not by its writer")]),
        expect: Expect::Holds,
    }
}

/// Five servers, and nothing is signed.
pub fn masking() -> Registers {
    let signed = dissemination();
    Scenario {
        name: "masking",
        story: "Five servers, one of which lies, hold two registers, and nothing is signed.",
        cluster: Cluster { spare: 1, ..Cluster::lan(5, 5) },
        config: Config { kind: Kind::Masking, ..signed.config },
        // A write that is given up overlaps all that follows.
        workload: Workload {
            operations: 20,
            think: Delay::Exponential { min: Duration::nanos(1), mean: Duration::millis(12) },
            patience: Duration::millis(600),
            generate: forgetful(hot),
            ..workload(&signed)
        },
        properties: properties([always(SAFE, safe), sometimes("read: too few say the same")]),
        ..signed
    }
}

/// A negative control: one server too few.
pub fn dissemination_three() -> Registers {
    let signed = dissemination();
    Scenario {
        name: "dissemination-three",
        story: "Three servers, one of which lies, with signatures: one server too few.",
        cluster: Cluster { spare: 1, ..Cluster::lan(3, 4) },
        faults: LIARS,
        properties: vec![linearizable(Kv::new())],
        expect: Expect::Violates {
            properties: &["linearizable"],
            because: "two quorums of two among three may have the liar alone in common (Malkhi and \
                      Reiter 1998, section 4: n > 3f)",
        },
        ..signed
    }
}

/// A negative control: one server too few.
pub fn masking_four() -> Registers {
    let plain = masking();
    Scenario {
        name: "masking-four",
        story: "Four servers, one of which lies, and nothing is signed: one server too few.",
        cluster: Cluster { spare: 1, ..Cluster::lan(4, 4) },
        workload: Workload {
            patience: Duration::millis(600),
            generate: many_keys(),
            ..workload(&dissemination())
        },
        faults: LIARS,
        properties: vec![always(SAFE, safe)],
        expect: Expect::Violates {
            properties: &[SAFE],
            because: "a liar and a server that has missed a write outvote the only other one that \
                      two quorums have in common (Malkhi and Reiter 1998, section 3: n > 4f)",
        },
        ..plain
    }
}

/// A liar, and messages that are lost or late.
const LIARS: Swarm = {
    let Swarm { loss, reorder, latency, partitions, .. } = Swarm::ALL;
    Swarm { strategies: 1, loss, reorder, latency, partitions, ..Swarm::NONE }
};

const SAFE: &str = "safe registers";

fn workload(scenario: &Registers) -> Workload<Server, Input, Output> {
    scenario.workload.clone()
}

fn properties<const N: usize>(
    more: [Property<Server, Input, Output>; N],
) -> Vec<Property<Server, Input, Output>> {
    let mut properties = vec![
        invariants("the invariants of Byzantine quorums", byzantine_registers::invariants),
        every_operation_completes(),
        sometimes("write: a retry goes on under the tag that it has"),
        sometimes("retransmission: no quorum has answered in time"),
    ];
    properties.extend(more);
    properties
}

/// Whether every register is safe (Lamport 1986).
fn safe(history: &History<Input, Output>) -> Judgement {
    let report = weak::safe(&registers::accesses(history));
    report.expect("no value is written twice, by the workload").into()
}

/// As below, of more keys: a server that has missed the first write of one knows nothing of it, and
/// so the liar claims.
fn many_keys() -> Generate<Input, Output> {
    const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    forgetful(|operation: Invocation, draw: &mut Choices<'_>| {
        let key = KEYS[draw.below(8) as usize];
        match draw.below(2) {
            0 => KvInput::Get { key },
            _ => KvInput::Put { key, value: operation.to_string() },
        }
    })
}

/// Of one key there are so many writes that servers are apart as it is read, and of the other so
/// few that reads overlap none.
fn hot(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    match draw.below(100) {
        0..55 => KvInput::Put { key: "x", value: operation.to_string() },
        55..75 => KvInput::Get { key: "x" },
        75..80 => KvInput::Put { key: "y", value: operation.to_string() },
        _ => KvInput::Get { key: "y" },
    }
}

/// Reads and writes of two keys, more of the first, so that operations meet.
fn generate(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    let key = ["x", "x", "y"][draw.below(3) as usize];
    match draw.below(100) {
        0..60 => KvInput::Get { key },
        _ => KvInput::Put { key, value: operation.to_string() },
    }
}

fn request(_: OperationId, input: &Input) -> Request {
    match input {
        KvInput::Put { key, value } => Request::Write((*key).into(), value.into()),
        other => Request::Read((*other.key()).into()),
    }
}

fn reply(response: Response) -> Reply<Output> {
    Reply::Done(match response {
        Response::Elsewhere(home) => return Reply::Elsewhere(Some(home)),
        Response::Value(value) => KvOutput::Value(value.map(Into::into)),
        Response::Written => KvOutput::Done,
    })
}
