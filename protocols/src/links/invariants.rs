//! PL2, PL3 and FRR of perfect links, watched from outside while a run goes on.

use super::Links;
use crate::kv::Text;
use seedfall_sim::{Monitor, NodeId, RequestId, SortedMap, SortedSet, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    /// What was sent, from whom, to whom, under which number.
    sent: SortedMap<(NodeId, NodeId, u32), Text>,
    /// How much each node had sent and delivered when it was last seen.
    seen: SortedMap<NodeId, (usize, usize)>,
    /// What each node was asked to send.
    asked: SortedSet<(NodeId, RequestId)>,
    /// What was delivered, from whom, to whom.
    delivered: SortedMap<(NodeId, NodeId), SortedSet<u32>>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Links> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Links) -> Result<(), Violation> {
        let broken = |property, explanation| Err(Violation { property, explanation });
        let seen = self.seen.entry(node).or_default();
        let (sent, delivered) = *seen;
        *seen = (state.sent().len(), state.delivered().len());
        if state.sent().len() < sent || state.delivered().len() < delivered {
            return broken("PL1", format!("{node} has forgotten what it had sent or delivered"));
        }
        for one in &state.sent()[sent..] {
            if !self.asked.insert((node, one.request)) {
                return broken("Once", format!("{node} sends twice what {} asked", one.request));
            }
            self.sent.insert((node, one.to, one.number), one.text.clone());
        }
        for (from, number, text) in &state.delivered()[delivered..] {
            // Nothing is known of what a node sent that crashed before it was seen again.
            if self.sent.get(&(*from, node, *number)).is_some_and(|sent| sent != text) {
                return broken("PL3", format!("{node} has delivered {text}, not sent by {from}"));
            }
            let before = self.delivered.entry((*from, node)).or_default();
            if !before.insert(*number) {
                return broken(
                    "PL2",
                    format!("{node} has delivered message {number} of {from} twice"),
                );
            }
            if state.is_fifo() && before.len() as u32 != *number {
                return broken(
                    "FRR",
                    format!(
                        "{node} has delivered message {number} of {from} as the {}th",
                        before.len()
                    ),
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Order, Sent};
    use super::*;
    use seedfall_sim::{ClientId, Duration};

    #[test]
    fn what_was_asked_once_is_sent_once() {
        let request = RequestId { client: ClientId::new(0), number: 0 };
        let sent = |number| Sent { to: NodeId::new(1), number, text: "a".into(), request };
        let mut node = Links {
            id: NodeId::new(0),
            config: Config { order: Order::Free, retransmit_after: Duration::millis(1) },
            sent: vec![sent(1)],
            unacknowledged: SortedSet::new(),
            received: SortedMap::new(),
            early: SortedMap::new(),
            delivered: Vec::new(),
        };
        let mut watched = invariants();
        watched.observe(node.id, &node).expect("it was asked");
        node.sent.push(sent(2));
        let broken = watched.observe(node.id, &node).expect_err("under another number");
        assert_eq!(broken.property, "Once");
    }
}
