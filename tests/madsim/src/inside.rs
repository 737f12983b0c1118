//! One run inside madsim, in a process of its own: nodes, clients and a nemesis.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the clock of the standard library, which madsim makes virtual"
)]

use crate::nemesis::{Nemesis, undisturbed};
use crate::subject::{Answer, Job, Life, Question, Service, Subject, Told};
use madsim::net::NetSim;
use madsim::runtime::{Handle, Runtime};
use madsim::task::JoinHandle;
use madsim::time::{Instant, sleep_until, timeout};
use seedfall::sim::{ClientId, Draws, Duration, Seed, Site, StableHasher};
use seedfall::{Entry, OperationId};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
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

/// What the clients of a run share.
struct Clients {
    subject: Subject,
    service: Arc<dyn Service>,
    seed: Seed,
    faults: Duration,
    skip: BTreeSet<OperationId>,
    start: Instant,
    history: Mutex<Vec<Told>>,
}

const PORT: u16 = 7000;

async fn live(subject: Subject, job: Job) -> Life {
    let start = Instant::now();
    let addresses: Vec<SocketAddr> = (0..subject.frame.nodes)
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
    let clients = Arc::new(Clients {
        subject,
        service,
        seed: Seed(job.seed),
        faults: job.faults,
        skip: job.skip.into_iter().collect(),
        start,
        history: Mutex::default(),
    });
    let mut tasks: Vec<JoinHandle<()>> = Vec::new();
    for client in 0..subject.frame.clients {
        let ip = IpAddr::from([10, 0, 1, client as u8 + 1]);
        let machine = handle.create_node().name(format!("c{client}")).ip(ip).build();
        tasks.push(machine.spawn(clients.clone().run(ClientId::new(client as u16))));
        machines.push(machine.id());
    }
    let mut nemesis = Nemesis::new(job.plan.clone(), subject.frame.nodes, machines);
    while let Some(at) = nemesis.next() {
        sleep_until(start + real(at)).await;
        nemesis.act();
    }
    for task in tasks {
        task.await.expect("a client does not panic");
    }
    let ended = start.elapsed().as_nanos() as u64;
    let messages = NetSim::current().stat().msg_count;
    let operations = clients.history.lock().expect("no client panics").clone();
    let hash = StableHasher::hash(&(&job.plan, &operations, ended, messages));
    let fired = job.plan.entries.iter().map(|entry| was_felt(entry, &operations)).collect();
    Life { hash, ended, messages, operations, fired, crashes: nemesis.crashes }
}

impl Clients {
    /// One client: an operation after the other.
    async fn run(self: Arc<Self>, client: ClientId) {
        let subject = self.subject;
        let mut draws = Draws::new(self.seed, subject.frame.nodes, subject.frame.clients);
        for number in 0..subject.operations + subject.closing {
            let id = OperationId { client, number };
            // By its number: what is drawn for an operation does not depend on those left out.
            let mut draw = draws.at(Site::Client(client), u64::from(number));
            let think = draw.duration(Duration::millis(5)..Duration::millis(100));
            let first = draw.below(subject.frame.nodes as u32) as usize;
            let key = ["x", "y"][draw.below(2) as usize].to_owned();
            let question = if draw.below(2) == 0 {
                Question::Get { key }
            } else {
                Question::Put { key, value: id.to_string() }
            };
            if self.skip.contains(&id) {
                continue;
            }
            if number >= subject.operations {
                sleep_until(self.start + real(self.faults + subject.settle)).await;
            }
            madsim::time::sleep(real(think)).await;
            self.ask(id, first, question).await;
        }
    }

    async fn ask(&self, id: OperationId, first: usize, question: Question) {
        let call = self.start.elapsed().as_nanos() as u64;
        let told =
            Told { id, question: question.clone(), call, returned: 0, answer: Answer::Unknown };
        let place = {
            let mut history = self.history.lock().expect("no client panics");
            history.push(told);
            history.len() - 1
        };
        let task = self.service.client(id, first, question);
        let answer = timeout(real(self.subject.settle), task).await.unwrap_or(Answer::Unknown);
        let mut history = self.history.lock().expect("no client panics");
        history[place].returned = self.start.elapsed().as_nanos() as u64;
        history[place].answer = answer;
    }
}

/// madsim does not say which messages a fault met. So an entry counts as having had an effect if it
/// was in force while a client waited: weaker than elsewhere, where an effect is a message or a
/// node that was struck.
fn was_felt(entry: &Entry, operations: &[Told]) -> bool {
    let (begin, end) = (entry.at.as_nanos(), (entry.at + entry.lasts).as_nanos());
    operations.iter().any(|told| told.call < end && begin < told.returned)
}

fn real(span: Duration) -> StdDuration {
    StdDuration::from_nanos(span.as_nanos())
}
