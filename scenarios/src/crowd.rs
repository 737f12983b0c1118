//! The clients of a scenario: each runs its operations one after the other, retries, and remembers.

use crate::run::Call;
use crate::scenario::{Invocation, OperationId, Phase, Reply, Workload};
use seedfall_checkers::History;
use seedfall_sim::{
    Choices, ClientContext, ClientId, Clients, Duration, NodeId, Protocol, RequestId, Site, Time,
};
use std::collections::{BTreeMap, BTreeSet};

/// Draws of one operation: enough for its input, its pause, and a node for each attempt.
pub(crate) const DRAWS: u64 = 64;

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Waiting {
    /// Its next operation.
    Think,
    /// An answer.
    Answer,
    /// Another try, after a node said that it cannot help.
    Retry,
}

/// One client, between two events.
#[derive(Clone, Debug)]
struct Client {
    /// The number of the operation that is open, or comes next.
    number: u32,
    attempt: u32,
    /// The open operation, as an index of the history.
    open: Option<usize>,
    /// Who answered last, or was named as the one to ask.
    favourite: Option<NodeId>,
    done: bool,
}

/// All clients of a run, and the history that they record.
pub(crate) struct Crowd<P: Protocol, I, O> {
    workload: Workload<P, I, O>,
    nodes: usize,
    /// Operations that are left out.
    skip: BTreeSet<OperationId>,
    /// When the closing operations begin.
    closing_at: Time,
    /// When an operation is called and whom it asks first, if not as its client decides.
    calls: BTreeMap<OperationId, Call>,
    clients: Vec<Client>,
    running: usize,
    history: History<I, O>,
    /// For each operation of the history, its name in the workload.
    names: Vec<OperationId>,
    /// For each operation of the history, whom it asked first.
    asked: Vec<NodeId>,
}

impl<P: Protocol, I, O> Crowd<P, I, O> {
    pub(crate) fn new(
        workload: Workload<P, I, O>,
        (nodes, clients): (usize, usize),
        skip: BTreeSet<OperationId>,
        closing_at: Time,
        calls: BTreeMap<OperationId, Call>,
    ) -> Self {
        let client = Client { number: 0, attempt: 0, open: None, favourite: None, done: false };
        Self {
            workload,
            nodes,
            skip,
            closing_at,
            calls,
            clients: vec![client; clients],
            running: clients,
            history: History { operations: Vec::new() },
            names: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// True when every client has run all its operations.
    pub(crate) fn is_done(&self) -> bool {
        self.running == 0
    }

    /// The history so far.
    pub(crate) fn history(&self) -> &History<I, O> {
        &self.history
    }

    /// From here on every operation is called as its client decides.
    pub(crate) fn decide_calls(&mut self) {
        self.calls.clear();
    }

    /// When each operation was called and whom it asked first, in the order of the calls.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (OperationId, Call)> {
        let called = self.history.operations.iter().map(|one| Time::from_nanos(one.call));
        let calls = called.zip(&self.asked).map(|(at, asks)| Call { at, asks: *asks });
        self.names.iter().copied().zip(calls)
    }

    /// The name of an operation of the history.
    pub(crate) fn name(&self, operation: usize) -> OperationId {
        self.names[operation]
    }

    /// Who waits for what, for a run that does not come to its end.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let waits = self.clients.iter().enumerate().filter(|(_, client)| !client.done);
        waits
            .map(|(index, client)| {
                let id = OperationId { client: ClientId::new(index as u16), number: client.number };
                match client.open {
                    Some(_) => format!("{id} waits for an answer (attempt {})", client.attempt),
                    None => format!("{id} is still to come"),
                }
            })
            .collect()
    }
}

impl<P: Protocol, I, O> Crowd<P, I, O> {
    /// Goes to the next operation that is not left out, and waits as long as a client thinks.
    fn next(&mut self, id: ClientId, ctx: &mut ClientContext<'_, P, Self>) {
        let Workload { operations, closing, think, .. } = self.workload;
        let client = &mut self.clients[id.index()];
        while self.skip.contains(&OperationId { client: id, number: client.number }) {
            client.number += 1;
        }
        if client.number >= operations + closing {
            client.done = true;
            self.running -= 1;
            return;
        }
        let mut draw = ctx.draw_at(u64::from(client.number) * DRAWS);
        let mut pause = think.sample(&mut draw);
        if client.number >= operations {
            pause = pause + self.closing_at.since(ctx.now());
        }
        if let Some(call) = self.calls.get(&OperationId { client: id, number: client.number }) {
            pause = call.at.since(ctx.now());
        }
        ctx.set_timer(Waiting::Think, pause);
    }

    /// Calls the operation: from here on it is in the history.
    fn call(&mut self, id: ClientId, ctx: &mut ClientContext<'_, P, Self>) {
        let client = &mut self.clients[id.index()];
        let name = OperationId { client: id, number: client.number };
        let (site, first) = (Site::Client(id), u64::from(client.number) * DRAWS + 1);
        let phase = match client.number.checked_sub(self.workload.operations) {
            None => Phase::Faults,
            Some(nth) => Phase::Final { nth, of: self.workload.closing },
        };
        let invocation = Invocation { client: id, number: client.number, phase };
        let input =
            (self.workload.generate)(invocation, &mut Choices::new(ctx.draws(), site, first));
        let call = ctx.now().as_nanos();
        client.open = Some(self.history.invoke(id.index() as u32, call, input));
        client.attempt = 0;
        self.names.push(name);
        self.ask(id, ctx);
    }

    /// Asks a node: the favourite if there is one, else any.
    fn ask(&mut self, id: ClientId, ctx: &mut ClientContext<'_, P, Self>) {
        let client = &mut self.clients[id.index()];
        let Some(open) = client.open else { return };
        client.attempt += 1;
        let tries = u64::from(client.attempt);
        let mut draw = ctx.draw_at(u64::from(client.number) * DRAWS + 1 + tries.min(DRAWS - 2));
        let any = whom(draw.below(self.nodes as u32), client.attempt, self.nodes);
        let name = OperationId { client: id, number: client.number };
        let request = (self.workload.request)(name, &self.history.operations[open].input);
        let first = client.attempt == 1;
        let told = self.calls.get(&name).map(|call| call.asks).filter(|_| first);
        let told = told.filter(|node| node.index() < self.nodes);
        let node = told.or(client.favourite).unwrap_or(any);
        if first {
            self.asked.push(node);
        }
        ctx.request(node, client.number, request);
        ctx.set_timer(Waiting::Answer, self.workload.patience);
    }

    /// The open operation is over, one way or another.
    fn close(&mut self, id: ClientId, ctx: &mut ClientContext<'_, P, Self>) {
        let client = &mut self.clients[id.index()];
        client.open = None;
        client.number += 1;
        ctx.cancel_timer(Waiting::Answer);
        ctx.cancel_timer(Waiting::Retry);
        self.next(id, ctx);
    }
}

/// The node to ask, after so many attempts of an operation: the one that was drawn. There is a draw
/// for each of the first attempts; from the last of them on it goes round, since whoever asks one
/// node for ever may ask one that is gone.
fn whom(drawn: u32, attempt: u32, nodes: usize) -> NodeId {
    let undrawn = u64::from(attempt).saturating_sub(DRAWS - 2);
    NodeId::new(((u64::from(drawn) + undrawn) % nodes as u64) as u16)
}

impl<P: Protocol, I, O> Clients<P> for Crowd<P, I, O> {
    type Timer = Waiting;

    fn start(&mut self, client: ClientId, ctx: &mut ClientContext<'_, P, Self>) {
        self.next(client, ctx);
    }

    fn on_response(
        &mut self,
        from: NodeId,
        request: RequestId,
        response: P::Response,
        ctx: &mut ClientContext<'_, P, Self>,
    ) {
        let id = request.client;
        let client = &mut self.clients[id.index()];
        let Some(open) = client.open.filter(|_| client.number == request.number) else {
            return; // Late: the operation was given up, or answered before.
        };
        let now = ctx.now().as_nanos();
        match (self.workload.reply)(response) {
            Reply::Done(output) => {
                client.favourite = Some(from);
                self.history.complete(open, now, output);
                self.close(id, ctx);
            }
            Reply::Failed => {
                self.history.fail(open, now);
                self.close(id, ctx);
            }
            Reply::Elsewhere(hint) => {
                client.favourite = hint.filter(|hint| *hint != from);
                // Not at once: two nodes that name each other would keep the client busy for ever.
                ctx.set_timer(Waiting::Retry, Duration::millis(5));
            }
        }
    }

    fn on_timer(&mut self, id: ClientId, timer: Waiting, ctx: &mut ClientContext<'_, P, Self>) {
        let client = &mut self.clients[id.index()];
        match timer {
            Waiting::Think => return self.call(id, ctx),
            Waiting::Answer => client.favourite = None,
            Waiting::Retry => {}
        }
        // After the faults nobody gives up: a closing operation completes, or the run is stuck.
        let patient = client.number >= self.workload.operations;
        if client.attempt < self.workload.attempts || patient {
            self.ask(id, ctx);
        } else {
            self.close(id, ctx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_without_draws_asks_every_node_in_turn() {
        let last = DRAWS as u32 - 2;
        let asked = |attempt| whom(3, attempt, 5).index();
        assert_eq!([1, 2, last - 1, last].map(asked), [3; 4], "as drawn");
        let asked: Vec<usize> = (last + 1..last + 6).map(asked).collect();
        assert_eq!(asked, [4, 0, 1, 2, 3]);
    }
}
