//! A server that acknowledges all and claims to hold nothing.

use crate::byzantine_registers::{Message, Server};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Server> =
    Strategy { name: "forgets what it holds", says, answers: Strategy::<Server>::ANSWERS_TRULY };

fn says(_: &Server, _: NodeId, message: Message, _: Signer, _: &mut Draw) -> Option<Message> {
    Some(match message {
        Message::Held(number, _) => Message::Held(number, None),
        other => other,
    })
}
