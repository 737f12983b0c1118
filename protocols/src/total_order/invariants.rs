//! TO1 to TO3, and TO5, of total-order broadcast, watched from outside while a run goes on.

use super::{Broadcast, Delivered, MessageId};
use seedfall_sim::{Monitor, NodeId, SortedMap, SortedSet, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    /// What anybody has delivered, in order.
    order: Vec<Delivered>,
    /// All of it.
    names: SortedSet<MessageId>,
    /// How much each node had delivered when it was last seen.
    seen: Vec<usize>,
    /// The tentative timestamp of each node for each message.
    tentative: SortedMap<(NodeId, MessageId), u32>,
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
        self.check_pending(node, state, seen)?;
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

impl Invariants {
    /// What a sender may rely on once it was told of a tentative timestamp: it can only rise, and
    /// the node delivers nothing of a higher one before.
    fn check_pending(
        &mut self,
        node: NodeId,
        state: &Broadcast,
        seen: usize,
    ) -> Result<(), Violation> {
        let broken = |explanation| Err(Violation { property: "TO5", explanation });
        let delivered = state.delivered();
        for one in &delivered[seen..] {
            if let Some(said) = self.tentative.get(&(node, one.id)).filter(|said| one.at < **said) {
                return broken(format!("{node} has delivered {one:?}, and had said {said}"));
            }
        }
        let last = delivered.last();
        for (id, one) in &state.pending {
            if let Some(last) = last.filter(|last| (one.at, *id) < (last.at, last.id)) {
                return broken(format!("{id} waits at {node} with {}, after {last:?}", one.at));
            }
            let said = *self.tentative.entry((node, *id)).or_insert(one.at);
            if one.at < said || (said < one.at && !one.is_final) {
                return broken(format!("{node} had said {said} for {id}, and now {}", one.at));
            }
        }
        Ok(())
    }
}
