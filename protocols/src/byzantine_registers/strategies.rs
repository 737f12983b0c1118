//! What a server that lies says: one field otherwise, or a whole strategy, one file each. It is
//! answers to coordinators that are changed, and nothing that the node does for its own clients.

mod forger;
mod forgetful;

use super::{Copy, Message, Server, Written};
use seedfall_sim::{Draw, Signer, Strategy};

/// All of them.
pub(super) fn all() -> Vec<Strategy<Server>> {
    vec![forger::STRATEGY, forgetful::STRATEGY]
}

/// What a server says otherwise, by chance.
pub(super) fn falsify(message: &mut Message, me: Signer, draw: &mut Draw) -> bool {
    let Message::Held(_, Some(copy)) = message else { return false };
    match draw.below(3) {
        0 => *message = Message::Held(number(message), None),
        1 => *copy = forged(copy, me, 1),
        _ => *copy = forged(copy, me, 0),
    }
    true
}

fn number(message: &Message) -> u64 {
    match message {
        Message::Query(number, _)
        | Message::Held(number, _)
        | Message::Store(number, _)
        | Message::Stored(number) => *number,
    }
}

/// Another value under a tag that is so much later. Whoever wrote it has not signed that, and this
/// node does not sign as a writer what it says as a server.
fn forged(copy: &Copy, me: Signer, later: u64) -> Copy {
    let mut written: Written = copy.written().clone();
    written.tag.counter += later;
    written.value = "forged".into();
    match copy {
        Copy::Plain(_) => Copy::Plain(written),
        Copy::Sealed(_) if written.tag.writer == me.id() => copy.clone(),
        Copy::Sealed(_) => Copy::Sealed(me.sign(written)),
    }
}
