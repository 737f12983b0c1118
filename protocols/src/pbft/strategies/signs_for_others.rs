//! A replica that says in its own name what others must say: as a backup it proposes, and as the
//! primary it agrees with itself; it begins views of others, and shows its own signature as often
//! as a proof needs signatures (Castro and Liskov 1999, sections 4.2 to 4.4, on whose statements
//! count, and how many).

use crate::pbft::statements::{
    Certificate, ChangeView, Message, NewView, PrePrepare, Prepare, Proposal,
};
use crate::pbft::{Replica, digest};
use seedfall_sim::{Draw, NodeId, Signed, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Replica> =
    Strategy { name: "signs for others", says, answers: Strategy::<Replica>::ANSWERS_TRULY };

fn says(
    replica: &Replica,
    to: NodeId,
    message: Message,
    me: Signer,
    draw: &mut Draw,
) -> Option<Message> {
    if draw.below(2) == 0 {
        return Some(message);
    }
    Some(match message {
        Message::Prepare(prepare) if prepare.by() == me.id() => {
            let Prepare { view, seq, .. } = *prepare.value();
            let pre = me.sign(PrePrepare { view, seq, digest: digest(&None) });
            Message::PrePrepare(Proposal { pre, ask: None })
        }
        Message::Commit { view, seq, digest } if replica.leads(view) => {
            Message::Prepare(me.sign(Prepare { view, seq, digest }))
        }
        Message::ViewChange(change) if change.by() == me.id() => {
            let said = change.value().clone();
            if draw.below(2) == 0 && !replica.leads(said.view) {
                return Some(Message::NewView(begun(replica, change, me)));
            }
            Message::ViewChange(me.sign(padded(replica, said, me)))
        }
        // Half of the replicas hear nothing of its views, and ask for the next.
        Message::PrePrepare(_) if to.index().is_multiple_of(2) => return None,
        other => other,
    })
}

/// A view that it begins by itself, with what it alone has said.
fn begun(replica: &Replica, change: Signed<ChangeView>, me: Signer) -> Signed<NewView> {
    let view = change.value().view;
    me.sign(NewView { view, changes: vec![change; replica.quorum()], proposals: Vec::new() })
}

/// Certificates of all that it has accepted, whoever has agreed: it has, and the others too few.
fn padded(replica: &Replica, said: ChangeView, me: Signer) -> ChangeView {
    let accepted = replica.accepted_after(said.stable);
    let prepared = accepted.map(|(proposal, mut prepares)| {
        let PrePrepare { view, seq, digest } = *proposal.pre.value();
        prepares.push(me.sign(Prepare { view, seq, digest }));
        prepares.push(prepares[0]);
        Certificate { proposal, prepares }
    });
    ChangeView { prepared: prepared.collect(), ..said }
}
