//! A proposer that proposes to some what a client asked and to others a null request, and votes to
//! each for what it was told (Buchman, Kwon and Milosevic 2018, section 3.2).

use crate::pbft::digest;
use crate::tendermint::{Message, Proposal, Validator, Vote};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Validator> =
    Strategy { name: "equivocates", says, answers: Strategy::<Validator>::ANSWERS_TRULY };

fn says(_: &Validator, to: NodeId, message: Message, me: Signer, _: &mut Draw) -> Option<Message> {
    if to.index().is_multiple_of(2) {
        return Some(message);
    }
    Some(match message {
        Message::Propose(proposal) if proposal.by() == me.id() => {
            let said = Proposal { value: None, valid: None, ..proposal.value().clone() };
            Message::Propose(me.sign(said))
        }
        Message::Vote(vote) if vote.by() == me.id() => {
            Message::Vote(me.sign(Vote { id: Some(digest(&None)), ..*vote.value() }))
        }
        // What others said to it may show the others what it said.
        Message::Propose(_) | Message::Vote(_) => return None,
        other => other,
    })
}
