//! A leader that proposes one block to some and another to the rest (Bano et al., *Twins*, 2021).

use crate::hotstuff::{Block, Message, Replica};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Replica> =
    Strategy { name: "equivocates", says, answers: Strategy::<Replica>::ANSWERS_TRULY };

fn says(_: &Replica, to: NodeId, message: Message, me: Signer, _: &mut Draw) -> Option<Message> {
    Some(match message {
        Message::Propose(proposal) if proposal.by() == me.id() && !to.index().is_multiple_of(2) => {
            Message::Propose(me.sign(Block { ask: None, ..proposal.value().clone() }))
        }
        other => other,
    })
}
