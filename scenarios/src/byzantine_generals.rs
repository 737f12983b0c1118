//! Demonstration: agreement among four generals of whom one is a traitor, and not among three.
//!
//! Story: whichever general a client asks commands a battle, several at the same time; `OM(1)` runs
//! over a wire that neither loses nor doubles, in rounds by clocks that are right. One general
//! lies: it turns orders round, each receiver apart, keeps silent, speaks late, says again what it
//! said in an older battle; or it runs twice, which in this algorithm only makes it say things
//! twice. With four generals the loyal ones agree, always (`generals-4`). With three they cannot,
//! and a sweep that does not find that out fails (`generals-3`: Lamport, Shostak and Pease, "The
//! Byzantine Generals Problem", 1982, section 2). Catches: `tests/planted/generals-*`.
//!
//! *How it is judged.* No property knows on whom the nemesis acts, and none has to. A node that
//! lies runs the protocol as it should inside, so every general's record of what it was *told* is
//! true. When a battle is over, what each was told is laid beside what the speaker had been told:
//! who said something else to anybody is a traitor in that battle, and not bound; everybody else
//! did what the algorithm says, and is. (Who is silent where `Retreat` was to be said, said it.) A
//! battle is judged once all have decided; L1 sees to it that they do, unless nobody but its
//! commander ever heard of it.

use seedfall::property::{eventually, every_operation_completes, invariants, sometimes};
use seedfall::scenario::{Cluster, Expect, Horizon, Reply, Scenario, Workload};
use seedfall::{Property, Swarm};
use seedfall_checkers::workloads::{Process, byzantine};
use seedfall_protocols::oral_messages::{Battle, Config, Council, General, Order};
use seedfall_sim::{
    Duration, Links, Monitor, NodeId, Nodes, SortedMap, SortedSet, SystemModel, Timing, Violation,
};

/// Four generals, one of them a traitor.
pub fn four() -> Scenario<General, Order, Order> {
    let Swarm { loss, reorder, pauses, .. } = Swarm::ALL;
    let mut properties = properties(4, TRAITORS);
    properties.extend([
        sometimes("decision: orders differ, so somebody lied"),
        sometimes("message: not in its round"),
        sometimes("message: said before"),
    ]);
    Scenario {
        name: "generals-4",
        story: "Four generals of whom one is a traitor carry out orders of three clients.",
        model: SystemModel {
            links: Links::Reliable,
            nodes: Nodes::Byzantine,
            timing: Timing::Synchronous,
        },
        cluster: Cluster { spare: 1, ..Cluster::lan(4, 3) },
        // A round is twice the longest delay of the wire.
        config: Config { traitors: TRAITORS, round: Duration::millis(20) },
        workload: Workload::short(
            |_, draw| {
                if draw.below(4) == 0 { Order::Retreat } else { Order::Attack }
            },
            |_, order| *order,
            Reply::Done,
        ),
        // Only lies and twins are within the model; the others are what the matrix shows outside
        // of it. (No crash: who forgets could not say afterwards what it had been told.)
        faults: Swarm { liars: 1, twins: 1, loss, reorder, pauses, ..Swarm::NONE },
        horizon: Horizon::SHORT,
        properties,
        expect: Expect::Holds,
    }
}

/// Seven generals, two of them traitors: `OM(2)`, where a majority is taken at every level.
pub fn seven() -> Scenario<General, Order, Order> {
    let four = four();
    let liars = Swarm::ALL.liars;
    Scenario {
        name: "generals-7",
        story: "Seven generals of whom two are traitors carry out orders of two clients.",
        cluster: Cluster { spare: 2, ..Cluster::lan(7, 2) },
        config: Config { traitors: 2, ..four.config },
        workload: Workload { operations: 6, ..four.workload },
        faults: Swarm { liars, twins: 1, ..Swarm::NONE },
        properties: properties(7, 2),
        ..four
    }
}

/// The same with three: a negative control.
pub fn three() -> Scenario<General, Order, Order> {
    Scenario {
        name: "generals-3",
        story: "Three generals of whom one is a traitor: too few to agree.",
        cluster: Cluster { spare: 1, ..Cluster::lan(3, 3) },
        properties: properties(3, TRAITORS),
        expect: Expect::Violates {
            properties: &["IC1 and IC2"],
            because: "no algorithm lets three generals agree if one of them is a traitor (Lamport, \
                      Shostak, Pease 1982, section 2)",
        },
        ..four()
    }
}

const TRAITORS: usize = 1;

fn properties(nodes: usize, most: usize) -> Vec<Property<General, Order, Order>> {
    vec![
        invariants("IC1 and IC2", move || Campaign::of(nodes, most)),
        eventually("L1: a battle that lieutenants heard of is decided by all", move |nodes| {
            all_decided(nodes, most)
        }),
        every_operation_completes(),
    ]
}

/// The battles that not all have decided yet, with the councils of those who have.
struct Campaign {
    nodes: usize,
    /// How many of them are traitors, at most.
    most: usize,
    councils: SortedMap<Battle, SortedMap<NodeId, Council>>,
    /// How many of the battles that are over for a node were looked at.
    seen: SortedMap<NodeId, usize>,
    /// Who has lied in any battle.
    traitors: SortedSet<NodeId>,
}

impl Campaign {
    fn of(nodes: usize, most: usize) -> Self {
        let (councils, seen) = (SortedMap::new(), SortedMap::new());
        Self { nodes, most, councils, seen, traitors: SortedSet::new() }
    }
}

/// No more generals break their word than are traitors: what a loyal one has been told it tells.
/// Without this a protocol in which nobody says anything would have none but traitors, who are not
/// bound.
pub(crate) fn are_few(traitors: &SortedSet<NodeId>, most: usize) -> Result<(), Violation> {
    if traitors.len() <= most {
        return Ok(());
    }
    let explanation = format!("{traitors:?} did not tell what they had been told; {most} can lie");
    Err(Violation { property: "Loyal", explanation })
}

impl Monitor<General> for Campaign {
    fn observe(&mut self, node: NodeId, state: &General) -> Result<(), Violation> {
        let seen = self.seen.entry(node).or_default();
        for council in state.over().iter().skip(*seen) {
            *seen += 1;
            let battle = council.battle;
            let councils = self.councils.entry(battle).or_default();
            councils.insert(node, council.clone());
            if councils.len() == self.nodes {
                let liars = traitors(councils, self.most);
                judge(battle, councils, &liars)?;
                self.traitors.extend(liars);
                are_few(&self.traitors, self.most)?;
                self.councils.remove(&battle);
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
        proposal: (*id == battle.commander).then(|| council.told(&[]) as u64),
        decisions: council.decision.into_iter().map(|order| order as u64).collect(),
    };
    let processes: Vec<Process> = councils.iter().map(process).collect();
    let report = byzantine(&processes, Some(battle.commander.index() as u32 + 1), true);
    let Some(breach) = report.breaches.first() else {
        return Ok(());
    };
    let did: Vec<String> = councils
        .iter()
        .map(|(id, council)| match council.decision {
            Some(order) => format!("{id} {order:?}"),
            None => format!("{id} nothing"),
        })
        .collect();
    let explanation = format!(
        "in the battle that {} began at {}, where {traitors:?} lied, it came to: {}",
        battle.commander,
        battle.begins,
        did.join(", ")
    );
    Err(Violation { property: breach.rule, explanation })
}

/// Who said something else than it had been told, to anybody.
fn traitors(councils: &SortedMap<NodeId, Council>, most: usize) -> SortedSet<NodeId> {
    let mut found = SortedSet::new();
    for (listener, council) in councils {
        // What it was told, ...
        for (path, order) in &council.heard {
            if let Some((speaker, before)) = path.split_last()
                && councils[speaker].told(before) != *order
            {
                found.insert(*speaker);
            }
        }
        // ... and what it should have been told.
        for (speaker, other) in councils.iter().filter(|(speaker, _)| *speaker != listener) {
            for (before, order) in &other.heard {
                let is_due = before.len() <= most && !before.contains(listener);
                let path = [before.as_slice(), &[*speaker]].concat();
                if is_due && council.told(&path) != *order {
                    found.insert(*speaker);
                }
            }
        }
    }
    found
}

/// L1. A battle that its commander keeps to itself is not decided by the others, who cannot know;
/// only traitors do so.
fn all_decided(nodes: &[Option<&General>], most: usize) -> Result<(), String> {
    let mut decided: SortedMap<Battle, Vec<NodeId>> = SortedMap::new();
    for (id, node) in NodeId::all(nodes.len()).zip(nodes) {
        let node = node.ok_or_else(|| format!("{id} is down"))?;
        if let Some(council) = node.open().next() {
            return Err(format!("{id} has not decided {:?}", council.battle));
        }
        for council in node.over() {
            decided.entry(council.battle).or_default().push(id);
        }
    }
    let is_kept = |(battle, by): &(&Battle, &Vec<NodeId>)| **by == [battle.commander];
    let keepers = decided.iter().filter(is_kept).map(|(battle, _)| battle.commander);
    let keepers: SortedSet<NodeId> = keepers.collect();
    if most < keepers.len() {
        return Err(format!("{keepers:?} keep battles to themselves, and {most} can lie"));
    }
    let is_open =
        |battle: &(&Battle, &Vec<NodeId>)| battle.1.len() < nodes.len() && !is_kept(battle);
    match decided.iter().find(is_open) {
        Some((battle, by)) => Err(format!("only {by:?} decided {battle:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Order::{Attack, Retreat};

    type Told<'a> = &'a [(&'a [u16], Order)];

    /// The councils of a battle of n1, by what each was told on each path, and did.
    fn councils(rows: &[(Told<'_>, Order)]) -> SortedMap<NodeId, Council> {
        let battle = Battle { commander: NodeId::new(0), begins: seedfall_sim::Time::ZERO };
        let path = |path: &[u16]| path.iter().map(|id| NodeId::new(*id)).collect();
        let council = |(id, (heard, did)): (NodeId, &(Told<'_>, Order))| {
            let mut council = Council::new(battle);
            council.heard = heard.iter().map(|(on, order)| (path(on), *order)).collect();
            council.decision = Some(*did);
            (id, council)
        };
        NodeId::all(rows.len()).zip(rows).map(council).collect()
    }

    fn verdict(rows: &[(Told<'_>, Order)]) -> (Vec<usize>, Option<&'static str>) {
        let councils = councils(rows);
        let battle = councils[&NodeId::new(0)].battle;
        let found = traitors(&councils, TRAITORS);
        let broken = judge(battle, &councils, &found).err().map(|violation| violation.property);
        (found.iter().map(|id| id.index()).collect(), broken)
    }

    #[test]
    fn who_lies_shows_in_what_the_others_were_told_and_is_not_bound() {
        let order: Told<'_> = &[(&[], Attack)];
        let told: Told<'_> = &[(&[0], Attack), (&[0, 2], Attack)];
        // n2 tells n3 the truth, n3 turns it round for n2: n3 is the traitor, and n2 disobeys.
        let lied_to: Told<'_> = &[(&[0], Attack), (&[0, 2], Retreat)];
        let truth: Told<'_> = &[(&[0], Attack), (&[0, 1], Attack)];
        let rows = [(order, Attack), (lied_to, Retreat), (truth, Attack)];
        assert_eq!(verdict(&rows), (vec![2], Some("IC2")));
        // What the traitor does itself binds nobody.
        let rows = [(order, Attack), (lied_to, Attack), (truth, Retreat)];
        assert_eq!(verdict(&rows), (vec![2], None));
        // Silence says `Retreat`: here n2 lies to n3.
        let silent: Told<'_> = &[(&[0], Attack)];
        let rows = [(order, Attack), (told, Attack), (silent, Attack)];
        assert_eq!(verdict(&rows), (vec![1], None));
    }

    #[test]
    fn under_a_traitor_all_do_the_same_whatever_it_is() {
        let order: Told<'_> = &[(&[], Attack)];
        let one: Told<'_> = &[(&[0], Attack), (&[0, 2], Retreat)];
        let other: Told<'_> = &[(&[0], Retreat), (&[0, 1], Attack)];
        let rows = [(order, Attack), (one, Retreat), (other, Retreat)];
        assert_eq!(verdict(&rows), (vec![0], None));
        let rows = [(order, Attack), (one, Attack), (other, Retreat)];
        assert_eq!(verdict(&rows), (vec![0], Some("IC1")));
    }
}
