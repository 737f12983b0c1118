//! A replica that works towards another view and then begins it wrongly: it hides what it has
//! prepared, and as the new primary it proposes null requests in the place of what was prepared
//! (Castro and Liskov 1999, section 4.4, on why backups recompute `O`).

use crate::pbft::Replica;
use crate::pbft::statements::{ChangeView, Message, NewView, null};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Replica> =
    Strategy { name: "lies about views", says, answers: Strategy::<Replica>::ANSWERS_TRULY };

fn says(_: &Replica, _: NodeId, message: Message, me: Signer, _: &mut Draw) -> Option<Message> {
    Some(match message {
        // Nothing comes of its own views: clients wait, and the next one is asked for.
        Message::PrePrepare(proposal) if proposal.pre.by() == me.id() => return None,
        Message::ViewChange(change) if change.by() == me.id() => {
            let said = ChangeView { prepared: Vec::new(), ..change.value().clone() };
            Message::ViewChange(me.sign(said))
        }
        Message::NewView(new_view) if new_view.by() == me.id() => {
            let NewView { view, changes, proposals } = new_view.value();
            let proposals = proposals.iter().map(|one| null(one, me)).collect();
            let (view, changes) = (*view, changes.clone());
            Message::NewView(me.sign(NewView { view, changes, proposals }))
        }
        other => other,
    })
}
