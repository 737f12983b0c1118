//! P1a, P2b and Agreement, watched from outside while a run goes on.

use super::{Number, Paxos, Proposal};
use crate::kv::Text;
use seedfall_sim::{Monitor, NodeId, SortedMap, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    /// What each node had promised and accepted when it was last seen.
    pub(super) seen: Vec<(Option<Number>, Option<Proposal>)>,
    /// For each proposal that anybody ever accepted: its value, and who accepted it.
    pub(super) accepted: SortedMap<Number, (Text, Vec<NodeId>)>,
    /// The lowest-numbered proposal that a quorum has accepted.
    pub(super) chosen: Option<Proposal>,
    /// The value that somebody knows to be chosen.
    pub(super) learned: Option<Text>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Paxos> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Paxos) -> Result<(), Violation> {
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, (None, None));
        }
        let (promised, accepted) = &mut self.seen[node.index()];
        if state.promised() < *promised {
            let now = state.promised();
            return Err(violation(
                "P1a: promises are kept",
                format!("{node} had promised {promised:?}, and now {now:?}"),
            ));
        }
        *promised = state.promised();
        if state.accepted() != accepted.as_ref() {
            let before = accepted.clone();
            accepted.clone_from(&state.accepted().cloned());
            let Some(now) = state.accepted() else {
                return Err(violation(
                    "P1a: promises are kept",
                    format!("{node} had accepted {before:?}, and now nothing"),
                ));
            };
            self.on_accepted(node, now, state.phase_2())?;
        }
        if let Some(learned) = state.chosen() {
            let first = self.learned.get_or_insert_with(|| learned.clone());
            if first != learned {
                let explanation = format!("{node} has learned {learned}, and others {first}");
                return Err(Violation { property: "Agreement", explanation });
            }
        }
        // The acceptances that chose it may be those of nodes which crashed before they were seen,
        // so that it may be learned first.
        match (&self.chosen, &self.learned) {
            (Some(chosen), Some(learned)) if chosen.value != *learned => {
                let explanation = format!("{chosen:?} is chosen, and {learned} was learned");
                Err(Violation { property: "Agreement", explanation })
            }
            _ => Ok(()),
        }
    }
}

impl Invariants {
    /// A node has accepted a proposal.
    fn on_accepted(
        &mut self,
        node: NodeId,
        proposal: &Proposal,
        phase_2: usize,
    ) -> Result<(), Violation> {
        let Proposal { number, value } = proposal;
        let none = || (value.clone(), Vec::new());
        let (first, nodes) = self.accepted.entry(*number).or_insert_with(none);
        if first != value {
            return Err(violation(
                "One value a number",
                format!("{node} has accepted {value} under {number:?}, and {nodes:?} {first}"),
            ));
        }
        if !nodes.contains(&node) {
            nodes.insert(nodes.partition_point(|one| *one < node), node);
        }
        let is_chosen = phase_2 <= nodes.len();
        if let Some(chosen) = self.chosen.as_ref().filter(|chosen| chosen.value != *value) {
            if is_chosen {
                return Err(violation(
                    "Agreement",
                    format!("{chosen:?} is chosen, and now {proposal:?} too"),
                ));
            }
            if chosen.number < *number {
                return Err(violation(
                    "P2b: what is chosen is proposed ever after",
                    format!("{chosen:?} is chosen, and {node} has accepted {proposal:?}"),
                ));
            }
        }
        if is_chosen && self.chosen.as_ref().is_none_or(|chosen| *number < chosen.number) {
            self.chosen = Some(proposal.clone());
            // What was accepted above it before it was chosen: no less a breach.
            let above = self.accepted.range(number..).find(|(_, (other, _))| other != value);
            if let Some((above, (other, _))) = above {
                return Err(violation(
                    "P2b: what is chosen is proposed ever after",
                    format!("{proposal:?} is chosen, and {above:?} proposes {other}"),
                ));
            }
        }
        Ok(())
    }
}

fn violation(property: &'static str, explanation: String) -> Violation {
    Violation { property, explanation }
}
