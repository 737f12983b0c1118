//! Clients in a world of futures, a task each: before processes over TCP, or inside madsim.

use super::{Action, Clients, Event, Timers};
use crate::workload::{OperationId, Reply};
use seedfall_sim::{ClientId, Draws, NodeId, Time};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

/// There will be no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Whether the request may have arrived.
    pub may_have_arrived: bool,
}

/// What a client needs of its world.
pub trait Live<I, O>: Send {
    /// A request in the world's words.
    type Request: Send;

    /// The time, as the history counts it.
    fn now(&self) -> Time;

    /// Waits.
    fn sleep_until(&self, at: Time) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Puts an operation in the world's words.
    fn request(&self, operation: OperationId, input: &I) -> Self::Request;

    /// Asks a node, once, and waits as long as it takes. It may be dropped before there is an
    /// answer, which then must not be taken for one to the next request.
    fn ask(
        &mut self,
        node: NodeId,
        operation: OperationId,
        request: Self::Request,
    ) -> impl Future<Output = Result<Reply<O>, Lost>> + Send;
}

/// The clients of a run, shared by their tasks.
pub struct LiveClients<I, O>(Mutex<State<I, O>>);

struct State<I, O> {
    /// `None` when all is over.
    clients: Option<Clients<I, O>>,
    draws: Draws,
    actions: Vec<Action>,
}

impl<I, O> LiveClients<I, O> {
    /// Clients whose decisions these draws make.
    pub fn new(clients: Clients<I, O>, draws: Draws) -> Self {
        Self(Mutex::new(State { clients: Some(clients), draws, actions: Vec::new() }))
    }

    /// Who panics while holding it is a workload, and its task says so.
    fn state(&self) -> MutexGuard<'_, State<I, O>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many operations completed.
    pub fn completed(&self) -> u64 {
        self.state().clients.as_ref().map_or(0, Clients::completed)
    }

    /// As [`Clients::end_faults`].
    pub fn end_faults(&self, now: Time) {
        if let Some(clients) = &mut self.state().clients {
            clients.end_faults(now);
        }
    }

    /// Takes the clients as they are: from here on their tasks do nothing more. `None`: somebody
    /// took them before.
    pub fn end(&self) -> Option<Clients<I, O>> {
        self.state().clients.take()
    }

    /// One client, until it has nothing more to do. It waits for one answer at a time: whatever
    /// else happens, that is given up.
    pub async fn run(&self, client: ClientId, mut live: impl Live<I, O>) {
        let mut timers = Timers::new();
        let mut event = Event::Started;
        loop {
            let asks = self.handle(client, event, &mut timers, &live);
            let Some((at, waiting)) = timers.next() else { return };
            let sleep = live.sleep_until(at);
            let answer = match asks {
                None => {
                    sleep.await;
                    None
                }
                Some((node, operation, request)) => {
                    let answer = first(live.ask(node, operation, request), sleep).await;
                    answer.map(|answer| (node, operation.number, answer))
                }
            };
            event = match answer {
                None => {
                    timers.fired(waiting);
                    Event::Fired(waiting)
                }
                Some((from, number, Ok(reply))) => Event::Answered { from, number, reply },
                Some((.., Err(Lost { may_have_arrived }))) => Event::Lost { may_have_arrived },
            };
        }
    }

    /// Something happened to a client: sets its timers, and says what it asks.
    fn handle<L: Live<I, O>>(
        &self,
        client: ClientId,
        event: Event<O>,
        timers: &mut Timers,
        live: &L,
    ) -> Option<(NodeId, OperationId, L::Request)> {
        let mut state = self.state();
        let State { clients, draws, actions } = &mut *state;
        let Some(clients) = clients else {
            *timers = Timers::new();
            return None;
        };
        // Under the lock, so that the calls stand in their order.
        let now = live.now();
        actions.clear();
        clients.handle(client, now, event, draws, actions);
        let (node, operation) = timers.take(now, actions)?;
        let name = clients.name(operation);
        let input = &clients.history().operations[operation].input;
        Some((node, name, live.request(name, input)))
    }
}

/// What comes of the one, unless the other is done first.
async fn first<T>(one: impl Future<Output = T>, other: impl Future<Output = ()>) -> Option<T> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| match one.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => other.as_mut().poll(context).map(|()| None),
    })
    .await
}
