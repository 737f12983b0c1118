//! S2 to S4 of chain replication, watched from outside while a run goes on.

use super::{Epoch, Node, Update};
use seedfall_sim::{Monitor, NodeId, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    /// What is committed, in order.
    committed: Vec<Update>,
    /// The newest epoch.
    epoch: Epoch,
    /// What was last looked at of each server.
    seen: Vec<Seen>,
}

/// A server, when it was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Seen {
    epoch: Epoch,
    /// Since which epoch it was in the chain, if it was.
    since: Option<Epoch>,
    /// How many updates it had, and how many it knew to be committed.
    has: usize,
    knows: usize,
    /// How many were committed.
    committed: usize,
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
        let (epoch, since) = (server.chain().epoch, server.chain().since(node));
        let now = Seen { epoch, since, has, knows, committed: self.committed.len() };
        let before = self.seen[node.index()];
        if before == now {
            return Ok(());
        }
        let broken = |property, explanation| Err(Violation { property, explanation });
        if since.is_some() && before.since == since && has < before.has {
            return broken(
                "S4: kept",
                format!("{node} has {has} updates, and had {} in the same chain", before.has),
            );
        }
        let pairs = self.committed.iter().zip(server.updates().take(knows));
        if let Some((place, (one, other))) = pairs.enumerate().find(|(_, (a, b))| a != b) {
            return broken(
                "S2: update propagation",
                format!("update {place} is {one:?}, and committed at {node} is {other:?}"),
            );
        }
        let news = server.updates().take(knows).skip(self.committed.len()).cloned();
        self.committed.extend(news);
        if server.is_ready() && epoch == self.epoch {
            let mut pairs = self.committed.iter().zip(server.updates());
            if has < self.committed.len() || pairs.any(|(one, other)| one != other) {
                let count = self.committed.len();
                return broken(
                    "S3: durability",
                    format!(
                        "{count} updates are committed; {node}, which is ready in epoch {epoch}, \
                     has {has}, or others"
                    ),
                );
            }
        }
        self.seen[node.index()] = Seen { committed: self.committed.len(), ..now };
        Ok(())
    }
}
