//! A sender that tells half of the nodes something else, and its accomplices, who echo to each what
//! it was told (Bracha 1987, section 3).

use crate::reliable_broadcast::{Message, Node, other};
use seedfall_sim::{Draw, NodeId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Node> =
    Strategy { name: "equivocates", says, answers: Strategy::<Node>::ANSWERS_TRULY };

fn says(_: &Node, to: NodeId, message: Message, _: Signer, _: &mut Draw) -> Option<Message> {
    Some(match to.index().is_multiple_of(2) {
        true => message,
        false => Message { text: other(&message.text), ..message },
    })
}
