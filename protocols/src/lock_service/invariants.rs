//! What workers held and the resource let through, collected while a run goes on; a rule of fencing
//! judges it, which is the caller's.

use super::{Held, Node};
use seedfall_sim::{Monitor, NodeId, Violation};
use std::collections::BTreeMap;

/// Judges all grants, by worker and token, and all accesses to the resource, in its order: what is
/// broken, and how.
pub type Judge = fn(
    &BTreeMap<(NodeId, u64), Held>,
    &[(NodeId, u64, bool)],
) -> Result<(), (&'static str, String)>;

/// Watches the nodes of one run.
#[derive(Clone, Debug)]
pub struct Invariants {
    judge: Judge,
    grants: BTreeMap<(NodeId, u64), Held>,
    accesses: Vec<(NodeId, u64, bool)>,
    /// How many accesses of the resource's present life were looked at.
    seen: usize,
}

/// A watcher that has seen nothing yet.
pub fn invariants(judge: Judge) -> Invariants {
    Invariants { judge, grants: BTreeMap::new(), accesses: Vec::new(), seen: 0 }
}

impl Monitor<Node> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Node) -> Result<(), Violation> {
        match state {
            Node::Server(_) => return Ok(()),
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
        (self.judge)(&self.grants, &self.accesses)
            .map_err(|(property, explanation)| Violation { property, explanation })
    }
}
