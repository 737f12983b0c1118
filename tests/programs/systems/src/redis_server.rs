//! mini-redis, the example of the tokio project: its server and its client, over TCP.
//!
//! It keeps its keys in memory, so a restart takes them, and the server is not to be blamed: it is
//! restarted in the scenario that shows it alone.

use crate::common::reads_and_writes;
use bytes::Bytes;
use mini_redis::client::{Client, connect};
use seedfall::checkers::models::{Kv, KvInput as In, KvOutput as Out};
use seedfall::programs::{Answer, Program, Programs, Session};
use seedfall::{Expect, Swarm, every_operation_completes, linearizable};
use std::future::pending;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

type Input = In<&'static str, String>;
type Output = Out<String>;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(300);

/// The server's `main`.
#[tokio::main(flavor = "current_thread")]
async fn serve() -> mini_redis::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:6379").await?;
    mini_redis::server::run(listener, pending::<()>()).await
}

/// A client, which connects anew after an operation that failed.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<Input, Output>) {
    let mut connection = None;
    while let Some(input) = session.next().await {
        let answer = match timeout(PATIENCE, ask(&mut connection, input)).await {
            Ok(Ok(output)) => Answer::Ok(output),
            Ok(Err(_)) | Err(_) => {
                connection = None;
                Answer::Indeterminate
            }
        };
        session.answer(answer);
    }
}

async fn ask(connection: &mut Option<Client>, input: Input) -> mini_redis::Result<Output> {
    let open = match connection {
        Some(open) => open,
        None => connection.insert(connect("redis:6379").await?),
    };
    match input {
        In::Put { key, value } => {
            open.set(key, Bytes::from(value)).await?;
            Ok(Out::Done)
        }
        other => {
            let value = open.get(other.key()).await?;
            Ok(Out::Value(value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())))
        }
    }
}

fn scenario(name: &'static str, faults: Swarm) -> Programs<Input, Output> {
    Programs {
        story: "Three clients of mini-redis write and read two keys.",
        nodes: vec![Program::new("redis", || serve().expect("it serves until it is stopped"))],
        clients: 3,
        faults,
        properties: vec![linearizable(Kv::new()), every_operation_completes()],
        ..Programs::new(name, reads_and_writes, client)
    }
}

/// Nothing restarts it, and it looks at no wall clock.
pub fn right() -> Programs<Input, Output> {
    let faults =
        Swarm { crashes: 0, power_losses: 0, storms: 0, disk_errors: 0, clocks: 0, ..Swarm::ALL };
    scenario("mini-redis", faults)
}

/// Its machine crashes.
pub fn crashes() -> Programs<Input, Output> {
    let because = "it keeps its keys in memory";
    Programs {
        expect: Expect::Violates { properties: &["linearizable"], because },
        ..scenario("mini-redis-crashes", Swarm { clocks: 0, ..Swarm::ALL })
    }
}
