//! TO1 to TO4 of the sequencer, watched from outside while a run goes on.

use super::{Epoch, Item, Sequenced, Slot};
use crate::machine::Committed;
use seedfall_sim::{Monitor, NodeId, Violation};
use std::collections::{BTreeMap, BTreeSet};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    delivered: Committed<Item>,
    /// What each number was given to in each epoch, and who has written that down.
    given: BTreeMap<(usize, Epoch), (Slot, BTreeSet<NodeId>)>,
    /// What is stable, and since which epoch.
    stable: BTreeMap<usize, (Epoch, Slot)>,
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
    known: BTreeMap<usize, Epoch>,
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
            let mut news = Vec::new();
            for (number, (epoch, slot)) in state.slots() {
                if seen.known.insert(*number, *epoch) != Some(*epoch) {
                    news.push((*number, *epoch, slot.clone()));
                }
            }
            for (number, epoch, slot) in news {
                self.on_given(node, state.majority(), (number, epoch), &slot)?;
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

impl Invariants {
    /// A node has written down what a number was given to.
    fn on_given(
        &mut self,
        node: NodeId,
        majority: usize,
        (number, epoch): (usize, Epoch),
        slot: &Slot,
    ) -> Result<(), Violation> {
        let none = || (slot.clone(), BTreeSet::new());
        let (first, nodes) = self.given.entry((number, epoch)).or_insert_with(none);
        if first != slot {
            let why = format!("{number} of epoch {epoch} is {slot:?} at {node}, not {first:?}");
            return Err(broken("TO3", why));
        }
        nodes.insert(node);
        if nodes.len() >= majority {
            let now = (epoch, slot.clone());
            let since = self.stable.entry(number).or_insert_with(|| now.clone());
            if epoch < since.0 {
                *since = now;
            }
        }
        let Some((since, stable)) = self.stable.get(&number) else { return Ok(()) };
        let mut later = self.given.range((number, *since)..=(number, Epoch::MAX));
        match later.find(|(_, (other, _))| other != stable) {
            None => Ok(()),
            Some(((_, epoch), (other, _))) => {
                let why = format!(
                    "{number} is {stable:?} since epoch {since}, and {other:?} in epoch {epoch}"
                );
                Err(broken("TO4", why))
            }
        }
    }
}

fn broken(property: &'static str, explanation: String) -> Violation {
    Violation { property, explanation }
}
