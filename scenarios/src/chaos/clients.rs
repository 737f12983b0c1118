//! The clients of chaos: those of every world ([`Clients`]), over real connections.

use super::proxy::Wires;
use crate::clients::{Action, ClientPolicy, Clients, Event, Timers};
use crate::run::told;
use crate::scenario::{OperationId, Workload};
use seedfall_checkers::History;
use seedfall_net::real::{AskError, Client, Deployable};
use seedfall_sim::{ClientId, Draws, Duration, NodeId, Seed, Time};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long a client waits after a node said that it cannot help, or could not be reached.
const RETRY: Duration = Duration::millis(20);

/// What clients asked and were told.
pub(super) struct Record<I, O> {
    pub(super) history: History<I, O>,
    /// For each operation, its name in the workload.
    pub(super) names: Vec<OperationId>,
    /// Who still waits for what, at the end.
    pub(super) waiting: Vec<String>,
    /// What the workload said as it panicked, if it did.
    pub(super) panicked: Option<String>,
}

impl<I: Debug, O: Debug> Record<I, O> {
    /// Each operation in a line, in the order of the calls.
    pub(super) fn told(&self) -> Vec<String> {
        let all = self.history.operations.iter().zip(&self.names);
        all.map(|(operation, name)| told(operation, *name, " ")).collect()
    }
}

/// What the tasks of the clients share.
struct Shared<P: Deployable, I, O> {
    workload: Workload<P, I, O>,
    state: Mutex<State<I, O>>,
    began: Instant,
}

struct State<I, O> {
    /// `None` when all is over.
    clients: Option<Clients<I, O>>,
    draws: Draws,
    actions: Vec<Action>,
}

/// The clients at work.
pub(super) struct Crowd<P: Deployable, I, O> {
    shared: Arc<Shared<P, I, O>>,
    tasks: Vec<JoinHandle<()>>,
}

impl<P: Deployable, I, O> Drop for Crowd<P, I, O> {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// How the clients of a workload behave here, where nobody knows beforehand how many operations
/// come before the faults end.
pub(super) fn policy<P: Deployable, I, O>(
    workload: &Workload<P, I, O>,
    must_complete: bool,
) -> ClientPolicy {
    ClientPolicy {
        operations: None,
        final_operations: workload.closing,
        final_at: Time::MAX,
        think: workload.think,
        patience: workload.patience,
        retry_after: RETRY,
        attempts: workload.attempts,
        at_most_once: false,
        must_complete,
    }
}

/// Lets the clients begin.
pub(super) fn start<P, I, O>(
    workload: Workload<P, I, O>,
    must_complete: bool,
    seed: Seed,
    wires: &Wires,
) -> Crowd<P, I, O>
where
    P: Deployable,
    P::Request: Sync,
    I: Send + 'static,
    O: Send + 'static,
{
    let (nodes, count) = (wires.nodes(), wires.clients());
    let generate = Arc::clone(&workload.generate);
    let clients = Clients::new(policy(&workload, must_complete), generate, (nodes, count));
    let shared = Arc::new(Shared {
        workload,
        state: Mutex::new(State {
            clients: Some(clients),
            draws: Draws::new(seed, nodes, count),
            actions: Vec::new(),
        }),
        began: Instant::now(),
    });
    let one = |id: u16| {
        let id = ClientId::new(id);
        tokio::spawn(run(Arc::clone(&shared), id, Client::new(id, wires.seen_by(id))))
    };
    let tasks = (0..count as u16).map(one).collect();
    Crowd { shared, tasks }
}

impl<P: Deployable, I, O> Crowd<P, I, O> {
    pub(super) fn completed(&self) -> u64 {
        self.shared.state().clients.as_ref().map_or(0, Clients::completed)
    }

    /// The faults are over: each client ends what it is at, and does its final operations.
    pub(super) fn end_faults(&self) {
        let mut state = self.shared.state();
        if let Some(clients) = &mut state.clients {
            clients.end_faults(self.shared.now());
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.tasks.iter().all(JoinHandle::is_finished)
    }

    /// What they have; those that are not at their end are named in it.
    pub(super) async fn end(mut self) -> Record<I, O> {
        let clients = self.shared.state().clients.take();
        let mut panicked = None;
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            if let Err(error) = task.await
                && error.is_panic()
            {
                panicked = Some(words(error));
            }
        }
        let waiting = clients.as_ref().map(Clients::waiting).unwrap_or_default();
        let nothing = || (History::new(), Vec::new());
        let (history, names) = clients.map_or_else(nothing, Clients::into_history);
        Record { history, names, waiting, panicked }
    }
}

/// What a task said that panicked.
pub(super) fn words(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "it was broken off".to_owned() };
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no word").to_owned()
}

/// A request that is to be sent.
struct Asks<R> {
    node: NodeId,
    number: u32,
    request: R,
}

impl<P: Deployable, I, O> Shared<P, I, O> {
    /// Whoever panics while holding it is told of at the end.
    fn state(&self) -> MutexGuard<'_, State<I, O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        Time::from_nanos(self.began.elapsed().as_nanos() as u64)
    }

    fn instant(&self, at: Time) -> Instant {
        self.began + std::time::Duration::from_nanos(at.as_nanos())
    }

    /// Something happened to a client: sets its timers, and says what it asks.
    fn handle(
        &self,
        id: ClientId,
        event: Event<O>,
        timers: &mut Timers,
    ) -> Option<Asks<P::Request>> {
        let mut state = self.state();
        let State { clients, draws, actions } = &mut *state;
        let Some(clients) = clients else {
            *timers = Timers::new();
            return None;
        };
        // Under the lock, so that the calls stand in their order.
        let now = self.now();
        actions.clear();
        clients.handle(id, now, event, draws, actions);
        let (node, operation) = timers.take(now, actions)?;
        let name = clients.name(operation);
        let input = &clients.history().operations[operation].input;
        Some(Asks { node, number: name.number, request: (self.workload.request)(name, input) })
    }
}

/// One client, until it has nothing more to do. It asks one node at a time: whatever else happens,
/// the connection over which it waited is given up with the answer.
async fn run<P, I, O>(shared: Arc<Shared<P, I, O>>, id: ClientId, mut wire: Client<P>)
where
    P: Deployable,
    P::Request: Sync,
    I: Send,
    O: Send,
{
    let mut timers = Timers::new();
    let mut event = Event::Started;
    loop {
        let asks = shared.handle(id, event, &mut timers);
        let Some((at, waiting)) = timers.next() else { return };
        let at = shared.instant(at);
        let answer = match asks {
            None => {
                sleep_until(at).await;
                None
            }
            Some(Asks { node, number, request }) => {
                // The timer decides; this is only so that nothing waits for ever.
                let patience = std::time::Duration::from_secs(3_600);
                let answer = wire.ask(node, number, &request, patience);
                timeout_at(at, answer).await.ok().map(|answer| (node, number, answer))
            }
        };
        event = match answer {
            None => {
                timers.fired(waiting);
                Event::Fired(waiting)
            }
            Some((from, number, Ok(response))) => {
                let reply = (shared.workload.reply)(response);
                Event::Answered { from, number, reply }
            }
            Some((_, _, Err(error))) => {
                let may_have_arrived = !matches!(error, AskError::Unreachable(_));
                Event::Lost { may_have_arrived }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::bank::{self, Input};
    use crate::scenario::Reply;
    use seedfall_protocols::two_phase_commit::Site;

    /// The clients of the bank as they stand before processes, each answered after a millisecond.
    fn bank(operations: u32) -> History<Input, bank::Output> {
        let workload = bank::presumed_abort().workload;
        let generate = Arc::clone(&workload.generate);
        let mut clients = Clients::new(policy::<Site, _, _>(&workload, true), generate, (3, 1));
        let (mut draws, mut timers) = (Draws::new(Seed(1), 3, 1), Timers::new());
        let (id, mut event, mut actions) = (ClientId::new(0), Event::Started, Vec::new());
        let mut now = Time::ZERO;
        loop {
            actions.clear();
            clients.handle(id, now, event, &mut draws, &mut actions);
            event = match timers.take(now, &actions) {
                Some((from, operation)) => {
                    now = now + Duration::millis(1);
                    let number = clients.name(operation).number;
                    Event::Answered { from, number, reply: Reply::Failed }
                }
                None => {
                    let Some((at, waiting)) = timers.next() else { break };
                    now = at;
                    timers.fired(waiting);
                    Event::Fired(waiting)
                }
            };
            if clients.history().operations.len() as u32 == operations {
                clients.end_faults(now);
            }
        }
        clients.into_history().0
    }

    #[test]
    fn the_bank_is_asked_for_transfers_as_long_as_faults_last() {
        const COUNT: usize = 600;
        let history = bank(COUNT as u32);
        let inputs: Vec<&Input> = history.operations.iter().map(|one| &one.input).collect();
        assert_eq!(inputs.len(), COUNT + 2, "the final ones come after them");
        let audits = |inputs: &[&Input]| {
            let full = |input: &&&Input| matches!(input, Input::Read(all) if all.len() == 6);
            inputs.iter().filter(full).count()
        };
        // In any hundred operations: 55 transfers, 10 contracts, 15 reads of two, 20 of all.
        for (place, hundred) in inputs[..COUNT].chunks(100).enumerate() {
            let transfers = hundred.iter().filter(|one| matches!(one, Input::Transfer(_))).count();
            let signed = hundred.iter().filter(|one| matches!(one, Input::Sign { .. })).count();
            let mix = (transfers, signed, audits(hundred));
            assert!(
                (40..70).contains(&mix.0) && (2..20).contains(&mix.1) && (8..34).contains(&mix.2),
                "operations from {} on: {mix:?}",
                place * 100
            );
        }
        assert_eq!(audits(&inputs[COUNT + 1..]), 1, "the last word is what is left of it all");
    }
}
