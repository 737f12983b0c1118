//! TO1 to TO4 of the sequencer, watched from outside while a run goes on.

use super::{Epoch, Item, Sequenced, Slot};
use crate::chosen::{Chosen, Wrong};
use crate::machine::Committed;
use seedfall_sim::{Monitor, NodeId, SortedMap, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    delivered: Committed<Item>,
    /// What each number was given to in each epoch.
    given: Chosen<Epoch, Slot>,
    seen: Vec<Seen>,
}

/// A node as it was when it was last seen.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// How much it had delivered.
    delivered: usize,
    /// How much it had written down.
    written: usize,
    /// What was compared: which numbers, in which epochs.
    known: SortedMap<usize, Option<Epoch>>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Sequenced> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Sequenced) -> Result<(), Violation> {
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, Default::default());
        }
        let delivered = state.delivered();
        let seen = &mut self.seen[node.index()];
        if delivered.len() < seen.delivered {
            let why = format!("{node} had delivered {} messages, and now fewer", seen.delivered);
            return Err(broken("TO2", why));
        }
        let first = std::mem::replace(&mut seen.delivered, delivered.len());
        if std::mem::replace(&mut seen.written, state.written()) != state.written() {
            let (mut news, mut at) = (Vec::new(), 0);
            for (number, (epoch, slot)) in state.slots() {
                let known = seen.known.entry_in_step(*number, &mut at).or_default();
                if known.replace(*epoch) != Some(*epoch) {
                    news.push((*number, *epoch, slot.clone()));
                }
            }
            for (number, epoch, slot) in news {
                let written = self.given.accept((node, state.majority()), (number, epoch), &slot);
                written.map_err(|wrong| match wrong {
                    Wrong::TwoValues(why) => broken("TO3", why),
                    Wrong::Changed(why) => broken("TO4", why),
                })?;
            }
        }
        if first == delivered.len() {
            return Ok(());
        }
        let twice = |place: &usize| delivered[..*place].contains(&delivered[*place]);
        if let Some(place) = (first..delivered.len()).find(twice) {
            return Err(broken(
                "TO2",
                format!("{node} has delivered {:?} twice", delivered[place]),
            ));
        }
        self.delivered.observe(node, delivered).map_err(|why| broken("TO1", why))
    }
}

fn broken(property: &'static str, explanation: String) -> Violation {
    Violation { property, explanation }
}
