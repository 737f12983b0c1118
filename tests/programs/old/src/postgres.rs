//! tokio-postgres, issue 1120: "`TransactionBuilder::start` Future dropped before completion".
//!
//! `start` sends `START TRANSACTION` and waits for the answer. If its future is dropped meanwhile
//! (a timeout), there is no `Transaction` yet whose `Drop` would roll back: the session is in a
//! transaction that nobody knows of. What is written over the connection from then on is answered
//! as done, is seen over this connection alone, and is lost when it closes.
//!
//! Model: the small server of the other systems, which keeps what is committed; clients keep a
//! connection for as long as it is open, as a pool would. They overwrite keys by a statement of its
//! own, and append to them in a transaction.
//!
//! Property: the keys are linearizable. In 0.7.10 they are not; 0.7.11 rolls back a `start` that is
//! dropped (pull request 1127).

#[path = "../../systems/src/postgres/server.rs"]
mod server;

use crate::{STAYS_UP, expect};
use seedfall::checkers::models::{Kv, KvInput, KvOutput as Out};
use seedfall::linearizable;
use seedfall::programs::{Answer, Program, Programs, Session};
use server::{Commit, GET, LOCK, PUT, serve};
use std::fmt::Display;
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Error, IsolationLevel, NoTls};

type In = KvInput<&'static str, String>;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(200);

/// A server whose disk failed stops, and reads it when it is started again.
fn stop<T, E: Display>(done: Result<T, E>) -> T {
    done.unwrap_or_else(|error| {
        eprintln!("stops, as its disk failed: {error}");
        std::process::exit(1);
    })
}

/// A client, which keeps its connection for as long as it is open.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<In, Out<String>>) {
    let mut kept: Option<Client> = None;
    while let Some(input) = session.next().await {
        kept = kept.filter(|client| !client.is_closed());
        if kept.is_none() {
            kept = timeout(PATIENCE, connected()).await.ok().and_then(Result::ok);
        }
        let Some(client) = &mut kept else {
            session.answer(Answer::Failed);
            continue;
        };
        session.answer(match timeout(PATIENCE, ask(client, input)).await {
            Ok(Ok(output)) => Answer::Ok(output),
            Ok(Err(_)) | Err(_) => Answer::Indeterminate,
        });
    }
}

async fn connected() -> Result<Client, Error> {
    let (client, connection) = Config::new().host("postgres").user("app").connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn ask(client: &mut Client, input: In) -> Result<Out<String>, Error> {
    match input {
        In::Put { key, value } => {
            client.execute(PUT, &[&key, &value]).await?;
        }
        In::Append { key, value } => {
            let builder = client.build_transaction();
            let transaction =
                builder.isolation_level(IsolationLevel::ReadCommitted).start().await?;
            let old = transaction.query_opt(LOCK, &[&key]).await?;
            let old = old.map_or(String::new(), |row| row.get(0));
            transaction.execute(PUT, &[&key, &format!("{old}{value}")]).await?;
            transaction.commit().await?;
        }
        other => {
            let row = client.query_opt(GET, &[other.key()]).await?;
            return Ok(Out::Value(row.map(|row| row.get(0))));
        }
    }
    Ok(Out::Done)
}

/// Two clients that keep their connections.
pub fn scenario() -> Programs<In, Out<String>> {
    let because = "a `start` that was given up leaves a transaction open, and what is written \
                   later over its connection is acknowledged and not committed (issue 1120)";
    Programs {
        story: "Two clients of tokio-postgres with timeouts keep two keys on a server.",
        nodes: vec![Program::new("postgres", || {
            serve(Commit::On).expect("it can serve");
        })],
        faults: STAYS_UP,
        properties: vec![linearizable(Kv::new())],
        expect: expect(&["linearizable"], because),
        ..Programs::new(
            "postgres",
            |op, draw| {
                let key = ["x", "y"][draw.below(2) as usize];
                match draw.below(3) {
                    0 => In::Get { key },
                    1 => In::Put { key, value: op.unique().to_string() },
                    _ => In::Append { key, value: format!("+{}", op.unique()) },
                }
            },
            client,
        )
    }
}
