//! A node's process and a client's, around the driver.

use super::{ServeOptions, Service, Told};
use crate::driver::{
    AskError, Client, Deployable, Folder, FolderError, Identity, Journal, Opened, Recorder, Setup,
    Stopped, start,
};
use seedfall_sim::{ClientId, NodeId, Seed};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal;
use tokio::time::{Instant, sleep};

/// How long a client waits for one node.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long it waits between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a node does not run.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// The arguments contradict each other.
    Usage(String),
    /// The folder cannot be used.
    Folder(FolderError),
    /// The journal cannot be read.
    Journal(String),
    /// It cannot listen there.
    Listen(SocketAddr, io::Error),
    /// The machine says no.
    Io(io::Error),
    /// It ran, and had to stop.
    Stopped(Stopped),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(why) | Self::Journal(why) => f.write_str(why),
            Self::Folder(error) => error.fmt(f),
            Self::Listen(address, error) if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "cannot listen at {address}: another process does (this node itself, perhaps): \
                 stop it, or name another port in --peers"
            ),
            Self::Listen(address, error) => write!(f, "cannot listen at {address}: {error}"),
            Self::Io(error) => error.fmt(f),
            Self::Stopped(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<FolderError> for ServeError {
    fn from(error: FolderError) -> Self {
        Self::Folder(error)
    }
}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A word from the machine, for seeds and names.
///
/// # Errors
/// The machine has none.
pub fn entropy() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(u64::from_le_bytes(bytes))
}

pub(super) fn serve<P: Deployable, I, O>(
    service: &Service<P, I, O>,
    options: ServeOptions,
    ready: &dyn Fn(&str),
) -> Result<(), ServeError> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (name, config) = (service.name, service.config.clone());
    runtime.block_on(serve_inside::<P>(name, config, options, ready))
}

async fn serve_inside<P: Deployable>(
    protocol: &'static str,
    config: P::Config,
    options: ServeOptions,
    ready: &dyn Fn(&str),
) -> Result<(), ServeError> {
    let ServeOptions { id, peers, listen, data, writes, record } = options;
    let nodes = peers.len();
    if id.index() >= nodes {
        let why = format!("unknown peer {id}: --peers names n1 to n{nodes}");
        return Err(ServeError::Usage(why));
    }
    let address = listen.unwrap_or(peers[id.index()]);
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| ServeError::Listen(address, error))?;
    let folder = Folder::open(data, &Identity::new(protocol, id, nodes))?;
    let disk = folder.journal(writes)?;
    let (journal, Opened { records, cut }) = Journal::open(disk)
        .map_err(|error| ServeError::Journal(format!("{}: {error}", folder.path().display())))?;
    let seed = Seed(entropy()?);
    let recorder = match &record {
        None => None,
        Some(path) => {
            let begun = Recorder::append(path, protocol, (id, nodes), &config, seed);
            Some(begun.map_err(|error| {
                ServeError::Usage(format!("{}: cannot record there: {error}", path.display()))
            })?)
        }
    };
    let torn = if cut > 0 { format!(", a torn tail of {cut} bytes cut") } else { String::new() };
    let (count, at) = (records.len(), listener.local_addr()?);
    let place = folder.path().display();
    ready(&format!("{id} of {nodes} runs {protocol} at {at}; {place}: {count} records{torn}"));
    let setup = Setup { protocol, id, peers, config, seed };
    let mut running = start::<P, _>(setup, listener, journal, records, recorder);
    let (interrupted, stopper) = (signal::ctrl_c(), running.stopper());
    tokio::spawn(async move {
        if interrupted.await.is_ok() {
            stopper.stop().await;
        }
    });
    #[cfg(unix)]
    {
        let mut polite = signal::unix::signal(signal::unix::SignalKind::terminate())?;
        let stopper = running.stopper();
        tokio::spawn(async move {
            polite.recv().await;
            stopper.stop().await;
        });
    }
    running.ended().await.map_err(ServeError::Stopped)
}

/// Why a client has no good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskFailed {
    /// The words make no request.
    Usage(String),
    /// It certainly did not happen.
    Refused(String),
    /// Nobody answered in time. Whether it happened, nobody knows, if it may have left.
    Silent {
        /// The last of what went wrong.
        why: String,
        /// Whether a request may have arrived somewhere.
        left: bool,
    },
}

pub(super) fn ask<P: Deployable, I, O>(
    service: &Service<P, I, O>,
    peers: &[SocketAddr],
    words: &[&str],
    client: ClientId,
    within: Duration,
) -> Result<String, AskFailed>
where
    P::Request: Sync,
{
    let silent = |error: io::Error| AskFailed::Silent { why: error.to_string(), left: false };
    let clock = clock();
    let request = (service.parse)(words, clock).map_err(AskFailed::Usage)?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(silent)?;
    let mut client = Client::<P>::new(client, peers.to_vec());
    // Upwards too, over eight years: the clock in sixteenths of a second.
    let number = (clock / 62_500_000) as u32;
    runtime.block_on(async {
        let (deadline, mut node) = (Instant::now() + within, NodeId::new(0));
        let mut failed = AskFailed::Silent { why: "no node was asked".to_owned(), left: false };
        while Instant::now() < deadline {
            let next = NodeId::new(((node.index() + 1) % peers.len()) as u16);
            match client.ask(node, number, &request, PATIENCE).await {
                Ok(response) => match (service.tell)(response) {
                    Told::Done(answer) => return Ok(answer),
                    Told::Refused(why) => return Err(AskFailed::Refused(why)),
                    Told::Elsewhere(hint) => node = hint.unwrap_or(next),
                },
                Err(AskError::Unreadable(why)) => return Err(AskFailed::Refused(why)),
                Err(error) => {
                    let before = matches!(failed, AskFailed::Silent { left: true, .. });
                    let left = before || matches!(error, AskError::Silent(_));
                    failed = AskFailed::Silent { why: format!("{node} {error}"), left };
                    node = next;
                }
            }
            sleep(PAUSE).await;
        }
        Err(failed)
    })
}

/// Nanoseconds since 2025, by the machine: a number that grows from one command to the next.
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a client's numbers must grow from process to process"
)]
fn clock() -> u64 {
    let then = std::time::UNIX_EPOCH + Duration::from_secs(1_735_689_600);
    let since = std::time::SystemTime::now().duration_since(then);
    since.map_or(1, |since| since.as_nanos() as u64)
}
