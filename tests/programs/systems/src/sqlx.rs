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
//!   4349, open). A hook with a time limit (`after_release`) makes that rare and does not end it:
//!   the pool asks again after it, without one.

use crate::postgres::server::{Commit, GET, LOCK, ONCE, PUT};
use crate::postgres::{FAULTS, Fails, In, PATIENCE, TRIES, server_of, statements};
use ::sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use ::sqlx::{query, query_scalar, raw_sql};
use seedfall::checkers::models::{Kv, KvOutput as Out};
use seedfall::programs::{Answer, Programs, Session};
use seedfall::{Expect, every_operation_completes, linearizable};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A pool; what is given back to it is rolled back first, if that is wanted.
fn pool(rolls_back: bool) -> PgPool {
    let options = PgConnectOptions::new_without_pgpass().ssl_mode(PgSslMode::Disable);
    let mut pool = PgPoolOptions::new().max_connections(2).acquire_timeout(PATIENCE);
    if rolls_back {
        pool = pool.after_release(|connection, _| {
            Box::pin(async { raw_sql("ROLLBACK").execute(connection).await.map(|_| true) })
        });
    }
    pool.connect_lazy_with(options.host("postgres").username("app"))
}

/// A client. An append that failed is tried again, under an identifier that the transaction has.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<In, Out<String>>, rolls_back: bool) {
    let (pool, mut number) = (pool(rolls_back), 0);
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

fn scenario(name: &'static str, rolls_back: bool) -> Programs<In, Out<String>> {
    Programs {
        story: "Three clients with sqlx's pool keep two keys in a small Postgres.",
        nodes: vec![server_of(Commit::On)],
        clients: 3,
        faults: FAULTS,
        properties: vec![linearizable(Kv::new())],
        ..Programs::new(name, statements, move |session| client(session, rolls_back))
    }
}

/// What is given back to the pool is rolled back.
pub fn rolled_back() -> Programs<In, Out<String>> {
    scenario("sqlx", true)
}

/// Nobody rolls back what a `begin` left that was given up.
pub fn begins() -> Programs<In, Out<String>> {
    let because = "a `begin` that was given up leaves a transaction open, and what is written \
                   later over its connection is acknowledged and not committed (issue 4393)";
    Programs {
        expect: Expect::Violates { properties: &["linearizable"], because },
        ..scenario("sqlx-begin", false)
    }
}

/// Every operation is to complete, too.
pub fn waits() -> Programs<In, Out<String>> {
    let because = "connections whose server was lost without a word keep their places in the pool \
                   for ever, and nobody gets one any more (issue 4349)";
    Programs {
        properties: vec![linearizable(Kv::new()), every_operation_completes()],
        expect: Expect::Violates { properties: &["every operation completes"], because },
        ..scenario("sqlx-release", true)
    }
}
