//! What is known stays known, and soon by all; watched from outside while a run goes on.

use super::{Name, Node, Rumor};
use seedfall_sim::{Monitor, NodeId, SortedMap, SortedSet, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// Within how many rounds all know a rumor, if that is claimed.
    bound: Option<u64>,
    /// All rumors that were seen anywhere, as they were seen first. (A client that asks two nodes
    /// begins its rumor twice.)
    rumors: SortedMap<Name, Rumor>,
    /// What the clients of each have told it.
    told: SortedMap<NodeId, SortedSet<Name>>,
    /// Of each node, where all rounds are taken together.
    rounds: Vec<Round>,
}

/// A node in its round.
#[derive(Clone, Debug, Default)]
struct Round {
    /// What it knew when it was last seen.
    known: Vec<Name>,
    /// In which round it was when it called, whom, and what either of them knew then.
    round: u64,
    called: Option<NodeId>,
    either: Vec<Name>,
}

/// A watcher that has seen nothing yet; all know a rumor within so many rounds, if that is claimed.
pub fn invariants(bound: Option<u64>) -> Invariants {
    Invariants { bound, ..Invariants::default() }
}

fn broken(property: &'static str, explanation: String) -> Result<(), Violation> {
    Err(Violation { property, explanation })
}

impl Monitor<Node> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Node) -> Result<(), Violation> {
        let told = self.told.entry(node).or_default();
        let mut at = 0;
        let mut is_known = |name: &Name| state.known().get_in_step(name, &mut at).is_some();
        if let Some(name) = told.iter().find(|name| !is_known(name)) {
            return broken("Kept", format!("{node} was told {name} and knows it no more"));
        }
        if told != state.told() {
            told.extend(state.told());
        }
        let mut at = 0;
        for rumor in state.known().values() {
            let first = self.rumors.entry_in_step(rumor.name, &mut at);
            let first = first.or_insert_with(|| rumor.clone());
            if first.text != rumor.text {
                return broken("Truth", format!("{node} knows {rumor:?} for {first:?}"));
            }
        }
        let Some(bound) = self.bound else { return Ok(()) };
        if state.compares() {
            self.check_call(node, state)?;
        }
        let mut at = 0;
        let mut late = |rumor: &Rumor| {
            bound.saturating_add(rumor.born) < state.rounds()
                && state.known().get_in_step(&rumor.name, &mut at).is_none()
        };
        if let Some(rumor) = self.rumors.values().find(|rumor| late(rumor)) {
            let (round, born) = (state.rounds(), rumor.born);
            let explanation = format!(
                "{node} is in round {round}, and does not know {} of round {born}",
                rumor.name
            );
            return broken("Bound", explanation);
        }
        Ok(())
    }
}

impl Invariants {
    /// 1.3: push and pull. In the round after a call both know what either knew before it.
    fn check_call(&mut self, node: NodeId, state: &Node) -> Result<(), Violation> {
        let most = state.called().map_or(node, |to| node.max(to));
        if self.rounds.len() <= most.index() {
            self.rounds.resize_with(most.index() + 1, Round::default);
        }
        let own = &mut self.rounds[node.index()];
        if own.known.len() != state.known().len() {
            own.known = state.known().keys().copied().collect();
        }
        let round = state.rounds();
        if own.round == round {
            return Ok(());
        }
        let (before, called) = (own.round, own.called);
        let mut either = std::mem::take(&mut own.either);
        let of = |node: NodeId| self.rounds[node.index()].known.as_slice();
        if let Some(to) = called.filter(|_| before + 1 == round) {
            for who in [node, to] {
                if let Some(name) = either.iter().find(|name| of(who).binary_search(name).is_err())
                {
                    let explanation = format!(
                        "{node} called {to} in round {before}; {who} does not know {name}, which \
                         one of them knew"
                    );
                    return broken("Compared", explanation);
                }
            }
        }
        let called = state.called();
        either.clear();
        either.extend([Some(node), called].into_iter().flatten().flat_map(of));
        let own = &mut self.rounds[node.index()];
        (own.round, own.called, own.either) = (round, called, either);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Style};
    use super::*;
    use seedfall_sim::{ClientId, Duration};

    fn node(id: u16, rounds: u64, called: Option<u16>, knows: &[u32]) -> Node {
        let name = |number: &u32| Name { client: ClientId::new(0), number: *number };
        let rumor = |number| Rumor { name: name(number), text: "a".into(), born: 0 };
        Node {
            id: NodeId::new(id),
            config: Config {
                style: Style::PushPull,
                round: Duration::millis(30),
                interest: None,
                backup: None,
                origin: None,
            },
            known: knows.iter().map(|number| (name(number), rumor(number))).collect(),
            hot: SortedMap::new(),
            rounds,
            told: SortedSet::new(),
            called: called.map(NodeId::new),
        }
    }

    /// The first calls the second, and each knows what the other does not.
    #[test]
    fn after_a_call_both_know_what_either_knew() {
        for (first, second, is_broken) in
            [(&[1, 2], [1, 2], false), (&[1, 2], [2, 2], true), (&[1, 1], [1, 2], true)]
        {
            let mut watched = invariants(Some(16));
            let mut look = |node: Node| watched.observe(node.id, &node);
            look(node(1, 1, None, &[2])).expect("nobody has called");
            look(node(0, 1, Some(1), &[1])).expect("it calls");
            look(node(1, 1, None, &second)).expect("it may come to know more");
            look(node(0, 1, Some(1), first)).expect("it may come to know more");
            let after = look(node(0, 2, Some(1), first));
            assert_eq!(after.is_err(), is_broken, "{first:?} {second:?}");
        }
    }
}
