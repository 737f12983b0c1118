//! What a replica goes by is proved, and stays: the evidence that it holds, judged by another than
//! itself.

use super::broken;
use crate::pbft::statements::{Certificate, NewView, Proposal, Stable, Vote};
use crate::pbft::{Replica, Seq, View, digest, primary};
use seedfall_sim::{NodeId, Signed, SortedSet, StableHasher, Violation};

/// What was last looked at of a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    view: View,
    active: bool,
    stable: Seq,
    /// The last number under which it has accepted something in this view, and how many there are.
    accepted: (Seq, usize),
    /// The same of what is prepared.
    prepared: (Seq, usize),
}

impl Evidence {
    /// Looks at a replica; who has forgotten something is added to `forgetful`.
    pub(super) fn observe(
        &mut self,
        node: NodeId,
        state: &Replica,
        forgetful: &mut SortedSet<NodeId>,
    ) -> Result<(), Violation> {
        let of = |(seq, has): (Seq, bool), (last, count)| match has {
            true => (seq.max(last), count + 1),
            false => (last, count),
        };
        let (mut accepted, mut prepared) = ((0, 0), (0, 0));
        for (seq, slot) in &state.log {
            accepted = of((*seq, slot.accepted.is_some()), accepted);
            prepared = of((*seq, slot.certificate.is_some()), prepared);
        }
        let (view, active) = state.view();
        let now = Self { view, active, stable: state.stable.seq, accepted, prepared };
        let before = std::mem::replace(self, now);
        if before == now {
            return Ok(());
        }
        // A Byzantine one may.
        if before.is_forgotten_by(now)
            && forgetful.insert(node)
            && state.config.faulty < forgetful.len()
        {
            let who = format!("{forgetful:?} have forgotten something");
            return broken("Kept", format!("{who}; {node} had {before:?}, and now {now:?}"));
        }
        if active
            && !(before.active && before.view == view)
            && let Some(new_view) = &state.new_view
            && !begins(new_view, state)
        {
            return broken("New view", format!("{node} is in view {view}, which nobody began"));
        }
        if state.stable.seq != before.stable && !is_stable(&state.stable, state) {
            let (seq, proof) = (state.stable.seq, &state.stable.proof);
            return broken("Proved", format!("{node} holds {seq} for stable, by {proof:?} alone"));
        }
        for (seq, slot) in &state.log {
            let accepted = slot.accepted.as_ref().is_none_or(|one| is_meant(one, state));
            let prepared = slot.certificate.as_ref().is_none_or(|one| is_prepared(one, state));
            if !accepted || !prepared {
                return broken("Proved", format!("{node} holds no proof of {slot:?} under {seq}"));
            }
        }
        Ok(())
    }

    /// 4.2 to 4.4: a replica that comes back is where it was.
    fn is_forgotten_by(self, now: Self) -> bool {
        let lost =
            |before: (Seq, usize), after: (Seq, usize)| now.stable < before.0 && after.0 < before.0;
        let is_same_view = self.view == now.view;
        now.view < self.view
            || now.stable < self.stable
            || (is_same_view && self.active && !now.active)
            || (is_same_view && self.active && lost(self.accepted, now.accepted))
            || lost(self.prepared, now.prepared)
    }
}

/// 4.2: the primary of its view said so, of this very request.
fn is_meant(proposal: &Proposal, state: &Replica) -> bool {
    let said = proposal.pre.value();
    proposal.pre.by() == primary(said.view, state.nodes) && said.digest == digest(&proposal.ask)
}

/// 4.2: `2f` backups have agreed to it.
fn is_prepared(certificate: &Certificate, state: &Replica) -> bool {
    let said = certificate.proposal.pre.value();
    let primary = primary(said.view, state.nodes);
    let agree = certificate.prepares.iter().filter(|prepare| {
        let one = prepare.value();
        (one.view, one.seq, one.digest) == (said.view, said.seq, said.digest)
            && prepare.by() != primary
    });
    let backups: SortedSet<NodeId> = agree.map(Signed::by).collect();
    is_meant(&certificate.proposal, state) && 2 * state.config.faulty <= backups.len()
}

/// 4.3: `2f + 1` replicas have taken this very checkpoint.
fn is_stable(stable: &Stable, state: &Replica) -> bool {
    let expected = Vote { seq: stable.seq, digest: StableHasher::hash(&stable.machine) };
    let votes = stable.proof.iter().filter(|vote| *vote.value() == expected);
    let by: SortedSet<NodeId> = votes.map(Signed::by).collect();
    stable.seq == 0 || 2 * state.config.faulty < by.len()
}

/// 4.4: its primary began it, with what `2f + 1` have said of that view, and each has proved.
fn begins(new_view: &Signed<NewView>, state: &Replica) -> bool {
    let NewView { view, changes, .. } = new_view.value();
    let asked = changes.iter().filter(|change| {
        let said = change.value();
        let proof: SortedSet<NodeId> = said
            .proof
            .iter()
            .filter(|vote| vote.value().seq == said.stable)
            .map(Signed::by)
            .collect();
        said.view == *view
            && (said.stable == 0 || 2 * state.config.faulty < proof.len())
            && said.prepared.iter().all(|one| is_prepared(one, state))
    });
    let asked: SortedSet<NodeId> = asked.map(Signed::by).collect();
    new_view.by() == primary(*view, state.nodes)
        && 2 * state.config.faulty < asked.len()
        && follows(new_view.value(), state)
}

/// 4.4, `O`: after the latest stable checkpoint that they tell of, under each number up to the last
/// that is prepared, what was prepared in the latest view, or nothing.
fn follows(NewView { view, changes, proposals }: &NewView, state: &Replica) -> bool {
    let changes = || changes.iter().map(Signed::value);
    let min = changes().map(|change| change.stable).max().unwrap_or(0);
    let prepared = || changes().flat_map(|change| &change.prepared).map(|one| &one.proposal);
    let max = prepared().map(|proposal| proposal.pre.value().seq).max().unwrap_or(min).max(min);
    let latest = |seq| {
        let of_it = prepared().filter(move |proposal| proposal.pre.value().seq == seq);
        of_it.max_by_key(|proposal| proposal.pre.value().view).map(|proposal| &proposal.ask)
    };
    proposals.len() as u64 == max - min
        && (min + 1..=max).zip(proposals).all(|(seq, proposal)| {
            let said = proposal.pre.value();
            (said.view, said.seq) == (*view, seq)
                && is_meant(proposal, state)
                && latest(seq).unwrap_or(&None) == &proposal.ask
        })
}
