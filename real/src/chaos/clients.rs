//! The clients of chaos: those of every world ([`Clients`]), over real connections.

use super::proxy::Wires;
use crate::driver::{AskError, Client, Deployable};
use seedfall::clients::{ClientPolicy, Clients, Live, LiveClients, Lost};
use seedfall::run::told;
use seedfall::scenario::{OperationId, Reply, Workload};
use seedfall_checkers::History;
use seedfall_sim::{ClientId, Draws, Duration, NodeId, Seed, Time};
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until};

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

/// The clients at work.
pub(super) struct RunningClients<I, O> {
    clients: Arc<LiveClients<I, O>>,
    tasks: Vec<JoinHandle<()>>,
    began: Instant,
}

impl<I, O> Drop for RunningClients<I, O> {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// How the clients of a workload behave here, where nobody knows beforehand how many operations
/// come before the faults end.
pub fn policy<P: Deployable, I, O>(
    workload: &Workload<P, I, O>,
    must_complete: bool,
) -> ClientPolicy {
    ClientPolicy {
        operations: None,
        final_operations: workload.final_operations,
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
    workload: &Workload<P, I, O>,
    must_complete: bool,
    seed: Seed,
    wires: &Wires,
) -> RunningClients<I, O>
where
    P: Deployable,
    P::Request: Sync,
    I: Send + 'static,
    O: Send + 'static,
{
    let (nodes, count) = (wires.nodes(), wires.clients());
    let generate = Arc::clone(&workload.generate);
    let clients = Clients::new(policy(workload, must_complete), generate, (nodes, count));
    let clients = Arc::new(LiveClients::new(clients, Draws::new(seed, nodes, count)));
    let began = Instant::now();
    let one = |id: u16| {
        let id = ClientId::new(id);
        let wire = Client::new(id, wires.seen_by(id));
        let one = One { workload: workload.clone(), wire, began };
        let clients = Arc::clone(&clients);
        tokio::spawn(async move { clients.run(id, one).await })
    };
    let tasks = (0..count as u16).map(one).collect();
    RunningClients { clients, tasks, began }
}

impl<I, O> RunningClients<I, O> {
    pub(super) fn completed(&self) -> u64 {
        self.clients.completed()
    }

    /// The faults are over: each client ends what it is at, and does its final operations.
    pub(super) fn end_faults(&self) {
        self.clients.end_faults(since(self.began));
    }

    pub(super) fn is_over(&self) -> bool {
        self.tasks.iter().all(JoinHandle::is_finished)
    }

    /// What they have; those that are not at their end are named in it.
    pub(super) async fn end(mut self) -> Record<I, O> {
        let clients = self.clients.end();
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

fn since(began: Instant) -> Time {
    Time::from_nanos(began.elapsed().as_nanos() as u64)
}

/// One client.
struct One<P: Deployable, I, O> {
    workload: Workload<P, I, O>,
    wire: Client<P>,
    began: Instant,
}

/// Clients wait as long as their policy says; this is only so that nothing waits for ever.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(3_600);

impl<P, I, O> Live<I, O> for One<P, I, O>
where
    P: Deployable,
    P::Request: Sync,
{
    type Request = P::Request;

    fn now(&self) -> Time {
        since(self.began)
    }

    fn sleep_until(&self, at: Time) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let at = self.began + std::time::Duration::from_nanos(at.as_nanos());
        Box::pin(sleep_until(at))
    }

    fn request(&self, operation: OperationId, input: &I) -> P::Request {
        (self.workload.request)(operation, input)
    }

    async fn ask(
        &mut self,
        node: NodeId,
        operation: OperationId,
        request: P::Request,
    ) -> Result<Reply<O>, Lost> {
        match self.wire.ask(node, operation.number, &request, LONGEST).await {
            Ok(response) => Ok((self.workload.reply)(response)),
            Err(AskError::Unreachable(_)) => Err(Lost { may_have_arrived: false }),
            Err(_) => Err(Lost { may_have_arrived: true }),
        }
    }
}
