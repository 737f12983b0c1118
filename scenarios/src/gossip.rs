//! Gossip: rumors that reach all, and how soon.
//!
//! Story: clients tell nodes rumors, and nodes call each other by chance. Under every fault all
//! know all in the end, by anti-entropy (`gossip`), or by rumor mongering that anti-entropy backs
//! up (`gossip-rumors`). Where nothing is lost and rounds are taken together, all know a rumor
//! within a bound on rounds (`gossip-rounds`; how many it takes: `docs/gossip.md`). Guards: that
//! what was told is kept, the bound, and convergence. Catches: `tests/planted/gsp-*`.
//!
//! Rumor mongering alone leaves some who never hear of it (`gossip-mongering` shows it).

use seedfall::property::{eventually, every_operation_completes, invariants, sometimes};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall::{Property, Swarm};
use seedfall_net::Delay;
use seedfall_protocols::gossip::{self, Config, Node, Request, Response, Style};
use seedfall_sim::{Choices, Duration, Links, NodeId, Nodes, SystemModel, Timing};

/// Anti-entropy, by push and pull.
pub fn anti_entropy() -> Scenario<Node, String, ()> {
    Scenario {
        name: "gossip",
        story: "Six nodes compare what they know, two by two, under every fault.",
        model: SystemModel { timing: Timing::Asynchronous, ..SystemModel::USUAL },
        cluster: Cluster { fewest: 2, ..Cluster::lan(6, 4) },
        config: Config {
            style: Style::PushPull,
            round: Duration::millis(30),
            interest: None,
            backup: None,
            origin: None,
        },
        workload: Workload {
            operations: 6,
            final_operations: 1,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(60) },
            ..Workload::short(generate, request, reply)
        },
        faults: Swarm { stops: 0, ..crate::MEASURED },
        horizon: Horizon::SHORT,
        properties: properties(None, []),
        expect: Expect::Holds,
    }
}

/// Rumor mongering, with anti-entropy behind it.
pub fn rumors() -> Scenario<Node, String, ()> {
    let anti_entropy = anti_entropy();
    Scenario {
        name: "gossip-rumors",
        story: "Six nodes tell what is new until nobody cares, and compare it now and then.",
        config: Config {
            style: Style::Push,
            interest: Some(2),
            backup: Some(8),
            ..anti_entropy.config
        },
        properties: properties(None, [sometimes(LOSES)]),
        ..anti_entropy
    }
}

/// Rounds that are taken together, over links that lose nothing.
pub fn rounds() -> Scenario<Node, String, ()> {
    let anti_entropy = anti_entropy();
    Scenario {
        name: "gossip-rounds",
        story: "Forty nodes push and pull in rounds that all take together, and nothing is lost.",
        model: SystemModel {
            links: Links::Reliable,
            nodes: Nodes::CrashStop,
            timing: Timing::Synchronous,
        },
        cluster: Cluster { fewest: 2, ..Cluster::lan(40, 4) },
        properties: properties(Some(ENOUGH), []),
        ..anti_entropy
    }
}

/// A negative control: rumor mongering with nothing behind it.
pub fn mongering() -> Scenario<Node, String, ()> {
    let rumors = rumors();
    Scenario {
        name: "gossip-mongering",
        story: "Six nodes tell what is new until nobody cares, and never compare it.",
        config: Config { interest: Some(1), backup: None, ..rumors.config },
        properties: properties(None, []),
        expect: Expect::blocks(
            CONVERGENCE,
            "a rumor dies out before all have heard it (Demers et al. 1987, section 1.4: the \
             residue)",
            nobody_cares,
        ),
        ..rumors
    }
}

/// Forty nodes know a rumor after 5 rounds or so, and each further one squares the share of those
/// who do not (section 1.3): that so many are too few is less likely than any fault of a machine.
const ENOUGH: u64 = 16;

const CONVERGENCE: &str = "Convergence: all know the same";
const LOSES: &str = "rumor: it loses interest";

fn properties<const N: usize>(
    bound: Option<u64>,
    more: [Property<Node, String, ()>; N],
) -> Vec<Property<Node, String, ()>> {
    let mut properties = vec![
        invariants("what is known is true, kept and soon known", move || gossip::invariants(bound)),
        eventually(CONVERGENCE, all_know_the_same),
        every_operation_completes(),
    ];
    properties.extend(more);
    properties
}

fn up<'a>(nodes: &'a [Option<&Node>]) -> impl Iterator<Item = (NodeId, &'a Node)> {
    NodeId::all(nodes.len()).zip(nodes).filter_map(|(id, node)| Some((id, (*node)?)))
}

fn all_know_the_same(nodes: &[Option<&Node>]) -> Result<(), String> {
    if let Some((_, first)) = up(nodes).next()
        && up(nodes).all(|(_, node)| node.known().keys().eq(first.known().keys()))
    {
        return Ok(());
    }
    for (id, node) in up(nodes) {
        for (other, more) in up(nodes) {
            let mut lacks = more.known().keys().filter(|name| !node.known().contains_key(name));
            if let Some(name) = lacks.next() {
                return Err(format!("{id} does not know {name}, which {other} knows"));
            }
        }
    }
    Ok(())
}

/// Why what somebody lacks will never come.
fn nobody_cares(nodes: &[Option<&Node>]) -> Result<String, String> {
    for (id, node) in up(nodes) {
        for (other, more) in up(nodes) {
            let mut cares = more.hot().filter(|name| !node.known().contains_key(name));
            if let Some(name) = cares.next() {
                return Err(format!("{id} does not know {name}, which {other} still tells"));
            }
        }
    }
    Ok("nobody tells any more what not all know".to_owned())
}

fn generate(operation: Invocation, _: &mut Choices<'_>) -> String {
    operation.to_string()
}

fn request(_: OperationId, input: &String) -> Request {
    Request(input.into())
}

fn reply(_: Response) -> Reply<()> {
    Reply::Done(())
}
