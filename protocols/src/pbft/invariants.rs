//! The lemmas of 4.5, watched from outside while a run goes on.
//!
//! They are about every replica, Byzantine ones too: inside, those run the protocol as they should,
//! and what they know came from quorums with a correct member.

mod evidence;

use super::{Digest, Replica, Seq, View, digest};
use evidence::Evidence;
use seedfall_sim::{Monitor, NodeId, SortedMap, SortedSet, StableHasher, Violation};

/// Watches the replicas of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// What was seen prepared, and where first.
    prepared: SortedMap<(Seq, View), (Digest, NodeId)>,
    /// What was seen committed, in which view, and where first.
    decided: SortedMap<Seq, (Digest, View, NodeId)>,
    /// The state after each number, and where it was seen first.
    states: SortedMap<Seq, (u64, NodeId)>,
    /// What was last looked at of each replica.
    seen: SortedMap<NodeId, Seen>,
    /// Who came back without something that it had.
    forgetful: SortedSet<NodeId>,
}

/// What was last looked at of a replica.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The last view that it began.
    began: View,
    executed: Seq,
    certified: SortedMap<Seq, View>,
    decided: SortedMap<Seq, Digest>,
    evidence: Evidence,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Replica> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Replica) -> Result<(), Violation> {
        if state.holds_up_its_view() {
            let explanation = format!("{node} does not begin view {}", state.view().0);
            return Err(Violation { property: "New view", explanation });
        }
        let mut seen = self.seen.remove(&node).unwrap_or_default();
        let looked = seen
            .evidence
            .observe(node, state, &mut self.forgetful)
            .and_then(|()| began(node, state, &mut seen))
            .and_then(|()| self.prepared(node, state, &mut seen))
            .and_then(|()| self.committed(node, state, &mut seen))
            .and_then(|()| self.executed(node, state, &mut seen));
        self.seen.insert(node, seen);
        looked
    }
}

fn broken(property: &'static str, explanation: String) -> Result<(), Violation> {
    Err(Violation { property, explanation })
}

/// 4.4: what a primary begins a view with follows from view changes that are proved.
fn began(node: NodeId, state: &Replica, seen: &mut Seen) -> Result<(), Violation> {
    let (view, active) = state.view();
    if !active || view == seen.began {
        return Ok(());
    }
    seen.began = view;
    match state.began_wrongly() {
        true => broken("New view", format!("{node} begins view {view} as no backup accepts it")),
        false => Ok(()),
    }
}

/// 4.2: how many say that they have committed what it has; none, if it has come back from a crash:
/// then it has heard of none but itself.
fn committed_by(state: &Replica, seq: Seq) -> Option<usize> {
    let slot = state.log.get(&seq).filter(|slot| 1 < slot.commits.len())?;
    let said = slot.certificate.as_ref()?.proposal.pre.value();
    Some(slot.commits.values().filter(|one| **one == (said.view, said.digest)).count())
}

impl Invariants {
    /// Lemma of 4.2: one request a view and number.
    fn prepared(
        &mut self,
        node: NodeId,
        state: &Replica,
        seen: &mut Seen,
    ) -> Result<(), Violation> {
        let mut at = 0;
        for (seq, certificate) in state.certificates() {
            let said = certificate.proposal.pre.value();
            if seen.certified.get_in_step(&seq, &mut at) == Some(&said.view) {
                continue;
            }
            seen.certified.insert(seq, said.view);
            let first = self.prepared.entry((seq, said.view)).or_insert((said.digest, node));
            if first.0 != said.digest {
                return broken(
                    "Prepared",
                    format!(
                        "{} and {node} prepared others under {seq} of view {}",
                        first.1, said.view
                    ),
                );
            }
            self.later(seq, said.digest, said.view, node)?;
        }
        Ok(())
    }

    /// Lemma of 4.4: what is committed is prepared in every later view.
    fn later(&self, seq: Seq, digest: Digest, view: View, node: NodeId) -> Result<(), Violation> {
        match self.decided.get(&seq) {
            Some((other, before, by)) if *other != digest && *before <= view => broken(
                "Committed",
                format!(
                    "{by} committed a request under {seq} in view {before}, and {node} prepared \
                     another in view {view}"
                ),
            ),
            _ => Ok(()),
        }
    }

    fn committed(
        &mut self,
        node: NodeId,
        state: &Replica,
        seen: &mut Seen,
    ) -> Result<(), Violation> {
        let mut at = 0;
        for (seq, ask) in state.decided() {
            if seen.decided.get_in_step(&seq, &mut at).is_some() {
                continue;
            }
            let digest = digest(ask);
            seen.decided.insert(seq, digest);
            let view = seen.certified.get(&seq).copied().unwrap_or_default();
            if let Some(count) = committed_by(state, seq)
                && count < state.quorum()
            {
                let explanation = format!(
                    "{node} has committed {seq} in view {view}, with the commits of {count} alone"
                );
                return broken("Committed", explanation);
            }
            let first = self.decided.entry(seq).or_insert((digest, view, node));
            if first.0 != digest {
                let explanation = format!("{} and {node} committed others under {seq}", first.2);
                return broken("Agreement", explanation);
            }
            let mut later = self.prepared.range((seq, view)..=(seq, View::MAX));
            if let Some(((_, view), (_, by))) = later.find(|(_, (other, _))| *other != digest) {
                let (view, by) = (*view, *by);
                self.later(seq, digest ^ 1, view, by)?;
            }
        }
        Ok(())
    }

    fn executed(
        &mut self,
        node: NodeId,
        state: &Replica,
        seen: &mut Seen,
    ) -> Result<(), Violation> {
        let executed = state.executed();
        if seen.executed == executed {
            return Ok(());
        }
        seen.executed = executed;
        let hash = StableHasher::hash(state.machine());
        let first = self.states.entry(executed).or_insert((hash, node));
        match first.0 == hash {
            true => Ok(()),
            false => broken(
                "State",
                format!("{} and {node} are in other states after {executed}", first.1),
            ),
        }
    }
}
