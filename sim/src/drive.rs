//! A protocol outside the engine: one input in, its effects out, in order.
//!
//! Whoever runs a protocol for real goes through this, and so does whoever replays what was
//! recorded of it: equal inputs, clock readings and seed give equal effects, or the protocol has a
//! decision that is hidden from both. The engine calls the same handlers with the same
//! [`Context`], and performs the same [`Effect`]s.

use crate::draw::{Draws, Seed, Site};
use crate::hash::StableHasher;
use crate::id::{NodeId, RequestId};
use crate::protocol::{Context, Effect, Protocol};
use crate::time::Time;
use std::fmt;
use std::hash::{Hash, Hasher};

/// What happens to a node.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        rename_all = "kebab-case",
        bound(
            serialize = "P::Record: serde::Serialize, P::Message: serde::Serialize, \
                         P::Timer: serde::Serialize, P::Request: serde::Serialize",
            deserialize = "P::Record: serde::de::DeserializeOwned, \
                           P::Message: serde::de::DeserializeOwned, \
                           P::Timer: serde::de::DeserializeOwned, \
                           P::Request: serde::de::DeserializeOwned"
        )
    )
)]
pub enum Input<P: Protocol> {
    /// It comes up, with what is in its journal.
    Start(Vec<P::Record>),
    /// A message arrives.
    Message(NodeId, P::Message),
    /// A timer rings.
    Timer(P::Timer),
    /// A client asks.
    Request(RequestId, P::Request),
}

// By hand: a derive would ask for `P: Debug`.
impl<P: Protocol> fmt::Debug for Input<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(journal) => write!(f, "start with {} records", journal.len()),
            Self::Message(from, message) => write!(f, "{message:?} from {from}"),
            Self::Timer(timer) => write!(f, "timer {timer:?}"),
            Self::Request(request, body) => write!(f, "request {request} {body:?}"),
        }
    }
}

/// One life of a node, from its start to its crash.
#[derive(Debug)]
pub struct Driven<P: Protocol> {
    id: NodeId,
    nodes: usize,
    config: P::Config,
    draws: Draws,
    state: Option<P>,
    effects: Vec<Effect<P>>,
}

impl<P: Protocol> Driven<P> {
    /// A node of a cluster of `nodes`, before its start. `seed` decides what it draws: another one
    /// in each life, as a node that crashed does not know what it drew.
    pub fn new(id: NodeId, nodes: usize, config: P::Config, seed: Seed) -> Self {
        let draws = Draws::new(seed, nodes, 0);
        Self { id, nodes, config, draws, state: None, effects: Vec::new() }
    }

    /// Runs the handler of an input, while the node's clocks show this. It is the caller who makes
    /// the effects happen, all of them, in order.
    ///
    /// # Panics
    /// If the first input is not [`Input::Start`].
    pub fn react(
        &mut self,
        input: Input<P>,
        now: Time,
        wall: Time,
    ) -> impl Iterator<Item = Effect<P>> + '_ {
        let Self { id, nodes, config, draws, state, effects } = self;
        let mut ctx = Context::new(*id, *nodes, now, draws, effects).with_wall(wall);
        let running = "a node starts before anything else happens to it";
        match input {
            Input::Start(journal) => *state = Some(P::start(*id, config, &journal, &mut ctx)),
            Input::Message(from, message) => {
                state.as_mut().expect(running).on_message(from, message, &mut ctx);
            }
            Input::Timer(timer) => state.as_mut().expect(running).on_timer(timer, &mut ctx),
            Input::Request(request, body) => {
                state.as_mut().expect(running).on_request(request, body, &mut ctx);
            }
        }
        effects.drain(..)
    }

    /// Its state; `None` before its start.
    pub fn state(&self) -> Option<&P> {
        self.state.as_ref()
    }

    /// How many draws it has made.
    pub fn drawn(&self) -> u64 {
        self.draws.drawn(Site::Node(self.id))
    }
}

impl<P: Protocol> Effect<P> {
    /// The stable hash of all that it is.
    pub fn digest(&self) -> u64 {
        let mut hasher = StableHasher::default();
        self.name().hash(&mut hasher);
        match self {
            Self::Send(to, message) => (to, message).hash(&mut hasher),
            Self::Broadcast(message) => message.hash(&mut hasher),
            Self::Respond(request, response) => (request, response).hash(&mut hasher),
            Self::Append(record) => record.hash(&mut hasher),
            Self::Sync => {}
            Self::SetTimer(timer, after) => (timer, after).hash(&mut hasher),
            Self::CancelTimer(timer) => timer.hash(&mut hasher),
            Self::Ignore(what) | Self::Reach(what) => what.hash(&mut hasher),
        }
        hasher.finish()
    }

    /// What kind of effect it is, in a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Send(..) => "send",
            Self::Broadcast(_) => "broadcast",
            Self::Respond(..) => "respond",
            Self::Append(_) => "append",
            Self::Sync => "sync",
            Self::SetTimer(..) => "set-timer",
            Self::CancelTimer(_) => "cancel-timer",
            Self::Ignore(_) => "ignore",
            Self::Reach(_) => "reach",
        }
    }
}

impl<P: Protocol> fmt::Display for Effect<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(to, message) => write!(f, "send {to} {message:?}"),
            Self::Broadcast(message) => write!(f, "broadcast {message:?}"),
            Self::Respond(request, response) => write!(f, "respond {request} {response:?}"),
            Self::Append(record) => write!(f, "append {record:?}"),
            Self::Sync => f.write_str("sync"),
            Self::SetTimer(timer, after) => write!(f, "set-timer {timer:?} after {after}"),
            Self::CancelTimer(timer) => write!(f, "cancel-timer {timer:?}"),
            Self::Ignore(what) | Self::Reach(what) => write!(f, "{} {what}", self.name()),
        }
    }
}
