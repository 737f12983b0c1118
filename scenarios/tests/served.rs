//! The commands as a stranger types them: real processes, real signals, real files.
#![cfg(all(feature = "real", unix))]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

/// A node's process, killed when this is dropped.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn seedfall() -> Command {
    Command::new(env!("CARGO_BIN_EXE_seedfall"))
}

/// Addresses on which nothing listens, as `--peers` takes them.
fn free_peers(count: usize) -> String {
    // Below those that the machine hands out by itself: nobody's connection takes them meanwhile.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let port = || {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        10_000 + (std::process::id() as u16 % 9_000 + next) % 9_000
    };
    let bind = |_| loop {
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port())) {
            return listener;
        }
    };
    let listeners: Vec<TcpListener> = (0..count).map(bind).collect();
    let address = |listener: &TcpListener| listener.local_addr().expect("it is bound").to_string();
    listeners.iter().map(address).collect::<Vec<_>>().join(",")
}

fn serve(protocol: &str, id: usize, peers: &str, data: &Path) -> Command {
    let mut command = seedfall();
    command.args(["serve", protocol, "--id", &id.to_string(), "--peers", peers, "--data"]);
    command.arg(data.join(format!("n{id}"))).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts a node, and says what it says first.
fn up(command: &mut Command) -> (Node, String) {
    let mut node = Node(command.spawn().expect("the command runs"));
    let mut out = BufReader::new(node.0.stdout.take().expect("it is piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("text");
    // Whatever else it says must go somewhere.
    node.0.stdout = None;
    drain(out);
    (node, line)
}

#[expect(clippy::disallowed_methods, reason = "a pipe that nobody reads stops whoever writes")]
fn drain(mut out: BufReader<std::process::ChildStdout>) {
    std::thread::spawn(move || out.read_to_end(&mut Vec::new()));
}

fn client(peers: &str, words: &[&str]) -> Output {
    let mut command = seedfall();
    command.args(["client", "--peers", peers, "--within", "30s"]).args(words);
    command.output().expect("the command runs")
}

fn answer(peers: &str, words: &[&str]) -> String {
    let output = client(peers, words);
    let told = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{words:?}: {told} {}", complaint(&output));
    told
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn signal(node: &Node, signal: &str) {
    let sent = Command::new("kill").args([signal, &node.0.id().to_string()]).status();
    assert!(sent.expect("`kill` is there").success());
}

#[test]
fn three_processes_are_a_store() {
    let place = tempfile::tempdir().expect("a folder");
    let peers = free_peers(3);
    let record = place.path().join("n1.recording");
    let start = |id| {
        let mut command = serve("raft", id, &peers, place.path());
        if id == 1 {
            command.arg("--record").arg(&record);
        }
        up(&mut command)
    };
    let mut nodes: Vec<Node> = (1..=3).map(|id| start(id).0).collect();
    assert_eq!(answer(&peers, &["put", "x", "1"]), "done");
    assert_eq!(answer(&peers, &["get", "x"]), "1");
    assert_eq!(client(&peers, &["cas", "x", "7", "8"]).status.code(), Some(1), "refused");
    let nonsense = client(&peers, &["frobnicate"]);
    assert_eq!(nonsense.status.code(), Some(2));
    assert!(complaint(&nonsense).contains("raft is asked:"), "{}", complaint(&nonsense));
    // A kill that nothing can catch, one node after the other, and back.
    for id in 1..=3 {
        signal(&nodes[id - 1], "-KILL");
        nodes[id - 1].0.wait().expect("it ends");
        let (node, said) = start(id);
        assert!(said.contains(&format!("n{id} of 3 runs raft at")), "{said}");
        nodes[id - 1] = node;
        assert_eq!(answer(&peers, &["get", "x"]), "1", "after n{id} was killed");
    }
    assert!(answer(&peers, &["status"]).contains("leads"));
    for (node, how) in nodes.iter_mut().zip(["-TERM", "-INT", "-TERM"]) {
        signal(node, how);
        let ended = node.0.wait().expect("it ends");
        assert_eq!(ended.code(), Some(0), "{how}");
    }
    let output = seedfall().arg("rerun").arg(&record).output().expect("the command runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("life 2") && told.contains("the same, every one"), "{told}");
    let mut silent = seedfall();
    silent.args(["client", "--peers", &peers, "--within", "300ms", "get", "x"]);
    let silent = silent.output().expect("the command runs");
    assert_eq!(silent.status.code(), Some(3));
    assert!(complaint(&silent).contains("no node can be reached"), "{}", complaint(&silent));
}

#[test]
fn what_cannot_be_served_is_told_and_left_alone() {
    let place = tempfile::tempdir().expect("a folder");
    let peers = free_peers(3);
    let (_node, _) = up(&mut serve("raft", 1, &peers, place.path()));
    let refused = |command: &mut Command, why: &str| {
        let output = command.output().expect("the command runs");
        let told = complaint(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(why), "`{why}` is missing in: {told}");
    };
    refused(&mut serve("raft", 1, &peers, place.path()), "another process does");
    refused(&mut serve("raft", 4, &peers, place.path()), "unknown peer n4");
    refused(&mut serve("paxos", 1, &peers, place.path()), "unknown protocol `paxos`");
    // The folder of n1, under another port and another name.
    let elsewhere = free_peers(3);
    let data = place.path().join("n1");
    let moved = |id: &str| {
        let mut command = seedfall();
        command.args(["serve", "raft", "--id", id, "--peers", &elsewhere, "--data"]).arg(&data);
        command
    };
    refused(&mut moved("1"), "another process uses it");
    refused(&mut moved("2"), "the data of n1 of 3 nodes running raft, and this is n2");
    std::fs::write(place.path().join("notes.txt"), "mine").expect("room");
    let mut command = seedfall();
    command.args(["serve", "raft", "--id", "2", "--peers", &peers, "--data"]).arg(place.path());
    refused(&mut command, "is not empty");
}
