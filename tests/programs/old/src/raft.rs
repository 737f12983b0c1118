//! openraft, issue 511: "When handling append-entries, if `prev_log_id` is purged, it should not
//! delete any logs", which lost data of databend (databend, issue 7112).
//!
//! A follower that was restarted does not know yet what is committed, and asks its log for the
//! entry before those that the leader sends. If it has applied and purged that entry, it takes
//! this for a conflict, and deletes its log from there on: with it entries that are committed. Then
//! an assertion of its own fails, as it looks for the last entry that is left.
//!
//! Model: three nodes over TCP, whose files survive crashes and power losses; nothing is wrong with
//! their disks. They keep one applied entry, and make a snapshot after ten.
//!
//! Properties: no program panics; the keys are linearizable. With 0.6.7 the follower panics; 0.6.8
//! asks what it has applied, in the place of what it knows to be committed.

mod store;

use crate::expect;
use openraft::async_trait::async_trait;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, ClientWriteRequest, InstallSnapshotRequest,
    InstallSnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{
    AppData, AppDataResponse, ClientWriteError, Config, NodeId, Raft, RaftNetwork, SnapshotPolicy,
};
use seedfall::checkers::models::{Kv, KvInput as In, KvOutput as Out};
use seedfall::programs::{Answer, Program, Programs, Session};
use seedfall::{NEVER_PANICS, Swarm, linearizable};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

type Input = In<&'static str, String>;
type Output = Out<String>;

const NAMES: [&str; 3] = ["raft1", "raft2", "raft3"];
const PORT: u16 = 7000;

/// How long a client waits for a node.
const PATIENCE: Duration = Duration::from_millis(300);

/// What a client asks for: to put a value, or to get it. Reads go through the log, too.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Command {
    /// Who asks, and which of its commands it is: so that none is done twice.
    client: usize,
    number: u64,
    key: String,
    put: Option<String>,
}

/// What a key has: after a put, what was put.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Done(Option<String>);

impl AppData for Command {}
impl AppDataResponse for Done {}

/// What goes over a connection, and is answered by one line.
#[derive(Serialize, Deserialize)]
enum Ask {
    Append(AppendEntriesRequest<Command>),
    Snapshot(InstallSnapshotRequest),
    Vote(VoteRequest),
    Client(Command),
}

/// What a client is answered.
#[derive(Serialize, Deserialize)]
enum Reply {
    Done(Done),
    /// Somebody else leads, or nobody.
    Leader(Option<NodeId>),
}

type Node = Raft<Command, Done, Network, Store>;

struct Network;

async fn ask<T: DeserializeOwned>(node: NodeId, ask: &Ask) -> anyhow::Result<T> {
    let mut stream = TcpStream::connect((NAMES[node as usize], PORT)).await?;
    let line = serde_json::to_string(ask)? + "\n";
    stream.write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await?;
    Ok(serde_json::from_str(&answer)?)
}

#[async_trait]
impl RaftNetwork<Command> for Network {
    async fn send_append_entries(
        &self,
        target: NodeId,
        request: AppendEntriesRequest<Command>,
    ) -> anyhow::Result<AppendEntriesResponse> {
        ask(target, &Ask::Append(request)).await
    }

    async fn send_install_snapshot(
        &self,
        target: NodeId,
        request: InstallSnapshotRequest,
    ) -> anyhow::Result<InstallSnapshotResponse> {
        ask(target, &Ask::Snapshot(request)).await
    }

    async fn send_vote(
        &self,
        target: NodeId,
        request: VoteRequest,
    ) -> anyhow::Result<VoteResponse> {
        ask(target, &Ask::Vote(request)).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(id: NodeId) -> anyhow::Result<()> {
    let config = Config {
        max_applied_log_to_keep: 1,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(10),
        ..Config::default()
    };
    let nodes = (0..NAMES.len() as NodeId).collect();
    let store = Arc::new(Store::open(id, nodes)?);
    let raft: Arc<Node> = Arc::new(Raft::new(id, Arc::new(config), Arc::new(Network), store));
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let raft = Arc::clone(&raft);
        tokio::spawn(async move { talk(stream, &raft).await });
    }
}

/// Answers what is asked over one connection. Where Raft itself fails, it ends without an answer.
async fn talk(mut stream: TcpStream, raft: &Node) -> anyhow::Result<()> {
    let (input, mut output) = stream.split();
    let mut line = String::new();
    BufReader::new(input).read_line(&mut line).await?;
    let answer = match serde_json::from_str(&line)? {
        Ask::Append(request) => serde_json::to_string(&raft.append_entries(request).await?)?,
        Ask::Snapshot(request) => serde_json::to_string(&raft.install_snapshot(request).await?)?,
        Ask::Vote(request) => serde_json::to_string(&raft.vote(request).await?)?,
        Ask::Client(command) => {
            let reply = match raft.client_write(ClientWriteRequest::new(command)).await {
                Ok(written) => Reply::Done(written.data),
                Err(ClientWriteError::ForwardToLeader(to)) => Reply::Leader(to.leader_id),
                Err(error) => return Err(error.into()),
            };
            serde_json::to_string(&reply)?
        }
    };
    output.write_all((answer + "\n").as_bytes()).await?;
    Ok(())
}

/// A client, which asks one node after the other until it is answered.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<Input, Output>) {
    let (client, mut number) = (session.client(), 0);
    let mut node = client as NodeId % NAMES.len() as NodeId;
    while let Some(input) = session.next().await {
        number += 1;
        let put = if let In::Put { value, .. } = &input { Some(value.clone()) } else { None };
        let is_put = put.is_some();
        let command = Command { client, number, key: (*input.key()).to_owned(), put };
        let command = Ask::Client(command);
        let mut answer = Answer::Indeterminate;
        for _ in 0..10 {
            let asked = ask::<Reply>(node, &command);
            let next = (node + 1) % NAMES.len() as NodeId;
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(Reply::Done(Done(value)))) => {
                    answer = Answer::Ok(if is_put { Out::Done } else { Out::Value(value) });
                    break;
                }
                Ok(Ok(Reply::Leader(leader))) => node = leader.unwrap_or(next),
                Ok(Err(_)) | Err(_) => node = next,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        session.answer(answer);
    }
}

/// Three nodes that are restarted.
pub fn scenario() -> Programs<Input, Output> {
    let because = "a follower that was restarted takes an entry that it has purged for a conflict, \
                   and deletes its log (openraft, issue 511)";
    let node = |id: usize| {
        Program::new(NAMES[id], move || serve(id as NodeId).expect("it runs until it is stopped"))
    };
    Programs {
        story: "Three nodes of openraft over TCP and files keep two keys for two clients.",
        nodes: (0..NAMES.len()).map(node).collect(),
        faults: Swarm {
            wipes: 0,
            disk_errors: 0,
            disk_damages: 0,
            disk_lies: 0,
            clocks: 0,
            ..Swarm::ALL
        },
        properties: vec![linearizable(Kv::new())],
        expect: expect(&[NEVER_PANICS], because),
        ..Programs::new(
            "raft",
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
