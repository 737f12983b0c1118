//! What the world does to a node: strangers on the wire, and a disk without room.

use super::{Cluster, PATIENCE, raft_ask, raft_config, run};
use super::{get, put};
use seedfall::sim::wal::Storage;
use seedfall::sim::{ClientId, NodeId, Seed};
use seedfall_protocols::kv::Answer;
use seedfall_protocols::raft::{Raft, Request};
use seedfall_real::driver::{Client, Files, Journal, Setup, Stopped, start, who_is};
use std::io;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

/// A folder with room for so many bytes more.
struct Full(Files, usize);

impl Storage for Full {
    type Error = io::Error;
    fn list(&mut self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn read(&mut self, file: &str) -> io::Result<Vec<u8>> {
        self.0.read(file)
    }
    fn create(&mut self, file: &str) -> io::Result<()> {
        self.0.create(file)
    }
    fn write(&mut self, file: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.1 = self.1.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        self.0.write(file, offset, bytes)
    }
    fn truncate(&mut self, file: &str, length: u64) -> io::Result<()> {
        self.0.truncate(file, length)
    }
    fn sync(&mut self, file: &str) -> io::Result<()> {
        self.0.sync(file)
    }
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&mut self, file: &str) -> io::Result<()> {
        self.0.remove(file)
    }
    fn sync_dir(&mut self) -> io::Result<()> {
        self.0.sync_dir()
    }
}

#[test]
fn a_full_disk_stops_a_node_with_a_reason() {
    run(async {
        let place = tempfile::tempdir().expect("a folder");
        // A new journal takes 4,156.
        let files = Full(Files::new(place.path()).expect("room"), 4_156 + 150);
        let (journal, opened) = Journal::open(files).expect("an empty journal");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let peers = vec![listener.local_addr().expect("it is bound")];
        let setup = Setup {
            protocol: "raft",
            id: NodeId::new(0),
            peers,
            config: raft_config(),
            seed: Seed(1),
        };
        // Alone, it elects itself, and writes that down.
        let mut running = start::<Raft, _>(setup, listener, journal, opened.records, None);
        let ended = timeout(PATIENCE, running.ended()).await.expect("it stops");
        let Err(Stopped::Journal(why)) = &ended else { panic!("{ended:?}") };
        assert!(why.starts_with("journal: ") && why.ends_with(": no storage space"), "{why}");
        let told = ended.expect_err("it stopped").to_string();
        assert!(told.contains("make room on it"), "{told}");
    });
}

#[test]
fn strangers_on_the_wire_are_refused_and_harm_nothing() {
    run(async {
        let mut cluster = Cluster::<Raft>::new("raft", raft_config(), 3).await;
        let mut client = Client::new(ClientId::new(0), cluster.peers.clone());
        assert_eq!(raft_ask(&mut client, 1, put("1")).await, Answer::Done);
        // Bytes that are no frame: the connection is closed.
        let mut stranger = TcpStream::connect(cluster.peers[0]).await.expect("it listens");
        stranger.write_all(&[0xFF; 4_096]).await.expect("it takes them");
        let mut nothing = Vec::new();
        let closed = timeout(PATIENCE, stranger.read_to_end(&mut nothing)).await;
        assert!(closed.is_ok(), "it gives the stranger up");
        // A fourth node, which believes that there are four.
        let fourth = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut peers = cluster.peers.clone();
        peers.push(fourth.local_addr().expect("it is bound"));
        let place = tempfile::tempdir().expect("a folder");
        let (journal, opened) =
            Journal::open(Files::new(place.path()).expect("room")).expect("an empty journal");
        let setup = Setup {
            protocol: "raft",
            id: NodeId::new(3),
            peers,
            config: raft_config(),
            seed: Seed(9),
        };
        let fourth = start::<Raft, _>(setup, fourth, journal, opened.records, None);
        let deadline = Instant::now() + PATIENCE;
        let first = cluster.running[0].as_ref().expect("it is up");
        while first.status().await.expect("it is up").refused < 2 {
            assert!(Instant::now() < deadline, "the fourth node is refused");
            sleep(std::time::Duration::from_millis(20)).await;
        }
        let status = fourth.status().await.expect("it is up");
        assert_eq!((status.sessions, status.received), (0, 0), "nobody let it in");
        fourth.kill().await;
        assert_eq!(raft_ask(&mut client, 2, get()).await, Answer::Value(Some("1".into())));
        let welcome = who_is(cluster.peers[1], ClientId::new(1)).await.expect("it is up");
        assert_eq!((welcome.protocol.as_str(), welcome.node.to_string()), ("raft", "n2".into()));
        cluster.stop().await;
    });
}

#[test]
fn the_end_of_an_old_connection_does_not_silence_a_new_one() {
    run(async {
        let mut cluster = Cluster::<Raft>::new("raft", raft_config(), 3).await;
        let leader = cluster.leader().await;
        let new = || Client::<Raft>::new(ClientId::new(0), cluster.peers.clone());
        let (mut old, mut fresh) = (new(), new());
        let ask = async |client: &mut Client<Raft>, number| {
            let request = Request::Command { sequence: u64::from(number), command: get() };
            client.ask(leader, number, &request, PATIENCE).await
        };
        assert!(ask(&mut old, 1).await.is_ok());
        assert!(ask(&mut fresh, 2).await.is_ok(), "answers go to whoever connected last");
        drop(old);
        // The node has noticed when it has answered somebody else a few times.
        for number in 3..20 {
            assert!(ask(&mut fresh, number).await.is_ok(), "request {number}");
        }
        cluster.stop().await;
    });
}
