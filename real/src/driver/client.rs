//! Who asks: one client, with a connection to each node that it has asked.

use super::Deployable;
use super::frame::{self, Frame, Kind};
use super::inbound::{Hello, Status, Welcome, greet};
use seedfall_sim::{ClientId, NodeId};
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// The request certainly did not leave: there is no connection.
    Unreachable(String),
    /// The request may have arrived, and may have had its effect.
    Silent(String),
    /// The request or its answer cannot be understood.
    Unreadable(String),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            Self::Silent(why) => write!(f, "does not answer: {why}"),
            Self::Unreadable(why) => write!(f, "is not understood: {why}"),
        }
    }
}

impl std::error::Error for AskError {}

struct Connection {
    reader: ReadHalf<TcpStream>,
    writer: WriteHalf<TcpStream>,
    welcome: Welcome,
}

impl Connection {
    async fn open(address: SocketAddr, from: ClientId, to: Option<NodeId>) -> Result<Self, String> {
        let connected = timeout(super::link::CONNECT_WITHIN, TcpStream::connect(address)).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(format!("{address}: {error}")),
            Err(_) => return Err(format!("{address}: no connection in time")),
        };
        let hello = Hello { protocol: None, from: from.into(), to, nodes: None };
        let greeted = greet(stream, &hello, 0).await;
        let (reader, writer, welcome) = greeted.map_err(|why| format!("{address}: {why}"))?;
        Ok(Self { reader, writer, welcome })
    }

    /// Sends something and waits for what comes back under its number.
    async fn exchange(&mut self, kind: Kind, number: u64, body: &[u8]) -> Result<Vec<u8>, String> {
        let written = frame::write(&mut self.writer, kind, 0, number, body).await;
        written.map_err(|error| error.to_string())?;
        loop {
            match frame::read(&mut self.reader).await {
                // What comes late, to an earlier request, is nothing to this one.
                Ok(Some(Frame { sequence, .. })) if sequence != number => {}
                Ok(Some(Frame { body, .. })) => return Ok(body),
                Ok(None) => return Err("the connection was closed".to_owned()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// A client of a cluster. Nothing is asked again but by whoever calls this.
pub struct Client<P> {
    id: ClientId,
    peers: Vec<SocketAddr>,
    connections: Vec<Option<Connection>>,
    protocol: PhantomData<fn() -> P>,
}

impl<P> fmt::Debug for Client<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client {} of {:?}", self.id, self.peers)
    }
}

impl<P: Deployable> Client<P> {
    /// A client with this name, of the cluster whose nodes are there, n1 first. Two clients of one
    /// name are one to the nodes: answers go to whoever connected last.
    pub fn new(id: ClientId, peers: Vec<SocketAddr>) -> Self {
        let connections = peers.iter().map(|_| None).collect();
        Self { id, peers, connections, protocol: PhantomData }
    }

    /// Asks a node, under a number of the caller's choice, and waits so long for the answer.
    ///
    /// # Errors
    /// There is none; whether the request had its effect, the error says.
    pub async fn ask(
        &mut self,
        node: NodeId,
        number: u32,
        request: &P::Request,
        patience: Duration,
    ) -> Result<P::Response, AskError> {
        let unreadable = |error: serde_json::Error| AskError::Unreadable(error.to_string());
        let body = serde_json::to_vec(request).map_err(unreadable)?;
        let (Some(address), Some(slot)) =
            (self.peers.get(node.index()), self.connections.get_mut(node.index()))
        else {
            return Err(AskError::Unreachable(format!("there is no {node}")));
        };
        // Taken out: a connection over which an exchange was broken off is never used again.
        let connection = match slot.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(*address, self.id, Some(node)).await,
        };
        let mut connection = connection.map_err(AskError::Unreachable)?;
        let exchange = connection.exchange(Kind::Request, number.into(), &body);
        let answer = match timeout(patience, exchange).await {
            Ok(answer) => answer.map_err(AskError::Silent)?,
            Err(_) => return Err(AskError::Silent(format!("nothing within {patience:?}"))),
        };
        *slot = Some(connection);
        serde_json::from_slice(&answer).map_err(unreadable)
    }
}

/// Who listens at an address.
///
/// # Errors
/// Nobody, or nobody who speaks this language.
pub async fn who_is(address: SocketAddr, client: ClientId) -> Result<Welcome, AskError> {
    let connection = Connection::open(address, client, None).await;
    Ok(connection.map_err(AskError::Unreachable)?.welcome)
}

/// Who listens at an address, and how it is.
///
/// # Errors
/// Nobody, or nobody who answers.
pub async fn status(
    address: SocketAddr,
    client: ClientId,
    patience: Duration,
) -> Result<(Welcome, Status), AskError> {
    let connection = Connection::open(address, client, None).await;
    let mut connection = connection.map_err(AskError::Unreachable)?;
    match timeout(patience, connection.exchange(Kind::Status, 0, &[])).await {
        Ok(Ok(body)) => match serde_json::from_slice(&body) {
            Ok(status) => Ok((connection.welcome, status)),
            Err(error) => Err(AskError::Unreadable(error.to_string())),
        },
        Ok(Err(why)) => Err(AskError::Silent(why)),
        Err(_) => Err(AskError::Silent(format!("nothing within {patience:?}"))),
    }
}
