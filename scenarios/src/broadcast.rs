//! Broadcast, from best effort to uniform: what each promises, and what separates it from the next.
//!
//! Story: clients broadcast at their home; messages are lost, doubled and late, and nodes stop for
//! good, some of them while they alone have what they have sent. Guards: B1 to B4, U1 and F1 of the
//! header, as far as each kind claims them. Catches: `tests/planted/bro-*`.
//!
//! With best effort, a sender that stops leaves the others divided (`broadcast-best-effort` shows
//! it). Reliable broadcast is not uniform: a node delivers, stops, and nobody else ever hears of it
//! (`broadcast-not-uniform` must find it).

use seedfall::property::{eventually, every_operation_completes, invariants, sometimes};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall::{Property, Swarm};
use seedfall_net::Delay;
use seedfall_protocols::broadcast::{self, Broadcaster, Config, Kind, Request, Response, home_of};
use seedfall_sim::{Choices, ClientId, Duration, NodeId, Nodes, SortedSet, SystemModel};

/// What a client asks: a text to be broadcast.
pub type Input = String;

/// Best effort: who is left may have what others never get.
pub fn best_effort() -> Scenario<Broadcaster, Input, ()> {
    Scenario {
        name: "broadcast-best-effort",
        story: "Five nodes broadcast as well as they can, of which two may stop.",
        config: Config { kind: Kind::BestEffort, ..reliable().config },
        properties: properties(false, false, []),
        expect: Expect::blocks(
            AGREEMENT,
            "a sender that stops sends to nobody any more (Cachin et al. 2011, section 3.2)",
            a_sender_has_stopped,
        ),
        ..reliable()
    }
}

/// Reliable: who is left delivers the same.
pub fn reliable() -> Scenario<Broadcaster, Input, ()> {
    Scenario {
        name: "broadcast-reliable",
        story: "Five nodes send on what they hear, of which two may stop.",
        model: SystemModel { nodes: Nodes::CrashStop, ..SystemModel::USUAL },
        cluster: Cluster { spare: 2, fewest: 3, ..Cluster::lan(5, 5) },
        config: Config {
            kind: Kind::Reliable,
            fifo: false,
            retransmit_after: Duration::millis(40),
        },
        workload: Workload {
            operations: 8,
            final_operations: 0,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(60) },
            patience: Duration::millis(200),
            attempts: 3,
            ..Workload::short(generate, request, reply)
        },
        faults: Swarm { stops: 2, ..crate::MEASURED },
        horizon: Horizon { faults: Duration::secs(1), ..Horizon::SHORT },
        properties: properties(false, false, [sometimes("data: sent on")]),
        expect: Expect::Holds,
    }
}

/// Uniform: and what those have delivered that are not.
pub fn uniform() -> Scenario<Broadcaster, Input, ()> {
    Scenario {
        name: "broadcast-uniform",
        story: "Five nodes deliver what a majority has, of which two may stop.",
        config: Config { kind: Kind::Uniform, ..reliable().config },
        properties: properties(true, false, [sometimes("data: sent on")]),
        ..reliable()
    }
}

/// Uniform, and in the order of each sender.
pub fn fifo() -> Scenario<Broadcaster, Input, ()> {
    Scenario {
        name: "broadcast-fifo",
        story: "Five nodes deliver the messages of each in order, of which two may stop.",
        config: Config { kind: Kind::Uniform, fifo: true, ..reliable().config },
        properties: properties(true, true, [sometimes("data: sent on")]),
        ..reliable()
    }
}

/// A negative control: what is not claimed of reliable broadcast.
pub fn not_uniform() -> Scenario<Broadcaster, Input, ()> {
    Scenario {
        name: "broadcast-not-uniform",
        story: "Five nodes send on what they hear, wrongly thought uniform and in order.",
        properties: properties(true, true, []),
        expect: Expect::Violates {
            properties: &[INVARIANTS],
            because: "a node delivers what it alone has, and may stop before it has sent it \
                      (Cachin et al. 2011, section 3.4)",
        },
        ..reliable()
    }
}

const INVARIANTS: &str = "the invariants of broadcast";
pub(super) const AGREEMENT: &str = "B1 and B4: all deliver the same";

fn properties<const N: usize>(
    is_uniform: bool,
    is_fifo: bool,
    more: [Property<Broadcaster, Input, ()>; N],
) -> Vec<Property<Broadcaster, Input, ()>> {
    let mut properties = vec![
        invariants(INVARIANTS, move || broadcast::invariants(is_uniform, is_fifo)),
        eventually(AGREEMENT, all_agree),
        every_operation_completes(),
    ];
    properties.extend(more);
    properties
}

/// Who is left has delivered all that anybody has of those who are left.
pub(super) fn all_agree(nodes: &[Option<&Broadcaster>]) -> Result<(), String> {
    match divided(nodes) {
        None => Ok(()),
        Some((node, what)) => Err(format!("{node} has not delivered {what}")),
    }
}

/// A node that lacks something that another has.
fn divided(nodes: &[Option<&Broadcaster>]) -> Option<(NodeId, String)> {
    let up = || NodeId::all(nodes.len()).zip(nodes).filter_map(|(id, node)| Some((id, (*node)?)));
    let all: SortedSet<_> =
        up().flat_map(|(_, node)| node.delivered().iter().map(|item| item.id)).collect();
    let own = |client: ClientId| home_of(client, nodes.len());
    up().find_map(|(id, node)| {
        let has: SortedSet<_> = node.delivered().iter().map(|item| item.id).collect();
        let lacks = all.difference(&has).next()?;
        Some((id, format!("{lacks} of {}", own(lacks.client))))
    })
}

/// Why nobody could have gone on.
fn a_sender_has_stopped(nodes: &[Option<&Broadcaster>]) -> Result<String, String> {
    let down = |id: NodeId| nodes.get(id.index()).is_some_and(Option::is_none);
    let up = || NodeId::all(nodes.len()).zip(nodes).filter_map(|(id, node)| Some((id, (*node)?)));
    for (_, holder) in up() {
        for item in holder.delivered() {
            let lacks = up().find(|(_, other)| !other.delivered().contains(item));
            if let Some((id, _)) = lacks.filter(|_| !down(item.sender)) {
                return Err(format!("{id} lacks {item:?}, whose sender is up"));
            }
        }
    }
    Ok("a sender has stopped before all had its message".to_owned())
}

pub(super) fn generate(operation: Invocation, _: &mut Choices<'_>) -> Input {
    operation.to_string()
}

pub(super) fn request(_: OperationId, input: &Input) -> Request {
    Request(input.into())
}

pub(super) fn reply(response: Response) -> Reply<()> {
    match response {
        Response::Elsewhere { home } => Reply::Elsewhere(Some(home)),
        Response::Delivered => Reply::Done(()),
    }
}
