//! The clients of a scenario before simulated nodes: [`Clients`] as the engine wants them, with the
//! words of the protocol.

use crate::clients::{Action, ClientPolicy, Clients, Event};
use crate::property::Told;
use crate::run::Call;
use crate::scenario::{OperationId, Workload};
use seedfall_checkers::History;
use seedfall_sim::{
    ClientContext, ClientId, Duration, NodeId, Protocol, RequestId, StableHasher, Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) use crate::clients::Waiting;

/// How long a client waits after a node said that it cannot help.
const RETRY: Duration = Duration::millis(5);

/// All clients of a run, and the history that they record.
pub(crate) struct SimulatedClients<P: Protocol, I, O> {
    workload: Workload<P, I, O>,
    clients: Clients<I, O>,
    /// What a client wants done; empty between two events.
    actions: Vec<Action>,
    /// Where answers of several nodes must agree, for each client: the operation, and who gave
    /// which answer, by its hash.
    heard: Vec<(u32, Vec<(NodeId, u64)>)>,
}

impl<P: Protocol, I, O> SimulatedClients<P, I, O> {
    /// The clients of a workload, so many before so many nodes. If `must_complete` says so, nobody
    /// gives up an operation that was called after the faults stopped.
    pub(crate) fn new(
        workload: Workload<P, I, O>,
        (nodes, clients): (usize, usize),
        must_complete: bool,
        skip: BTreeSet<OperationId>,
        final_at: Time,
        calls: BTreeMap<OperationId, Call>,
    ) -> Self {
        let policy = ClientPolicy {
            operations: Some(workload.operations),
            final_operations: workload.final_operations,
            final_at,
            think: workload.think,
            patience: workload.patience,
            retry_after: RETRY,
            attempts: workload.attempts,
            at_most_once: false,
            must_complete,
        };
        let generate = Arc::clone(&workload.generate);
        let count = clients;
        let clients = Clients::new(policy, generate, (nodes, clients)).without(skip).called(calls);
        Self { workload, clients, actions: Vec::new(), heard: vec![(0, Vec::new()); count] }
    }

    /// True when every client has run all its operations.
    pub(crate) fn is_done(&self) -> bool {
        self.clients.is_done()
    }

    /// The history so far.
    pub(crate) fn history(&self) -> &History<I, O> {
        self.clients.history()
    }

    /// The history so far, to be judged in part, and put back as it was.
    pub(crate) fn history_mut(&mut self) -> &mut History<I, O> {
        self.clients.history_mut()
    }

    /// What clients were told so far, in the order in which they asked.
    pub(crate) fn told(&self) -> impl Iterator<Item = Told<'_, I, O>> {
        self.clients.told().map(|(OperationId { client, number }, one, output)| {
            let request = RequestId { client, number };
            Told { request, input: &one.input, output }
        })
    }

    /// From here on every operation is called as its client decides.
    pub(crate) fn decide_calls(&mut self) {
        self.clients.decide_calls();
    }

    /// When each operation was called and whom it asked first, in the order of the calls.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (OperationId, Call)> {
        self.clients.calls()
    }

    /// The name of an operation of the history.
    pub(crate) fn name(&self, operation: usize) -> OperationId {
        self.clients.name(operation)
    }

    /// Who waits for what, for a run that does not come to its end.
    pub(crate) fn waiting(&self) -> Vec<String> {
        self.clients.waiting()
    }

    /// Whether so many nodes have given this answer that its client believes it.
    fn believes(&mut self, from: NodeId, request: RequestId, response: &P::Response) -> bool {
        if self.workload.agree <= 1 {
            return true;
        }
        let answer = StableHasher::hash(response);
        let (number, heard) = &mut self.heard[request.client.index()];
        if *number != request.number {
            (*number, *heard) = (request.number, Vec::new());
        }
        // Each node has one answer: who gives another takes the first one back.
        heard.retain(|(node, _)| *node != from);
        heard.push((from, answer));
        self.workload.agree <= heard.iter().filter(|(_, other)| *other == answer).count()
    }

    fn handle(&mut self, id: ClientId, event: Event<O>, ctx: &mut ClientContext<'_, P, Self>) {
        let now = ctx.now();
        self.clients.handle(id, now, event, ctx.draws(), &mut self.actions);
        for action in self.actions.drain(..) {
            match action {
                Action::Ask { node, operation } => {
                    let name = self.clients.name(operation);
                    let input = &self.clients.history().operations[operation].input;
                    ctx.request(node, name.number, (self.workload.request)(name, input));
                }
                Action::SetTimer(waiting, after) => ctx.set_timer(waiting, after),
                Action::CancelTimer(waiting) => ctx.cancel_timer(waiting),
            }
        }
    }
}

impl<P: Protocol, I, O> seedfall_sim::Clients<P> for SimulatedClients<P, I, O> {
    type Timer = Waiting;

    fn start(&mut self, client: ClientId, ctx: &mut ClientContext<'_, P, Self>) {
        self.handle(client, Event::Started, ctx);
    }

    fn on_response(
        &mut self,
        from: NodeId,
        request: RequestId,
        response: P::Response,
        ctx: &mut ClientContext<'_, P, Self>,
    ) {
        let RequestId { client, number } = request;
        if self.clients.expects(client, number) && self.believes(from, request, &response) {
            let reply = (self.workload.reply)(response);
            self.handle(client, Event::Answered { from, number, reply }, ctx);
        }
    }

    fn on_timer(&mut self, id: ClientId, timer: Waiting, ctx: &mut ClientContext<'_, P, Self>) {
        self.handle(id, Event::Fired(timer), ctx);
    }
}
