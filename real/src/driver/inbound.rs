//! What reaches this node: connections of other nodes and of clients.

use super::frame::{self, Frame, FrameError, Kind};
use super::link::{ALIVE_EVERY, CONNECT_WITHIN, SILENCE};
use super::node::Mail;
use super::{Counters, Deployable, Tasks, count};
use seedfall_sim::{Address, ClientId, Input, NodeId, RequestId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{ReadHalf, WriteHalf, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// How many answers wait for one client at most; one more is lost.
const ANSWERS: usize = 64;

/// Who opens a connection, and for what.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Hello {
    /// What it runs; a client need not know.
    pub(super) protocol: Option<String>,
    pub(super) from: Address,
    /// Whom it means to reach; a client need not know.
    pub(super) to: Option<NodeId>,
    /// How large it believes the cluster to be.
    pub(super) nodes: Option<usize>,
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Welcome {
    /// What it runs.
    pub protocol: String,
    /// Which node it is.
    pub node: NodeId,
    /// How many nodes its cluster has.
    pub nodes: usize,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Status {
    /// Whether it leads, in whatever sense its protocol has.
    pub leads: bool,
    /// How long its process has run, in nanoseconds.
    pub up: u64,
    /// Messages handed to connections.
    pub sent: u64,
    /// Messages that a full queue pushed out.
    pub dropped: u64,
    /// Messages that arrived.
    pub received: u64,
    /// Connections to other nodes that were made.
    pub sessions: u64,
    /// Connections that were given up for what came over them.
    pub refused: u64,
    /// Answers whose client was gone.
    pub unanswered: u64,
}

/// Says hello on a new connection, and reads what comes back.
pub(super) async fn greet(
    stream: TcpStream,
    hello: &Hello,
    session: u64,
) -> Result<(ReadHalf<TcpStream>, WriteHalf<TcpStream>, Welcome), String> {
    // Small messages must not wait for larger ones.
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (mut reader, mut writer) = split(stream);
    let body = serde_json::to_vec(hello).map_err(|error| error.to_string())?;
    let answer = async {
        frame::write(&mut writer, Kind::Hello, session, 0, &body).await?;
        frame::read(&mut reader).await
    };
    match timeout(CONNECT_WITHIN, answer).await {
        Err(_) => Err("it does not answer".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(Some(Frame { kind: Kind::Welcome, body, .. }))) => {
            let welcome = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
            Ok((reader, writer, welcome))
        }
        Ok(Ok(Some(Frame { kind: Kind::Refused, body, .. }))) => {
            Err(format!("refused: {}", String::from_utf8_lossy(&body)))
        }
        Ok(Ok(_)) => Err("it closed the connection".to_owned()),
    }
}

/// Who listens, and where what arrives goes.
pub(super) struct Inbound<P: Deployable> {
    pub(super) here: Welcome,
    pub(super) mail: mpsc::Sender<Mail<P>>,
    pub(super) counters: Arc<Counters>,
}

impl<P: Deployable> Clone for Inbound<P> {
    fn clone(&self) -> Self {
        let (here, mail) = (self.here.clone(), self.mail.clone());
        Self { here, mail, counters: Arc::clone(&self.counters) }
    }
}

impl<P: Deployable> Inbound<P> {
    /// Takes connections, for ever.
    pub(super) async fn run(self, listener: TcpListener) {
        let mut connections = Tasks::default();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => connections.add(tokio::spawn(self.clone().serve(stream))),
                Err(error) => {
                    // As when there are too many open files: it may get better.
                    tracing::warn!("{}: cannot take a connection: {error}", self.here.node);
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn serve(self, stream: TcpStream) {
        if let Err(why) = self.connection(stream).await {
            count(&self.counters.refused);
            tracing::warn!("{}: a connection was given up: {why}", self.here.node);
        }
    }

    /// One connection, to its end.
    async fn connection(&self, stream: TcpStream) -> Result<(), String> {
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (mut reader, mut writer) = split(stream);
        let first = timeout(CONNECT_WITHIN, frame::read(&mut reader)).await;
        let Ok(Ok(Some(Frame { kind: Kind::Hello, session, body, .. }))) = first else {
            return match first {
                // Somebody looked whether the port is open.
                Ok(Ok(None)) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Ok(Ok(Some(_))) => Err("it does not begin with a hello".to_owned()),
                Err(_) => Err("it says nothing".to_owned()),
            };
        };
        let hello = serde_json::from_slice(&body).map_err(|error| format!("hello: {error}"));
        let hello: Hello = match hello.and_then(|hello| self.admit(hello)) {
            Ok(hello) => hello,
            Err(why) => {
                let _ = frame::write(&mut writer, Kind::Refused, session, 0, why.as_bytes()).await;
                return Err(why);
            }
        };
        let body = serde_json::to_vec(&self.here).map_err(|error| error.to_string())?;
        let answered = frame::write(&mut writer, Kind::Welcome, session, 0, &body).await;
        answered.map_err(|error| error.to_string())?;
        match (hello.from.node(), hello.from.client()) {
            (Some(from), _) => self.peer(from, session, reader, writer).await,
            (None, Some(client)) => self.client(client, session, reader, writer).await,
            (None, None) => unreachable!("an address is a node's or a client's"),
        }
    }

    /// Whether who opens the connection belongs here.
    fn admit(&self, hello: Hello) -> Result<Hello, String> {
        let Welcome { protocol, node, nodes } = &self.here;
        if let Some(to) = hello.to.filter(|to| to != node) {
            return Err(format!("{} looks for {to}, and this is {node}: see --peers", hello.from));
        }
        if let Some(other) = hello.protocol.as_ref().filter(|other| *other != protocol) {
            return Err(format!("{} runs {other}, and {node} runs {protocol}", hello.from));
        }
        if let Some(count) = hello.nodes.filter(|count| count != nodes) {
            return Err(format!("{} has {count} peers, and {node} has {nodes}", hello.from));
        }
        match hello.from.node() {
            Some(from) if from == *node => Err(format!("there is another {node}")),
            Some(from) if from.index() >= *nodes => {
                Err(format!("{from} is an unknown peer: here are n1 to n{nodes}"))
            }
            _ => Ok(hello),
        }
    }

    /// What another node sends, in the order in which it was sent.
    async fn peer(
        &self,
        from: NodeId,
        session: u64,
        mut reader: ReadHalf<TcpStream>,
        writer: WriteHalf<TcpStream>,
    ) -> Result<(), String> {
        let mut tasks = Tasks::default();
        tasks.add(tokio::spawn(stay_alive(writer, session)));
        let mut expected = 0;
        loop {
            let frame = match timeout(SILENCE, frame::read(&mut reader)).await {
                Ok(Ok(Some(frame))) => frame,
                // It closed the connection, its process is gone, or the wire between is.
                Ok(Ok(None) | Err(FrameError::Io(_))) | Err(_) => return Ok(()),
                Ok(Err(error)) => return Err(format!("{from}: {error}")),
            };
            if frame.kind == Kind::Alive {
                continue;
            }
            if (frame.kind, frame.session, frame.sequence) != (Kind::Message, session, expected) {
                return Err(format!("{from}: message {expected} of its session is not what came"));
            }
            expected += 1;
            let message = serde_json::from_slice(&frame.body)
                .map_err(|error| format!("{from}: a message that cannot be understood: {error}"))?;
            count(&self.counters.received);
            if self.mail.send(Mail::Input(Input::Message(from, message))).await.is_err() {
                return Ok(());
            }
        }
    }

    /// What a client asks.
    async fn client(
        &self,
        client: ClientId,
        session: u64,
        mut reader: ReadHalf<TcpStream>,
        writer: WriteHalf<TcpStream>,
    ) -> Result<(), String> {
        let (answers, waiting) = mpsc::channel(ANSWERS);
        let mut tasks = Tasks::default();
        tasks.add(tokio::spawn(answer(writer, session, waiting)));
        let connection = self.counters.clients.fetch_add(1, Ordering::Relaxed);
        let _ = self.mail.send(Mail::Client(client, connection, answers.clone())).await;
        let ended = loop {
            let Frame { kind, sequence, body, .. } = match frame::read(&mut reader).await {
                Ok(Some(frame)) => frame,
                Ok(None) | Err(FrameError::Io(_)) => break Ok(()),
                Err(error) => break Err(format!("{client}: {error}")),
            };
            match kind {
                Kind::Status => {
                    let (reply, status) = oneshot::channel();
                    let _ = self.mail.send(Mail::Status(reply)).await;
                    let body =
                        status.await.ok().and_then(|status| serde_json::to_vec(&status).ok());
                    let _ = answers.send((Kind::Status, sequence, body.unwrap_or_default())).await;
                }
                Kind::Request => {
                    let number = sequence as u32;
                    let request = RequestId { client, number };
                    let body = match serde_json::from_slice(&body) {
                        Ok(body) => body,
                        Err(error) => break Err(format!("{client}: a bad request: {error}")),
                    };
                    let _ = self.mail.send(Mail::Input(Input::Request(request, body))).await;
                }
                _ => break Err(format!("{client}: {kind:?} is nothing that a client sends")),
            }
        };
        let _ = self.mail.send(Mail::Gone(client, connection)).await;
        ended
    }
}

/// Says again and again that this end is there, until the connection fails.
async fn stay_alive(mut writer: WriteHalf<TcpStream>, session: u64) {
    let mut sequence = 0;
    while frame::write(&mut writer, Kind::Alive, session, sequence, &[]).await.is_ok() {
        sequence += 1;
        sleep(ALIVE_EVERY).await;
    }
}

/// An answer on its way: what it is, to which request, and its words.
pub(super) type Answer = (Kind, u64, Vec<u8>);

/// Writes answers, until nobody has any or the connection fails.
async fn answer(
    mut writer: WriteHalf<TcpStream>,
    session: u64,
    mut waiting: mpsc::Receiver<Answer>,
) {
    while let Some((kind, number, body)) = waiting.recv().await {
        if frame::write(&mut writer, kind, session, number, &body).await.is_err() {
            return;
        }
    }
}
