//! A validator whose prevotes reach some alone, so that one correct validator sees a polka that the
//! others do not, and precommits with nobody: so correct validators are locked on different values
//! (the scenario of `tendermint/tendermint` issue 9251, in which it prevotes once and then stops).
//!
//! As a proposer it proposes a null request, to all but its successor, and prevotes it to the last
//! whose turn comes. In the other rounds the rest see its prevote, for whatever is proposed.

use crate::tendermint::{Kind, Message, Proposal, Validator, Vote};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Validator> = Strategy {
    name: "prevotes to some, and never precommits",
    says,
    answers: Strategy::<Validator>::ANSWERS_TRULY,
};

fn says(
    own: &Validator,
    to: NodeId,
    message: Message,
    me: Signer,
    _: &mut Draw,
) -> Option<Message> {
    let after = |turns: usize| (me.id().index() + turns) % own.nodes == to.index();
    let (is_next, is_last) = (after(1), after(own.nodes - 1));
    Some(match message {
        Message::Propose(proposal) if proposal.by() == me.id() && !is_next => {
            let said = Proposal { value: None, valid: None, ..proposal.value().clone() };
            Message::Propose(me.sign(said))
        }
        Message::Vote(vote) if vote.by() == me.id() && vote.value().kind == Kind::Prevote => {
            let round = vote.value().round;
            let id = match own.proposer(round) == me.id() {
                true if is_last => crate::pbft::digest(&None),
                false if !is_last => own.proposals.get(&round)?.first()?.value().id(),
                _ => return None,
            };
            Message::Vote(me.sign(Vote { id: Some(id), ..*vote.value() }))
        }
        Message::Propose(_) | Message::Vote(_) => return None,
        other => other,
    })
}
