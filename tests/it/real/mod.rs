//! Protocols for real: nodes of this process, over TCP and files.

mod faults;
mod recordings;

use seedfall::sim::{ClientId, Duration, NodeId, Seed};
use seedfall_protocols::kv::{Answer, Command};
use seedfall_protocols::raft::{Config, Raft, Request, Response};
use seedfall_protocols::{abd, saga, two_phase_commit};
use seedfall_real::driver::{
    Client, Deployable, Disk, Files, Folder, Identity, Journal, Recorder, Running, Setup, Writes,
    start,
};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

/// How long anything may take: a busy machine is slow, and nothing else is meant by it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Runs a test on two threads: a sync blocks one.
fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("threads can be had").block_on(test);
}

/// A port below those that the machine hands out by itself: while its node is down, it must not
/// become some connection's.
async fn own_port() -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id() as u16 % 9_000 + next) % 9_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            return listener;
        }
    }
}

/// Nodes of one protocol.
struct Cluster<P: Deployable> {
    protocol: &'static str,
    config: P::Config,
    peers: Vec<SocketAddr>,
    place: tempfile::TempDir,
    running: Vec<Option<Running<P>>>,
    lives: u64,
}

impl<P: Deployable> Cluster<P> {
    /// `nodes` nodes on free ports, all of them up.
    async fn new(protocol: &'static str, config: P::Config, nodes: usize) -> Self {
        let (mut listeners, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..nodes {
            let listener = own_port().await;
            peers.push(listener.local_addr().expect("it is bound"));
            listeners.push(listener);
        }
        let place = tempfile::tempdir().expect("a folder");
        let running = (0..nodes).map(|_| None).collect();
        let mut cluster = Self { protocol, config, peers, place, running, lives: 0 };
        for (node, listener) in NodeId::all(nodes).zip(listeners) {
            cluster.start(node, listener);
        }
        cluster
    }

    fn folder(&self, node: NodeId) -> PathBuf {
        self.place.path().join(node.to_string())
    }

    fn recording(&self, node: NodeId) -> PathBuf {
        self.place.path().join(format!("{node}.recording"))
    }

    fn start(&mut self, node: NodeId, listener: TcpListener) {
        self.lives += 1;
        let (nodes, seed) = (self.peers.len(), Seed(self.lives));
        let folder = Folder::open(self.folder(node), &Identity::new(self.protocol, node, nodes));
        let disk = folder.expect("its own folder").journal(Writes::Direct).expect("room");
        let (journal, opened) = Journal::open(disk).expect("a whole journal");
        let path = self.recording(node);
        let recorder = Recorder::append(&path, self.protocol, (node, nodes), &self.config, seed);
        let setup = Setup {
            protocol: self.protocol,
            id: node,
            peers: self.peers.clone(),
            config: self.config.clone(),
            seed,
        };
        let recorder = Some(recorder.expect("room"));
        let running = start(setup, listener, journal, opened.records, recorder);
        self.running[node.index()] = Some(running);
    }

    async fn restart(&mut self, node: NodeId) {
        let deadline = Instant::now() + PATIENCE;
        // Its last listener is closed a moment after its end.
        let listener = loop {
            match TcpListener::bind(self.peers[node.index()]).await {
                Ok(listener) => break listener,
                Err(error) => assert!(Instant::now() < deadline, "its own port: {error}"),
            }
            sleep(std::time::Duration::from_millis(20)).await;
        };
        self.start(node, listener);
    }

    async fn kill(&mut self, node: NodeId) {
        self.running[node.index()].take().expect("it is up").kill().await;
    }

    async fn stop(&mut self) {
        for running in &mut self.running {
            if let Some(running) = running.take() {
                running.stop().await.expect("a clean end");
            }
        }
    }

    /// The node that leads, once there is one.
    async fn leader(&self) -> NodeId {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for (node, running) in NodeId::all(self.peers.len()).zip(&self.running) {
                let Some(running) = running else { continue };
                if running.status().await.is_some_and(|status| status.leads) {
                    return node;
                }
            }
            assert!(Instant::now() < deadline, "nobody leads");
            sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// Asks whoever is named until somebody answers with something that `is_answer` takes.
async fn ask<P: Deployable, T>(
    client: &mut Client<P>,
    nodes: usize,
    number: u32,
    request: &P::Request,
    is_answer: impl Fn(P::Response) -> Option<T>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        for node in NodeId::all(nodes) {
            let patience = std::time::Duration::from_secs(1);
            if let Ok(response) = client.ask(node, number, request, patience).await
                && let Some(answer) = is_answer(response)
            {
                return answer;
            }
        }
        assert!(Instant::now() < deadline, "nobody answers");
        sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn raft_config() -> Config {
    Config {
        election_timeout_min: Duration::millis(300),
        election_timeout_max: Duration::millis(600),
        heartbeat_interval: Duration::millis(75),
        max_entries_per_append: 64,
        ..Config::PAPER
    }
}

async fn raft_ask(client: &mut Client<Raft>, sequence: u64, command: Command) -> Answer {
    let request = Request::Command { sequence, command };
    ask(client, 3, sequence as u32, &request, |response| match response {
        Response::Done(answer) => Some(answer),
        _ => None,
    })
    .await
}

fn put(value: &str) -> Command {
    Command::Put { key: "x".into(), value: value.into() }
}

fn get() -> Command {
    Command::Get { key: "x".into() }
}

#[test]
fn a_store_survives_its_leader_and_its_own_end() {
    run(async {
        let mut cluster = Cluster::<Raft>::new("raft", raft_config(), 3).await;
        let mut client = Client::new(ClientId::new(0), cluster.peers.clone());
        assert_eq!(raft_ask(&mut client, 1, put("1")).await, Answer::Done);
        let leader = cluster.leader().await;
        cluster.kill(leader).await;
        // The others elect another one, which has what was acknowledged.
        assert_eq!(raft_ask(&mut client, 2, get()).await, Answer::Value(Some("1".into())));
        assert_eq!(raft_ask(&mut client, 3, put("2")).await, Answer::Done);
        cluster.restart(leader).await;
        // Now all of them go, and come back with nothing but their files.
        for node in NodeId::all(3) {
            cluster.kill(node).await;
        }
        for node in NodeId::all(3) {
            cluster.restart(node).await;
        }
        assert_eq!(raft_ask(&mut client, 4, get()).await, Answer::Value(Some("2".into())));
        cluster.stop().await;
        for node in NodeId::all(3) {
            let text = std::fs::read_to_string(cluster.recording(node)).expect("a recording");
            let done = seedfall_real::driver::rerun::<Raft>(&text).expect("a whole recording");
            assert_eq!(done.difference, None);
            let lives = if node == leader { 3 } else { 2 };
            assert_eq!(done.lives.len(), lives, "{node}");
        }
    });
}

/// One request of each of the other protocols, and the replay of all that its nodes did.
async fn answers<P: Deployable>(
    protocol: &'static str,
    config: P::Config,
    requests: Vec<P::Request>,
) -> Vec<P::Response>
where
    P::Response: Clone,
{
    let mut cluster = Cluster::<P>::new(protocol, config, 3).await;
    let mut client = Client::<P>::new(ClientId::new(0), cluster.peers.clone());
    let mut responses = Vec::new();
    for (request, number) in requests.iter().zip(1..) {
        let is_final = |response: P::Response| {
            let words = format!("{response:?}");
            (!words.starts_with("Elsewhere") && !words.starts_with("NotProxy")).then_some(response)
        };
        responses.push(ask(&mut client, 3, number, request, is_final).await);
    }
    cluster.stop().await;
    let mut effects = 0;
    for node in NodeId::all(3) {
        let text = std::fs::read_to_string(cluster.recording(node)).expect("a recording");
        let done = seedfall_real::driver::rerun::<P>(&text).expect("a whole recording");
        assert_eq!(done.difference, None, "{protocol} {node}");
        effects += done.totals().1;
    }
    assert!(effects > 10, "{protocol}: something was done");
    responses
}

#[test]
fn registers_answer() {
    run(async {
        let config = abd::Config {
            writers: abd::Writers::Many,
            write_back: true,
            retransmit_after: Duration::millis(100),
        };
        let write = abd::Request::Write { key: "x".into(), value: "1".into() };
        let read = abd::Request::Read { key: "x".into() };
        let answers = answers::<abd::Abd>("abd", config, vec![write, read]).await;
        let value = abd::Response::Value(Some("1".into()));
        assert_eq!(answers, [abd::Response::Written, value]);
    });
}

#[test]
fn transactions_commit() {
    run(async {
        let config = two_phase_commit::Config {
            presumption: two_phase_commit::Presumption::Abort,
            retry_interval: Duration::millis(100),
            attempts: 4,
            idle_timeout: Duration::millis(1_000),
            flush_interval: Duration::millis(100),
        };
        let put = |key: &str| Command::Put { key: key.into(), value: "1".into() };
        let get = |key: &str| Command::Get { key: key.into() };
        let request = |sequence, commands| two_phase_commit::Request { sequence, commands };
        let both = vec![
            request(1, vec![put("a"), put("b"), put("c")]),
            request(2, vec![get("a"), get("c"), get("d")]),
        ];
        let answers = answers::<two_phase_commit::Site>("2pc", config, both).await;
        let one = Answer::Value(Some("1".into()));
        let read = vec![one.clone(), one, Answer::Value(None)];
        assert_eq!(answers[1], two_phase_commit::Response::Committed(read));
    });
}

#[test]
fn payments_end() {
    run(async {
        let config = saga::Config {
            isolation: saga::Isolation::SemanticLock,
            opening: 100,
            ceiling: 160,
            backoff_min: Duration::millis(50),
            backoff_max: Duration::millis(1_000),
            attempts: 4,
            flush_interval: Duration::millis(100),
        };
        let step = |kind, account: &str, amount| {
            vec![saga::Step { kind, account: account.into(), amount }]
        };
        let pay = |sequence, amount: i64| {
            let debit = step(saga::Kind::Compensatable, "a", -amount);
            let credit = step(saga::Kind::Pivot, "b", amount);
            let plan = saga::Plan { stages: vec![debit, credit] };
            saga::orchestrated::Request::Run { sequence, plan }
        };
        // The second credit would go over the ceiling.
        let requests = vec![pay(1, 40), pay(2, 40)];
        let answers = answers::<saga::orchestrated::Node>("saga", config, requests).await;
        let ended = saga::orchestrated::Response::Ended;
        let expected = [ended(saga::Outcome::Completed), ended(saga::Outcome::Compensated)];
        assert_eq!(answers, expected);
    });
}

/// A journal in a folder of its own, and the folder.
fn journal(records: u32) -> (tempfile::TempDir, Disk) {
    let place = tempfile::tempdir().expect("a folder");
    let files = Disk::Direct(Files::new(place.path()).expect("room"));
    let (mut journal, _) = Journal::open::<u32>(files).expect("an empty one");
    for record in 0..records {
        journal.append(&record).expect("room");
        journal.sync().expect("room");
    }
    let files = Disk::Direct(Files::new(place.path()).expect("room"));
    (place, files)
}

#[test]
fn a_torn_tail_is_cut_and_what_was_synced_is_there() {
    let (place, files) = journal(3);
    let path = place.path().join("frames-1");
    let mut bytes = std::fs::read(&path).expect("frames");
    bytes.extend_from_slice(&[0x5A; 100]);
    std::fs::write(&path, bytes).expect("room");
    let (_, opened) = Journal::open::<u32>(files).expect("a torn tail is no damage");
    assert_eq!(opened.records, [0, 1, 2]);
    assert!(opened.cut >= 100, "{}", opened.cut);
}

#[test]
fn damage_in_what_was_synced_is_refused_by_file_and_place() {
    let (place, files) = journal(3);
    let path = place.path().join("frames-1");
    let mut bytes = std::fs::read(&path).expect("frames");
    bytes[512 + 24] ^= 1; // The payload of the second frame, which begins a sector.
    std::fs::write(&path, bytes).expect("room");
    let error = Journal::open::<u32>(files).expect_err("damage").to_string();
    for part in ["frames-1: damaged at byte 512", "expected", "found", "put the file back"] {
        assert!(error.contains(part), "`{part}` is missing in: {error}");
    }
}

#[test]
fn a_record_of_another_protocol_is_not_taken_for_damage() {
    let (_place, files) = journal(1);
    let error = Journal::open::<Vec<String>>(files).expect_err("numbers").to_string();
    assert!(error.contains("record 1 is whole and cannot be understood"), "{error}");
}
