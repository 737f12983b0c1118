//! A protocol for real: one node over TCP and files, by a driver that knows no protocol.
//!
//! The very value that the engine simulates runs here: one task owns it, hands it one input after
//! the other ([`seedfall_sim::Driven`]) and performs its effects in order. What the engine decides
//! by draws, the world decides now.
//!
//! ```
//! use seedfall_real::driver::{Client, Files, Journal, Setup, start};
//! use seedfall_sim::{ClientId, Context, NodeId, Protocol, RequestId, Seed};
//! use std::time::Duration;
//!
//! /// Adds up what it is told, and remembers each part.
//! struct Sum(u64);
//!
//! impl Protocol for Sum {
//!     type Config = ();
//!     type Message = ();
//!     type Timer = ();
//!     type Record = u64;
//!     type Request = u64;
//!     type Response = u64;
//!
//!     fn start(_: NodeId, (): &(), journal: &[u64], _: &mut Context<Self>) -> Self {
//!         Sum(journal.iter().sum())
//!     }
//!     fn on_message(&mut self, _: NodeId, (): (), _: &mut Context<Self>) {}
//!     fn on_timer(&mut self, (): (), _: &mut Context<Self>) {}
//!     fn on_request(&mut self, request: RequestId, part: u64, ctx: &mut Context<Self>) {
//!         self.0 += part;
//!         ctx.append(part);
//!         ctx.sync();
//!         ctx.respond(request, self.0);
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! runtime.block_on(async {
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!     let peers = vec![listener.local_addr()?];
//!     let (journal, opened) = Journal::open(Files::new(folder.path())?)?;
//!     let (id, config, seed) = (NodeId::new(0), (), Seed(1));
//!     let setup = Setup { protocol: "sum", id, peers: peers.clone(), config, seed };
//!     let node = start::<Sum, _>(setup, listener, journal, opened.records, None);
//!
//!     let mut client = Client::<Sum>::new(ClientId::new(0), peers);
//!     assert_eq!(client.ask(id, 1, &20, Duration::from_secs(5)).await?, 20);
//!     assert_eq!(client.ask(id, 2, &22, Duration::from_secs(5)).await?, 42);
//!     node.stop().await?;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! **What the driver guarantees, in the words of the model.**
//! - *Links.* `FairLoss`. A message that is sent arrives at most once in a session (one TCP
//!   connection from one node to another), and in order there. It is lost if the connection breaks
//!   before it arrives, if it waits in a full queue (the oldest goes first), or if its receiver is
//!   down; nothing is ever sent again by the driver. Across sessions there is no order: what an old
//!   connection still delivers may come after what a new one brought. Damage is noticed by a
//!   checksum and becomes loss, so bad wires are no reason for `Arbitrary`; an enemy on the wire is
//!   one, since nothing here is encrypted or signed. Keep it to networks that you trust.
//! - *Two Generals.* Who sends is never told whether it arrived, because nobody can be: a wire that
//!   loses messages gives two ends no common knowledge, however many acknowledgements they add. A
//!   protocol that must know asks again, and its receiver must bear a request that comes twice. The
//!   same holds for clients: an answer that does not come leaves the outcome open.
//! - *Nodes.* `CrashRecovery`. What was synced is read back by the recovery that the simulated disk
//!   tests ([`seedfall_sim::wal`]); effects after a sync happen after it. A disk that fails stops
//!   its node. A folder that belongs to another node, or was damaged where it was synced, keeps it
//!   from starting.
//! - *Timing.* `PartiallySynchronous` at best. The monotonic clock counts from the start of the
//!   process: it is not comparable between nodes or lives, and is never to be written down. The
//!   wall clock is the machine's.
//! - *Draws.* From a seed that the caller takes from the machine; [`Recorder`] writes it down.
//!
//! What is sent, kept and recorded is JSON: a message can be read on the wire, a record in the
//! journal, an input in a recording, at the price of bytes. So what a protocol sends needs a form
//! in JSON (keys of maps: text or numbers); what has none stops the node and says so.
//!
//! Built with `--cfg madsim` this is a simulated program: tokio is madsim's then, and the journal
//! takes any [`Storage`](seedfall_sim::wal::Storage), a simulated disk too. So there is no
//! `select!` here, whose choices madsim does not replay: who waits for two things waits for one
//! mailbox.

mod client;
mod files;
mod folder;
mod frame;
mod inbound;
mod journal;
mod link;
mod node;
mod recorder;
mod replay;

pub use client::{AskError, Client, status, who_is};
pub use files::{Buffered, Disk, Files};
pub use folder::{Folder, FolderError, Identity, Writes};
pub use inbound::{Status, Welcome};
pub use journal::{Journal, JournalError, Opened};
pub use node::{Running, Setup, Stopped, Stopper, start};
pub use recorder::{Recorder, RecordingError};
pub use replay::{Difference, End, Life, Rerun, rerun, who_recorded};

use seedfall_sim::Protocol;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinHandle;

/// A value that can be sent and kept.
pub trait Stored: Serialize + DeserializeOwned + Send + 'static {}
impl<T: Serialize + DeserializeOwned + Send + 'static> Stored for T {}

/// A protocol that can run for real: everything that leaves it can be sent and kept.
pub trait Deployable:
    Protocol<
        Config: Stored,
        Message: Stored,
        Timer: Stored,
        Record: Stored,
        Request: Stored,
        Response: Stored,
    > + Send
    + 'static
{
}

impl<P> Deployable for P
where
    P: Protocol + Send + 'static,
    P::Config: Stored,
    P::Message: Stored,
    P::Timer: Stored,
    P::Record: Stored,
    P::Request: Stored,
    P::Response: Stored,
{
}

/// What a node has done and seen since its process started.
#[derive(Debug, Default)]
struct Counters {
    /// Messages handed to connections.
    sent: AtomicU64,
    /// Messages that a full queue pushed out.
    dropped: AtomicU64,
    /// Messages that arrived.
    received: AtomicU64,
    /// Connections to other nodes that were made.
    sessions: AtomicU64,
    /// Connections that were given up for what came over them.
    refused: AtomicU64,
    /// Answers whose client was gone.
    unanswered: AtomicU64,
    /// Connections of clients so far: each is told from the next of the same client by its number.
    clients: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Tasks that end when this is dropped.
#[derive(Default)]
struct Tasks(Vec<JoinHandle<()>>);

impl Tasks {
    fn add(&mut self, task: JoinHandle<()>) {
        self.0.retain(|task| !task.is_finished());
        self.0.push(task);
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}
