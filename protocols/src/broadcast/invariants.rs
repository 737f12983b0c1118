//! What is promised of broadcasts as they are delivered, watched from outside while a run goes on.

use super::{Broadcaster, Item};
use seedfall_sim::{Monitor, NodeId, RequestId, SortedMap, SortedSet, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug)]
pub struct Invariants {
    is_uniform: bool,
    is_fifo: bool,
    /// Who has each message, and how many nodes there are.
    has: SortedMap<RequestId, SortedSet<NodeId>>,
    nodes: usize,
    /// What was broadcast.
    items: SortedMap<RequestId, Item>,
    /// Of each node when it was last seen: how many messages it had, and had delivered.
    seen: Vec<(usize, usize)>,
}

/// A watcher of B2 and B3, of U1 if the broadcast is claimed to be uniform, and of F1 if it is
/// claimed to be first-in-first-out.
pub fn invariants(is_uniform: bool, is_fifo: bool) -> Invariants {
    Invariants {
        is_uniform,
        is_fifo,
        has: SortedMap::new(),
        nodes: 0,
        items: SortedMap::new(),
        seen: Vec::new(),
    }
}

impl Monitor<Broadcaster> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Broadcaster) -> Result<(), Violation> {
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, (0, 0));
        }
        self.nodes = state.nodes;
        let now = (state.items(), state.delivered().len());
        let seen = std::mem::replace(&mut self.seen[node.index()], now);
        if seen == now {
            return Ok(());
        }
        let mut at = 0;
        for (id, (item, _)) in &state.items {
            self.has.entry_in_step(*id, &mut at).or_default().insert(node);
            if item.sender == node {
                self.items.entry(*id).or_insert_with(|| item.clone());
            }
        }
        let delivered = state.delivered();
        for (place, item) in delivered.iter().enumerate().skip(seen.1) {
            self.on_delivered(node, item, &delivered[..place])?;
        }
        Ok(())
    }
}

impl Invariants {
    fn on_delivered(&self, node: NodeId, item: &Item, before: &[Item]) -> Result<(), Violation> {
        let broken = |property, what: &str| {
            let explanation = format!("{node} has delivered {item:?}, {what}");
            Err(Violation { property, explanation })
        };
        if before.iter().any(|other| other.id == item.id) {
            return broken("B2: no duplication", "once more");
        }
        // A sender that stops within the handler in which it sends was not seen to have it.
        if self.items.get(&item.id).is_some_and(|other| other != item) {
            return broken("B3: no creation", "which is not what was broadcast");
        }
        let has = self.has.get(&item.id).map_or(0, SortedSet::len);
        if self.is_uniform && has <= self.nodes / 2 {
            return broken("U1: uniformity", "which no majority has");
        }
        let of_sender = |other: &&Item| other.sender == item.sender;
        let number = before.iter().filter(of_sender).count();
        if self.is_fifo && number != item.number as usize {
            return broken("F1: first in, first out", "before others of its sender");
        }
        Ok(())
    }
}
