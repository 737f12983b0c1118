//! TO1 to TO3 of total-order broadcast, watched from outside while a run goes on.

use super::{Broadcast, Delivered, MessageId};
use seedfall_sim::{Monitor, NodeId, SortedSet, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    /// What anybody has delivered, in order.
    order: Vec<Delivered>,
    /// All of it.
    names: SortedSet<MessageId>,
    /// How much each node had delivered when it was last seen.
    seen: Vec<usize>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Broadcast> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Broadcast) -> Result<(), Violation> {
        let broken = |property, explanation| Err(Violation { property, explanation });
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, 0);
        }
        let (seen, delivered) = (self.seen[node.index()], state.delivered());
        if delivered.len() < seen {
            return broken("TO2", format!("{node} had delivered {seen} messages, and now fewer"));
        }
        self.seen[node.index()] = delivered.len();
        for (place, one) in delivered.iter().enumerate().skip(seen) {
            if let Some(other) = self.order.get(place) {
                if other != one {
                    let explanation =
                        format!("at place {place}, {node} has {one:?}, not {other:?}");
                    return broken("TO1", explanation);
                }
                continue;
            }
            if !self.names.insert(one.id) {
                return broken("TO2", format!("{node} has delivered {one:?} twice"));
            }
            if let Some(last) = self.order.last()
                && (one.at, one.id) < (last.at, last.id)
            {
                return broken("TO3", format!("{node} has delivered {one:?} after {last:?}"));
            }
            self.order.push(one.clone());
        }
        Ok(())
    }
}
