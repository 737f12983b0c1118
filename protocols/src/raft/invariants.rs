//! Figure 3, watched from outside while a run goes on.

use super::Raft;
use seedfall_sim::{Monitor, NodeId, Violation};

/// Watches the servers of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Raft> for Invariants {
    fn observe(&mut self, _node: NodeId, _state: &Raft) -> Result<(), Violation> {
        Ok(())
    }
}
