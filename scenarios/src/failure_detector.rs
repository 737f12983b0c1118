//! Failure detectors: what each kind may claim in which model of time.
//!
//! Story: five nodes send heartbeats, and up to two of them stop for good. With links that lose
//! nothing and a bound on delays that is known, nobody is ever suspected wrongly (`detector-p`
//! holds). Where messages are lost and late for a while, time-outs that grow with each mistake, or
//! follow the heartbeats that come, make no more mistakes from some time on (`detector-ep`,
//! `detector-phi`). Guards: completeness and accuracy. Catches: `tests/planted/fd-*`.
//!
//! The detector with the known bound, where there is none, suspects who is up (`detector-hasty`
//! must find it).

use seedfall::property::{eventually, every_operation_completes, invariants, sometimes};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall::{Property, Swarm};
use seedfall_protocols::failure_detector::{self, Config, Detector, Kind, Request, Response};
use seedfall_sim::{Choices, Duration, Links, NodeId, Nodes, SystemModel, Timing};

/// *P*, in a synchronous system.
pub fn perfect() -> Scenario<Detector, (), ()> {
    Scenario {
        name: "detector-p",
        story: "Five nodes that know a bound on delays suspect whoever stops, and nobody else.",
        model: SystemModel {
            links: Links::Reliable,
            nodes: Nodes::CrashStop,
            timing: Timing::Synchronous,
        },
        cluster: Cluster { spare: 2, fewest: 2, ..Cluster::lan(5, 1) },
        config: Config {
            kind: Kind::Perfect { bound: INTERVAL + DELAYS_DIFFER + Duration::millis(1) },
            interval: INTERVAL,
            least_deviation: Duration::ZERO,
        },
        workload: Workload {
            operations: 4,
            final_operations: 1,
            ..Workload::short(generate, request, reply)
        },
        faults: Swarm { stops: 2, ..crate::MEASURED },
        horizon: Horizon::SHORT,
        properties: properties(true, [sometimes(SUSPECT)]),
        expect: Expect::Holds,
    }
}

/// *◊P*, where delays are bounded in the end only: time-outs that are too short at first.
pub fn eventually_perfect() -> Scenario<Detector, (), ()> {
    let kind = Kind::EventuallyPerfect { first: Duration::millis(22), more: Duration::millis(5) };
    Scenario {
        name: "detector-ep",
        story: "Five nodes wait longer for whom they have suspected wrongly, under every fault.",
        model: SystemModel { nodes: Nodes::CrashStop, ..SystemModel::USUAL },
        config: Config { kind, ..perfect().config },
        properties: properties(false, [sometimes(SUSPECT), sometimes(RESTORE)]),
        ..perfect()
    }
}

/// Accrual: the same claim, by what is likely.
pub fn accrual() -> Scenario<Detector, (), ()> {
    Scenario {
        name: "detector-phi",
        story: "Five nodes suspect whom it is unlikely to hear of any more, under every fault.",
        config: Config {
            kind: Kind::Accrual { threshold: 8 },
            least_deviation: Duration::millis(3),
            ..perfect().config
        },
        ..eventually_perfect()
    }
}

/// A negative control: *P* where no bound is known.
pub fn hasty() -> Scenario<Detector, (), ()> {
    Scenario {
        name: "detector-hasty",
        story: "Five nodes that rely on a bound on delays, which does not hold.",
        config: perfect().config,
        properties: vec![invariants(ACCURACY, || failure_detector::invariants(true))],
        expect: Expect::Violates {
            properties: &[ACCURACY],
            because: "who is slow is silent like one that is gone (Chandra and Toueg 1996, \
                      section 1: no perfect detector without synchrony)",
        },
        ..eventually_perfect()
    }
}

const INTERVAL: Duration = Duration::millis(20);
/// Of a local network: 1 to 10 ms.
const DELAYS_DIFFER: Duration = Duration::millis(9);
/// How many heartbeats must come without a mistake.
const STEADY: u32 = 50;

const ACCURACY: &str = "accuracy, as far as the kind claims it";
const SUSPECT: &str = "suspect: it has been silent for too long";
const RESTORE: &str = "restore: it was suspected, and is up";

fn properties<const N: usize>(
    accurate: bool,
    more: [Property<Detector, (), ()>; N],
) -> Vec<Property<Detector, (), ()>> {
    let mut properties = vec![
        invariants(ACCURACY, move || failure_detector::invariants(accurate)),
        eventually("Strong completeness", completeness),
        eventually("Eventual strong accuracy", accuracy),
        every_operation_completes(),
    ];
    properties.extend(more);
    properties
}

fn up<'a>(nodes: &'a [Option<&Detector>]) -> impl Iterator<Item = (NodeId, &'a Detector)> {
    NodeId::all(nodes.len()).zip(nodes).filter_map(|(id, node)| Some((id, (*node)?)))
}

/// Who is up suspects who is down.
fn completeness(nodes: &[Option<&Detector>]) -> Result<(), String> {
    for (id, node) in up(nodes) {
        let down = node.peers().iter().filter(|(other, _)| nodes[other.index()].is_none());
        if let Some((other, _)) = down.into_iter().find(|(_, peer)| !peer.is_suspected()) {
            return Err(format!("{id} does not suspect {other}"));
        }
    }
    Ok(())
}

/// Who is up has not been suspected for some time by anybody who is up.
fn accuracy(nodes: &[Option<&Detector>]) -> Result<(), String> {
    for (id, node) in up(nodes) {
        let mut live = node.peers().iter().filter(|(other, _)| nodes[other.index()].is_some());
        if let Some((other, peer)) = live.find(|(_, peer)| peer.trusted() < STEADY) {
            let (trusted, mistakes) = (peer.trusted(), peer.mistakes());
            return Err(format!(
                "{id} has trusted {other} for {trusted} heartbeats, after {mistakes} mistakes"
            ));
        }
    }
    Ok(())
}

fn generate(_: Invocation, _: &mut Choices<'_>) {}

fn request(_: OperationId, (): &()) -> Request {
    Request
}

fn reply(_: Response) -> Reply<()> {
    Reply::Done(())
}
