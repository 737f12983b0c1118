//! Demonstration: generals who sign agree, however many traitors there are, if there are not more
//! than they count on.
//!
//! Story: that of `generals-4`, with signatures: `SM(m)` over a wire that neither loses nor
//! doubles, in rounds by clocks that are right. Traitors sign two orders, keep silent, leave out
//! their own signature, speak late, say again what they said, and tell some what they keep from
//! others. With three generals the loyal ones agree (`signed-generals-3`), which without signatures
//! they cannot; with five they bear two traitors (`signed-generals-5`). More traitors than they
//! count on break it (`signed-generals-two-traitors`). Catches: `tests/planted/generals-signed-*`,
//! `byz-04-*`.
//!
//! *How it is judged.* As in `generals-4`: every general's record of what it was told is true, so
//! those who did not tell what they had been told, as they should, are the traitors of a battle,
//! and not bound.

use crate::byzantine_generals::are_few;
use seedfall::property::{eventually, every_operation_completes, invariants, sometimes};
use seedfall::scenario::{Cluster, Expect, Horizon, Reply, Scenario, Workload};
use seedfall::{Property, Swarm};
use seedfall_checkers::workloads::{Process, byzantine};
use seedfall_protocols::oral_messages::{Battle, Order};
use seedfall_protocols::signed_messages::{self, Config, Council, General};
use seedfall_sim::{
    Duration, Links, Monitor, NodeId, Nodes, SortedMap, SortedSet, SystemModel, Timing, Violation,
};

/// Three generals, one of them a traitor.
pub fn three() -> Scenario<General, Order, Order> {
    let Swarm { loss, reorder, pauses, liars, .. } = Swarm::ALL;
    let mut properties = properties(3, 1);
    properties.extend([
        sometimes("message: the commander has signed two orders"),
        sometimes("message: not in its round"),
    ]);
    Scenario {
        name: "signed-generals-3",
        story: "Three generals who sign carry out orders of three clients; one is a traitor.",
        model: SystemModel {
            links: Links::Reliable,
            nodes: Nodes::Byzantine,
            timing: Timing::Synchronous,
        },
        cluster: Cluster { spare: 1, ..Cluster::lan(3, 3) },
        // A round is twice the longest delay of the wire.
        config: Config { traitors: 1, round: Duration::millis(20) },
        workload: Workload::short(
            |_, draw| {
                if draw.below(4) == 0 { Order::Retreat } else { Order::Attack }
            },
            |_, order| *order,
            Reply::Done,
        ),
        // Only lies, twins and strategies are within the model; the others are what the matrix
        // shows outside of it.
        faults: Swarm { liars, twins: 1, strategies: 1, loss, reorder, pauses, ..Swarm::NONE },
        horizon: Horizon::SHORT,
        properties,
        expect: Expect::Holds,
    }
}

/// Five generals, two of them traitors.
pub fn five() -> Scenario<General, Order, Order> {
    let three = three();
    let mut properties = properties(5, 2);
    properties.push(sometimes("message: the commander has signed two orders"));
    Scenario {
        name: "signed-generals-5",
        story: "Five generals who sign carry out orders of three clients; two are traitors.",
        cluster: Cluster { spare: 2, ..Cluster::lan(5, 3) },
        config: Config { traitors: 2, ..three.config },
        faults: Swarm { strategies: 2, ..three.faults },
        properties,
        ..three
    }
}

/// A negative control: one traitor more than they count on.
pub fn two_traitors() -> Scenario<General, Order, Order> {
    let three = three();
    Scenario {
        name: "signed-generals-two-traitors",
        story: "Four generals who sign and count on one traitor; two are.",
        cluster: Cluster { spare: 2, ..Cluster::lan(4, 3) },
        faults: Swarm { strategies: 2, ..three.faults },
        properties: properties(4, 2),
        expect: Expect::Violates {
            properties: &["IC1 and IC2"],
            because: "what comes in the last round is told to nobody else: m + 1 traitors have \
                      signed it alone (Dolev and Strong 1983: m + 1 rounds are needed for m)",
        },
        ..three
    }
}

fn properties(nodes: usize, most: usize) -> Vec<Property<General, Order, Order>> {
    vec![
        invariants("A4", signed_messages::invariants),
        invariants("IC1 and IC2", move || Campaign {
            nodes,
            most,
            traitors: SortedSet::new(),
            known: SortedMap::new(),
            councils: SortedMap::new(),
            seen: SortedMap::new(),
        }),
        eventually("L1: a battle that a general heard of is decided", all_decided),
        every_operation_completes(),
    ]
}

/// The battles that not all have decided yet, with the councils of those who have.
struct Campaign {
    nodes: usize,
    /// How many of them are traitors, at most; and who has lied in any battle.
    most: usize,
    traitors: SortedSet<NodeId>,
    /// Of which battles each has heard.
    known: SortedMap<NodeId, SortedSet<Battle>>,
    councils: SortedMap<Battle, SortedMap<NodeId, Council>>,
    /// How many of the battles that are over for a node were looked at.
    seen: SortedMap<NodeId, usize>,
}

impl Monitor<General> for Campaign {
    fn observe(&mut self, node: NodeId, state: &General) -> Result<(), Violation> {
        let known = self.known.entry(node).or_default();
        known.extend(state.open().map(|council| council.battle));
        let seen = self.seen.entry(node).or_default();
        let news = &state.over()[*seen..];
        *seen = state.over().len();
        for council in news {
            let battle = council.battle;
            self.known.entry(node).or_default().insert(battle);
            let hears = |id: &NodeId| self.known.get(id).is_some_and(|all| all.contains(&battle));
            let councils = self.councils.entry(battle).or_insert_with(|| {
                // The last round is over: who has not heard of it never will, and retreats.
                let unaware = NodeId::all(self.nodes).filter(|id| !hears(id));
                let retreats = |id| {
                    let mut council = Council::new(battle);
                    council.decision = Some(Order::Retreat);
                    (id, council)
                };
                unaware.map(retreats).collect()
            });
            councils.insert(node, council.clone());
            if councils.len() == self.nodes {
                let liars = traitors(councils);
                judge(battle, councils, &liars)?;
                self.traitors.extend(liars);
                are_few(&self.traitors, self.most)?;
            }
        }
        Ok(())
    }
}

/// IC1 and IC2 in one battle, for those who were loyal in it.
fn judge(
    battle: Battle,
    councils: &SortedMap<NodeId, Council>,
    traitors: &SortedSet<NodeId>,
) -> Result<(), Violation> {
    let process = |(id, council): (&NodeId, &Council)| Process {
        process: id.index() as u32 + 1,
        is_correct: !traitors.contains(id),
        proposal: council.orders.iter().find(|(_, by)| by.is_empty()).map(|(o, _)| *o as u64),
        decisions: council.decision.into_iter().map(|order| order as u64).collect(),
    };
    let processes: Vec<Process> = councils.iter().map(process).collect();
    let report = byzantine(&processes, Some(battle.commander.index() as u32 + 1), true);
    let Some(breach) = report.breaches.first() else {
        return Ok(());
    };
    let did: Vec<String> =
        councils.iter().map(|(id, council)| format!("{id} {:?}", council.decision)).collect();
    let explanation = format!(
        "in the battle that {} began at {}, where {traitors:?} lied, it came to: {}",
        battle.commander,
        battle.begins,
        did.join(", ")
    );
    Err(Violation { property: breach.rule, explanation })
}

/// Who did not tell all others what it was told first, or has told what it was not: signatures say
/// who.
fn traitors(councils: &SortedMap<NodeId, Council>) -> SortedSet<NodeId> {
    let mut found = SortedSet::new();
    for (listener, council) in councils {
        // What it was told, and its signers had not been told, ...
        for (path, order) in &council.heard {
            for (place, signer) in path.iter().enumerate() {
                if councils[signer].orders.get(order).is_none_or(|by| *by != path[..place]) {
                    found.insert(*signer);
                }
            }
        }
        // ... and what it should have been told.
        for (speaker, other) in councils.iter().filter(|(speaker, _)| *speaker != listener) {
            for (order, by) in &other.orders {
                let is_due = other.told_on.contains(order) && !by.contains(listener);
                let path = [by.as_slice(), &[*speaker]].concat();
                if is_due && !council.heard.contains(&(path, *order)) {
                    found.insert(*speaker);
                }
            }
        }
    }
    found
}

fn all_decided(nodes: &[Option<&General>]) -> Result<(), String> {
    for (id, node) in NodeId::all(nodes.len()).zip(nodes) {
        let node = node.ok_or_else(|| format!("{id} is down"))?;
        if let Some(council) = node.open().next() {
            return Err(format!("{id} has not decided {:?}", council.battle));
        }
    }
    Ok(())
}
