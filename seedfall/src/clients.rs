//! The clients of a run as one value, in whatever world it runs: they are told what happened, and
//! say what is to be done.
//!
//! Each client thinks, calls an operation, asks a node, asks again or another one, gives up, and
//! ends with its final operations once the faults stopped. The value does no I/O and reads no
//! clock: it is handed the time and the draws, and answers with [`Action`]s. What is said, and in
//! which words, is the world's affair. So the same clients stand before simulated nodes, before
//! processes over TCP (`chaos`), and before tokio code inside madsim.
//!
//! Every decision has an address: site [`Site::Client`], index `number * 64 + k`. Of an operation
//! k = 0 is the time to think before it, 1 its input (and what belongs to that: see [`Choices`]),
//! and 2 to 63 whom it asks at each attempt. So leaving one operation out moves no decision of
//! another.

mod live;
pub(crate) mod simulated;

pub use live::{Live, LiveClients, Lost};

use crate::run::Call;
use crate::workload::{Generate, Invocation, OperationId, Past, Phase, Reply};
use seedfall_checkers::{History, Operation};
use seedfall_net::Delay;
use seedfall_sim::{Choices, ClientId, Draws, Duration, NodeId, Site, Time};
use std::collections::{BTreeMap, BTreeSet};

/// Draws of one operation: enough for its pause, its input, and a node for each attempt.
pub(crate) const DRAWS: u64 = 64;

/// What a client waits for: each client has a timer for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Waiting {
    /// Its next operation.
    Think,
    /// An answer.
    Answer,
    /// Another try, after a node said that it cannot help, or was not there.
    Retry,
}

/// What happened to a client.
#[derive(Clone, Debug)]
pub enum Event<O> {
    /// It comes up; the first of its events.
    Started,
    /// A timer that it set has fired.
    Fired(Waiting),
    /// An answer arrived. It may be late, or doubled.
    Answered {
        /// Who answers.
        from: NodeId,
        /// The number of the operation that was asked for.
        number: u32,
        /// What the answer means.
        reply: Reply<O>,
    },
    /// The connection to the node that was asked last is lost, or never came about: no answer will
    /// come.
    Lost {
        /// Whether the request may have arrived.
        may_have_arrived: bool,
    },
}

/// What a client wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask a node for an operation of the history.
    Ask {
        /// Whom.
        node: NodeId,
        /// For what: an index of the history, where its input stands.
        operation: usize,
    },
    /// Start a timer, or start it anew if it runs.
    SetTimer(Waiting, Duration),
    /// Forget a timer.
    CancelTimer(Waiting),
}

/// How clients behave, whatever they ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientPolicy {
    /// Operations of each client before the final ones; `None`: until [`Clients::end_faults`].
    pub operations: Option<u32>,
    /// Operations of each client after the faults stopped.
    pub final_operations: u32,
    /// When those may begin.
    pub final_at: Time,
    /// How long a client waits between two operations.
    pub think: Delay,
    /// How long it waits for an answer before it asks another node.
    pub patience: Duration,
    /// How long it waits before it asks again, where a node cannot help or cannot be reached.
    pub retry_after: Duration,
    /// How often it asks before it gives up, and the outcome stays indeterminate.
    pub attempts: u32,
    /// Whether a request that may have been carried out is never said again: for services that
    /// would carry it out twice. A node that says that it cannot help has not.
    pub at_most_once: bool,
    /// Whether nobody gives up a final operation: it completes, or the run comes to no end.
    pub must_complete: bool,
}

/// One client, between two events.
#[derive(Clone, Debug)]
struct Client {
    /// The number of the operation that is open, or comes next.
    number: u32,
    /// The number of its first final operation.
    first_final: u32,
    attempt: u32,
    /// The open operation, as an index of the history.
    open: Option<usize>,
    /// Whether a request for it may have been carried out, for all that the client knows.
    may_have_happened: bool,
    /// Who answered last, or was named as the one to ask.
    favourite: Option<NodeId>,
    done: bool,
}

/// All clients of a run, and the history that they record.
pub struct Clients<I, O> {
    policy: ClientPolicy,
    generate: Generate<I, O>,
    nodes: usize,
    /// Operations that are left out.
    skip: BTreeSet<OperationId>,
    /// When an operation is called and whom it asks first, if not as its client decides.
    calls: BTreeMap<OperationId, Call>,
    clients: Vec<Client>,
    running: usize,
    history: History<I, O>,
    /// For each operation of the history, its name in the workload.
    names: Vec<OperationId>,
    /// For each operation of the history, whom it asked first.
    asked: Vec<NodeId>,
    completed: u64,
}

impl<I, O> Clients<I, O> {
    /// So many clients, before a cluster of so many nodes.
    pub fn new(
        policy: ClientPolicy,
        generate: Generate<I, O>,
        (nodes, clients): (usize, usize),
    ) -> Self {
        let client = Client {
            number: 0,
            first_final: policy.operations.unwrap_or(u32::MAX),
            attempt: 0,
            open: None,
            may_have_happened: false,
            favourite: None,
            done: false,
        };
        Self {
            policy,
            generate,
            nodes,
            skip: BTreeSet::new(),
            calls: BTreeMap::new(),
            clients: vec![client; clients],
            running: clients,
            history: History::new(),
            names: Vec::new(),
            asked: Vec::new(),
            completed: 0,
        }
    }

    /// Leaves operations out.
    #[must_use]
    pub fn without(mut self, skip: BTreeSet<OperationId>) -> Self {
        self.skip = skip;
        self
    }

    /// Calls operations at other times, and asks other nodes first, than their clients decide.
    #[must_use]
    pub fn called(mut self, calls: BTreeMap<OperationId, Call>) -> Self {
        self.calls = calls;
        self
    }

    /// From here on every operation is called as its client decides.
    pub fn decide_calls(&mut self) {
        self.calls.clear();
    }

    /// The faults have stopped: each client ends the operation that it is at, and begins with its
    /// final ones. For worlds in which nobody knows beforehand how many come before those.
    pub fn end_faults(&mut self, now: Time) {
        self.policy.final_at = now;
        for client in &mut self.clients {
            let next = client.number + u32::from(client.open.is_some());
            client.first_final = client.first_final.min(next);
        }
    }

    /// True when every client has run all its operations.
    pub fn is_done(&self) -> bool {
        self.running == 0
    }

    /// The history so far.
    pub fn history(&self) -> &History<I, O> {
        &self.history
    }

    /// The history so far, to be judged in part, and put back as it was.
    pub(crate) fn history_mut(&mut self) -> &mut History<I, O> {
        &mut self.history
    }

    /// What was answered so far: its name, what was asked, and the answer.
    pub(crate) fn told(&self) -> impl Iterator<Item = (OperationId, &Operation<I, O>, &O)> {
        let named = self.names.iter().copied().zip(&self.history.operations);
        named.filter_map(|(name, one)| Some((name, one, one.outcome.output()?)))
    }

    /// The history, and the name of each of its operations.
    pub fn into_history(self) -> (History<I, O>, Vec<OperationId>) {
        (self.history, self.names)
    }

    /// How many operations completed.
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// The name of an operation of the history.
    pub fn name(&self, operation: usize) -> OperationId {
        self.names[operation]
    }

    /// Whether an answer to the operation with this number would be one to its client's open
    /// operation. Others are late: it was given up, or answered before.
    pub fn expects(&self, client: ClientId, number: u32) -> bool {
        let client = &self.clients[client.index()];
        client.open.is_some() && client.number == number
    }

    /// When each operation was called and whom it asked first, in the order of the calls.
    pub fn calls(&self) -> impl Iterator<Item = (OperationId, Call)> {
        let called = self.history.operations.iter().map(|one| Time::from_nanos(one.call));
        let calls = called.zip(&self.asked).map(|(at, asks)| Call { at, asks: *asks });
        self.names.iter().copied().zip(calls)
    }

    /// Who waits for what, for a run that does not come to its end.
    pub fn waiting(&self) -> Vec<String> {
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

/// One step of one client: what it may look at, and where it puts what it wants done.
struct Step<'a> {
    id: ClientId,
    now: Time,
    draws: &'a mut Draws,
    actions: &'a mut Vec<Action>,
}

impl<I, O> Clients<I, O> {
    /// Something happened to a client; what it wants done then is added to `actions`. Nothing more
    /// will happen to a client that wants nothing and waits for nothing: it is done.
    ///
    /// `now` must not be earlier than it was for any client before, and `draws` are those of the
    /// run, which decide all that is not written down.
    #[inline]
    pub fn handle(
        &mut self,
        client: ClientId,
        now: Time,
        event: Event<O>,
        draws: &mut Draws,
        actions: &mut Vec<Action>,
    ) {
        let mut step = Step { id: client, now, draws, actions };
        match event {
            Event::Started => self.next(&mut step),
            Event::Fired(Waiting::Think) => self.call(&mut step),
            Event::Fired(waiting) => {
                let client = &mut self.clients[client.index()];
                if waiting == Waiting::Answer {
                    client.favourite = None;
                    client.may_have_happened = true;
                }
                self.ask_again(&mut step);
            }
            Event::Answered { from, number, reply } => {
                if self.expects(client, number) {
                    self.answered(from, reply, &mut step);
                }
            }
            Event::Lost { may_have_arrived } => {
                let client = &mut self.clients[client.index()];
                client.favourite = None;
                client.may_have_happened |= may_have_arrived;
                step.actions.push(Action::CancelTimer(Waiting::Answer));
                step.actions.push(Action::SetTimer(Waiting::Retry, self.policy.retry_after));
            }
        }
    }

    /// Goes to the next operation that is not left out, and waits as long as a client thinks.
    fn next(&mut self, step: &mut Step<'_>) {
        let client = &mut self.clients[step.id.index()];
        while self.skip.contains(&OperationId { client: step.id, number: client.number }) {
            client.number += 1;
        }
        let nth_final = client.number.checked_sub(client.first_final);
        if nth_final.is_some_and(|nth| nth >= self.policy.final_operations) {
            return self.end(step);
        }
        let mut draw = step.draws.at(Site::Client(step.id), address(client.number, 0));
        let mut pause = self.policy.think.sample(&mut draw);
        if nth_final.is_some() {
            pause = pause + self.policy.final_at.since(step.now);
        }
        if let Some(call) = self.calls.get(&OperationId { client: step.id, number: client.number })
        {
            pause = call.at.since(step.now);
        }
        step.actions.push(Action::SetTimer(Waiting::Think, pause));
    }

    fn end(&mut self, step: &Step<'_>) {
        self.clients[step.id.index()].done = true;
        self.running -= 1;
    }

    /// Calls the operation: from here on it is in the history.
    fn call(&mut self, step: &mut Step<'_>) {
        let client = &mut self.clients[step.id.index()];
        let phase = match client.number.checked_sub(client.first_final) {
            None => Phase::Faults,
            Some(nth) if nth < self.policy.final_operations => {
                Phase::Final { nth, of: self.policy.final_operations }
            }
            // The faults ended while it thought.
            Some(_) => return self.end(step),
        };
        let invocation = Invocation { client: step.id, number: client.number, phase };
        let (site, first) = (Site::Client(step.id), address(client.number, 1));
        let past = Past::of(step.id, &self.history);
        let mut choices = Choices::new(step.draws, site, first);
        let input = (self.generate)(invocation, &past, &mut choices);
        let operation = self.history.invoke(step.id.index() as u32, step.now.as_nanos(), input);
        let client = &mut self.clients[step.id.index()];
        client.open = Some(operation);
        (client.attempt, client.may_have_happened) = (0, false);
        self.names.push(invocation.id());
        self.ask(step);
    }

    /// Asks a node: the favourite if there is one, else any.
    fn ask(&mut self, step: &mut Step<'_>) {
        let client = &mut self.clients[step.id.index()];
        let Some(operation) = client.open else { return };
        client.attempt += 1;
        let tries = u64::from(client.attempt);
        let k = 1 + tries.min(DRAWS - 2);
        let mut draw = step.draws.at(Site::Client(step.id), address(client.number, k));
        let any = whom(draw.below(self.nodes as u32), client.attempt, self.nodes);
        let name = OperationId { client: step.id, number: client.number };
        let first = client.attempt == 1;
        let told = self.calls.get(&name).map(|call| call.asks).filter(|_| first);
        let told = told.filter(|node| node.index() < self.nodes);
        let node = told.or(client.favourite).unwrap_or(any);
        if first {
            self.asked.push(node);
        }
        step.actions.push(Action::Ask { node, operation });
        step.actions.push(Action::SetTimer(Waiting::Answer, self.policy.patience));
    }

    fn answered(&mut self, from: NodeId, reply: Reply<O>, step: &mut Step<'_>) {
        let client = &mut self.clients[step.id.index()];
        let Some(open) = client.open else { return };
        match reply {
            Reply::Done(output) => {
                client.favourite = Some(from);
                self.history.complete(open, step.now.as_nanos(), output);
                self.completed += 1;
                self.close(step);
            }
            Reply::Failed => {
                self.history.fail(open, step.now.as_nanos());
                self.close(step);
            }
            Reply::Elsewhere(hint) => {
                client.favourite = hint.filter(|hint| *hint != from);
                client.may_have_happened |= !self.policy.at_most_once;
                // Not at once: two nodes that name each other would keep the client busy for ever.
                step.actions.push(Action::SetTimer(Waiting::Retry, self.policy.retry_after));
            }
        }
    }

    /// Asks again, unless it is to be given up.
    fn ask_again(&mut self, step: &mut Step<'_>) {
        let client = &self.clients[step.id.index()];
        let patient = self.policy.must_complete && client.first_final <= client.number;
        let may_ask = !(self.policy.at_most_once && client.may_have_happened);
        if may_ask && (client.attempt < self.policy.attempts || patient) {
            return self.ask(step);
        }
        if let Some(open) = client.open.filter(|_| !client.may_have_happened) {
            self.history.fail(open, step.now.as_nanos());
        }
        self.close(step);
    }

    /// The open operation is over, one way or another.
    fn close(&mut self, step: &mut Step<'_>) {
        let client = &mut self.clients[step.id.index()];
        client.open = None;
        client.number += 1;
        step.actions.push(Action::CancelTimer(Waiting::Answer));
        step.actions.push(Action::CancelTimer(Waiting::Retry));
        self.next(step);
    }
}

/// The index of a decision about an operation.
fn address(number: u32, k: u64) -> u64 {
    u64::from(number) * DRAWS + k
}

/// What the draw of a client at this index decides, in words.
pub(crate) fn subject(client: ClientId, index: u64) -> String {
    let (begin, nth) = Choices::begin(index);
    let operation = OperationId { client, number: (begin / DRAWS) as u32 };
    match (begin % DRAWS, nth) {
        (0, _) => format!("how long {client} waits before {operation}"),
        (1, 0) => format!("what {operation} asks"),
        (1, nth) => format!("what {operation} asks, from choice {} on", 4 * nth + 1),
        (tries, _) => format!("whom {operation} asks, at try {}", tries - 1),
    }
}

/// The node to ask, after so many attempts of an operation: the one that was drawn. There is a draw
/// for each of the first attempts; from the last of them on it goes round, since whoever asks one
/// node for ever may ask one that is gone.
fn whom(drawn: u32, attempt: u32, nodes: usize) -> NodeId {
    let undrawn = u64::from(attempt).saturating_sub(DRAWS - 2);
    NodeId::new(((u64::from(drawn) + undrawn) % nodes as u64) as u16)
}

/// The timers of one client, for a world that has none of its own.
#[derive(Clone, Debug, Default)]
pub struct Timers(BTreeMap<Waiting, Time>);

impl Timers {
    /// No timer runs.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Carries out what a client wants at `now`; if that is to ask, it says whom and for what.
    pub fn take(&mut self, now: Time, actions: &[Action]) -> Option<(NodeId, usize)> {
        let mut asks = None;
        for action in actions {
            match *action {
                Action::Ask { node, operation } => asks = Some((node, operation)),
                Action::SetTimer(waiting, after) => drop(self.0.insert(waiting, now + after)),
                Action::CancelTimer(waiting) => drop(self.0.remove(&waiting)),
            }
        }
        asks
    }

    /// The timer that fires next, and when; `None`: its client is done.
    pub fn next(&self) -> Option<(Time, Waiting)> {
        self.0.iter().map(|(waiting, at)| (*at, *waiting)).min()
    }

    /// It has fired.
    pub fn fired(&mut self, waiting: Waiting) {
        self.0.remove(&waiting);
    }
}

#[cfg(test)]
mod tests;
