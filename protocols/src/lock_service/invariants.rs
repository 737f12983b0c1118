//! What workers held and the resource let through, collected while a run goes on; a rule of fencing
//! judges it, which is the caller's.

use super::{Held, Node};
use seedfall_sim::{Monitor, NodeId, SortedMap, SortedSet, Violation};

/// Judges all grants, by worker and token, and all accesses to the resource, in its order: what is
/// broken, and how.
pub type Judge = fn(
    &SortedMap<(NodeId, u64), Held>,
    &[(NodeId, u64, bool)],
) -> Result<(), (&'static str, String)>;

/// Watches the nodes of one run.
#[derive(Clone, Debug)]
pub struct Invariants {
    judge: Judge,
    grants: SortedMap<(NodeId, u64), Held>,
    accesses: Vec<(NodeId, u64, bool)>,
    /// What the server lent, and to whom: a worker that crashes in the handler in which it hears of
    /// a grant, and uses it, is not seen with it.
    lent: SortedSet<(NodeId, u64)>,
    /// How many accesses of the resource's present life were looked at.
    seen: usize,
}

/// A watcher that has seen nothing yet.
pub fn invariants(judge: Judge) -> Invariants {
    let (grants, accesses, lent) = Default::default();
    Invariants { judge, grants, accesses, lent, seen: 0 }
}

impl Monitor<Node> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Node) -> Result<(), Violation> {
        match state {
            Node::Server(server) => {
                self.lent.extend(server.lent());
                return Ok(());
            }
            Node::Resource(resource) => {
                let all = resource.accesses();
                if all.len() < self.seen {
                    self.seen = 0; // It crashed, and counts anew.
                }
                if all.len() == self.seen {
                    return Ok(());
                }
                self.accesses.extend(&all[self.seen..]);
                self.seen = all.len();
            }
            Node::Worker(worker) => {
                // A new grant may have ended the one before.
                let mut is_new = false;
                for held in worker.grants().iter().rev().take(2) {
                    is_new |= self.grants.insert((node, held.token), *held) != Some(*held);
                }
                if !is_new {
                    return Ok(());
                }
            }
        }
        let unseen = |of: &(NodeId, u64)| self.lent.contains(of) && !self.grants.contains_key(of);
        let judged = self.accesses.iter().filter(|(node, token, _)| !unseen(&(*node, *token)));
        let judged: Vec<(NodeId, u64, bool)> = judged.copied().collect();
        (self.judge)(&self.grants, &judged)
            .map_err(|(property, explanation)| Violation { property, explanation })
    }
}
