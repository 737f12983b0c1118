//! PL2 and FRR of perfect links, and what a protocol is watched for when it stands on a layer.

use super::{Layer, Perfect};
use crate::links::Delivered;
use seedfall_sim::{Monitor, NodeId, Protocol, SortedMap, Violation};

/// Watches the ends of the links of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    /// What was handed up, at whom, of whom.
    handed_up: SortedMap<(NodeId, NodeId), (usize, Delivered)>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl<P: Protocol> Monitor<Perfect<P>> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Perfect<P>) -> Result<(), Violation> {
        let broken = |property, explanation| Err(Violation { property, explanation });
        for (from, numbers) in state.handed_up() {
            let (seen, set) = self.handed_up.entry((node, *from)).or_default();
            for (place, number) in numbers.iter().enumerate().skip(*seen) {
                if set.has(*number) {
                    let why = format!("{node} is handed message {number} of {from} twice");
                    return broken("PL2", why);
                }
                set.add(*number);
                if state.is_fifo() && *number as usize != place + 1 {
                    let why = format!("{node} is handed message {number} of {from} too early");
                    return broken("FRR", why);
                }
            }
            *seen = numbers.len();
        }
        Ok(())
    }
}

/// Watches the protocol above a layer.
#[derive(Clone, Debug, Default, Hash)]
pub struct Above<M>(M);

/// Watches the protocol above a layer as it is watched without one.
pub fn above<M>(monitor: M) -> Above<M> {
    Above(monitor)
}

impl<L: Layer, M: Monitor<L::Above>> Monitor<L> for Above<M> {
    fn observe(&mut self, node: NodeId, state: &L) -> Result<(), Violation> {
        self.0.observe(node, state.above())
    }
}
