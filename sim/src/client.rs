//! The clients of a run: whoever asks the nodes, and remembers what was answered.

use crate::draw::{Draw, Draws, Site};
use crate::id::{ClientId, NodeId, RequestId};
use crate::protocol::{Data, Protocol};
use crate::time::{Duration, Time};

/// All the clients of a run, as one value: a workload and the history that it records.
pub trait Clients<P: Protocol>: Sized {
    /// Which timers a client sets; a client has at most one pending timer of each value.
    type Timer: Data + Eq;

    /// A client comes up; clients never crash.
    fn start(&mut self, client: ClientId, ctx: &mut ClientContext<'_, P, Self>);

    /// An answer arrived. It may be late, or doubled.
    fn on_response(
        &mut self,
        from: NodeId,
        request: RequestId,
        response: P::Response,
        ctx: &mut ClientContext<'_, P, Self>,
    );

    /// A timer that this client set has rung.
    fn on_timer(
        &mut self,
        client: ClientId,
        timer: Self::Timer,
        ctx: &mut ClientContext<'_, P, Self>,
    );
}

/// A run without clients.
impl<P: Protocol> Clients<P> for () {
    type Timer = ();
    fn start(&mut self, _: ClientId, _: &mut ClientContext<'_, P, Self>) {}
    fn on_response(
        &mut self,
        _: NodeId,
        _: RequestId,
        _: P::Response,
        _: &mut ClientContext<'_, P, Self>,
    ) {
    }
    fn on_timer(&mut self, _: ClientId, (): (), _: &mut ClientContext<'_, P, Self>) {}
}

/// One thing that a client wants done.
#[derive(Clone, Debug)]
pub enum ClientEffect<P: Protocol, T> {
    /// Ask a node.
    Request(NodeId, u32, P::Request),
    /// Start a timer, or restart the pending one of equal value.
    SetTimer(T, Duration),
    /// Forget a timer.
    CancelTimer(T),
}

/// All that a client can see of the world and do to it.
#[derive(Debug)]
pub struct ClientContext<'a, P: Protocol, C: Clients<P>> {
    client: ClientId,
    now: Time,
    draws: &'a mut Draws,
    effects: &'a mut Vec<ClientEffect<P, C::Timer>>,
}

impl<'a, P: Protocol, C: Clients<P>> ClientContext<'a, P, C> {
    pub(crate) fn new(
        client: ClientId,
        now: Time,
        draws: &'a mut Draws,
        effects: &'a mut Vec<ClientEffect<P, C::Timer>>,
    ) -> Self {
        Self { client, now, draws, effects }
    }

    /// This client.
    pub fn id(&self) -> ClientId {
        self.client
    }

    /// Virtual time itself: histories are judged by it.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The draw for this client's decision number `index`: it depends on nothing else.
    pub fn draw_at(&mut self, index: u64) -> Draw {
        self.draws.at(Site::Client(self.client), index)
    }

    /// The draws of the run, for decisions of this client: those of its own site.
    pub fn draws(&mut self) -> &mut Draws {
        self.draws
    }

    /// Asks a node, under a number of the client's choice. The request may be lost, and so may the
    /// answer.
    pub fn request(&mut self, to: NodeId, number: u32, body: P::Request) {
        self.effects.push(ClientEffect::Request(to, number, body));
    }

    /// Starts a timer that rings once. A pending timer of equal value is replaced.
    pub fn set_timer(&mut self, timer: C::Timer, after: Duration) {
        self.effects.push(ClientEffect::SetTimer(timer, after));
    }

    /// Forgets the pending timer of this value, if there is one.
    pub fn cancel_timer(&mut self, timer: C::Timer) {
        self.effects.push(ClientEffect::CancelTimer(timer));
    }
}
