//! A server that claims to hold what nobody has written, and newer than all that was; all that do
//! so claim the same (Malkhi and Reiter 1998, section 3: faulty servers may collude).

use super::forged;
use crate::byzantine_registers::{Message, Server};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Server> =
    Strategy { name: "forges values", says, answers: Strategy::<Server>::ANSWERS_TRULY };

fn says(_: &Server, _: NodeId, message: Message, me: Signer, _: &mut Draw) -> Option<Message> {
    Some(match message {
        Message::Held(number, Some(copy)) => Message::Held(number, Some(forged(&copy, me, 1_000))),
        other => other,
    })
}
