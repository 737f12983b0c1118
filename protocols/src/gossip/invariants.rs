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
