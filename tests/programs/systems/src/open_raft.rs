//! openraft: five servers of a key-value store, as its guide builds one: axum before it, reqwest
//! between them, a journal in files below it.

mod network;
mod store;

use crate::common::reads_and_writes;
use axum::routing::post;
use axum::{Json, Router};
use network::Network;
use openraft::error::{CheckIsLeaderError, ClientWriteError, RaftError};
use openraft::{BasicNode, Config, Raft, SnapshotPolicy};
use seedfall::checkers::models::{Kv, KvInput as In, KvOutput as Out};
use seedfall::programs::{Answer, Program, Programs, Session};
use seedfall::{Expect, NEVER_PANICS, Swarm, every_operation_completes, linearizable};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::Future;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;
use store::Store;

type Input = In<&'static str, String>;
type Output = Out<String>;

const NAMES: [&str; 5] = ["node1", "node2", "node3", "node4", "node5"];

/// How often a client asks before it gives up.
const ATTEMPTS: usize = 20;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(300);

openraft::declare_raft_types!(
    /// A log of [`Command`]s.
    pub(crate) Types: D = Command, R = (),
);

/// A write of a client, with its number, by which a second try is known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Command {
    client: u64,
    number: u64,
    key: String,
    value: String,
}

/// What a server answers a client.
#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    Done,
    Value(Option<String>),
    /// It does not lead, or not any more: whether a write takes effect all the same, nobody knows.
    Ask(Option<u64>),
    /// It has no quorum, or it stops.
    Unavailable,
}

/// How a server keeps what openraft gives it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Carefully: the log goes when a snapshot that has it is durable, whatever it is told, and a
    /// request that comes twice is applied once.
    Carefully,
    /// It applies a request as often as it comes.
    Repeats,
    /// The log goes when openraft says so.
    AsTold,
    /// The same, and what is committed is not saved, which openraft calls optional.
    Forgets,
}

/// A server, as its threads of HTTP see it.
#[derive(Clone)]
struct Server {
    raft: Raft<Types>,
    store: Store,
}

impl Server {
    async fn write(self, command: Command) -> Reply {
        match self.raft.client_write(command).await {
            Ok(_) => Reply::Done,
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to))) => {
                Reply::Ask(to.leader_id)
            }
            Err(_) => Reply::Unavailable,
        }
    }

    async fn read(self, key: String) -> Reply {
        match self.raft.ensure_linearizable().await {
            Ok(_) => Reply::Value(self.store.value(&key)),
            Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(to))) => {
                Reply::Ask(to.leader_id)
            }
            Err(_) => Reply::Unavailable,
        }
    }
}

/// A handler that reads JSON, does something, and answers with JSON.
fn handler<Q, A, F>(
    server: &Server,
    does: impl Fn(Server, Q) -> F + Clone + Send + Sync + 'static,
) -> axum::routing::MethodRouter
where
    Q: for<'a> Deserialize<'a> + Send + 'static,
    A: Serialize,
    F: Future<Output = A> + Send + 'static,
{
    let server = server.clone();
    post(move |Json(asked): Json<Q>| {
        let done = does(server.clone(), asked);
        async move { Json(done.await) }
    })
}

/// A server's `main`.
#[tokio::main(flavor = "current_thread")]
async fn serve(place: usize, way: Way) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config {
        heartbeat_interval: 50,
        election_timeout_min: 150,
        election_timeout_max: 300,
        install_snapshot_timeout: 200,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(6),
        max_in_snapshot_log_to_keep: 2,
        purge_batch_size: 1,
        ..Config::default()
    };
    let store = Store::open("journal", way);
    let http = reqwest::Client::builder().build()?;
    let (log, machine, id) = (store.clone(), store.clone(), place as u64 + 1);
    let config = Arc::new(config.validate()?);
    let raft = Raft::new(id, config, Network(http), log, machine).await?;
    let members: BTreeMap<u64, BasicNode> =
        (1..).zip(NAMES.map(|name| BasicNode::new(format!("{name}:8080")))).collect();
    // Every server asks for it, as all are the same: those that have a log refuse.
    drop(raft.initialize(members).await);
    let server = Server { raft, store };
    let app = Router::new()
        .route(
            "/append",
            handler(&server, |on, ask| async move { on.raft.append_entries(ask).await }),
        )
        .route("/vote", handler(&server, |on, ask| async move { on.raft.vote(ask).await }))
        .route(
            "/snapshot",
            handler(&server, |on, ask| async move { on.raft.install_snapshot(ask).await }),
        )
        .route("/write", handler(&server, Server::write))
        .route("/read", handler(&server, Server::read));
    let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await?;
    Ok(axum::serve(listener, app).await?)
}

/// A client, which asks whom it is told to ask, or whoever is next, under the same number.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<Input, Output>) {
    let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
    let (mut node, mut number) = (session.client() % NAMES.len(), 0);
    let client = session.client() as u64;
    while let Some(input) = session.next().await {
        number += 1;
        let mut answer = Answer::Indeterminate;
        for _ in 0..ATTEMPTS {
            match ask(&http, node, client, number, &input).await {
                Ok(Reply::Done) => answer = Answer::Ok(Out::Done),
                Ok(Reply::Value(value)) => answer = Answer::Ok(Out::Value(value)),
                Ok(Reply::Ask(Some(leader))) => node = leader as usize - 1,
                Ok(Reply::Ask(None) | Reply::Unavailable) | Err(_) => {
                    node = (node + 1) % NAMES.len();
                }
            }
            if answer != Answer::Indeterminate {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        session.answer(answer);
    }
}

async fn ask(
    http: &reqwest::Client,
    node: usize,
    client: u64,
    number: u64,
    input: &Input,
) -> reqwest::Result<Reply> {
    let url = |path| format!("http://{}:8080/{path}", NAMES[node]);
    let request = match input {
        In::Put { key, value } => {
            let (key, value) = ((*key).to_owned(), value.clone());
            http.post(url("write")).json(&Command { client, number, key, value })
        }
        other => http.post(url("read")).json(other.key()),
    };
    request.send().await?.error_for_status()?.json().await
}

fn scenario(name: &'static str, way: Way) -> Programs<Input, Output> {
    let node = |place: usize| {
        let main = move || serve(place, way).expect("the node runs until it is stopped");
        Program::new(NAMES[place], main)
    };
    Programs {
        story: "Five servers of openraft over HTTP and files keep two keys for three clients.",
        nodes: (0..NAMES.len()).map(node).collect(),
        clients: 3,
        faults: Swarm::ALL,
        properties: vec![linearizable(Kv::new()), every_operation_completes()],
        ..Programs::new(name, reads_and_writes, client)
    }
}

/// Five servers over a careful store.
pub fn careful() -> Programs<Input, Output> {
    scenario("openraft", Way::Carefully)
}

/// Servers that apply a request that is sent again again.
pub fn repeats() -> Programs<Input, Output> {
    let because = "a client that hears nothing asks again, and both requests are in the log";
    Programs {
        expect: Expect::Violates { properties: &["linearizable"], because },
        ..scenario("openraft-repeats", Way::Repeats)
    }
}

/// Servers that purge their log when openraft says so.
pub fn as_told() -> Programs<Input, Output> {
    let because = "openraft 0.9 purges the log of a follower before the snapshot that it installs \
                   is durable: after a crash between the two the server does not start any more";
    Programs {
        expect: Expect::Violates { properties: &[NEVER_PANICS], because },
        ..scenario("openraft-as-told", Way::AsTold)
    }
}

/// The same, and they do not save what is committed.
pub fn forgets() -> Programs<Input, Output> {
    let because = "a server whose log was purged before its snapshot was durable begins with \
                   nothing, and takes what it lost for applied";
    Programs {
        expect: Expect::Violates { properties: &["linearizable"], because },
        ..scenario("openraft-forgets", Way::Forgets)
    }
}
