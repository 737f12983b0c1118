//! The clients of chaos: as those of a run, over real connections, and the history that they keep.

use super::proxy::Wires;
use crate::crowd::DRAWS;
use crate::scenario::{Invocation, OperationId, Phase, Reply, Workload};
use seedfall_checkers::History;
use seedfall_net::real::{AskError, Client, Deployable};
use seedfall_sim::{Choices, ClientId, Draws, NodeId, Seed, Site};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How long a client waits after a node said that it cannot help.
const RETRY: Duration = Duration::from_millis(20);

/// What clients asked and were told.
pub(super) struct Record<I, O> {
    pub(super) history: History<I, O>,
    /// For each operation, its name in the workload.
    pub(super) names: Vec<OperationId>,
    /// Who still waits for what, at the end.
    pub(super) waiting: Vec<String>,
}

/// What the clients share.
struct Shared<I, O> {
    record: Mutex<Record<I, O>>,
    completed: AtomicU64,
    /// From here on: the closing operations, and the end.
    closing: AtomicBool,
    began: Instant,
}

/// The clients at work.
pub(super) struct Crowd<I, O> {
    shared: Arc<Shared<I, O>>,
    tasks: Vec<JoinHandle<()>>,
}

impl<I, O> Drop for Crowd<I, O> {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Lets the clients begin.
pub(super) fn start<P, I, O>(workload: Workload<P, I, O>, seed: Seed, wires: &Wires) -> Crowd<I, O>
where
    P: Deployable,
    P::Request: Sync,
    I: Send + 'static,
    O: Send + 'static,
{
    let record = Record { history: History::new(), names: Vec::new(), waiting: Vec::new() };
    let shared = Arc::new(Shared {
        record: Mutex::new(record),
        completed: AtomicU64::new(0),
        closing: AtomicBool::new(false),
        began: Instant::now(),
    });
    let one = |id: u16| {
        let id = ClientId::new(id);
        let peers = wires.seen_by(id);
        let one = One {
            id,
            workload: workload.clone(),
            nodes: peers.len(),
            draws: Draws::new(seed, peers.len(), wires.clients()),
            client: Client::<P>::new(id, peers),
            shared: Arc::clone(&shared),
            favourite: None,
        };
        tokio::spawn(one.run())
    };
    let tasks = (0..wires.clients() as u16).map(one).collect();
    Crowd { shared, tasks }
}

impl<I, O> Crowd<I, O> {
    pub(super) fn completed(&self) -> u64 {
        self.shared.completed.load(Ordering::Relaxed)
    }

    /// The faults are over: each client ends what it is at, and does its closing operations.
    pub(super) fn close(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.tasks.iter().all(JoinHandle::is_finished)
    }

    /// What they have; those that are not at their end are named in it.
    pub(super) fn end(&self) -> Record<I, O> {
        let empty = Record { history: History::new(), names: Vec::new(), waiting: Vec::new() };
        let mut record = std::mem::replace(&mut *self.shared.record(), empty);
        for (index, task) in self.tasks.iter().enumerate() {
            if !task.is_finished() {
                record.waiting.push(format!("{} waits", ClientId::new(index as u16)));
            }
        }
        record
    }
}

impl<I, O> Shared<I, O> {
    /// Nobody panics while holding it.
    fn record(&self) -> std::sync::MutexGuard<'_, Record<I, O>> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }
}

/// One client.
struct One<P: Deployable, I, O> {
    id: ClientId,
    workload: Workload<P, I, O>,
    nodes: usize,
    draws: Draws,
    client: Client<P>,
    shared: Arc<Shared<I, O>>,
    /// Who answered last, or was named as the one to ask.
    favourite: Option<NodeId>,
}

impl<P, I, O> One<P, I, O>
where
    P: Deployable,
    P::Request: Sync,
{
    async fn run(mut self) {
        let (mut number, mut closing) = (0, 0);
        while closing < self.workload.closing {
            let is_closing = self.shared.closing.load(Ordering::Relaxed);
            closing += u32::from(is_closing);
            let mut draw = self.draw(number, 0);
            let pause = self.workload.think.sample(&mut draw);
            sleep(Duration::from_nanos(pause.as_nanos())).await;
            self.operate(number, is_closing).await;
            number += 1;
        }
    }

    fn draw(&mut self, number: u32, which: u64) -> seedfall_sim::Draw {
        self.draws.at(Site::Client(self.id), u64::from(number) * DRAWS + which)
    }

    /// One operation: asked until it is answered, or given up.
    async fn operate(&mut self, number: u32, is_closing: bool) {
        let name = OperationId { client: self.id, number };
        let phase = match is_closing {
            false => Phase::Faults,
            true => Phase::Final { nth: 0, of: self.workload.closing },
        };
        let invocation = Invocation { client: self.id, number, phase };
        let (site, first) = (Site::Client(self.id), u64::from(number) * DRAWS + 1);
        let input =
            (self.workload.generate)(invocation, &mut Choices::new(&mut self.draws, site, first));
        let request = (self.workload.request)(name, &input);
        let operation = {
            let mut record = self.shared.record();
            // Under the lock, so that the calls stand in their order.
            let call = self.shared.now();
            record.names.push(name);
            record.history.invoke(self.id.index() as u32, call, input)
        };
        let patience = Duration::from_nanos(self.workload.patience.as_nanos());
        let mut attempt = 0;
        while attempt < self.workload.attempts || is_closing {
            let mut draw = self.draw(number, 2 + u64::from(attempt).min(DRAWS - 3));
            let any = NodeId::new(draw.below(self.nodes as u32) as u16);
            let node = self.favourite.unwrap_or(any);
            attempt += 1;
            match self.client.ask(node, number, &request, patience).await {
                Ok(response) => match (self.workload.reply)(response) {
                    Reply::Done(output) => {
                        self.favourite = Some(node);
                        let returned = self.shared.now();
                        self.shared.record().history.complete(operation, returned, output);
                        self.shared.completed.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    Reply::Failed => {
                        let returned = self.shared.now();
                        self.shared.record().history.fail(operation, returned);
                        return;
                    }
                    Reply::Elsewhere(hint) => {
                        self.favourite = hint.filter(|hint| *hint != node);
                        sleep(RETRY).await;
                    }
                },
                Err(AskError::Unreachable(_)) => {
                    self.favourite = None;
                    // It did not wait, as a client does whose answer does not come.
                    sleep(RETRY).await;
                }
                Err(AskError::Silent(_) | AskError::Unreadable(_)) => self.favourite = None,
            }
        }
    }
}
