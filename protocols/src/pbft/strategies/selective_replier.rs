//! A replica that serves some and cheats others: it answers every second client with a lie, and
//! keeps what it is asked to itself (Castro and Liskov 1999, section 4.1, on why a client waits for
//! `f + 1` replies that agree, and asks all if they do not come).

use crate::kv::Answer;
use crate::pbft::statements::Message;
use crate::pbft::{Replica, Response};
use seedfall_sim::{Draw, NodeId, RequestId, Signer, Strategy};

pub(super) const STRATEGY: Strategy<Replica> =
    Strategy { name: "serves some and cheats others", says, answers };

fn says(_: &Replica, _: NodeId, message: Message, _: Signer, _: &mut Draw) -> Option<Message> {
    match message {
        Message::Request(_) | Message::State(_) | Message::Status { .. } => None,
        other => Some(other),
    }
}

fn answers(_: &Replica, to: RequestId, response: Response, _: &mut Draw) -> Option<Response> {
    match to.client.index() % 3 {
        0 => Some(response),
        1 => Some(Response(Answer::Value(Some("a lie".into())))),
        _ => None,
    }
}
