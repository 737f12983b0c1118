//! The one trait that a protocol implements, and its only way to touch the world.

use crate::byzantine::{Signed, Signer, Strategy};
use crate::draw::{Draw, Draws, Site};
use crate::id::{NodeId, RequestId};
use crate::time::{Duration, Time};
use std::fmt::Debug;
use std::hash::Hash;

/// What every value that crosses the engine must be: copied for duplicates, shown in traces, hashed
/// for replay.
pub trait Data: Clone + Debug + Hash {}
impl<T: Clone + Debug + Hash> Data for T {}

/// A distributed algorithm, as a value that reacts.
///
/// Handlers return nothing and never block; all that they can do to the world is in [`Context`].
/// The same value runs simulated, is searched, and runs for real, because it cannot tell where it
/// is.
///
/// Six types say what it is made of; `()` stands for what an algorithm does not have. Only
/// [`start`](Protocol::start) must be written: handlers that are left out do nothing.
///
/// ```
/// use seedfall_sim::{Context, NodeId, Protocol, RequestId};
///
/// /// Answers every request with the number of requests so far, and forgets it in a crash.
/// struct Counter(u64);
///
/// impl Protocol for Counter {
///     type Config = ();
///     type Message = (); // Nodes say nothing to each other,
///     type Timer = (); // wait for nothing,
///     type Record = (); // and write nothing down.
///     type Request = ();
///     type Response = u64;
///
///     fn start(_: NodeId, (): &(), _journal: &[()], _: &mut Context<Self>) -> Self {
///         Counter(0)
///     }
///     fn on_request(&mut self, request: RequestId, (): (), ctx: &mut Context<Self>) {
///         self.0 += 1;
///         ctx.respond(request, self.0);
///     }
/// }
/// ```
pub trait Protocol: Sized {
    /// The parameters of the algorithm, equal on every node.
    type Config: Clone;
    /// What nodes send each other.
    type Message: Data;
    /// Which timers a node sets; a node has at most one pending timer of each value.
    type Timer: Data + Eq;
    /// What a node writes to its journal.
    type Record: Data;
    /// What clients ask.
    type Request: Data;
    /// What clients are told.
    type Response: Data;

    /// A node that comes up, the first time (with an empty journal) or after a crash: volatile
    /// state begins anew, and everything else is in the journal.
    fn start(
        id: NodeId,
        config: &Self::Config,
        journal: &[Self::Record],
        ctx: &mut Context<'_, Self>,
    ) -> Self;

    /// A message arrived. It may be late, doubled, or of a life before a crash.
    /// By default it is ignored, and the trace says so: for protocols whose nodes say nothing to
    /// each other, and whose `Message` is `()` or [`Infallible`](std::convert::Infallible).
    fn on_message(&mut self, from: NodeId, message: Self::Message, ctx: &mut Context<'_, Self>) {
        let _ = (from, message);
        ctx.ignore("the protocol has no `on_message`");
    }

    /// A timer that this node set has rung. By default it is ignored, and the trace says so: for
    /// protocols without timers.
    fn on_timer(&mut self, timer: Self::Timer, ctx: &mut Context<'_, Self>) {
        let _ = timer;
        ctx.ignore("the protocol has no `on_timer`");
    }

    /// A client asks. The answer, if any, is [`Context::respond`], now or in a later handler. By
    /// default it is ignored, and the trace says so: for protocols without clients.
    fn on_request(&mut self, request: RequestId, body: Self::Request, ctx: &mut Context<'_, Self>) {
        let _ = (request, body);
        ctx.ignore("the protocol has no `on_request`");
    }

    /// Whether this node leads, in whatever sense the algorithm has: what faults aim at that are
    /// meant for the leader.
    fn is_leader(&self) -> bool {
        false
    }

    /// What this node waits for, and how much of it it has: which messages, from whom, which
    /// quorum. For people: a run that does not come to its end tells it. Empty: nothing that it
    /// could name.
    fn waits(&self) -> String {
        String::new()
    }

    /// Changes one field of a message a little, as a Byzantine node does or an adversary on the
    /// wire: a term by one ([`crate::nudge`]), another value. False if this message has nothing to
    /// change (as by default): then a checksum or a signature would have told.
    fn mutate(_message: &mut Self::Message, _draw: &mut Draw) -> bool {
        false
    }

    /// As [`Protocol::mutate`], by a Byzantine node, which can sign anew what it says in its own
    /// name; by default, without signing anything.
    fn falsify(message: &mut Self::Message, me: Signer, draw: &mut Draw) -> bool {
        let _ = me;
        Self::mutate(message, draw)
    }

    /// The malicious strategies that a Byzantine node of this protocol can follow.
    fn strategies() -> Vec<Strategy<Self>> {
        Vec::new()
    }
}

/// One thing that a handler wants done. Effects take place in order, and a crash may fall between
/// any two.
#[derive(Clone, Debug)]
pub enum Effect<P: Protocol> {
    /// Send a message to one node.
    Send(NodeId, P::Message),
    /// Send a message to every other node.
    Broadcast(P::Message),
    /// Answer a request.
    Respond(RequestId, P::Response),
    /// Add a record to the journal.
    Append(P::Record),
    /// Make the journal durable.
    Sync,
    /// Start a timer, or restart the pending one of equal value.
    SetTimer(P::Timer, Duration),
    /// Forget a timer.
    CancelTimer(P::Timer),
    /// Nothing was done, and why.
    Ignore(&'static str),
    /// A rare state was reached.
    Reach(&'static str),
}

/// All that a handler can see of the world and do to it.
#[derive(Debug)]
pub struct Context<'a, P: Protocol> {
    id: NodeId,
    nodes: usize,
    now: Time,
    wall: Time,
    draws: &'a mut Draws,
    effects: &'a mut Vec<Effect<P>>,
}

impl<'a, P: Protocol> Context<'a, P> {
    /// The context of one handler call on node `id` of `nodes`, whose clock shows `now`. Effects
    /// are appended to `effects`, and it is the caller who makes them happen, in order: this is how
    /// a driver other than the engine runs a protocol.
    #[inline]
    pub fn new(
        id: NodeId,
        nodes: usize,
        now: Time,
        draws: &'a mut Draws,
        effects: &'a mut Vec<Effect<P>>,
    ) -> Self {
        Self { id, nodes, now, wall: now, draws, effects }
    }

    /// The same, where the wall clock shows something else than the monotonic clock.
    #[inline]
    #[must_use]
    pub fn with_wall(mut self, wall: Time) -> Self {
        self.wall = wall;
        self
    }

    /// Runs a handler of a protocol that is a part of this one; `whole` says what its effects are
    /// here.
    pub(crate) fn inside<Q: Protocol, R>(
        &mut self,
        handler: impl FnOnce(&mut Context<'_, Q>) -> R,
        whole: impl FnMut(Effect<Q>) -> Effect<P>,
    ) -> R {
        let (made, effects) = self.part(handler);
        self.effects.extend(effects.into_iter().map(whole));
        made
    }

    /// Runs a handler of a protocol that is a part of this one, or stands on it, and hands back its
    /// effects. None of them takes place: the caller makes of each what it is here, in order.
    pub fn part<Q: Protocol, R>(
        &mut self,
        handler: impl FnOnce(&mut Context<'_, Q>) -> R,
    ) -> (R, Vec<Effect<Q>>) {
        self.part_as(self.id, handler)
    }

    /// As [`Context::part`], in the name of a node: for whoever has two machines run as one.
    pub fn part_as<Q: Protocol, R>(
        &mut self,
        id: NodeId,
        handler: impl FnOnce(&mut Context<'_, Q>) -> R,
    ) -> (R, Vec<Effect<Q>>) {
        let Self { nodes, now, wall, .. } = *self;
        let mut effects = Vec::new();
        let draws = &mut *self.draws;
        let made = handler(&mut Context { id, nodes, now, wall, draws, effects: &mut effects });
        (made, effects)
    }

    /// This node.
    #[inline]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// How many nodes the cluster has.
    #[inline]
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// What this node's monotonic clock shows: it may run fast or slow, and never goes back.
    #[inline]
    pub fn now(&self) -> Time {
        self.now
    }

    /// What this node's wall clock shows: it may be ahead, jump in both directions, or stand still.
    #[inline]
    pub fn wall(&self) -> Time {
        self.wall
    }

    /// A value that everybody can see was said by this node.
    pub fn sign<T>(&self, value: T) -> Signed<T> {
        self.signer().sign(value)
    }

    /// What signs for this node.
    pub fn signer(&self) -> Signer {
        Signer::new(self.id)
    }

    /// One random decision of this node.
    #[inline]
    pub fn draw(&mut self) -> Draw {
        self.draws.draw(Site::Node(self.id))
    }

    /// See [`planted::has_fix`](crate::planted::has_fix).
    #[inline]
    pub(crate) fn has_fix(&self) -> bool {
        self.draws.has_fix()
    }

    /// Sends a message, which may be lost.
    #[inline]
    pub fn send(&mut self, to: NodeId, message: P::Message) {
        self.effects.push(Effect::Send(to, message));
    }

    /// Sends a message to every other node of the cluster, in the order of their ids.
    #[inline]
    pub fn broadcast(&mut self, message: P::Message) {
        self.effects.push(Effect::Broadcast(message));
    }

    /// Answers a request. The answer travels like a message.
    #[inline]
    pub fn respond(&mut self, request: RequestId, response: P::Response) {
        self.effects.push(Effect::Respond(request, response));
    }

    /// Adds a record to the journal. A crash may lose it, whole or in part, until the next
    /// [`Context::sync`].
    #[inline]
    pub fn append(&mut self, record: P::Record) {
        self.effects.push(Effect::Append(record));
    }

    /// Makes everything appended survive a crash; later effects of this handler happen after that.
    #[inline]
    pub fn sync(&mut self) {
        self.effects.push(Effect::Sync);
    }

    /// Starts a timer that rings once, `after` this long by the node's own clock. A pending timer
    /// of equal value is replaced. Timers do not survive a crash.
    #[inline]
    pub fn set_timer(&mut self, timer: P::Timer, after: Duration) {
        self.effects.push(Effect::SetTimer(timer, after));
    }

    /// Forgets the pending timer of this value, if there is one.
    #[inline]
    pub fn cancel_timer(&mut self, timer: P::Timer) {
        self.effects.push(Effect::CancelTimer(timer));
    }

    /// Says why this handler did nothing; shown in the trace and counted.
    #[inline]
    pub fn ignore(&mut self, why: &'static str) {
        self.effects.push(Effect::Ignore(why));
    }

    /// Says that a rare state was reached; counted, so that a scenario can demand `sometimes`.
    #[inline]
    pub fn reach(&mut self, what: &'static str) {
        self.effects.push(Effect::Reach(what));
    }
}
