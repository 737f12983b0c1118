//! S1 to S3 of try, confirm, cancel, watched from outside while a run goes on.

use super::{BookingId, COORDINATOR, Node, State};
use seedfall_sim::{Monitor, NodeId, SortedMap, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    /// Where each resource was with each booking when it was last seen.
    seen: SortedMap<(NodeId, BookingId), State>,
    /// The first end of each booking, and at which resource.
    ends: SortedMap<BookingId, (State, NodeId)>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Node> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Node) -> Result<(), Violation> {
        if node == COORDINATOR {
            return Ok(());
        }
        let broken = |property, explanation| Err(Violation { property, explanation });
        let (mut reserved, mut taken) = (0, 0);
        for (id, units, now) in state.held() {
            match now {
                State::Reserved => reserved += units,
                State::Confirmed => taken += units,
                State::Cancelled => {}
            }
            let before = self.seen.insert((node, id), now);
            if before == Some(now) {
                continue;
            }
            if let Some(before @ (State::Confirmed | State::Cancelled)) = before {
                return broken("S3", format!("{id} was {before:?} at {node}, and is now {now:?}"));
            }
            if now != State::Reserved {
                let (first, at) = *self.ends.entry(id).or_insert((now, node));
                if first != now {
                    return broken("S2", format!("{id} is {first:?} at {at}, {now:?} at {node}"));
                }
            }
        }
        let (available, stock) = (state.available(), state.stock());
        if available + reserved + taken != stock {
            return broken(
                "S1",
                format!(
                    "{node}: {available} available, {reserved} reserved, {taken} taken, of {stock}"
                ),
            );
        }
        Ok(())
    }
}
