//! S2 and S3 of chain replication, watched from outside while a run goes on.

use super::{Epoch, Node, Update};
use seedfall_sim::{Monitor, NodeId, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    /// What is committed, in order.
    committed: Vec<Update>,
    /// The newest epoch.
    epoch: Epoch,
    /// What was last looked at of each server: its epoch, how many updates it had, how many it knew
    /// to be committed, and how many were.
    seen: Vec<(Epoch, usize, usize, usize)>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Node> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Node) -> Result<(), Violation> {
        self.epoch = self.epoch.max(state.chain().epoch);
        let Some(server) = state.server() else { return Ok(()) };
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, Default::default());
        }
        let (has, knows) = (server.updates().len(), server.committed());
        let now = (server.chain().epoch, has, knows, self.committed.len());
        if self.seen[node.index()] == now {
            return Ok(());
        }
        let broken = |property, explanation| Err(Violation { property, explanation });
        let pairs = self.committed.iter().zip(server.updates().take(knows));
        if let Some((place, (one, other))) = pairs.enumerate().find(|(_, (a, b))| a != b) {
            return broken(
                "S2: update propagation",
                format!("update {place} is {one:?}, and committed at {node} is {other:?}"),
            );
        }
        let news = server.updates().take(knows).skip(self.committed.len()).cloned();
        self.committed.extend(news);
        if server.is_ready() && server.chain().epoch == self.epoch {
            let mut pairs = self.committed.iter().zip(server.updates());
            if has < self.committed.len() || pairs.any(|(one, other)| one != other) {
                let (epoch, count) = (self.epoch, self.committed.len());
                return broken(
                    "S3: durability",
                    format!(
                        "{count} updates are committed; {node}, which is ready in epoch {epoch}, \
                     has {has}, or others"
                    ),
                );
            }
        }
        self.seen[node.index()] = (server.chain().epoch, has, knows, self.committed.len());
        Ok(())
    }
}
