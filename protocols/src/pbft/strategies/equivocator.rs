//! An equivocating primary, and its accomplices: half of the replicas are told of null requests
//! where the others are told of what clients asked, in all three phases (Castro and Liskov 1999,
//! section 4.2, on why phase 2 is there).

use crate::pbft::statements::{Message, Prepare, null};
use crate::pbft::{Replica, digest};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Replica> =
    Strategy { name: "equivocates", says, answers: Strategy::<Replica>::ANSWERS_TRULY };

fn says(_: &Replica, to: NodeId, message: Message, me: Signer, _: &mut Draw) -> Option<Message> {
    if to.index().is_multiple_of(2) {
        return Some(message);
    }
    Some(match message {
        Message::PrePrepare(proposal) if proposal.pre.by() == me.id() => {
            Message::PrePrepare(null(&proposal, me))
        }
        Message::Prepare(prepare) => {
            Message::Prepare(me.sign(Prepare { digest: digest(&None), ..*prepare.value() }))
        }
        Message::Commit { view, seq, .. } => Message::Commit { view, seq, digest: digest(&None) },
        other => other,
    })
}
