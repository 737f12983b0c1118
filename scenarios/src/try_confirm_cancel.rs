//! Bookings by try, confirm, cancel, under everything that their model permits.
//!
//! Story: clients book a few units of two or three resources, which have not enough for all.
//! Messages are lost, doubled and late, so that cancels overtake their tries; the coordinator
//! crashes while it tries, and while it confirms. In the end every booking is whole or nothing, and
//! no unit is reserved. Guards: S1 to S4 and L1 of the header. Catches: `tests/planted/tcc-*`.

use seedfall::property::{
    Judgement, Told, always, eventually, eventually_told, every_operation_completes, invariants,
    sometimes, sometimes_in,
};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall_checkers::History;
use seedfall_net::Delay;
use seedfall_protocols::try_confirm_cancel::{
    self, COORDINATOR, Config, Need, Node, Request, Response, State,
};
use seedfall_sim::{Choices, Duration, NodeId, SortedMap, SystemModel};

/// How many units each resource has: fewer than are asked for.
const STOCK: u32 = 20;
/// The coordinator, and as many resources but one.
const NODES: usize = 4;

/// A coordinator and three resources.
pub fn scenario() -> Scenario<Node, Request, Response> {
    Scenario {
        name: "tcc",
        story: "A coordinator books units of three resources by try, confirm, cancel.",
        model: SystemModel::USUAL,
        cluster: Cluster { fewest: NODES, ..Cluster::lan(NODES, 4) },
        config: Config { stock: STOCK, retry_interval: Duration::millis(40), attempts: 3 },
        workload: Workload {
            operations: 10,
            final_operations: 1,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(40) },
            patience: Duration::millis(200),
            attempts: 3,
            ..Workload::short(generate, |_: OperationId, need: &Request| need.clone(), reply)
        },
        faults: crate::MEASURED,
        horizon: Horizon::SHORT,
        properties: vec![
            invariants("S1, S2 and S3", try_confirm_cancel::invariants),
            always("S4: nothing is promised twice", fits_into_the_stock),
            eventually("L1: every booking ends", all_have_ended),
            eventually_told("S5: clients are told how it ends", is_as_told),
            every_operation_completes(),
            sometimes("try: comes again"),
            sometimes("try: comes after its cancel"),
            sometimes("try: there are not as many"),
            sometimes("confirm: comes again"),
            sometimes("cancel: comes again"),
            sometimes("cancel: comes without its try"),
            sometimes("coordinator: gave up trying"),
            sometimes("recovery: cancels what was being tried"),
            sometimes_in("a booking is confirmed", |history: &History<Request, Response>| {
                history
                    .operations
                    .iter()
                    .any(|one| one.outcome.output() == Some(&Response::Confirmed))
            }),
        ],
        expect: Expect::Holds,
    }
}

/// Units of two resources, or of all.
fn generate(_: Invocation, draw: &mut Choices<'_>) -> Request {
    let left_out = draw.below(NODES as u32) as usize;
    let resources = NodeId::all(NODES).filter(|id| *id != COORDINATOR);
    let needed = resources.filter(|id| left_out == 0 || id.index() != left_out);
    let needs = needed.map(|resource| Need { resource, units: 1 + draw.below(3) });
    Request { needs: needs.collect() }
}

fn reply(response: Response) -> Reply<Response> {
    match response {
        Response::Elsewhere => Reply::Elsewhere(Some(COORDINATOR)),
        over => Reply::Done(over),
    }
}

fn fits_into_the_stock(history: &History<Request, Response>) -> Judgement {
    let mut promised = [0; NODES];
    for (place, operation) in history.operations.iter().enumerate() {
        if operation.outcome.output() != Some(&Response::Confirmed) {
            continue;
        }
        for Need { resource, units } in &operation.input.needs {
            promised[resource.index()] += units;
            if STOCK < promised[resource.index()] {
                return Judgement::violated(format!("{resource} has {STOCK} units")).at(place);
            }
        }
    }
    Judgement::Holds
}

/// What a client was told is confirmed is so everywhere, and what is cancelled nowhere.
fn is_as_told(nodes: &[Option<&Node>], told: &[Told<'_, Request, Response>]) -> Result<(), String> {
    let told = told.iter().map(|one| (one.request, one.output)).collect::<SortedMap<_, _>>();
    for (id, node) in NodeId::all(nodes.len()).zip(nodes) {
        for (booking, _, state) in node.iter().flat_map(|node| node.held()) {
            let other = match told.get(&booking) {
                Some(Response::Confirmed) => State::Cancelled,
                Some(Response::Cancelled) => State::Confirmed,
                _ => continue,
            };
            if state == other {
                return Err(format!("{booking} is {state:?} at {id}; its client was told not so"));
            }
        }
    }
    Ok(())
}

fn all_have_ended(nodes: &[Option<&Node>]) -> Result<(), String> {
    for (id, node) in NodeId::all(nodes.len()).zip(nodes) {
        let Some(node) = node else { continue };
        if let Some((booking, units, _)) = node.held().find(|(.., state)| *state == State::Reserved)
        {
            return Err(format!("{units} units of {id} are reserved for {booking}"));
        }
        if 0 < node.open_count() {
            return Err(format!("{} bookings are not over", node.open_count()));
        }
    }
    Ok(())
}
