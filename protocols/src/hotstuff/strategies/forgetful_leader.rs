//! A leader that proposes as if nothing had been certified since some time: behind the grandparent
//! of its highest certificate, with the certificate for that, or with none (Yin et al. 2019,
//! section 4.4, on what the lock is for).

use crate::hotstuff::{Block, Message, Replica};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Replica> = Strategy {
    name: "forgets what is certified",
    says,
    answers: Strategy::<Replica>::ANSWERS_TRULY,
};

fn says(own: &Replica, _: NodeId, message: Message, me: Signer, _: &mut Draw) -> Option<Message> {
    let Message::Propose(proposal) = &message else { return Some(message) };
    let block = proposal.value().clone();
    let earlier = own.block(block.parent).and_then(|parent| own.block(parent.parent));
    let Some(grandparent) = earlier.filter(|_| proposal.by() == me.id()) else {
        return Some(message);
    };
    let shows = !block.view.is_multiple_of(2);
    let justify = grandparent.justify.clone().filter(|_| shows);
    let parent = grandparent.parent;
    Some(Message::Propose(me.sign(Block { parent, justify, ..block })))
}
