//! AC1 to AC3, P1 and P2 of three-phase commit, watched from outside while a run goes on.

use super::{Site, State, Termination, TransactionId};
use seedfall_sim::{Monitor, NodeId, SortedMap, SortedSet, Violation};

/// Watches the sites of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    /// Where each site was in each transaction when it was last seen.
    seen: Vec<SortedMap<TransactionId, Option<State>>>,
    /// The first decision about each transaction, and whose it was.
    decided: SortedMap<TransactionId, (State, NodeId)>,
    /// Of each that is committed: who was seen since, and had not been brought to commit.
    behind: SortedMap<TransactionId, SortedSet<NodeId>>,
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
        self.check_behind(node, site)?;
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
    /// P2: nobody commits before all (or a quorum) can be brought to nothing else. Who is seen
    /// afterwards where it can be had not been brought there.
    fn check_behind(&mut self, node: NodeId, site: &Site) -> Result<(), Violation> {
        let allowed = match site.config.termination {
            Termination::Sites => 0,
            Termination::Quorum => site.sites - site.quorum(),
        };
        for (id, state) in site.states() {
            let is_elsewhere = matches!(state, State::Uncertain | State::Abortable);
            if !is_elsewhere || self.decided.get(&id).is_none_or(|one| one.0 != State::Committed) {
                continue;
            }
            let behind = self.behind.entry(id).or_default();
            if behind.insert(node) && allowed < behind.len() {
                let by = self.decided[&id].1;
                let explanation =
                    format!("{by} has committed {id}, and {behind:?} are not committable");
                return Err(Violation { property: "P2", explanation });
            }
        }
        Ok(())
    }

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
