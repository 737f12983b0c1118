//! A replica that asks for views with certificates of its own making: null requests in the place of
//! what was prepared, of the latest view before, so that they would win (Castro and Liskov 1999,
//! section 4.4, on what a replica asks of a view change before it takes it in).

use crate::pbft::statements::{Certificate, ChangeView, Message, PrePrepare, Prepare, Proposal};
use crate::pbft::{Replica, digest};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Replica> = Strategy {
    name: "claims what was not prepared",
    says,
    answers: Strategy::<Replica>::ANSWERS_TRULY,
};

fn says(_: &Replica, _: NodeId, message: Message, me: Signer, _: &mut Draw) -> Option<Message> {
    Some(match message {
        // Nothing comes of its own views: clients wait, and the next one is asked for.
        Message::PrePrepare(proposal) if proposal.pre.by() == me.id() => return None,
        Message::ViewChange(change) if change.by() == me.id() => {
            let ChangeView { view, stable, proof, prepared } = change.value().clone();
            let last = prepared.iter().map(|one| one.proposal.pre.value().seq).max();
            let numbers = stable + 1..=last.unwrap_or(stable + 1);
            let prepared = numbers.map(|seq| claim(view.saturating_sub(1), seq, me)).collect();
            Message::ViewChange(me.sign(ChangeView { view, stable, proof, prepared }))
        }
        other => other,
    })
}

/// A certificate that nobody else had a part in.
fn claim(view: u64, seq: u64, me: Signer) -> Certificate {
    let digest = digest(&None);
    let proposal = Proposal { pre: me.sign(PrePrepare { view, seq, digest }), ask: None };
    Certificate { proposal, prepares: vec![me.sign(Prepare { view, seq, digest })] }
}
