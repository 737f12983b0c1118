//! AC1 to AC3 and P1 of three-phase commit, watched from outside while a run goes on.

use super::{Site, State, TransactionId};
use seedfall_sim::{Monitor, NodeId, SortedMap, Violation};

/// Watches the sites of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    /// Where each site was in each transaction when it was last seen.
    seen: Vec<SortedMap<TransactionId, Option<State>>>,
    /// The first decision about each transaction, and whose it was.
    decided: SortedMap<TransactionId, (State, NodeId)>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Site> for Invariants {
    fn observe(&mut self, node: NodeId, site: &Site) -> Result<(), Violation> {
        if self.seen.len() <= node.index() {
            self.seen.resize_with(node.index() + 1, SortedMap::new);
        }
        let mut at = 0;
        for (id, now) in site.states() {
            let seen = self.seen[node.index()].entry_in_step(id, &mut at).or_default();
            let before = seen.replace(now);
            if before != Some(now) {
                self.on_change(node, id, before, now)?;
            }
        }
        // Whoever voted yes knows of it, whatever has crashed since.
        let mut at = 0;
        let mut unheard = |id: &TransactionId| site.transactions.get_in_step(id, &mut at).is_none();
        let mut committed =
            self.decided.iter().filter(|(_, (state, _))| *state == State::Committed);
        if let Some((id, (_, by))) = committed.find(|(id, _)| unheard(id)) {
            let explanation = format!("{by} has committed {id}, and {node} has not voted");
            return Err(Violation { property: "AC3", explanation });
        }
        Ok(())
    }
}

impl Invariants {
    fn on_change(
        &mut self,
        node: NodeId,
        id: TransactionId,
        before: Option<State>,
        now: State,
    ) -> Result<(), Violation> {
        let broken = |property, explanation| Err(Violation { property, explanation });
        if let Some(before) = before {
            if before.is_decided() {
                return broken("AC2", format!("{node} was {before:?} in {id}, and is now {now:?}"));
            }
            if before != State::Uncertain && !now.is_decided() {
                return broken("P1", format!("{node} was {before:?} in {id}, and is now {now:?}"));
            }
        }
        if now.is_decided() {
            let (first, by) = *self.decided.entry(id).or_insert((now, node));
            if first != now {
                return broken("AC1", format!("{by} has {first:?} {id}, and {node} {now:?}"));
            }
        }
        Ok(())
    }
}
