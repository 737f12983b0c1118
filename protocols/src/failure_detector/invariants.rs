//! Accuracy, watched from outside while a run goes on.
//!
//! Nobody tells a monitor that a node is down. But who is seen to do something after it was
//! suspected was up when it was: nodes that stop, stop for ever.

use super::{Detector, Kind};
use seedfall_sim::{Duration, Monitor, NodeId, SortedMap, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// Whether nobody may be suspected that is up.
    accurate: bool,
    /// Who is suspected, and by whom first.
    suspected: SortedMap<NodeId, NodeId>,
    /// How long each is waited for, and how often that was a mistake.
    patience: SortedMap<(NodeId, NodeId), (Duration, u32)>,
}

/// A watcher that has seen nothing yet; of strong accuracy too, if that is claimed.
pub fn invariants(accurate: bool) -> Invariants {
    Invariants { accurate, ..Invariants::default() }
}

impl Monitor<Detector> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Detector) -> Result<(), Violation> {
        if self.accurate
            && let Some(by) = self.suspected.get(&node)
        {
            let explanation = format!("{by} suspected {node}, which has not crashed");
            return Err(Violation { property: "Strong accuracy", explanation });
        }
        for other in state.suspects() {
            self.suspected.entry(other).or_insert(node);
        }
        if !matches!(state.kind(), Kind::EventuallyPerfect { .. }) {
            return Ok(());
        }
        for (other, peer) in state.peers() {
            let now = (peer.patience(), peer.mistakes());
            let before = self.patience.insert((node, *other), now).unwrap_or(now);
            if now.0 < before.0 || (before.1 < now.1 && now.0 == before.0) {
                let explanation = format!(
                    "{node} waited {} for {other}, and after {} mistakes waits {}",
                    before.0, now.1, now.0
                );
                return Err(Violation { property: "Grows", explanation });
            }
        }
        Ok(())
    }
}
