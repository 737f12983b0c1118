//! Lemmas 2 and 3 of section 3.2, and agreement, watched from outside while a run goes on.
//!
//! Byzantine validators run the protocol as they should inside, so what each knows is true.

use super::{Height, Id, Round, Validator};
use seedfall_sim::{Monitor, NodeId, Violation};
use std::collections::BTreeMap;

/// Watches the validators of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// The value that has a polka, by height and round, and where it was seen first.
    polkas: BTreeMap<(Height, Round), (Id, NodeId)>,
    /// What is decided, in which round, and where that was seen first.
    decided: BTreeMap<Height, (Id, Round, NodeId)>,
    /// How much of each validator was looked at.
    seen: BTreeMap<NodeId, usize>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

fn broken(property: &'static str, explanation: String) -> Result<(), Violation> {
    Err(Violation { property, explanation })
}

impl Monitor<Validator> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Validator) -> Result<(), Violation> {
        let decisions = state.decisions();
        let seen = self.seen.insert(node, decisions.len()).unwrap_or(0).min(decisions.len());
        for (place, decision) in decisions.iter().enumerate().skip(seen) {
            let (id, round) = (decision.proposal.value().id(), decision.proposal.value().round);
            let first = self.decided.entry(place as Height).or_insert((id, round, node));
            if first.0 != id {
                let explanation = format!("{} and {node} decided others at {place}", first.2);
                return broken("Agreement", explanation);
            }
        }
        let height = state.state().height;
        for (round, id) in state.polkas() {
            let first = self.polkas.entry((height, round)).or_insert((id, node));
            if first.0 != id {
                return broken(
                    "Polka",
                    format!("{} and {node} saw others at height {height}, round {round}", first.1),
                );
            }
            if let Some((decided, before, by)) = self.decided.get(&height)
                && *before < round
                && *decided != id
            {
                return broken(
                    "Lock",
                    format!(
                        "{by} decided a value at height {height} in round {before}, and {node} saw \
                         a polka for another in round {round}"
                    ),
                );
            }
        }
        Ok(())
    }
}
