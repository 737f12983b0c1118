//! A replica whose proofs prove nothing: certificates with its own signature in the place of those
//! that are missing, or with another request than the one that was meant; checkpoints that it alone
//! vouches for, as often as needed, or that others have voted for under another number or with
//! another state; and views that it begins with all that (Castro and Liskov 1999, sections 4.3 and
//! 4.4, on what is to be checked of `C`, `P`, `V` and `O`).

use crate::pbft::statements::{
    Certificate, ChangeView, Message, NewView, PrePrepare, Prepare, Proposal, Stable, Vote,
};
use crate::pbft::{Machine, Replica, Seq, digest};
use seedfall_sim::{Draw, NodeId, Signed, Signer, StableHasher, Strategy};

pub(super) const STRATEGY: Strategy<Replica> =
    Strategy { name: "pads its proofs", says, answers: Strategy::<Replica>::ANSWERS_TRULY };

fn says(
    own: &Replica,
    to: NodeId,
    message: Message,
    me: Signer,
    draw: &mut Draw,
) -> Option<Message> {
    Some(match message {
        // Little comes of its own views: clients wait, and the next one is asked for.
        Message::PrePrepare(proposal) if proposal.pre.by() == me.id() => {
            return (!to.index().is_multiple_of(2)).then_some(Message::PrePrepare(proposal));
        }
        // What another has begun, in its own name.
        Message::Prepare(_) if draw.below(4) == 0 => match &own.new_view {
            Some(new_view) if new_view.by() != me.id() => {
                Message::NewView(me.sign(new_view.value().clone()))
            }
            _ => message,
        },
        Message::ViewChange(change) if change.by() == me.id() => {
            // True but for who begins it.
            if !own.leads(change.value().view) && to.index().is_multiple_of(2) {
                return Some(Message::NewView(begun(own, change, me)));
            }
            Message::ViewChange(me.sign(changed(own, change.value().clone(), me, draw)))
        }
        Message::NewView(new_view) if new_view.by() == me.id() => {
            let said = new_view.value().changes.iter().find(|change| change.by() == me.id());
            let Some(said) = said.map(|change| change.value().clone()) else {
                return Some(Message::NewView(new_view));
            };
            let change = me.sign(changed(own, said, me, draw));
            Message::NewView(begun(own, change, me))
        }
        Message::Checkpoint(vote) if vote.by() == me.id() => {
            Message::State(vouched(own, vote.value().seq, me, draw))
        }
        other => other,
    })
}

/// What it says of itself, with one of the proofs padded.
fn changed(own: &Replica, said: ChangeView, me: Signer, draw: &mut Draw) -> ChangeView {
    match draw.below(5) {
        0 => ChangeView { prepared: padded(own, said.stable, me), ..said },
        1 => {
            let mut prepared = said.prepared;
            prepared.iter_mut().for_each(|one| one.prepares.truncate(1));
            ChangeView { prepared, ..said }
        }
        2 => {
            let mut prepared = said.prepared;
            prepared.iter_mut().for_each(|one| one.proposal.ask = None);
            ChangeView { prepared, ..said }
        }
        // A later checkpoint, with the proof of an earlier one.
        3 if 0 < said.stable => {
            let stable = said.stable + own.config.checkpoint_every;
            ChangeView { stable, prepared: Vec::new(), ..said }
        }
        _ => {
            let stable = said.stable + own.config.checkpoint_every;
            let Stable { proof, .. } = vouched(own, stable, me, draw);
            ChangeView { stable, proof, prepared: Vec::new(), ..said }
        }
    }
}

/// Certificates of all that it has accepted, whoever has agreed: it has, twice; as the primary,
/// beside one backup.
fn padded(own: &Replica, stable: Seq, me: Signer) -> Vec<Certificate> {
    let accepted = own.accepted_after(stable);
    let padded = accepted.map(|(proposal, mut prepares)| {
        let PrePrepare { view, seq, digest } = *proposal.pre.value();
        prepares.retain(|prepare| prepare.by() != me.id());
        prepares.truncate(usize::from(own.leads(view)));
        prepares.resize(prepares.len() + 2, me.sign(Prepare { view, seq, digest }));
        Certificate { proposal, prepares }
    });
    padded.collect()
}

/// A true state with votes too few; or an empty one, with votes that do not make it stable: its own
/// as often as needed; or those of others, for something else, beside it; or that of one other.
fn vouched(own: &Replica, seq: Seq, me: Signer, draw: &mut Draw) -> Stable {
    if draw.below(4) == 0 {
        let machine = own.machine.clone();
        let vote = me.sign(Vote { seq, digest: StableHasher::hash(&machine) });
        let others = own.votes.get(&seq).into_iter().flat_map(|votes| votes.values());
        let others = others.filter(|other| other.value() == vote.value() && other.by() != me.id());
        let proof = others.take(own.config.faulty).copied().chain([vote]).collect();
        return Stable { seq, proof, machine };
    }
    let machine = Machine::default();
    let vote = me.sign(Vote { seq, digest: StableHasher::hash(&machine) });
    let others = own.votes.get(&seq).into_iter().flat_map(|votes| votes.values());
    let mut others: Vec<_> = others.chain(&own.stable.proof).copied().collect();
    others.retain(|other| other.by() != me.id());
    others.dedup_by_key(|other| other.by());
    let proof = match draw.below(3) {
        0 => vec![vote; own.quorum()],
        1 => [vote].into_iter().chain(others).collect(),
        _ => [vote, vote].into_iter().chain(others.into_iter().take(1)).collect(),
    };
    Stable { seq, proof, machine }
}

/// A view that it begins with what it says, and what others say if enough ask for it.
fn begun(own: &Replica, change: Signed<ChangeView>, me: Signer) -> Signed<NewView> {
    let view = change.value().view;
    let others = match own.new_view.as_ref().filter(|one| one.value().view == view) {
        Some(new_view) => new_view.value().changes.clone(),
        None => own.changes.values().filter(|one| one.value().view == view).cloned().collect(),
    };
    let mut changes: Vec<_> = others.into_iter().filter(|one| one.by() != me.id()).collect();
    changes.push(change);
    let requests = own.beginning(&changes).map(|beginning| beginning.requests);
    let propose = |(seq, ask)| {
        let pre = me.sign(PrePrepare { view, seq, digest: digest(&ask) });
        Proposal { pre, ask }
    };
    let proposals = requests.into_iter().flatten().map(propose).collect();
    while changes.len() < own.quorum() {
        changes.push(changes[0].clone());
    }
    me.sign(NewView { view, changes, proposals })
}
