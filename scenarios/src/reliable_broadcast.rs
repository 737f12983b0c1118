//! Bracha's reliable broadcast, with one traitor among four nodes, and with two.
//!
//! Story: clients have nodes broadcast texts, several at a time, over a wire that neither loses nor
//! doubles and takes its time. One node tells each receiver another text, echoes what it did not
//! hear, keeps silent, runs twice, or equivocates with all that it says. Guards: Ready, Consistency
//! and Integrity of the header while the run goes on, that in the end all have delivered the same,
//! and that a correct node's broadcast is delivered. Catches: `tests/planted/brb-*`.
//!
//! With two traitors (`bracha-two-traitors`) two correct nodes deliver different texts.

use seedfall::Swarm;
use seedfall::property::{eventually, every_operation_completes, invariants, sometimes};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall_protocols::reliable_broadcast::{self, Config, Node, Request, Response};
use seedfall_sim::{Choices, Links, NodeId, Nodes, SystemModel, Timing};

/// Four nodes, one of them a traitor.
pub fn four() -> Scenario<Node, String, u64> {
    let Swarm { reorder, pauses, latency, slows, clogs, liars, twins, stops, .. } = Swarm::ALL;
    let properties = vec![
        invariants(INVARIANTS, reliable_broadcast::invariants),
        eventually("Totality: what one delivers, all do", all_deliver),
        every_operation_completes(),
        sometimes("initial: the sender says two things"),
        sometimes("ready: others are, and the echoes were not enough"),
        sometimes("deliver: another text than the sender told"),
    ];
    Scenario {
        name: "bracha",
        story: "Four nodes broadcast reliably though one of them is a traitor.",
        model: SystemModel {
            links: Links::Reliable,
            nodes: Nodes::Byzantine,
            timing: Timing::Asynchronous,
        },
        cluster: Cluster { spare: 1, ..Cluster::lan(4, 3) },
        config: Config { faulty: 1 },
        workload: Workload::short(generate, request, reply),
        faults: Swarm {
            reorder,
            pauses,
            latency,
            slows,
            clogs,
            liars,
            twins,
            stops,
            strategies: 1,
            ..Swarm::NONE
        },
        horizon: Horizon::SHORT,
        properties,
        expect: Expect::Holds,
    }
}

/// A negative control: one traitor too many.
pub fn two_traitors() -> Scenario<Node, String, u64> {
    let four = four();
    Scenario {
        name: "bracha-two-traitors",
        story: "Four nodes broadcast, and two of them are traitors: one more than they survive.",
        cluster: Cluster { spare: 2, ..four.cluster.clone() },
        faults: Swarm { liars: 2, strategies: 2, ..Swarm::NONE },
        properties: vec![invariants(INVARIANTS, reliable_broadcast::invariants)],
        expect: Expect::Violates {
            properties: &[INVARIANTS],
            because: "f + 1 traitors echo to each of two correct nodes what it wants to hear \
                      (Bracha 1987: n > 3f)",
        },
        ..four
    }
}

const INVARIANTS: &str = "Ready, Consistency and Integrity";

pub(super) fn all_deliver(nodes: &[Option<&Node>]) -> Result<(), String> {
    let up: Vec<_> =
        NodeId::all(nodes.len()).zip(nodes).filter_map(|(id, node)| Some((id, (*node)?))).collect();
    for (by, node) in &up {
        for (name, one) in node.instances().iter().filter(|(_, one)| one.delivered.is_some()) {
            let lacks = |(_, other): &&(NodeId, &Node)| {
                other.instances().get(name).is_none_or(|one| one.delivered.is_none())
            };
            if let Some((id, _)) = up.iter().find(lacks) {
                return Err(format!(
                    "{by} delivered {:?} of {name:?}, {id} nothing",
                    one.delivered
                ));
            }
        }
    }
    Ok(())
}

pub(super) fn generate(operation: Invocation, _: &mut Choices<'_>) -> String {
    operation.to_string()
}

pub(super) fn request(_: OperationId, input: &String) -> Request {
    Request(input.into())
}

pub(super) fn reply(response: Response) -> Reply<u64> {
    Reply::Done(response.0.number)
}
