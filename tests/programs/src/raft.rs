//! The project's own Raft over its driver, as it runs for real: three processes of tokio with TCP
//! between them and a journal in files each, unmodified.
//!
//! The right ones write to their files through the driver's [`Files`]; the wrong ones through files
//! whose `sync` does nothing, as some disks and some settings do. A journal that a crash damaged
//! is refused, so that most of what is lost stops a server; what is looked for is the rest, of
//! which clients hear: a server that forgot its vote or its log, and does not know.

use seedfall::checkers::models::{Kv, KvInput as In, KvOutput as Out};
use seedfall::programs::{Answer, Program, Programs, Session};
use seedfall::{Expect, Horizon, NEVER_PANICS, Swarm, every_operation_completes, linearizable};
use seedfall_protocols::kv::{self, Command};
use seedfall_protocols::raft::{Config, Raft, Request, Response};
use seedfall_real::driver::{AskError, Client, Files, Journal, Setup, start};
use seedfall_sim::wal::Storage;
use seedfall_sim::{ClientId, Duration as Span, NodeId, Seed};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;
use tokio::net::TcpListener;

type Input = In<&'static str, String>;
type Output = Out<String>;

const NAMES: [&str; 3] = ["raft1", "raft2", "raft3"];

/// How often a client asks before it gives up.
const ATTEMPTS: usize = 20;

fn peers() -> Vec<SocketAddr> {
    let address = |name: &str| (name, 7000).to_socket_addrs().ok()?.next();
    NAMES.into_iter().filter_map(address).collect()
}

/// A node's `main`.
#[tokio::main(flavor = "current_thread")]
async fn serve(place: usize, syncs: bool) -> Result<(), Box<dyn std::error::Error>> {
    let (peers, id) = (peers(), NodeId::new(place as u16));
    let listener = TcpListener::bind(("0.0.0.0", 7000)).await?;
    let disk = Disk { files: Files::new("journal")?, syncs };
    let (journal, opened) = match Journal::open(disk) {
        Ok(both) => both,
        // It is as if the server were lost for good: Raft permits that of one.
        Err(_) if !syncs => return Ok(()),
        Err(error) => return Err(error.to_string().into()),
    };
    let seed = Seed(RandomState::new().build_hasher().finish());
    let setup = Setup { protocol: "raft", id, peers, config: Config::PAPER, seed };
    let mut running = start::<Raft, _>(setup, listener, journal, opened.records, None);
    Ok(running.ended().await?)
}

/// The driver's files, which may take a sync for done that is not.
struct Disk {
    files: Files,
    syncs: bool,
}

impl Storage for Disk {
    type Error = <Files as Storage>::Error;

    fn list(&mut self) -> Result<Vec<String>, Self::Error> {
        self.files.list()
    }
    fn read(&mut self, file: &str) -> Result<Vec<u8>, Self::Error> {
        self.files.read(file)
    }
    fn create(&mut self, file: &str) -> Result<(), Self::Error> {
        self.files.create(file)
    }
    fn write(&mut self, file: &str, offset: u64, bytes: &[u8]) -> Result<(), Self::Error> {
        self.files.write(file, offset, bytes)
    }
    fn truncate(&mut self, file: &str, length: u64) -> Result<(), Self::Error> {
        self.files.truncate(file, length)
    }
    fn sync(&mut self, file: &str) -> Result<(), Self::Error> {
        if self.syncs { self.files.sync(file) } else { Ok(()) }
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<(), Self::Error> {
        self.files.rename(from, to)
    }
    fn remove(&mut self, file: &str) -> Result<(), Self::Error> {
        self.files.remove(file)
    }
    fn sync_dir(&mut self) -> Result<(), Self::Error> {
        if self.syncs { self.files.sync_dir() } else { Ok(()) }
    }
}

/// A client, which asks whom it is told to ask, or whoever is next, under the same number.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<Input, Output>) {
    let mut client = Client::<Raft>::new(ClientId::new(session.client() as u16), peers());
    let (mut node, mut number) = (session.client() % NAMES.len(), 0);
    while let Some(input) = session.next().await {
        number += 1;
        let request = Request::Command { sequence: number, command: command(&input) };
        let mut answer = Answer::Failed;
        for _ in 0..ATTEMPTS {
            let asked = NodeId::new(node as u16);
            let patience = Duration::from_millis(300);
            match client.ask(asked, number as u32, &request, patience).await {
                Ok(Response::Done(done)) => {
                    answer = Answer::Ok(output(done));
                    break;
                }
                Ok(Response::NotLeader { leader: Some(leader) }) => node = leader.index(),
                Ok(_) | Err(AskError::Unreachable(_)) => node = (node + 1) % NAMES.len(),
                Err(AskError::Silent(_) | AskError::Unreadable(_)) => {
                    answer = Answer::Indeterminate;
                    node = (node + 1) % NAMES.len();
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        session.answer(answer);
    }
}

fn command(input: &Input) -> Command {
    match input {
        In::Put { key, value } => Command::Put { key: (*key).into(), value: value.into() },
        other => Command::Get { key: (*other.key()).into() },
    }
}

fn output(answer: kv::Answer) -> Output {
    match answer {
        kv::Answer::Value(value) => Out::Value(value.map(Into::into)),
        _ => Out::Done,
    }
}

fn scenario(name: &'static str, syncs: bool) -> Programs<Input, Output> {
    let node = |place: usize| {
        let main = move || serve(place, syncs).expect("the node runs until it is stopped");
        Program::new(NAMES[place], main)
    };
    Programs {
        story: "Three processes of Raft over TCP and files keep two keys for two clients.",
        nodes: (0..NAMES.len()).map(node).collect(),
        operations: 6,
        faults: Swarm::ALL,
        ..Programs::new(
            name,
            |op, draw| {
                let key = ["x", "y"][draw.below(2) as usize];
                match draw.below(2) {
                    0 => In::Get { key },
                    _ => In::Put { key, value: op.unique().to_string() },
                }
            },
            client,
        )
    }
}

/// As it runs for real.
pub fn right() -> Programs<Input, Output> {
    Programs {
        properties: vec![linearizable(Kv::new()), every_operation_completes()],
        ..scenario("raft", true)
    }
}

/// Over files that are never synced.
pub fn unsynced() -> Programs<Input, Output> {
    let because = "a server must have its vote and its log on stable storage before it answers \
                   (Raft, figure 2)";
    Programs {
        properties: vec![linearizable(Kv::new())],
        // Servers notice some of it: an entry that was committed is another one.
        expect: Expect::Violates { properties: &["linearizable", NEVER_PANICS], because },
        // Servers of which one forgot what the other was told talk without an end.
        horizon: Horizon { settle: Span::secs(1), ..Horizon::SHORT },
        ..scenario("raft-unsynced", false)
    }
}
