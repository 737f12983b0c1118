//! The task that owns a protocol: one input after the other, and its effects in order.

use super::frame::Kind;
use super::inbound::{Answer, Inbound, Status, Welcome};
use super::journal::{Journal, JournalError};
use super::link::{Link, Outbox};
use super::{Counters, Deployable, Recorder, Tasks, count};
use seedfall_sim::wal::Storage;
use seedfall_sim::{ClientId, Driven, Effect, Input, NodeId, Seed, Time};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// How many inputs wait for a node at most. Then connections are read no further, and senders are
/// the ones whose queues fill.
const MAILBOX: usize = 1_024;

/// Everything that a node must be told before it can start.
#[derive(Clone, Debug)]
pub struct Setup<C> {
    /// The name of the protocol: both ends of a connection must run the same.
    pub protocol: &'static str,
    /// Which node it is.
    pub id: NodeId,
    /// Where the nodes of the cluster are, n1 first; the node's own place is not used.
    pub peers: Vec<SocketAddr>,
    /// The protocol's own parameters.
    pub config: C,
    /// What decides the draws of this life, and its backoffs: to be taken from the machine, another
    /// one in each life.
    pub seed: Seed,
}

/// Why a node stopped without being asked to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stopped {
    /// Its journal or its disk failed, or has no room.
    Journal(String),
    /// What it wants to send has no form in JSON.
    Unwritable(String),
    /// What happens to it cannot be recorded.
    Recorder(String),
    /// The protocol panicked.
    Panicked(String),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(why) => write!(
                f,
                "{why}; the node has stopped here, and what it synced is safe: mend the disk (or \
                 make room on it) and start it again"
            ),
            Self::Unwritable(why) => write!(f, "a message has no form in JSON: {why}"),
            Self::Recorder(why) => write!(f, "the recording cannot be written: {why}"),
            Self::Panicked(why) => write!(f, "the protocol panicked: {why}"),
        }
    }
}

impl std::error::Error for Stopped {}

impl<E: fmt::Display> From<JournalError<E>> for Stopped {
    fn from(error: JournalError<E>) -> Self {
        Self::Journal(error.to_string())
    }
}

/// What reaches a node's task.
pub(super) enum Mail<P: Deployable> {
    /// Something for the protocol.
    Input(Input<P>),
    /// A client has a connection, with this number, over which answers go from now on.
    Client(ClientId, u64, mpsc::Sender<Answer>),
    /// That connection is over.
    Gone(ClientId, u64),
    /// Somebody asks how the node is.
    Status(oneshot::Sender<Status>),
    /// The end.
    Stop,
}

/// A node that runs. It goes on when this is dropped; [`Running::stop`] ends it, and its port is
/// free a moment later.
pub struct Running<P: Deployable> {
    mail: mpsc::Sender<Mail<P>>,
    task: JoinHandle<Result<(), Stopped>>,
}

impl<P: Deployable> fmt::Debug for Running<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

impl<P: Deployable> Running<P> {
    /// Asks it to end: everything that it has appended is made durable first.
    ///
    /// # Errors
    /// Why it had stopped before, or could not end well.
    pub async fn stop(mut self) -> Result<(), Stopped> {
        let _ = self.mail.send(Mail::Stop).await;
        self.ended().await
    }

    /// Ends it as a crash does, between two inputs: nothing more is written, and its connections
    /// break.
    pub async fn kill(self) {
        self.task.abort();
        // It says that it was aborted.
        let _ = self.task.await;
    }

    /// Waits until it stops by itself; to be asked once.
    ///
    /// # Errors
    /// Why it stopped.
    pub async fn ended(&mut self) -> Result<(), Stopped> {
        match (&mut self.task).await {
            Ok(ended) => ended,
            Err(error) => Err(Stopped::Panicked(error.to_string())),
        }
    }

    /// How it is; `None` if it has stopped.
    pub async fn status(&self) -> Option<Status> {
        let (reply, status) = oneshot::channel();
        self.mail.send(Mail::Status(reply)).await.ok()?;
        status.await.ok()
    }

    /// What asks it to end, for whoever waits for something else meanwhile.
    pub fn stopper(&self) -> Stopper<P> {
        Stopper(self.mail.clone())
    }
}

/// Asks a node to end, from another task.
pub struct Stopper<P: Deployable>(mpsc::Sender<Mail<P>>);

impl<P: Deployable> fmt::Debug for Stopper<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopper")
    }
}

impl<P: Deployable> Stopper<P> {
    /// Asks it to end, and does not wait for it.
    pub async fn stop(self) {
        // It may have ended by itself.
        let _ = self.0.send(Mail::Stop).await;
    }
}

/// Starts a node on the records of its journal; it takes connections from `listener`.
///
/// Everything that happens to it goes through one task. A sync blocks its thread, as whatever the
/// node does next must wait for it anyway: give a runtime with several nodes several threads.
///
/// # Panics
/// If the node is not one of the peers.
pub fn start<P: Deployable, S: Storage<Error: fmt::Display> + Send + 'static>(
    setup: Setup<P::Config>,
    listener: TcpListener,
    journal: Journal<S>,
    records: Vec<P::Record>,
    recorder: Option<Recorder>,
) -> Running<P> {
    let Setup { protocol, id, peers, config, seed } = setup;
    let nodes = peers.len();
    assert!(id.index() < nodes, "{id} is not one of the {nodes} peers");
    let counters = Arc::new(Counters::default());
    let (mail, mailbox) = mpsc::channel(MAILBOX);
    let mut tasks = Tasks::default();
    let here = Welcome { protocol: protocol.to_owned(), node: id, nodes };
    let inbound = Inbound { here, mail: mail.clone(), counters: Arc::clone(&counters) };
    tasks.add(tokio::spawn(inbound.run(listener)));
    let mut links = Vec::new();
    for (to, address) in NodeId::all(nodes).zip(peers) {
        let outbox = Arc::new(Outbox::default());
        links.push(Arc::clone(&outbox));
        if to != id {
            let counters = Arc::clone(&counters);
            // Not the node's own draws: what it draws must not depend on its connections.
            let seed = Seed(seed.0.rotate_left(32));
            let link = Link { protocol, from: id, to, nodes, address, seed, outbox, counters };
            tasks.add(tokio::spawn(link.run()));
        }
    }
    let node = Node {
        id,
        driven: Driven::new(id, nodes, config, seed),
        journal,
        links,
        to_itself: VecDeque::new(),
        clients: BTreeMap::new(),
        timers: Vec::new(),
        began: Instant::now(),
        counters,
        recorder,
        mailbox,
        _tasks: tasks,
    };
    Running { mail, task: tokio::spawn(node.run(records)) }
}

struct Node<P: Deployable, S: Storage> {
    id: NodeId,
    driven: Driven<P>,
    journal: Journal<S>,
    links: Vec<Arc<Outbox>>,
    /// What it sent to itself.
    to_itself: VecDeque<P::Message>,
    clients: BTreeMap<ClientId, (u64, mpsc::Sender<Answer>)>,
    /// At most one of each value.
    timers: Vec<(P::Timer, Instant)>,
    began: Instant,
    counters: Arc<Counters>,
    recorder: Option<Recorder>,
    mailbox: mpsc::Receiver<Mail<P>>,
    _tasks: Tasks,
}

impl<P: Deployable, S: Storage<Error: fmt::Display>> Node<P, S> {
    async fn run(mut self, records: Vec<P::Record>) -> Result<(), Stopped> {
        self.react(Input::Start(records))?;
        loop {
            if let Some(message) = self.to_itself.pop_front() {
                self.react(Input::Message(self.id, message))?;
                continue;
            }
            let due = self.timers.iter().map(|(_, due)| *due).min();
            if let Some(due) = due.filter(|due| *due <= Instant::now()) {
                let first = self.timers.iter().position(|(_, other)| *other == due);
                // `remove` keeps the order in which equal ones were set.
                let (timer, _) = self.timers.remove(first.expect("it is the least of them"));
                self.react(Input::Timer(timer))?;
                continue;
            }
            let mail = match due {
                None => self.mailbox.recv().await,
                Some(due) => {
                    let wait = due.saturating_duration_since(Instant::now());
                    match timeout(wait, self.mailbox.recv()).await {
                        Ok(mail) => mail,
                        Err(_) => continue,
                    }
                }
            };
            match mail {
                Some(Mail::Input(input)) => self.react(input)?,
                Some(Mail::Client(client, connection, answers)) => {
                    self.clients.insert(client, (connection, answers));
                }
                Some(Mail::Gone(client, connection)) => {
                    // Unless it has come back over another one.
                    if self.clients.get(&client).is_some_and(|(other, _)| *other == connection) {
                        self.clients.remove(&client);
                    }
                }
                Some(Mail::Status(reply)) => {
                    // Whoever asked may be gone.
                    let _ = reply.send(self.status());
                }
                Some(Mail::Stop) | None => return self.end(),
            }
        }
    }

    fn end(mut self) -> Result<(), Stopped> {
        self.journal.sync()?;
        match self.recorder.as_mut().map(Recorder::end) {
            Some(Err(error)) => Err(Stopped::Recorder(error.to_string())),
            _ => Ok(()),
        }
    }

    fn status(&self) -> Status {
        let Counters { sent, dropped, received, sessions, refused, unanswered, clients: _ } =
            &*self.counters;
        let [sent, dropped, received, sessions, refused, unanswered] =
            [sent, dropped, received, sessions, refused, unanswered]
                .map(|counter| counter.load(Ordering::Relaxed));
        let leads = self.driven.state().is_some_and(P::is_leader);
        let up = self.began.elapsed().as_nanos() as u64;
        Status { leads, up, sent, dropped, received, sessions, refused, unanswered }
    }

    /// Runs a handler, and makes its effects happen.
    fn react(&mut self, input: Input<P>) -> Result<(), Stopped> {
        let (now, wall) = (Time::from_nanos(self.began.elapsed().as_nanos() as u64), wall_clock());
        let recording = |error: std::io::Error| Stopped::Recorder(error.to_string());
        if let Some(recorder) = &mut self.recorder {
            recorder.input(&input, now, wall).map_err(recording)?;
        }
        let effects: Vec<Effect<P>> = self.driven.react(input, now, wall).collect();
        if let Some(recorder) = &mut self.recorder {
            recorder.effects(&effects, self.driven.drawn()).map_err(recording)?;
        }
        effects.into_iter().try_for_each(|effect| self.perform(effect))
    }

    fn perform(&mut self, effect: Effect<P>) -> Result<(), Stopped> {
        match effect {
            Effect::Send(to, message) => {
                if to == self.id {
                    self.to_itself.push_back(message);
                } else {
                    self.send(to, &body(&message)?);
                }
            }
            Effect::Broadcast(message) => {
                let body = body(&message)?;
                let others = NodeId::all(self.links.len()).filter(|to| *to != self.id);
                others.for_each(|to| self.send(to, &body));
            }
            Effect::Respond(request, response) => {
                let body = body(&response)?.to_vec();
                let answers = self.clients.get(&request.client);
                let answer = (Kind::Response, u64::from(request.number), body);
                // It asks again, here or elsewhere.
                if answers.is_none_or(|(_, answers)| answers.try_send(answer).is_err()) {
                    count(&self.counters.unanswered);
                }
            }
            Effect::Append(record) => self.journal.append(&record)?,
            Effect::Sync => drop(self.journal.sync()?),
            Effect::SetTimer(timer, after) => {
                self.timers.retain(|(other, _)| *other != timer);
                let after = Duration::from_nanos(after.as_nanos());
                // A timer past the end of time never rings.
                if let Some(due) = Instant::now().checked_add(after) {
                    self.timers.push((timer, due));
                }
            }
            Effect::CancelTimer(timer) => self.timers.retain(|(other, _)| *other != timer),
            Effect::Ignore(what) | Effect::Reach(what) => tracing::trace!("{}: {what}", self.id),
        }
        Ok(())
    }

    fn send(&self, to: NodeId, body: &Arc<[u8]>) {
        if self.links[to.index()].push(Arc::clone(body)) {
            count(&self.counters.dropped);
        }
    }
}

fn body(value: &impl serde::Serialize) -> Result<Arc<[u8]>, Stopped> {
    match serde_json::to_vec(value) {
        Ok(body) if body.len() <= super::frame::BODY_MAX => Ok(body.into()),
        Ok(body) => Err(Stopped::Unwritable(format!("{} bytes are too many", body.len()))),
        Err(error) => Err(Stopped::Unwritable(error.to_string())),
    }
}

/// The machine's wall clock: nanoseconds since 1970, or nothing if it shows an earlier date.
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the protocol runs for real, on the clock of the machine"
)]
fn wall_clock() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time::from_nanos(since.map_or(0, |since| since.as_nanos() as u64))
}
