//! A leader that has another branch certified, beside what is decided, and its accomplices, who
//! vote for that (Yin et al. 2019, section 4.5, theorem 2: with `f + 1` of them it succeeds).
//!
//! It keeps its blocks from its successor, who so is not locked on what the others are, and
//! proposes to it alone a block in the place of the last decided one, with a certificate that is
//! true. With the vote of that one and of an accomplice, and its own, that block is certified; the
//! certificate is shown when the view is given up.

use crate::hotstuff::{Block, Certificate, Hash, Message, Replica, View, Vote};
use seedfall_sim::{Draw, NodeId, Signed, Signer, SortedMap, Strategy};

pub(super) const STRATEGY: Strategy<Replica> = Strategy {
    name: "has another branch certified",
    says,
    answers: Strategy::<Replica>::ANSWERS_TRULY,
};

fn says(own: &Replica, to: NodeId, message: Message, me: Signer, _: &mut Draw) -> Option<Message> {
    Some(match message {
        Message::Propose(proposal) if proposal.by() == me.id() => {
            let nodes = 3 * own.config.faulty + 1;
            if to.index() != (me.id().index() + 1) % nodes {
                return Some(Message::Propose(proposal));
            }
            Message::Propose(me.sign(beside(own, proposal.value())?))
        }
        Message::Vote(vote) if vote.by() == me.id() => {
            let block = own.block(vote.value().block).and_then(|block| beside(own, block));
            let said = block.map_or(vote.value().block, |block| block.hash());
            Message::Vote(me.sign(Vote { block: said, ..*vote.value() }))
        }
        Message::Timeout { view, high } => {
            Message::Timeout { view, high: certified(own, me).unwrap_or(high) }
        }
        other => other,
    })
}

/// What stands beside the last decided block, in the place of another block of this view. All that
/// have decided the same make the same of it.
fn beside(own: &Replica, block: &Block) -> Option<Block> {
    let decided = own.block(*own.decided().last()?)?;
    let Block { parent, justify, .. } = decided.clone();
    Some(Block { view: block.view, parent, justify, ask: block.ask.clone() })
}

/// A certificate of what others have voted for, and this one as well now.
fn certified(own: &Replica, me: Signer) -> Option<Certificate> {
    let mut votes: SortedMap<(View, Hash), Vec<Signed<Vote>>> = SortedMap::new();
    for vote in own.votes.values().filter(|vote| vote.by() != me.id()) {
        votes.entry((vote.value().view, vote.value().block)).or_default().push(*vote);
    }
    let enough = |votes: &Vec<Signed<Vote>>| own.quorum() <= votes.len() + 1;
    let ((view, block), mut votes) = votes.into_iter().rfind(|(_, votes)| enough(votes))?;
    votes.push(me.sign(Vote { view, block }));
    Some(Certificate { view, block, votes })
}
