//! What waits in the event queue: packets under way, and timers.

use crate::hash::StableHasher;
use crate::id::{Address, ClientId, NodeId, RequestId};
use crate::protocol::Protocol;
use crate::trace::Kind;
use std::mem::discriminant;

/// What travels on a link.
#[derive(Debug)]
pub(super) enum Body<P: Protocol> {
    Message(P::Message),
    Request(RequestId, P::Request),
    Response(RequestId, P::Response),
}

// By hand: a derive would ask for `P: Clone`, but a duplicate copies the contents only.
impl<P: Protocol> Clone for Body<P> {
    fn clone(&self) -> Self {
        match self {
            Self::Message(message) => Self::Message(message.clone()),
            Self::Request(id, body) => Self::Request(*id, body.clone()),
            Self::Response(id, body) => Self::Response(*id, body.clone()),
        }
    }
}

impl<P: Protocol> Body<P> {
    pub(super) fn digest(&self) -> u64 {
        match self {
            Self::Message(message) => StableHasher::hash(message),
            Self::Request(id, body) => StableHasher::hash(&(id, body)),
            Self::Response(id, body) => StableHasher::hash(&(id, body)),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Message(message) => format!("{message:?}"),
            Self::Request(id, body) => format!("{id} {body:?}"),
            Self::Response(id, body) => format!("{id} {body:?}"),
        }
    }

    pub(super) fn kinds(&self) -> (Kind, Kind) {
        match self {
            Self::Message(_) => (Kind::Send, Kind::Deliver),
            Self::Request(..) => (Kind::Request, Kind::Asked),
            Self::Response(..) => (Kind::Respond, Kind::Answered),
        }
    }
}

/// A message under way.
#[derive(Debug)]
pub(super) struct Packet<P: Protocol> {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) index: u32,
    pub(super) digest: u64,
    pub(super) body: Body<P>,
}

impl<P: Protocol> Clone for Packet<P> {
    fn clone(&self) -> Self {
        Self { body: self.body.clone(), ..*self }
    }
}

/// What waits in the event queue.
#[derive(Debug)]
pub(super) enum Due<P: Protocol, T> {
    Arrival(Packet<P>),
    NodeTimer(NodeId, P::Timer),
    ClientTimer(ClientId, T),
    /// A node that was busy goes on.
    Wake(NodeId),
    /// A Byzantine node sends now what it held back.
    Late(Box<(NodeId, NodeId, P::Message)>),
}

impl<P: Protocol, T: Clone> Clone for Due<P, T> {
    fn clone(&self) -> Self {
        match self {
            Self::Arrival(packet) => Self::Arrival(packet.clone()),
            Self::NodeTimer(node, timer) => Self::NodeTimer(*node, timer.clone()),
            Self::ClientTimer(client, timer) => Self::ClientTimer(*client, timer.clone()),
            Self::Wake(node) => Self::Wake(*node),
            Self::Late(late) => Self::Late(late.clone()),
        }
    }
}

impl<P: Protocol, T> Due<P, T> {
    /// The message, request or answer that arrives, by its link and its index there.
    #[cold]
    pub(super) fn message(&self) -> Option<(Address, Address, u64)> {
        match self {
            Self::Arrival(packet) => Some((packet.from, packet.to, packet.index.into())),
            _ => None,
        }
    }

    /// What kind of event it is, as a hash: which variant of its type.
    pub(super) fn variant(&self) -> u64 {
        match self {
            Self::Arrival(packet) => match &packet.body {
                Body::Message(message) => StableHasher::hash(&(1, discriminant(message))),
                Body::Request(_, body) => StableHasher::hash(&(2, discriminant(body))),
                Body::Response(_, body) => StableHasher::hash(&(3, discriminant(body))),
            },
            Self::NodeTimer(_, timer) => StableHasher::hash(&(4, discriminant(timer))),
            Self::ClientTimer(..) => 5,
            Self::Wake(_) => 6,
            Self::Late(_) => 7,
        }
    }

    pub(super) fn address(&self) -> Address {
        match self {
            Self::Arrival(packet) => packet.to,
            Self::NodeTimer(node, _) | Self::Wake(node) => (*node).into(),
            Self::ClientTimer(client, _) => (*client).into(),
            Self::Late(late) => late.0.into(),
        }
    }
}
