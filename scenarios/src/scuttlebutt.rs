//! Gossip about keys that come and go, where deletions are forgotten.
//!
//! Story: clients have four nodes set and delete keys of their own; nodes gossip two by two, and
//! forget deletions long before all have heard of them. Who was cut off meanwhile is sent
//! everything anew; and what was cut for it some time ago arrives late, when it knows more. Guards:
//! that what a node knows only grows, that no deleted key shows again, and that all know the same
//! in the end. Catches: `tests/planted/gsp-04-*`.

use seedfall::Swarm;
use seedfall::property::{eventually, every_operation_completes, invariants, sometimes};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall_net::Delay;
use seedfall_protocols::scuttlebutt::{self, Config, Known, Node, Request, Response};
use seedfall_sim::{Choices, Duration, NodeId, SystemModel, Timing};

/// Four nodes.
pub fn scenario() -> Scenario<Node, Request, u64> {
    Scenario {
        name: "scuttlebutt",
        story: "Four nodes gossip about keys that come and go, and forget what was deleted.",
        model: SystemModel { timing: Timing::Asynchronous, ..SystemModel::USUAL },
        cluster: Cluster { fewest: 3, ..Cluster::lan(4, 3) },
        config: Config { interval: Duration::millis(30), remember: Duration::millis(60) },
        workload: Workload {
            operations: 14,
            final_operations: 1,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(50) },
            ..Workload::short(generate, request, |response: Response| Reply::Done(response.0))
        },
        faults: Swarm { stops: 0, ..crate::MEASURED },
        horizon: Horizon::SHORT,
        properties: vec![
            invariants("what is known only grows, and is true", scuttlebutt::invariants),
            eventually("Convergence: all know the same", all_know_the_same),
            every_operation_completes(),
            sometimes("collect: a deletion is forgotten"),
            sometimes("delta: a reset"),
            sometimes("delta: a reset to what is older"),
        ],
        expect: Expect::Holds,
    }
}

/// But for tombstones, which each forgets by its own clock.
fn all_know_the_same(nodes: &[Option<&Node>]) -> Result<(), String> {
    let up: Vec<_> =
        NodeId::all(nodes.len()).zip(nodes).filter_map(|(id, node)| Some((id, (*node)?))).collect();
    let shows = |known: Option<&Known>| -> Vec<(String, String)> {
        let entries = known.into_iter().flat_map(|known| &known.entries);
        let there = entries
            .filter_map(|(key, entry)| Some((key.to_string(), entry.value.as_ref()?.to_string())));
        there.collect()
    };
    for (origin, itself) in &up {
        for (id, node) in &up {
            let (of, said) = (shows(node.known().get(origin)), shows(itself.known().get(origin)));
            if of != said {
                return Err(format!("{id} knows {of:?} of {origin}, which says {said:?}"));
            }
        }
    }
    Ok(())
}

fn generate(operation: Invocation, draw: &mut Choices<'_>) -> Request {
    let key = ["x", "y", "z"][draw.below(3) as usize].into();
    match draw.below(5) {
        0 | 1 => Request::Delete(key),
        _ => Request::Set(key, operation.to_string().into()),
    }
}

fn request(_: OperationId, input: &Request) -> Request {
    input.clone()
}
