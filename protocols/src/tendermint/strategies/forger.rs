//! A validator that answers whoever may be behind with decisions that nobody has made: a proposal
//! of its own, and its own precommit alone; or what was proposed, with a precommit too few, with
//! those for something else, or with those of several rounds. And it proposes when it is not its
//! turn (Buchman, Kwon and Milosevic 2018, lines 22 and 49 to 54: it is the proposer's proposal
//! that counts, and `2f + 1` precommits that decide).

use crate::tendermint::{Decision, Height, Kind, Message, Proposal, Round, Validator, Vote};
use seedfall_sim::{Draw, NodeId, Signed, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Validator> =
    Strategy { name: "forges decisions", says, answers: Strategy::<Validator>::ANSWERS_TRULY };

fn says(
    own: &Validator,
    to: NodeId,
    message: Message,
    me: Signer,
    _: &mut Draw,
) -> Option<Message> {
    let Message::Vote(vote) = &message else { return Some(message) };
    let Vote { height, round, kind, .. } = *vote.value();
    if vote.by() != me.id() {
        return Some(message);
    }
    if kind == Kind::Prevote {
        let usurped = Proposal { height, round, value: None, valid: None };
        return Some(match to.index().is_multiple_of(2) {
            true => message,
            false => Message::Propose(me.sign(usurped)),
        });
    }
    if let Some(mixed) = of_all_rounds(own, (height, round), me) {
        return Some(Message::Decided(mixed));
    }
    if let Some(short) = too_few(own, (height, round), me).filter(|_| to.index().is_multiple_of(2))
    {
        return Some(Message::Decided(short));
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

/// What was proposed in this round, with precommits that do not decide it.
fn too_few(own: &Validator, (height, round): (Height, Round), me: Signer) -> Option<Decision> {
    let proposal = own.proposals.get(&round)?.first()?.clone();
    let id = Some(proposal.value().id());
    let is_for_it = round.is_multiple_of(2);
    let others = own.votes_of(round, Kind::Precommit).filter(|vote| vote.by() != me.id());
    let mut precommits: Vec<_> =
        others.filter(|vote| (vote.value().id == id) == is_for_it).copied().collect();
    precommits.truncate(if is_for_it { own.quorum() - 2 } else { own.quorum() - 1 });
    precommits.push(me.sign(Vote { height, round, kind: Kind::Precommit, id }));
    Some(Decision { proposal, precommits })
}

/// What was proposed in this round, with precommits of it from all rounds, where those of this one
/// are too few.
fn of_all_rounds(
    own: &Validator,
    (height, round): (Height, Round),
    me: Signer,
) -> Option<Decision> {
    let proposal = own.proposals.get(&round)?.first()?.clone();
    let id = Some(proposal.value().id());
    let is_for_it = |vote: &&Signed<Vote>| {
        let said = vote.value();
        (said.kind, said.id) == (Kind::Precommit, id) && vote.by() != me.id()
    };
    let mut precommits: Vec<_> = own.votes.values().filter(is_for_it).copied().collect();
    precommits.sort_by_key(Signed::by);
    precommits.dedup_by_key(|vote| vote.by());
    precommits.push(me.sign(Vote { height, round, kind: Kind::Precommit, id }));
    let here = precommits.iter().filter(|vote| vote.value().round == round).count();
    (here < own.quorum() && own.quorum() <= precommits.len())
        .then_some(Decision { proposal, precommits })
}
