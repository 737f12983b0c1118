//! What a lease promises (dissertation 6.4.1), watched from outside while a run goes on: as long as
//! a leader has one, nobody leads a later term.

use super::Raft;
use super::log::Term;
use crate::reigns::{Reign, Reigns};
use seedfall_sim::{Monitor, NodeId, Time, Violation};

/// Watches the leases of one run.
#[derive(Clone, Debug, Default)]
pub struct Leases(Reigns<Term>);

/// A watcher of leases that has seen nothing yet.
pub fn leases() -> Leases {
    Leases::default()
}

impl Monitor<Raft> for Leases {
    /// Where there is no time there are no leases.
    fn observe(&mut self, _: NodeId, _: &Raft) -> Result<(), Violation> {
        Ok(())
    }

    fn observe_at(
        &mut self,
        node: NodeId,
        state: &Raft,
        clocks: &dyn Fn(NodeId) -> Time,
    ) -> Result<(), Violation> {
        let reign = Reign { number: state.term(), until: state.lease() };
        let seen = self.0.see(node, state.is_leader().then_some(reign), clocks);
        seen.map_err(|explanation| Violation { property: "Leader Lease", explanation })
    }
}
