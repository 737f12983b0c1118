//! Raft over the driver of `net`, the very code that runs over TCP and files, inside madsim.
//!
//! Its sockets, clocks and tasks are madsim's, its journal stands on a simulated disk: a node that
//! is killed loses what it did not sync, sector by sector, and recovers by the code that reads real
//! files.

use crate::subject::{Answer, Asks, Question, Service, Task};
use seedfall::clients::Lost;
use seedfall::sim::wal::Storage;
use seedfall::sim::{ClientId, Disk, Draws, NodeId, Seed, Site, StableHasher};
use seedfall::{OperationId, Reply};
use seedfall_protocols::kv::{self, Command};
use seedfall_protocols::raft::{Config, Raft, Request, Response};
use seedfall_real::driver::{AskError, Client, Journal, Setup, start};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;

/// A cluster and its disks.
pub struct Cluster {
    peers: Vec<SocketAddr>,
    seed: Seed,
    machines: Vec<Arc<Mutex<Machine>>>,
}

/// What outlives a node.
#[derive(Default)]
struct Machine {
    disk: Disk,
    /// How often the node was started.
    lives: u64,
}

impl Cluster {
    /// A cluster at these addresses.
    pub fn new(peers: &[SocketAddr], seed: Seed) -> Self {
        let machines = peers.iter().map(|_| Arc::default()).collect();
        Self { peers: peers.to_vec(), seed, machines }
    }
}

impl Service for Cluster {
    fn node(&self, node: usize) -> Task<'static, ()> {
        let (peers, seed) = (self.peers.clone(), self.seed);
        let machine = Arc::clone(&self.machines[node]);
        let id = NodeId::new(node as u16);
        Box::pin(async move {
            let life = {
                let mut machine = take(&machine);
                machine.lives += 1;
                if machine.lives > 1 {
                    // The kill itself leaves no time for it, and nobody looked since.
                    let mut draws = Draws::new(seed, peers.len(), 0);
                    let draw = draws.at(Site::Disk(id), machine.lives);
                    machine.disk.crash(draw);
                }
                machine.lives
            };
            let disk = Shared(machine);
            let (journal, opened) = Journal::open(disk).expect("a disk that does not fail");
            let listener = TcpListener::bind(peers[node]).await.expect("the address is free");
            let seed = Seed(StableHasher::hash(&(seed.0, node as u64, life)));
            let setup = Setup { protocol: "raft", id, peers, config: Config::PAPER, seed };
            let mut running = start::<Raft, _>(setup, listener, journal, opened.records, None);
            running.ended().await.expect("a node stops when it is killed");
        })
    }

    fn client(&self, client: ClientId) -> Box<dyn Asks> {
        Box::new(Client::<Raft>::new(client, self.peers.clone()))
    }
}

/// Longer than any client waits for one node.
const LONGEST: Duration = Duration::from_secs(60);

impl Asks for Client<Raft> {
    fn ask(
        &mut self,
        node: NodeId,
        id: OperationId,
        question: Question,
    ) -> Task<'_, Result<Reply<Answer>, Lost>> {
        let command = match question {
            Question::Get { key } => Command::Get { key: key.into() },
            Question::Put { key, value } => Command::Put { key: key.into(), value: value.into() },
        };
        let request = Request::Command { sequence: u64::from(id.number) + 1, command };
        Box::pin(async move {
            match Client::ask(self, node, id.number, &request, LONGEST).await {
                Ok(Response::Done(kv::Answer::Value(value))) => {
                    Ok(Reply::Done(Answer::Value(value.map(Into::into))))
                }
                Ok(Response::Done(_)) => Ok(Reply::Done(Answer::Done)),
                Ok(Response::NotLeader { leader }) => Ok(Reply::Elsewhere(leader)),
                Ok(_) => Ok(Reply::Elsewhere(None)),
                Err(AskError::Unreachable(_)) => Err(Lost { may_have_arrived: false }),
                Err(AskError::Silent(_) | AskError::Unreadable(_)) => {
                    Err(Lost { may_have_arrived: true })
                }
            }
        })
    }
}

fn take(machine: &Mutex<Machine>) -> MutexGuard<'_, Machine> {
    machine.lock().expect("nobody panics with a disk in hand")
}

/// A disk that outlives whoever writes to it.
struct Shared(Arc<Mutex<Machine>>);

type DiskError = <Disk as Storage>::Error;

impl Storage for Shared {
    type Error = DiskError;

    fn list(&mut self) -> Result<Vec<String>, DiskError> {
        take(&self.0).disk.list()
    }
    fn read(&mut self, file: &str) -> Result<Vec<u8>, DiskError> {
        take(&self.0).disk.read(file)
    }
    fn create(&mut self, file: &str) -> Result<(), DiskError> {
        take(&self.0).disk.create(file)
    }
    fn write(&mut self, file: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        take(&self.0).disk.write(file, offset, bytes)
    }
    fn truncate(&mut self, file: &str, length: u64) -> Result<(), DiskError> {
        take(&self.0).disk.truncate(file, length)
    }
    fn sync(&mut self, file: &str) -> Result<(), DiskError> {
        take(&self.0).disk.sync(file)
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        take(&self.0).disk.rename(from, to)
    }
    fn remove(&mut self, file: &str) -> Result<(), DiskError> {
        take(&self.0).disk.remove(file)
    }
    fn sync_dir(&mut self) -> Result<(), DiskError> {
        take(&self.0).disk.sync_dir()
    }
}
