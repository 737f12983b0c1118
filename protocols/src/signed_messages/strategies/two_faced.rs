//! A commander who signs one order for some and the other for the rest; a lieutenant in league with
//! it tells only some of what it was told (Lamport, Shostak and Pease 1982, section 4, figure 5).

use crate::signed_messages::{General, Message, turned};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<General> =
    Strategy { name: "two-faced", says, answers: Strategy::<General>::ANSWERS_TRULY };

fn says(_: &General, to: NodeId, message: Message, me: Signer, _: &mut Draw) -> Option<Message> {
    if to.index().is_multiple_of(2) {
        return Some(message);
    }
    match message.0.as_slice() {
        [own] if own.by() == me.id() => Some(Message(vec![me.sign(turned(own.value()))])),
        _ => None,
    }
}
