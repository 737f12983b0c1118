//! A validator that answers whoever may be behind with decisions that nobody has made: a proposal
//! of its own, and its own precommit alone (Buchman, Kwon and Milosevic 2018, lines 49 to 54: it is
//! `2f + 1` precommits that decide).

use crate::tendermint::{Decision, Kind, Message, Proposal, Validator, Vote};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Validator> =
    Strategy { name: "forges decisions", says, answers: Strategy::<Validator>::ANSWERS_TRULY };

fn says(own: &Validator, _: NodeId, message: Message, me: Signer, _: &mut Draw) -> Option<Message> {
    let Message::Vote(vote) = &message else { return Some(message) };
    let Vote { height, round, kind, .. } = *vote.value();
    if kind == Kind::Prevote || vote.by() != me.id() {
        return Some(message);
    }
    // A round in which it is its turn to propose.
    let round = (round..).find(|round| own.proposer(*round) == me.id()).unwrap_or(round);
    let proposal = Proposal { height, round, value: None, valid: None };
    let precommit = Vote { height, round, kind, id: Some(proposal.id()) };
    Some(Message::Decided(Decision {
        proposal: me.sign(proposal),
        precommits: vec![me.sign(precommit)],
    }))
}
