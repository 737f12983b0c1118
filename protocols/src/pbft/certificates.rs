//! 4.3, 4.4: what proves something to whoever was not there. Nobody takes anybody's word.

use super::statements::{Certificate, ChangeView, NewView, Proposal, Stable, Vote};
use super::{Ask, Digest, Replica, Seq, View, digest};
use seedfall_sim::{Signed, SortedMap, SortedSet, StableHasher};

/// What a new view begins with: the stable checkpoint, and the requests after it, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    /// `min-s`.
    pub(super) stable: Seq,
    /// For each number up to `max-s`, the request; none: a null request.
    pub(super) requests: SortedMap<Seq, Option<Ask>>,
}

impl Replica {
    /// Whether these votes prove a checkpoint; the digest of its state. The beginning needs none.
    pub(super) fn proves(&self, seq: Seq, proof: &[Signed<Vote>]) -> Option<Digest> {
        let first = proof.first()?.value();
        let voters: SortedSet<_> = proof.iter().map(Signed::by).collect();
        let agree = proof.iter().all(|vote| vote.value() == first);
        (first.seq == seq && agree && self.quorum() <= voters.len()).then_some(first.digest)
    }

    /// Whether a checkpoint that was sent is the one that its proof is about.
    pub(super) fn is_sound(&self, stable: &Stable) -> bool {
        self.proves(stable.seq, &stable.proof) == Some(StableHasher::hash(&stable.machine))
    }

    /// Whether the primary of its view said so, and the request is the one that is meant.
    pub(super) fn is_proposal(&self, proposal: &Proposal) -> bool {
        let said = proposal.pre.value();
        proposal.pre.by() == self.primary(said.view) && said.digest == digest(&proposal.ask)
    }

    /// Whether it proves that its request was prepared.
    pub(super) fn is_certificate(&self, certificate: &Certificate) -> bool {
        let said = certificate.proposal.pre.value();
        let matches = |prepare: &&Signed<super::Prepare>| {
            let super::Prepare { view, seq, digest } = *prepare.value();
            (view, seq, digest) == (said.view, said.seq, said.digest)
                && prepare.by() != self.primary(view)
        };
        let backups: SortedSet<_> =
            certificate.prepares.iter().filter(matches).map(Signed::by).collect();
        self.is_proposal(&certificate.proposal) && 2 * self.config.faulty <= backups.len()
    }

    /// Whether all that a view change says is proved.
    pub(super) fn is_view_change(&self, change: &ChangeView) -> bool {
        let high = change.stable + self.config.window;
        let fits = |certificate: &Certificate| {
            let said = certificate.proposal.pre.value();
            said.view < change.view
                && change.stable < said.seq
                && said.seq <= high
                && self.is_certificate(certificate)
        };
        let is_stable = change.stable == 0 || self.proves(change.stable, &change.proof).is_some();
        is_stable && change.prepared.iter().all(fits)
    }

    /// 4.4: what follows from these view changes, for the new primary and for everybody else;
    /// nothing if they are too few.
    pub(super) fn beginning(&self, changes: &[Signed<ChangeView>]) -> Option<Beginning> {
        let from: SortedSet<_> = changes.iter().map(Signed::by).collect();
        let stable = changes.iter().map(|change| change.value().stable).max()?;
        if from.len() < self.quorum() {
            return None;
        }
        let mut highest: SortedMap<Seq, (View, &Option<Ask>)> = SortedMap::new();
        for certificate in changes.iter().flat_map(|change| &change.value().prepared) {
            let said = certificate.proposal.pre.value();
            let best = highest.entry(said.seq).or_insert((said.view, &certificate.proposal.ask));
            if best.0 < said.view {
                *best = (said.view, &certificate.proposal.ask);
            }
        }
        let last = highest.keys().next_back().copied().unwrap_or(stable);
        let request = |seq| (seq, highest.get(&seq).and_then(|(_, ask)| (*ask).clone()));
        Some(Beginning { stable, requests: (stable + 1..=last).map(request).collect() })
    }

    /// Whether a new view begins as it must.
    pub(super) fn is_new_view(&self, new_view: &Signed<NewView>) -> bool {
        let NewView { view, changes, proposals } = new_view.value();
        let asked = |change: &Signed<ChangeView>| {
            change.value().view == *view && self.is_view_change(change.value())
        };
        let from: SortedSet<_> = changes.iter().map(Signed::by).collect();
        if new_view.by() != self.primary(*view)
            || from.len() < changes.len()
            || !changes.iter().all(asked)
        {
            return false;
        }
        let Some(beginning) = self.beginning(changes) else { return false };
        beginning.requests.len() == proposals.len()
            && beginning.requests.iter().zip(proposals).all(|((seq, ask), proposal)| {
                let said = proposal.pre.value();
                self.is_proposal(proposal)
                    && (said.view, said.seq, &proposal.ask) == (*view, *seq, ask)
            })
    }
}
