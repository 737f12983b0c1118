//! sqlx with its pool of connections, against the small server of Postgres' protocol
//! ([`crate::postgres`]), with the same operations.
//!
//! Two things go wrong in 0.9.0, both known, and each is shown alone:
//!
//! - A `begin` whose future is dropped before it is answered leaves its connection in a transaction
//!   of which sqlx does not know, and the pool hands it on: what is written over it is acknowledged
//!   and not committed (issues 4385 and 4393; mended after 0.9.0 by pull request 4394).
//! - A connection that is given back is asked for a sign of life first, for as long as it takes. If
//!   its server was lost without a word, that is for ever, and so is its place in the pool (issue
//!   4349, open).

use crate::postgres::server::{Commit, GET, LOCK, ONCE, PUT};
use crate::postgres::{FAULTS, Fails, In, PATIENCE, TRIES, server_of, statements};
use ::sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode};
use ::sqlx::{Connection, Error, query, query_scalar, raw_sql};
use seedfall::checkers::models::{Kv, KvOutput as Out};
use seedfall::programs::{Answer, Programs, Session};
use seedfall::{Expect, every_operation_completes, linearizable};
use std::future::Future;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// What is done as a connection is given back to the pool, before the pool asks it for a sign of
/// life.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// It is rolled back, and closed if that takes too long.
    Both,
    /// It is closed if it does not answer.
    Bounded,
    /// It is rolled back.
    RolledBack,
}

impl Care {
    async fn given_back(self, connection: &mut PgConnection) -> Result<bool, Error> {
        match self {
            Self::Both => within(raw_sql("ROLLBACK").execute(connection)).await.map(|_| true),
            Self::Bounded => within(connection.ping()).await.map(|()| true),
            Self::RolledBack => raw_sql("ROLLBACK").execute(connection).await.map(|_| true),
        }
    }
}

async fn within<T>(done: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(PATIENCE, done).await.map_err(|_| Error::PoolTimedOut)?
}

fn pool(care: Care) -> PgPool {
    let options = PgConnectOptions::new_without_pgpass().ssl_mode(PgSslMode::Disable);
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(PATIENCE)
        .after_release(move |connection, _| Box::pin(care.given_back(connection)));
    pool.connect_lazy_with(options.host("postgres").username("app"))
}

/// A client. An append that failed is tried again, under an identifier that the transaction has.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<In, Out<String>>, care: Care) {
    let (pool, mut number) = (pool(care), 0);
    while let Some(input) = session.next().await {
        number += 1;
        let id = format!("{}-{number}", session.client() + 1);
        let mut answer = Answer::Indeterminate;
        for _ in 0..if matches!(input, In::Append { .. }) { TRIES } else { 1 } {
            if let Ok(Ok(output)) = timeout(PATIENCE, ask(&pool, &input, &id)).await {
                answer = Answer::Ok(output);
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        session.answer(answer);
    }
}

async fn ask(pool: &PgPool, input: &In, id: &str) -> Fails<Out<String>> {
    match input {
        In::Put { key, value } => {
            query(PUT).bind(*key).bind(value).execute(pool).await?;
        }
        In::Append { key, value } => {
            let mut transaction = pool.begin().await?;
            let done = query(ONCE).bind(id).execute(&mut *transaction).await?;
            if done.rows_affected() == 0 {
                return Ok(Out::Done);
            }
            let old = query_scalar(LOCK).bind(*key).fetch_optional(&mut *transaction).await?;
            let new = format!("{}{value}", old.unwrap_or(String::new()));
            query(PUT).bind(*key).bind(new).execute(&mut *transaction).await?;
            transaction.commit().await?;
        }
        other => {
            let value = query_scalar(GET).bind(*other.key()).fetch_optional(pool).await?;
            return Ok(Out::Value(value));
        }
    }
    Ok(Out::Done)
}

fn scenario(name: &'static str, care: Care) -> Programs<In, Out<String>> {
    Programs {
        story: "Three clients with sqlx's pool keep two keys in a small Postgres.",
        nodes: vec![server_of(Commit::On)],
        clients: 3,
        faults: FAULTS,
        properties: vec![linearizable(Kv::new()), every_operation_completes()],
        ..Programs::new(name, statements, move |session| client(session, care))
    }
}

/// What is given back to the pool is rolled back, within some time.
pub fn careful() -> Programs<In, Out<String>> {
    scenario("sqlx", Care::Both)
}

/// Nobody rolls back what a `begin` left that was given up.
pub fn begins() -> Programs<In, Out<String>> {
    let because = "a `begin` that was given up leaves a transaction open, and what is written \
                   later over its connection is acknowledged and not committed (issue 4393)";
    Programs {
        expect: Expect::Violates { properties: &["linearizable"], because },
        ..scenario("sqlx-begin", Care::Bounded)
    }
}

/// A connection whose server was lost is waited for as it is given back.
pub fn waits() -> Programs<In, Out<String>> {
    let because = "connections whose server was lost without a word keep their places in the pool \
                   for ever, and nobody gets one any more (issue 4349)";
    Programs {
        expect: Expect::Violates { properties: &["every operation completes"], because },
        ..scenario("sqlx-release", Care::RolledBack)
    }
}
