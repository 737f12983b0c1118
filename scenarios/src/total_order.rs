//! Total-order broadcast as a log that every node keeps.
//!
//! Story: clients append at their home, and are told the place; messages cross, are lost and
//! doubled, and nodes crash between what they write and what they say. Guards: TO1 to TO4 of the
//! header, that the places are those of one log, and that every append ends. Catches:
//! `tests/planted/tob-*`.

use seedfall::property::{
    eventually, every_operation_completes, invariants, linearizable, sometimes,
};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall_checkers::models::{Log, LogInput, LogOutput};
use seedfall_net::Delay;
use seedfall_protocols::total_order::{self, Broadcast, Config, Request, Response};
use seedfall_sim::{Choices, Duration, NodeId, SystemModel};

/// What a client asks: an append.
pub type Input = LogInput<String>;
/// What it is told: the offset.
pub type Output = LogOutput<String>;

/// Three nodes and six clients.
pub fn scenario() -> Scenario<Broadcast, Input, Output> {
    Scenario {
        name: "total-order",
        story: "Three nodes deliver the messages of six clients, all in one order.",
        model: SystemModel::USUAL,
        cluster: Cluster { fewest: 2, ..Cluster::lan(3, 6) },
        config: Config { retransmit_after: Duration::millis(40) },
        workload: Workload {
            operations: 8,
            final_operations: 1,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(40) },
            patience: Duration::millis(200),
            attempts: 3,
            ..Workload::short(generate, request, reply)
        },
        faults: crate::MEASURED,
        horizon: Horizon::SHORT,
        properties: vec![
            invariants("TO1, TO2 and TO3", total_order::invariants),
            linearizable(Log::new()),
            eventually("TO4: all deliver the same", all_agree),
            every_operation_completes(),
            sometimes("final: higher than here"),
            sometimes("deliver: one with a lower timestamp is not final"),
            sometimes("request: a retry is not broadcast twice"),
            sometimes("recovery: a message of its own is told again"),
        ],
        expect: Expect::Holds,
    }
}

fn all_agree(nodes: &[Option<&Broadcast>]) -> Result<(), String> {
    let up = NodeId::all(nodes.len()).zip(nodes).filter_map(|(id, node)| Some((id, (*node)?)));
    let counts: Vec<_> = up.map(|(id, node)| (id, node.delivered().len())).collect();
    match counts.windows(2).find(|pair| pair[0].1 != pair[1].1) {
        None => Ok(()),
        Some(pair) => Err(format!(
            "{} has delivered {} messages, {} {}",
            pair[0].0, pair[0].1, pair[1].0, pair[1].1
        )),
    }
}

fn generate(operation: Invocation, _: &mut Choices<'_>) -> Input {
    LogInput::Append(operation.to_string())
}

fn request(_: OperationId, input: &Input) -> Request {
    match input {
        LogInput::Append(text) => Request(text.into()),
        other => unreachable!("nobody asks for {other:?} here"),
    }
}

fn reply(response: Response) -> Reply<Output> {
    match response {
        Response::Elsewhere { home } => Reply::Elsewhere(Some(home)),
        Response::Delivered { place } => Reply::Done(LogOutput::Offset(place)),
    }
}
