//! An orchestrator and three services, the words of their tests, and S1 to S6 watched throughout.

use crate::by_hand::{Bench, N1, N2, N3, request};
use seedfall_protocols::saga::orchestrated::{Message, Node, Request, Response, service_of};
use seedfall_protocols::saga::{
    self, Books, Config, Invariants, Isolation, Kind, Outcome, Plan, SagaId, Step,
};
use seedfall_sim::{Duration, NodeId};

pub(crate) type Nodes = Bench<Node, Invariants>;

pub(crate) const N4: NodeId = NodeId::new(3);
pub(crate) const ALL: [NodeId; 4] = [N1, N2, N3, N4];

/// An account of each service.
pub(crate) const K2: &str = "c";
pub(crate) const K3: &str = "a";
pub(crate) const K4: &str = "b";

pub(crate) fn config(isolation: Isolation) -> Config {
    Config {
        isolation,
        opening: 100,
        ceiling: 150,
        backoff_min: Duration::millis(30),
        backoff_max: Duration::millis(100),
        attempts: 3,
        flush_interval: Duration::secs(60),
    }
}

pub(crate) fn nodes(isolation: Isolation) -> Nodes {
    let keepers = [K2, K3, K4].map(|account| service_of(account, 4));
    assert_eq!(keepers, [N2, N3, N4], "each service has its account");
    Bench::watched(4, config(isolation), saga::invariants())
}

pub(crate) fn step(kind: Kind, account: &str, amount: i64) -> Step {
    Step { kind, account: account.into(), amount }
}

/// Two payers one after the other, the payee as pivot.
pub(crate) fn sequence(amount: i64) -> Plan {
    Plan {
        stages: vec![
            vec![step(Kind::Compensatable, K2, -amount)],
            vec![step(Kind::Compensatable, K3, -amount)],
            vec![step(Kind::Pivot, K4, 2 * amount)],
        ],
    }
}

/// Two payers at the same time, one payee as pivot, one that cannot refuse.
pub(crate) fn branches(amount: i64) -> Plan {
    Plan {
        stages: vec![
            vec![step(Kind::Compensatable, K2, -amount), step(Kind::Compensatable, K3, -amount)],
            vec![step(Kind::Pivot, K4, amount)],
            vec![step(Kind::Retriable, "d", amount)],
        ],
    }
}

pub(crate) fn saga(sequence: u64) -> SagaId {
    SagaId { client: request(1, 0).client, sequence }
}

/// Client c1 asks the orchestrator.
pub(crate) fn run(nodes: &mut Nodes, sequence: u64, plan: &Plan) {
    let body = Request::Run { sequence, plan: plan.clone() };
    nodes.ask(N1, request(1, sequence as u32), body);
}

pub(crate) fn ended(nodes: &Nodes, sequence: u64) -> Option<Outcome> {
    match nodes.answer(request(1, sequence as u32))? {
        Response::Ended(outcome) => Some(*outcome),
        other => panic!("told {other:?}"),
    }
}

/// What stands on an account.
pub(crate) fn standing(nodes: &Nodes, account: &str) -> i64 {
    let service = service_of(account, 4);
    let ledger = nodes.at(service).ledger().expect("a service has accounts");
    ledger.standing(account).iter().map(|(_, amount)| amount).sum()
}

pub(crate) fn all_standing(nodes: &Nodes) -> [i64; 4] {
    [K2, K3, K4, "d"].map(|account| standing(nodes, account))
}

pub(crate) fn asks_to_do(message: &Message, step: u32) -> bool {
    matches!(message, Message::Do { index, .. } if *index == step)
}

pub(crate) fn asks_to_undo(message: &Message, step: u32) -> bool {
    matches!(message, Message::Undo { index, .. } if *index == step)
}

/// Takes a message off the wire, to be delivered later.
pub(crate) fn hold(nodes: &mut Nodes, from: NodeId, to: NodeId) -> (NodeId, NodeId, Message) {
    let place = nodes.wire.iter().position(|(a, b, _)| (*a, *b) == (from, to));
    nodes.wire.remove(place.expect("something is under way"))
}
