//! A replica that makes certificates of its own: of its one vote as often as a certificate needs
//! votes, of one vote too few, of votes for another block or of another view; that proposes behind
//! another block than the certified one, and when it is not its turn (Yin et al. 2019, section 4.2,
//! on what a quorum certificate is, and who proposes).

use crate::hotstuff::{Block, Certificate, Hash, Message, Replica, View, Vote};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Replica> =
    Strategy { name: "certifies by itself", says, answers: Strategy::<Replica>::ANSWERS_TRULY };

fn says(
    own: &Replica,
    _: NodeId,
    message: Message,
    me: Signer,
    draw: &mut Draw,
) -> Option<Message> {
    if draw.below(2) == 0 {
        return Some(message);
    }
    Some(match message {
        Message::Propose(proposal) if proposal.by() == me.id() => {
            Message::Propose(me.sign(changed(own, proposal.value().clone(), me, draw)))
        }
        Message::Vote(vote) if vote.by() == me.id() => {
            let justify = own.certificates()[0].clone();
            let (view, parent) = (vote.value().view + 1, justify.block);
            Message::Propose(me.sign(Block { view, parent, justify: Some(justify), ask: None }))
        }
        Message::Timeout { view, high } => match draw.below(3) {
            0 => {
                let block = own.decided().last().copied().unwrap_or_default();
                Message::Timeout { view, high: Certificate { block, ..high } }
            }
            1 => Message::Timeout { view, high: Certificate { view, ..high } },
            _ => Message::Timeout { view, high: alone(own, view, high.block, me) },
        },
        other => other,
    })
}

fn changed(own: &Replica, block: Block, me: Signer, draw: &mut Draw) -> Block {
    let other = own.decided().last().copied().unwrap_or_default();
    let Some(mut justify) = block.justify.clone() else { return block };
    match draw.below(5) {
        0 => {
            let justify = Some(alone(own, block.view.saturating_sub(1), other, me));
            Block { parent: other, justify, ..block }
        }
        1 => {
            justify.votes.pop();
            Block { justify: Some(justify), ..block }
        }
        // True votes, as if they had been cast later.
        2 => {
            let earlier = own.block(other).and_then(|block| block.justify.clone());
            let mut justify = earlier.unwrap_or(justify);
            justify.view = block.view.saturating_sub(1);
            Block { parent: justify.block, justify: Some(justify), ..block }
        }
        3 => {
            justify.block = other;
            Block { parent: other, justify: Some(justify), ..block }
        }
        _ => Block { parent: other, ..block },
    }
}

/// A certificate of nobody else's votes.
fn alone(own: &Replica, view: View, block: Hash, me: Signer) -> Certificate {
    let vote = me.sign(Vote { view, block });
    Certificate { view, block, votes: vec![vote; own.quorum()] }
}
