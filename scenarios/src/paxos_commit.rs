//! Paxos Commit, under everything that its model permits, and with what two-phase commit has.
//!
//! Story: clients ask any node for transactions, of which one resource manager in a few must
//! refuse. Leaders crash and are cut off while votes are under way, acceptors crash and come back;
//! whoever waits too long takes a ballot, and finds what was voted, or aborts for those who are
//! silent (`paxos-commit`). Two of five acceptors stop for good, and nobody who is up stays in
//! doubt (`paxos-commit-stops`), other than in two-phase commit (`bank-blocking`), which is the
//! same protocol with a single acceptor: `paxos-commit-one-acceptor` must block. Guards: AC1 to
//! AC3, P1a, P2b and NB of the header. Catches: `tests/planted/pxc-*`.
//!
//! With quorums that do not meet, a new leader misses what another has decided
//! (`paxos-commit-disjoint-quorums` must find it).

use crate::three_phase_commit::generate;
use seedfall::property::{
    Told, eventually, eventually_told, every_operation_completes, invariants, sometimes,
    sometimes_in,
};
use seedfall::scenario::{Cluster, Expect, Horizon, OperationId, Reply, Scenario, Workload};
use seedfall::{Property, Swarm};
use seedfall_checkers::History;
use seedfall_net::Delay;
use seedfall_protocols::paxos_commit::{self, Config, Node, Request, Response, State};
use seedfall_sim::{Duration, NodeId, Nodes, SystemModel};

/// What a search tells apart of a node: in how many transactions it is where, up to two.
fn told_apart(node: &Node) -> [usize; 3] {
    let count = |state: State| node.states().filter(|(_, one)| *one == state).count().min(2);
    [State::Prepared, State::Committed, State::Aborted].map(count)
}

/// Five resource managers, three of them acceptors.
pub fn scenario() -> Scenario<Node, Request, Response> {
    Scenario {
        name: "paxos-commit",
        story: "Five resource managers commit by Paxos, with three acceptors, under every fault.",
        model: SystemModel::USUAL,
        cluster: Cluster { fewest: 3, ..Cluster::lan(5, 5) },
        config: CONFIG,
        workload: Workload {
            operations: 8,
            final_operations: 1,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(40) },
            patience: Duration::millis(150),
            attempts: 4,
            ..Workload::short(generate, |_: OperationId, request: &Request| *request, Reply::Done)
        },
        faults: crate::MEASURED,
        horizon: Horizon::SHORT,
        properties: properties([
            every_operation_completes(),
            sometimes("prepare: two nodes have begun it"),
            sometimes("leader: finds all prepared"),
            sometimes("leader: finds a refusal"),
            sometimes("leader: aborts for an RM that is silent"),
            sometimes("phase 1a: it is decided here"),
            sometimes("phase 1a: a higher ballot is promised"),
            sometimes("phase 2a: an RM votes too late"),
            sometimes("phase 2a: a higher ballot is promised"),
            sometimes("recovery: an RM comes back prepared"),
        ]),
        expect: Expect::Holds,
    }
    .abstraction(told_apart)
}

/// As many acceptors stop for good as there may: nobody waits for them.
pub fn stops() -> Scenario<Node, Request, Response> {
    Scenario {
        name: "paxos-commit-stops",
        story: "Paxos Commit where two of five acceptors may stop for good: nobody waits for them.",
        model: SystemModel { nodes: Nodes::CrashStop, ..SystemModel::USUAL },
        cluster: Cluster { spare: 2, fewest: 5, ..Cluster::lan(5, 5) },
        config: Config { acceptors: 5, quorum: 3, ..CONFIG },
        faults: Swarm { stops: 2, ..crate::MEASURED },
        properties: properties([
            every_operation_completes(),
            sometimes("leader: finds all prepared"),
            sometimes("leader: aborts for an RM that is silent"),
        ]),
        ..scenario()
    }
    .abstraction(told_apart)
}

/// With one acceptor it is two-phase commit (section 5), and waits like it.
pub fn one_acceptor() -> Scenario<Node, Request, Response> {
    Scenario {
        name: "paxos-commit-one-acceptor",
        story: "Paxos Commit with one acceptor, which may stop: two-phase commit, and it blocks.",
        cluster: Cluster { spare: 1, fewest: 3, ..Cluster::lan(3, 4) },
        config: Config { acceptors: 1, quorum: 1, ..CONFIG },
        faults: Swarm { stops: 1, ..crate::MEASURED },
        properties: properties([]),
        expect: Expect::blocks(
            NB,
            "without the only acceptor nobody can know what is chosen, nor choose anything (Gray \
             and Lamport 2006, section 5: with F = 0 it is two-phase commit)",
            must_wait,
        ),
        ..stops()
    }
    .abstraction(told_apart)
}

/// A negative control: two quorums without an acceptor in common.
pub fn disjoint() -> Scenario<Node, Request, Response> {
    Scenario {
        name: "paxos-commit-disjoint-quorums",
        story: "Paxos Commit with four acceptors, of which two are wrongly thought to be enough.",
        cluster: Cluster { fewest: 4, ..Cluster::lan(5, 5) },
        config: Config { acceptors: 4, quorum: 2, ..CONFIG },
        properties: vec![invariants(INVARIANTS, paxos_commit::invariants)],
        expect: Expect::Violates {
            properties: &[INVARIANTS],
            because: "a leader learns what may be chosen only from a quorum that meets all others \
                      (Gray and Lamport 2006, section 4.1: any two majorities have an acceptor in \
                      common)",
        },
        ..scenario()
    }
}

const CONFIG: Config = Config {
    acceptors: 3,
    quorum: 2,
    patience_min: Duration::millis(60),
    patience_max: Duration::millis(240),
};

const INVARIANTS: &str = "AC1, AC2, AC3, P1a and P2b";

const NB: &str = "NB: whoever is up and voted has decided";

fn properties<const N: usize>(
    more: [Property<Node, Request, Response>; N],
) -> Vec<Property<Node, Request, Response>> {
    let mut properties = vec![
        invariants(INVARIANTS, paxos_commit::invariants),
        eventually(NB, all_decided),
        eventually_told("AC5: clients are told what is decided", is_as_told),
        sometimes("leader: takes a ballot"),
        sometimes_in("a transaction is committed", |history| {
            has_answer(history, &Response::Committed)
        }),
        sometimes_in("a transaction is aborted", |history| has_answer(history, &Response::Aborted)),
    ];
    properties.extend(more);
    properties
}

fn has_answer(history: &History<Request, Response>, answer: &Response) -> bool {
    history.operations.iter().any(|one| one.outcome.output() == Some(answer))
}

/// Whoever has decided has decided what the client was told.
fn is_as_told(nodes: &[Option<&Node>], told: &[Told<'_, Request, Response>]) -> Result<(), String> {
    for one in told {
        let other = match one.output {
            Response::Committed => State::Aborted,
            Response::Aborted => State::Committed,
        };
        let states = nodes.iter().flatten().map(|node| node.state(one.request));
        if states.into_iter().any(|state| state == Some(other)) {
            return Err(format!("{} is {other:?}; told was {:?}", one.request, one.output));
        }
    }
    Ok(())
}

fn all_decided(nodes: &[Option<&Node>]) -> Result<(), String> {
    for (id, node) in NodeId::all(nodes.len()).zip(nodes) {
        let mut states = node.iter().flat_map(|node| node.states());
        if let Some((transaction, _)) = states.find(|(_, state)| !state.is_decided()) {
            return Err(format!("{id} is prepared to commit {transaction}, and does not know"));
        }
    }
    Ok(())
}

/// Who must wait: whoever is prepared while too few acceptors are up, and nobody who is up knows of
/// a decision. As an error: who could have told.
fn must_wait(nodes: &[Option<&Node>]) -> Result<String, String> {
    let up = || NodeId::all(nodes.len()).zip(nodes).filter_map(|(id, node)| Some((id, (*node)?)));
    let config = up().next().map(|(_, node)| *node.config()).ok_or("nobody is up")?;
    let acceptors_up = up().filter(|(id, _)| id.index() < config.acceptors).count();
    if config.quorum <= acceptors_up {
        return Err(format!("a quorum of acceptors is up: {acceptors_up}"));
    }
    let mut waits = Vec::new();
    for (id, node) in up() {
        for (transaction, _) in node.states().filter(|(_, state)| *state == State::Prepared) {
            let knows = |other: &Node| other.state(transaction).is_some_and(State::is_decided);
            if let Some((other, _)) = up().find(|(_, other)| knows(other)) {
                return Err(format!("{other} is up and knows how {transaction} ended"));
            }
            waits.push(format!("{id} waits for an acceptor, about {transaction}"));
        }
    }
    if waits.is_empty() { Err("nobody who is up waits".to_owned()) } else { Ok(waits.join("; ")) }
}
