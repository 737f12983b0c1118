//! Nodes of several kinds in one cluster, each a type of its own.
//!
//! Servers and workers, a lock and what it protects: each kind is a [`Protocol`] by itself, with
//! its own state, timers, records and parameters, and all speak the same messages. [`Roles`] is the
//! protocol of the whole; three kinds are `Roles<A, Roles<B, C>>`.
//!
//! ```
//! use seedfall_sim::{Cast, Context, Either, NodeId, Protocol, RequestId, Roles};
//!
//! /// Counts what it is sent.
//! struct Counter(u64);
//! /// Sends on what it is asked for.
//! struct Gate;
//!
//! impl Protocol for Counter {
//!     type Config = ();
//!     type Message = u64;
//!     type Timer = ();
//!     type Record = u64; // A gate has none.
//!     type Request = u64;
//!     type Response = ();
//!     fn start(_: NodeId, _: &(), journal: &[u64], _: &mut Context<Self>) -> Self {
//!         Self(journal.iter().sum())
//!     }
//!     fn on_message(&mut self, _: NodeId, more: u64, ctx: &mut Context<Self>) {
//!         self.0 += more;
//!         ctx.append(more);
//!     }
//! }
//!
//! impl Protocol for Gate {
//!     type Config = NodeId; // Where the counter is.
//!     type Message = u64;
//!     type Timer = ();
//!     type Record = ();
//!     type Request = u64;
//!     type Response = ();
//!     fn start(_: NodeId, _: &NodeId, _: &[()], _: &mut Context<Self>) -> Self { Self }
//!     fn on_request(&mut self, id: RequestId, more: u64, ctx: &mut Context<Self>) {
//!         ctx.send(NodeId::new(0), more);
//!         ctx.respond(id, ());
//!     }
//! }
//!
//! /// The first node counts, all others are gates.
//! type Node = Roles<Counter, Gate>;
//! let config: <Node as Protocol>::Config = Cast { until: 1, first: (), rest: NodeId::new(0) };
//! # let mut draws = seedfall_sim::Draws::new(seedfall_sim::Seed(0), 2, 0);
//! # let mut effects = Vec::new();
//! # let id = NodeId::new(0);
//! # let mut ctx = Context::new(id, 2, seedfall_sim::Time::ZERO, &mut draws, &mut effects);
//! let node = Node::start(id, &config, &[Either::First(3), Either::First(4)], &mut ctx);
//! assert!(matches!(node, Roles::First(Counter(7))));
//! ```

use crate::draw::Draw;
use crate::id::{NodeId, RequestId};
use crate::protocol::{Context, Effect, Protocol};
use std::fmt;

/// A node of a cluster in which some are `A`, and all others `B`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Roles<A, B> {
    /// One of the first.
    First(A),
    /// One of the others.
    Rest(B),
}

/// Who plays which role, with the parameters of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Cast<A, B> {
    /// The nodes whose index is below this are of the first kind. Where roles are nested, those
    /// before them count too: of `Roles<A, Roles<B, C>>` with 1 outside and 3 inside, n1 is an `A`,
    /// n2 and n3 are `B`, the others `C`.
    pub until: usize,
    /// The parameters of the first kind.
    pub first: A,
    /// Those of the others.
    pub rest: B,
}

/// A timer or a record of one kind of node or the other; shown as what it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Either<A, B> {
    /// Of the first kind.
    First(A),
    /// Of the others.
    Rest(B),
}

impl<A: fmt::Debug, B: fmt::Debug> fmt::Debug for Either<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First(one) => one.fmt(f),
            Self::Rest(one) => one.fmt(f),
        }
    }
}

impl<A, B> Roles<A, B> {
    /// The node, if it is of the first kind.
    pub fn first(&self) -> Option<&A> {
        match self {
            Self::First(node) => Some(node),
            Self::Rest(_) => None,
        }
    }

    /// The node, if it is one of the others.
    pub fn rest(&self) -> Option<&B> {
        match self {
            Self::First(_) => None,
            Self::Rest(node) => Some(node),
        }
    }
}

impl<A, B> Protocol for Roles<A, B>
where
    A: Protocol,
    B: Protocol<Message = A::Message, Request = A::Request, Response = A::Response>,
{
    type Config = Cast<A::Config, B::Config>;
    type Message = A::Message;
    type Timer = Either<A::Timer, B::Timer>;
    type Record = Either<A::Record, B::Record>;
    type Request = A::Request;
    type Response = A::Response;

    fn start(
        id: NodeId,
        config: &Self::Config,
        journal: &[Self::Record],
        ctx: &mut Context<'_, Self>,
    ) -> Self {
        // A node's journal holds what its kind wrote: who plays which role does not change.
        if id.index() < config.until {
            let own = journal.iter().filter_map(|record| match record {
                Either::First(record) => Some(record.clone()),
                Either::Rest(_) => None,
            });
            let own: Vec<_> = own.collect();
            Self::First(as_first(ctx, |ctx| A::start(id, &config.first, &own, ctx)))
        } else {
            let own = journal.iter().filter_map(|record| match record {
                Either::First(_) => None,
                Either::Rest(record) => Some(record.clone()),
            });
            let own: Vec<_> = own.collect();
            Self::Rest(as_rest(ctx, |ctx| B::start(id, &config.rest, &own, ctx)))
        }
    }

    fn on_message(&mut self, from: NodeId, message: Self::Message, ctx: &mut Context<'_, Self>) {
        match self {
            Self::First(node) => as_first(ctx, |ctx| node.on_message(from, message, ctx)),
            Self::Rest(node) => as_rest(ctx, |ctx| node.on_message(from, message, ctx)),
        }
    }

    fn on_timer(&mut self, timer: Self::Timer, ctx: &mut Context<'_, Self>) {
        match (self, timer) {
            (Self::First(node), Either::First(timer)) => {
                as_first(ctx, |ctx| node.on_timer(timer, ctx));
            }
            (Self::Rest(node), Either::Rest(timer)) => {
                as_rest(ctx, |ctx| node.on_timer(timer, ctx));
            }
            _ => unreachable!("a node sets timers of its own kind"),
        }
    }

    fn on_request(&mut self, request: RequestId, body: Self::Request, ctx: &mut Context<'_, Self>) {
        match self {
            Self::First(node) => as_first(ctx, |ctx| node.on_request(request, body, ctx)),
            Self::Rest(node) => as_rest(ctx, |ctx| node.on_request(request, body, ctx)),
        }
    }

    fn is_leader(&self) -> bool {
        match self {
            Self::First(node) => node.is_leader(),
            Self::Rest(node) => node.is_leader(),
        }
    }

    fn waits(&self) -> String {
        match self {
            Self::First(node) => node.waits(),
            Self::Rest(node) => node.waits(),
        }
    }

    fn mutate(message: &mut Self::Message, draw: &mut Draw) -> bool {
        A::mutate(message, draw) || B::mutate(message, draw)
    }
}

/// Runs a handler of the first kind, whose effects become those of the whole.
fn as_first<A, B, R>(
    ctx: &mut Context<'_, Roles<A, B>>,
    handler: impl FnOnce(&mut Context<'_, A>) -> R,
) -> R
where
    A: Protocol,
    B: Protocol<Message = A::Message, Request = A::Request, Response = A::Response>,
{
    ctx.inside(handler, |effect| of_whole(effect, Either::First, Either::First))
}

/// Runs a handler of another kind, likewise.
fn as_rest<A, B, R>(
    ctx: &mut Context<'_, Roles<A, B>>,
    handler: impl FnOnce(&mut Context<'_, B>) -> R,
) -> R
where
    A: Protocol,
    B: Protocol<Message = A::Message, Request = A::Request, Response = A::Response>,
{
    ctx.inside(handler, |effect| of_whole(effect, Either::Rest, Either::Rest))
}

/// The effect of a part as one of the whole: what it writes and which timers it sets are its own.
fn of_whole<P, W>(
    effect: Effect<P>,
    written: impl FnOnce(P::Record) -> W::Record,
    set: impl FnOnce(P::Timer) -> W::Timer,
) -> Effect<W>
where
    P: Protocol,
    W: Protocol<Message = P::Message, Response = P::Response>,
{
    match effect {
        Effect::Send(to, message) => Effect::Send(to, message),
        Effect::Broadcast(message) => Effect::Broadcast(message),
        Effect::Respond(request, response) => Effect::Respond(request, response),
        Effect::Append(record) => Effect::Append(written(record)),
        Effect::Sync => Effect::Sync,
        Effect::SetTimer(timer, after) => Effect::SetTimer(set(timer), after),
        Effect::CancelTimer(timer) => Effect::CancelTimer(set(timer)),
        Effect::Ignore(why) => Effect::Ignore(why),
        Effect::Reach(what) => Effect::Reach(what),
    }
}
