//! tokio-postgres with deadpool-postgres, its pool of connections, against a small server of
//! Postgres' protocol.
//!
//! Two keys are read, overwritten by a statement of their own, and appended to in a transaction
//! (`SELECT ... FOR UPDATE`, an upsert). A client gives an operation up after a while, wherever its
//! future stands; the pool hands the connection to the next one.

pub(crate) mod server;

use crate::common::or_stop as stop;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use seedfall::checkers::models::{Kv, KvInput, KvOutput as Out};
use seedfall::programs::{Answer, Program, Programs, Session};
use seedfall::sim::Choices;
use seedfall::workload::Invocation;
use seedfall::{Expect, Swarm, every_operation_completes, linearizable};
use server::{Commit, GET, LOCK, ONCE, PUT, serve};
use std::error::Error;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Config, NoTls};

pub(crate) type In = KvInput<&'static str, String>;
pub(crate) type Fails<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How long one try may take.
pub(crate) const PATIENCE: Duration = Duration::from_millis(300);

/// Nobody looks at a wall clock.
pub(crate) const FAULTS: Swarm = Swarm { clocks: 0, ..Swarm::ALL };

/// How often an append is tried.
pub(crate) const TRIES: usize = 3;

/// A read, a write or an append of one of two keys.
pub(crate) fn statements(op: Invocation, draw: &mut Choices<'_>) -> In {
    let key = ["x", "y"][draw.below(2) as usize];
    match draw.below(3) {
        0 => In::Get { key },
        1 => In::Put { key, value: op.unique().to_string() },
        _ => In::Append { key, value: format!("+{}", op.unique()) },
    }
}

fn pool() -> Pool {
    let mut config = Config::new();
    config.host("postgres").user("app").connect_timeout(PATIENCE);
    let recycling_method = RecyclingMethod::Fast;
    let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method });
    let pool = Pool::builder(manager).max_size(2).runtime(Runtime::Tokio1);
    pool.build().expect("it has a runtime")
}

/// A client. An append that failed is tried again; it has an identifier, which is in the
/// transaction if it is to be done `once`.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<In, Out<String>>, once: bool) {
    let (pool, mut number) = (pool(), 0);
    while let Some(input) = session.next().await {
        number += 1;
        let id = once.then(|| format!("{}-{number}", session.client() + 1));
        let mut answer = Answer::Indeterminate;
        for _ in 0..if matches!(input, In::Append { .. }) { TRIES } else { 1 } {
            if let Ok(Ok(output)) = timeout(PATIENCE, ask(&pool, &input, id.as_deref())).await {
                answer = Answer::Ok(output);
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        session.answer(answer);
    }
}

async fn ask(pool: &Pool, input: &In, id: Option<&str>) -> Fails<Out<String>> {
    let mut client = pool.get().await?;
    match input {
        In::Put { key, value } => {
            let put = client.prepare_cached(PUT).await?;
            client.execute(&put, &[key, value]).await?;
        }
        In::Append { key, value } => {
            let transaction = client.transaction().await?;
            if let Some(id) = id {
                let once = transaction.prepare_cached(ONCE).await?;
                if transaction.execute(&once, &[&id]).await? == 0 {
                    return Ok(Out::Done);
                }
            }
            let lock = transaction.prepare_cached(LOCK).await?;
            let old = transaction.query_opt(&lock, &[key]).await?;
            let old = old.map_or(String::new(), |row| row.get(0));
            let put = transaction.prepare_cached(PUT).await?;
            transaction.execute(&put, &[key, &format!("{old}{value}")]).await?;
            transaction.commit().await?;
        }
        other => {
            let get = client.prepare_cached(GET).await?;
            let row = client.query_opt(&get, &[other.key()]).await?;
            return Ok(Out::Value(row.map(|row| row.get(0))));
        }
    }
    Ok(Out::Done)
}

fn scenario(name: &'static str, commit: Commit, once: bool) -> Programs<In, Out<String>> {
    Programs {
        story: "Three clients with pools of connections keep two keys in a small Postgres.",
        nodes: vec![server_of(commit)],
        clients: 3,
        faults: FAULTS,
        properties: vec![linearizable(Kv::new()), every_operation_completes()],
        ..Programs::new(name, statements, move |session| client(session, once))
    }
}

pub(crate) fn server_of(commit: Commit) -> Program {
    Program::new("postgres", move || serve(commit).expect("it can serve"))
}

/// A commit is answered once it is durable, and what was done is known.
pub fn right() -> Programs<In, Out<String>> {
    scenario("postgres", Commit::On, true)
}

/// A commit is answered before it is durable.
pub fn off() -> Programs<In, Out<String>> {
    let because = "with `synchronous_commit = off` a power loss takes what was acknowledged";
    Programs {
        expect: Expect::Violates { properties: &["linearizable"], because },
        ..scenario("postgres-off", Commit::Off, true)
    }
}

/// A transaction whose `COMMIT` was not answered is done again.
pub fn repeats() -> Programs<In, Out<String>> {
    let because = "a COMMIT that nobody answered may have been done, and is done again";
    Programs {
        expect: Expect::Violates { properties: &["linearizable"], because },
        ..scenario("postgres-repeats", Commit::On, false)
    }
}
