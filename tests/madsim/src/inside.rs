//! One run inside madsim, in a process of its own: nodes, clients and a nemesis.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the clock of the standard library, which madsim makes virtual"
)]

use crate::nemesis::{Nemesis, undisturbed};
use crate::subject::{Answer, Asks, Job, Life, Question, Subject, Task, Told};
use madsim::net::NetSim;
use madsim::runtime::{Handle, Runtime};
use madsim::task::JoinHandle;
use madsim::time::{Instant, sleep_until, timeout};
use seedfall::workload::forgetful;
use seedfall::checkers::{Operation, Outcome};
use seedfall::clients::{ClientPolicy, Clients, Live, LiveClients, Lost};
use seedfall::sim::{Choices, ClientId, Draws, Duration, NodeId, Seed, StableHasher, Time};
use seedfall::{Entry, Invocation, OperationId, Reply};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration as StdDuration;

/// Runs the job on standard input, and tells its life on standard output.
pub fn main(subjects: &[Subject]) -> ExitCode {
    let job: Job = match serde_json::from_reader(std::io::stdin().lock()) {
        Ok(job) => job,
        Err(error) => {
            eprintln!("not a job: {error}");
            return ExitCode::from(2);
        }
    };
    let Some(subject) = subjects.iter().find(|subject| subject.name == job.subject) else {
        eprintln!("unknown subject `{}`", job.subject);
        return ExitCode::from(2);
    };
    let runtime = Runtime::with_seed_and_config(job.seed, undisturbed());
    let life = runtime.block_on(live(*subject, job));
    println!("{}", serde_json::to_string(&life).expect("plain data"));
    ExitCode::SUCCESS
}

const PORT: u16 = 7000;

async fn live(subject: Subject, job: Job) -> Life {
    let start = Instant::now();
    let addresses: Vec<SocketAddr> = (0..subject.budget.nodes)
        .map(|node| (IpAddr::from([10, 0, 0, node as u8 + 1]), PORT).into())
        .collect();
    let service = (subject.make)(&addresses, Seed(job.seed));
    let handle = Handle::current();
    let mut machines = Vec::new();
    for (node, address) in addresses.iter().enumerate() {
        let service = service.clone();
        let builder = handle.create_node().name(format!("n{node}")).ip(address.ip());
        machines.push(builder.init(move || service.node(node)).build().id());
    }
    let count = subject.budget.clients;
    let policy =
        ClientPolicy { final_at: Time::ZERO + job.faults + subject.settle, ..subject.clients };
    let clients = Clients::new(policy, forgetful(generate), (subject.budget.nodes, count));
    let clients = clients.without(job.skip.iter().copied().collect());
    let draws = Draws::new(Seed(job.seed), subject.budget.nodes, count);
    let clients = Arc::new(LiveClients::new(clients, draws));
    let mut tasks: Vec<JoinHandle<()>> = Vec::new();
    for client in 0..count {
        let ip = IpAddr::from([10, 0, 1, client as u8 + 1]);
        let machine = handle.create_node().name(format!("c{client}")).ip(ip).build();
        let (clients, service) = (clients.clone(), service.clone());
        tasks.push(machine.spawn(async move {
            let id = ClientId::new(client as u16);
            clients.run(id, One { asks: service.client(id), start }).await;
        }));
        machines.push(machine.id());
    }
    let mut nemesis = Nemesis::new(job.plan.clone(), subject.budget.nodes, machines);
    while let Some(at) = nemesis.next() {
        sleep_until(start + real(at)).await;
        nemesis.act();
    }
    // So long the final operations may take; one that has no answer by then is missed.
    let deadline = start + real(job.faults + subject.settle + subject.settle);
    for task in tasks {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Ok(ended) = timeout(left, task).await {
            ended.expect("a client does not panic");
        }
    }
    let clients = clients.end().expect("nobody else ends them");
    let operations = told(clients);
    let ended = start.elapsed().as_nanos() as u64;
    let messages = NetSim::current().stat().msg_count;
    let hash = StableHasher::hash(&(&job.plan, &operations, ended, messages));
    let fired = job.plan.entries.iter().map(|entry| was_felt(entry, &operations, ended)).collect();
    Life { hash, ended, messages, operations, fired, crashes: nemesis.crashes }
}

/// Reads and writes of two keys; every value is written once.
fn generate(invocation: Invocation, draw: &mut Choices<'_>) -> Question {
    let key = draw.pick(&["x", "y"]).to_string();
    match draw.below(2) {
        0 => Question::Get { key },
        _ => Question::Put { key, value: invocation.to_string() },
    }
}

/// One client: its way to the nodes, and the clock.
struct One {
    asks: Box<dyn Asks>,
    start: Instant,
}

impl Live<Question, Answer> for One {
    type Request = Question;

    fn now(&self) -> Time {
        Time::from_nanos(self.start.elapsed().as_nanos() as u64)
    }

    fn sleep_until(&self, at: Time) -> Task<'static, ()> {
        Box::pin(sleep_until(self.start + StdDuration::from_nanos(at.as_nanos())))
    }

    fn request(&self, _: OperationId, question: &Question) -> Question {
        question.clone()
    }

    async fn ask(
        &mut self,
        node: NodeId,
        operation: OperationId,
        question: Question,
    ) -> Result<Reply<Answer>, Lost> {
        self.asks.ask(node, operation, question).await
    }
}

/// The history, as it is handed out.
fn told(clients: Clients<Question, Answer>) -> Vec<Told> {
    let (history, names) = clients.into_history();
    let told = |(id, operation): (OperationId, Operation<Question, Answer>)| {
        let (returned, answer) = match operation.outcome {
            Outcome::Ok { returned, output } => (Some(returned), Some(output)),
            Outcome::Failed { returned } => (Some(returned), None),
            Outcome::Indeterminate => (None, None),
        };
        Told { id, question: operation.input, call: operation.call, returned, answer }
    };
    names.into_iter().zip(history.operations).map(told).collect()
}

/// madsim does not say which messages a fault met. So an entry counts as having had an effect if it
/// was in force while a client waited: weaker than elsewhere, where an effect is a message or a
/// node that was struck.
fn was_felt(entry: &Entry, operations: &[Told], ended: u64) -> bool {
    let (begin, end) = (entry.at.as_nanos(), (entry.at + entry.lasts).as_nanos());
    operations.iter().enumerate().any(|(place, told)| {
        // One without an answer was waited for until, at the latest, its client called the next.
        let next = operations[place + 1..].iter().find(|next| next.id.client == told.id.client);
        let until = told.returned.unwrap_or(next.map_or(ended, |next| next.call));
        told.call < end && begin < until
    })
}

fn real(span: Duration) -> StdDuration {
    StdDuration::from_nanos(span.as_nanos())
}
