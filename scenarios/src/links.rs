//! Perfect links over fair-loss ones.
//!
//! Story: clients make nodes send messages to each other. The wire loses, doubles and delays them,
//! nodes crash between what they write and what they say, and come back. Each message is delivered
//! once, in the end, and in order where that is asked for. Guards: PL1 to PL3 and FRR of the
//! header. Catches: `tests/planted/lnk-*`.

use seedfall::property::{eventually, every_operation_completes, invariants, sometimes};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall_net::Delay;
use seedfall_protocols::links::{self, Config, Links, Order, Request, Response};
use seedfall_sim::{Choices, Duration, NodeId, SystemModel};

const NODES: usize = 3;

/// Delivered as they come.
pub fn perfect() -> Scenario<Links, Request, Response> {
    Scenario {
        name: "links-perfect",
        story: "Three nodes send each other messages over links that lose and double them.",
        model: SystemModel::USUAL,
        cluster: Cluster { fewest: NODES, ..Cluster::lan(NODES, 4) },
        config: Config { order: Order::Free, retransmit_after: Duration::millis(30) },
        workload: Workload {
            operations: 16,
            final_operations: 1,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(30) },
            patience: Duration::millis(150),
            attempts: 3,
            ..Workload::short(generate, |_: OperationId, request: &Request| request.clone(), reply)
        },
        faults: crate::MEASURED,
        horizon: Horizon::SHORT,
        properties: vec![
            invariants("PL2, PL3 and FRR", links::invariants),
            eventually("PL1: every message is delivered", all_delivered),
            every_operation_completes(),
            sometimes("data: delivered already"),
            sometimes("request: a retry is not sent twice"),
        ],
        expect: Expect::Holds,
    }
}

/// Delivered in the order of sending.
pub fn fifo() -> Scenario<Links, Request, Response> {
    let perfect = perfect();
    let mut properties = perfect.properties.clone();
    properties.push(sometimes("data: waits for an earlier message"));
    Scenario {
        name: "links-fifo",
        story: "Three nodes send each other messages, which are delivered in order.",
        config: Config { order: Order::Fifo, ..perfect.config },
        properties,
        ..perfect
    }
}

fn generate(operation: Invocation, draw: &mut Choices<'_>) -> Request {
    let from = draw.below(NODES as u32) as usize;
    let to = (from + 1 + draw.below(NODES as u32 - 1) as usize) % NODES;
    let [from, to] = [from, to].map(|place| NodeId::new(place as u16));
    Request { from, to, text: operation.to_string().into() }
}

fn reply(response: Response) -> Reply<Response> {
    match response {
        Response::Elsewhere(node) => Reply::Elsewhere(Some(node)),
        Response::Taken => Reply::Done(response),
    }
}

fn all_delivered(nodes: &[Option<&Links>]) -> Result<(), String> {
    let up = || NodeId::all(nodes.len()).zip(nodes).filter_map(|(id, node)| Some((id, (*node)?)));
    for (id, node) in up() {
        if 0 < node.unacknowledged_count() {
            return Err(format!("{id}: {} are not acknowledged", node.unacknowledged_count()));
        }
        for (other, receiver) in up() {
            let sent = node.sent().iter().filter(|sent| sent.to == other).count();
            let came = receiver.delivered().iter().filter(|(from, ..)| *from == id).count();
            if sent != came {
                return Err(format!("{id} has sent {other} {sent} messages, and {came} came"));
            }
        }
    }
    Ok(())
}
