//! A leader that reopens what is decided: its block follows what comes before the last decision,
//! and it leaves out the certificate, which would show how old that is (Yin et al. 2019, section
//! 4.4, on what the lock is for; `projnanda/nandatown` issue 191).

use crate::hotstuff::{Block, Message, Replica};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Replica> =
    Strategy { name: "reopens what is decided", says, answers: Strategy::<Replica>::ANSWERS_TRULY };

fn says(own: &Replica, _: NodeId, message: Message, me: Signer, _: &mut Draw) -> Option<Message> {
    let Message::Propose(proposal) = &message else { return Some(message) };
    let last = own.decided().last().and_then(|hash| own.block(*hash));
    let Some(last) = last.filter(|_| proposal.by() == me.id()) else { return Some(message) };
    let block = Block { parent: last.parent, justify: None, ..proposal.value().clone() };
    Some(Message::Propose(me.sign(block)))
}
