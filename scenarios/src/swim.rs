//! SWIM, with and without Lifeguard: who is up, known to all in the end.
//!
//! Story: six members ping each other while messages are lost, members are cut off, slow, crash and
//! come back, and one stops for good. Whoever is slow is suspected, and refutes it, or is declared
//! dead, and comes back with a higher incarnation. Guards: that only a member raises its
//! incarnation, that what weighs more is never replaced by what weighs less, that riders are sent a
//! bounded number of times, and that all know the truth in the end. Catches:
//! `tests/planted/swim-*`.
//!
//! It is not promised that nobody is declared dead who is up (`swim-accurate` must find it), only
//! that it is rare: `tests/swim.rs` counts it, with and without Lifeguard.

use seedfall::property::{eventually, every_operation_completes, invariants, sometimes};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall::{Property, Swarm};
use seedfall_protocols::swim::{self, Config, Member, Request, Response, Status};
use seedfall_sim::{Choices, Duration, NodeId, SystemModel};

/// Six members, as in the paper of 2002.
pub fn plain() -> Scenario<Member, (), ()> {
    Scenario {
        name: "swim",
        story: "Six members suspect each other, refute it, and come back, under every fault.",
        model: SystemModel::USUAL,
        cluster: Cluster { spare: 1, fewest: 3, ..Cluster::lan(6, 2) },
        config: Config {
            period: Duration::millis(60),
            round_trip: Duration::millis(25),
            helpers: 2,
            suspicion: Duration::millis(180),
            riders: 4,
            lambda: 3,
            knock: 5,
            lifeguard: false,
        },
        workload: Workload {
            operations: 6,
            final_operations: 1,
            ..Workload::short(generate, request, reply)
        },
        faults: Swarm { stops: 1, ..crate::MEASURED },
        horizon: Horizon { faults: Duration::secs(2), ..Horizon::SHORT },
        properties: properties([]),
        expect: Expect::Holds,
    }
}

/// The same with Lifeguard.
pub fn lifeguard() -> Scenario<Member, (), ()> {
    let plain = plain();
    Scenario {
        name: "swim-lifeguard",
        story: "Six members, who first doubt themselves, suspect each other, under every fault.",
        config: Config { lifeguard: true, ..plain.config },
        properties: properties([
            sometimes("health: it waits longer"),
            sometimes("suspicion: seconded"),
        ]),
        ..plain
    }
}

/// A negative control: what SWIM does not claim.
pub fn accurate() -> Scenario<Member, (), ()> {
    Scenario {
        name: "swim-accurate",
        story: "Six members of SWIM, wrongly thought never to declare dead who is up.",
        properties: vec![invariants(INVARIANTS, || swim::invariants(true))],
        expect: Expect::Violates {
            properties: &[INVARIANTS],
            because: "who is cut off for longer than a suspicion lasts cannot refute it (Das et \
                      al. 2002, section 3.1: completeness always, accuracy in a high degree)",
        },
        ..plain()
    }
}

const INVARIANTS: &str = "the invariants of SWIM";

fn properties<const N: usize>(
    more: [Property<Member, (), ()>; N],
) -> Vec<Property<Member, (), ()>> {
    let mut properties = vec![
        invariants(INVARIANTS, || swim::invariants(false)),
        eventually("Completeness: who is down is dead to all", completeness),
        eventually("Eventual accuracy: who is up is alive to all", accuracy),
        every_operation_completes(),
        sometimes("suspect: neither it nor a helper has answered"),
        sometimes("ack: by way of a helper"),
        sometimes("refute: it was suspected, and is up"),
        sometimes("confirm: nobody has refuted it in time"),
        sometimes("refute: it was declared dead, and is up"),
        sometimes("alive: it is back"),
    ];
    properties.extend(more);
    properties
}

fn up<'a>(nodes: &'a [Option<&Member>]) -> impl Iterator<Item = (NodeId, &'a Member)> {
    NodeId::all(nodes.len()).zip(nodes).filter_map(|(id, node)| Some((id, (*node)?)))
}

fn completeness(nodes: &[Option<&Member>]) -> Result<(), String> {
    for (id, member) in up(nodes) {
        let mut down = member.others().iter().filter(|(other, _)| nodes[other.index()].is_none());
        if let Some((other, claim)) = down.find(|(_, claim)| claim.status != Status::Dead) {
            return Err(format!("{id} knows {other}, which is down, as {claim:?}"));
        }
    }
    Ok(())
}

fn accuracy(nodes: &[Option<&Member>]) -> Result<(), String> {
    for (id, member) in up(nodes) {
        for (other, itself) in up(nodes).filter(|(other, _)| *other != id) {
            let claim = member.others()[&other];
            if (claim.incarnation, claim.status) != (itself.incarnation(), Status::Alive) {
                let own = itself.incarnation();
                return Err(format!("{id} knows {other}, which is up in {own}, as {claim:?}"));
            }
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
