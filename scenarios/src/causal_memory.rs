//! Causal memory, under everything that its model permits.
//!
//! Story: each client reads and writes registers at its home, cut off or not. Messages are lost,
//! doubled and late, nodes freeze, crash and come back. Nobody sees an effect without its cause,
//! and once messages arrive again, every write reaches every node. Guards: CB2 to CB5 of the header
//! and that the history is one of causal memory. Catches: `tests/planted/cau-*`.
//!
//! Causal memory is not linearizable: a client reads its own copy, and others have written since
//! (`causal-memory-stale` must find it).

use crate::registers::{self, Input, Output};
use seedfall::property::{
    Judgement, always, eventually, every_operation_completes, invariants, linearizable, sometimes,
};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall_checkers::models::{Kv, KvInput, KvOutput};
use seedfall_checkers::weak::{self, Causal};
use seedfall_checkers::{Budget, History};
use seedfall_net::Delay;
use seedfall_protocols::causal_memory::{self, Config, Memory, Request, Response};
use seedfall_sim::{Choices, Duration, NodeId, SystemModel};

/// Four nodes, each the home of a client or two.
pub fn scenario() -> Scenario<Memory, Input, Output> {
    Scenario {
        name: "causal-memory",
        story: "Four nodes answer from their own copy, and show no effect without its cause.",
        model: SystemModel::USUAL,
        cluster: Cluster { fewest: 2, ..Cluster::lan(4, 6) },
        config: Config { have_interval: Duration::millis(40), writes_per_answer: 4 },
        workload: Workload {
            operations: 12,
            final_operations: 2,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(40) },
            patience: Duration::millis(200),
            attempts: 3,
            ..Workload::short(generate, request, reply)
        },
        faults: crate::MEASURED,
        horizon: Horizon::SHORT,
        properties: vec![
            invariants("CB2, CB3 and CB5 of causal broadcast", causal_memory::invariants),
            always("causal memory", is_causal),
            eventually("CB4: every write reaches every node", have_agreed),
            every_operation_completes(),
            sometimes("update: waits for an earlier write of its writer"),
            sometimes("update: waits for a write of a third node"),
            sometimes("update: applied already"),
            sometimes("have: a write is sent again"),
            sometimes("write: a retry has no second effect"),
        ],
        expect: Expect::Holds,
    }
}

/// A negative control: asked to be more than it is.
pub fn stale() -> Scenario<Memory, Input, Output> {
    Scenario {
        name: "causal-memory-stale",
        story: "Causal memory, wrongly claimed to be linearizable.",
        properties: vec![linearizable(Kv::new())],
        expect: Expect::Violates {
            properties: &["linearizable"],
            because: "a read is answered from the reader's own copy, while others have written \
                      (Ahamad et al. 1995: reads and writes wait for no message)",
        },
        ..scenario()
    }
}

fn is_causal(history: &History<Input, Output>) -> Judgement {
    let history = registers::accesses(history);
    let report = weak::causal(&history, Causal::Memory, Budget::default());
    report.expect("no value is written twice, by the workload").into()
}

fn have_agreed(nodes: &[Option<&Memory>]) -> Result<(), String> {
    let up: Vec<_> =
        NodeId::all(nodes.len()).zip(nodes).filter_map(|(id, node)| Some((id, (*node)?))).collect();
    for pair in up.windows(2) {
        let [(one, first), (other, second)] = pair else { continue };
        if first.clock() != second.clock() {
            let [first, second] = [first.clock(), second.clock()];
            return Err(format!("{one} has applied {first:?}, {other} {second:?}"));
        }
    }
    Ok(())
}

/// Reads and writes of two keys, so that what is read leads to what is written.
fn generate(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    let key = ["x", "y"][draw.below(2) as usize];
    match draw.below(2) {
        0 => KvInput::Get { key },
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
        Response::Elsewhere { home } => return Reply::Elsewhere(Some(home)),
        Response::Value(value) => KvOutput::Value(value.map(Into::into)),
        Response::Written => KvOutput::Done,
    })
}
