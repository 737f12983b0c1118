//! Conflict-free data on four replicas, told by states, by deltas and by operations.
//!
//! Story: clients add and take away, insert and remove, write and type at whichever replica they
//! reach, while replicas are cut off, crash and come back, and gossip is lost, doubled and late.
//! Guards: that replicas which have received the same show the same, and what those updates say,
//! while the run goes on; that all receive all in the end. Catches: `tests/planted/gsp-*`.
//!
//! Operations that are applied as they come (`crdt-raw`), without waiting for their causes and as
//! often as they arrive, converge to nothing.

use seedfall::property::{always, eventually, every_operation_completes, invariants, sometimes};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall::{Property, Swarm};
use seedfall_checkers::History;
use seedfall_net::Delay;
use seedfall_protocols::crdt::{self, Config, Mode, Replica, Request, Response, Shown};
use seedfall_sim::{Choices, Duration, NodeId, SystemModel, Timing};

/// By whole states.
pub fn states() -> Scenario<Replica, Request, Shown> {
    Scenario {
        name: "crdt-states",
        story: "Four replicas of conflict-free data tell each other their whole state.",
        model: SystemModel { timing: Timing::Asynchronous, ..SystemModel::USUAL },
        cluster: Cluster { fewest: 2, ..Cluster::lan(4, 4) },
        config: Config { mode: Mode::States, interval: Duration::millis(60) },
        workload: Workload {
            operations: 12,
            final_operations: 1,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(50) },
            ..Workload::short(generate, request, reply)
        },
        faults: crate::MEASURED,
        horizon: Horizon::SHORT,
        properties: properties([sometimes("collect: characters whose erasure all have received")]),
        expect: Expect::Holds,
    }
}

/// By deltas.
pub fn deltas() -> Scenario<Replica, Request, Shown> {
    let states = states();
    Scenario {
        name: "crdt-deltas",
        story: "Four replicas of conflict-free data tell each other what the other lacks.",
        config: Config { mode: Mode::Deltas, ..states.config },
        properties: properties([sometimes("collect: characters whose erasure all have received")]),
        ..states
    }
}

/// By operations.
pub fn operations() -> Scenario<Replica, Request, Shown> {
    let states = states();
    Scenario {
        name: "crdt-operations",
        story: "Four replicas of conflict-free data tell each other operations, in causal order.",
        config: Config { mode: Mode::Operations, ..states.config },
        properties: properties([
            sometimes("collect: characters whose erasure all have received"),
            sometimes("collect: operations that all have received"),
            sometimes("update: its causes are missing"),
        ]),
        ..states
    }
}

/// A negative control: operations as they come.
pub fn raw() -> Scenario<Replica, Request, Shown> {
    let states = states();
    Scenario {
        name: "crdt-raw",
        story: "Four replicas apply operations as they come, and as often.",
        config: Config { mode: Mode::Raw, ..states.config },
        faults: Swarm {
            duplicate: Swarm::ALL.duplicate,
            reorder: Swarm::ALL.reorder,
            ..Swarm::NONE
        },
        properties: vec![invariants(INVARIANTS, crdt::invariants)],
        expect: Expect::Violates {
            properties: &[INVARIANTS],
            because: "operations commute only if they are concurrent, and count once only if they \
                      are delivered once (Shapiro et al. 2011, 2.2: causal delivery)",
        },
        ..states
    }
}

const INVARIANTS: &str = "replicas show what they have received";

fn properties<const N: usize>(
    more: [Property<Replica, Request, Shown>; N],
) -> Vec<Property<Replica, Request, Shown>> {
    let mut properties = vec![
        invariants(INVARIANTS, crdt::invariants),
        always("what is typed stands where it was typed", is_typed_there),
        eventually("Delivery: all have received the same", all_converge),
        every_operation_completes(),
    ];
    properties.extend(more);
    properties
}

/// From the answers alone: as a replica has just taken a character, nothing that it knows was typed
/// later, so it stands right behind those before which its client wanted it.
fn is_typed_there(history: &History<Request, Shown>) -> Result<(), String> {
    for operation in &history.operations {
        let (Request::Type(place, char), Some(shown)) =
            (&operation.input, operation.outcome.output())
        else {
            continue;
        };
        let text: Vec<char> = shown.text.chars().collect();
        let place = (*place).min(text.len().saturating_sub(1));
        if text.get(place) != Some(char) {
            return Err(format!("`{char}` was typed at {place}, and the text is {:?}", shown.text));
        }
    }
    Ok(())
}

fn all_converge(nodes: &[Option<&Replica>]) -> Result<(), String> {
    let up: Vec<_> =
        NodeId::all(nodes.len()).zip(nodes).filter_map(|(id, node)| Some((id, (*node)?))).collect();
    let differ =
        |two: &&[(NodeId, &Replica)]| two[0].1.state().context() != two[1].1.state().context();
    match up.windows(2).find(differ) {
        None => Ok(()),
        Some(two) => Err(format!(
            "{} has received {:?}, {} {:?}",
            two[0].0,
            two[0].1.state().context(),
            two[1].0,
            two[1].1.state().context()
        )),
    }
}

fn generate(operation: Invocation, draw: &mut Choices<'_>) -> Request {
    let element = || ["a", "b", "c"][operation.number as usize % 3].into();
    let value = || operation.to_string().into();
    match draw.below(14) {
        0 | 1 => Request::Add(1 + i64::from(draw.below(5))),
        2 => Request::Add(-1),
        3 | 4 => Request::Insert(element()),
        5 | 6 => Request::Remove(element()),
        7 => Request::Assign(value()),
        8 | 9 => Request::Write(value()),
        10 | 11 => {
            let char = char::from(b'a' + (operation.unique() % 26) as u8);
            Request::Type(draw.below(6) as usize, char)
        }
        12 => Request::Erase(draw.below(4) as usize),
        _ => Request::Read,
    }
}

fn request(_: OperationId, input: &Request) -> Request {
    input.clone()
}

fn reply(response: Response) -> Reply<Shown> {
    Reply::Done(response.0)
}
