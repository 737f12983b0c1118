//! A service that takes payments over HTTP, with axum, and clients that use it with reqwest, all as
//! they are published. A client that hears nothing asks again, with the same key: a payment whose
//! key is known is not booked a second time.
//!
//! The right one writes key and amount into its ledger, and reads both when it starts. One that is
//! wrong reads the amounts alone: after a crash it knows no key any more. Two were thought to be
//! right until they were run here. A client that gives up closes its connection, and its request is
//! dropped where it stands, after the ledger was written and before the key is known: so a payment
//! is booked by a task of its own. And a sector that is torn as the power fails has lines in it
//! that were synced before: so each line is padded to a sector.

use crate::ledger::Ledger;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use seedfall::checkers::models::{Counter, CounterInput as In, CounterOutput as Out};
use seedfall::programs::{Answer, Process, Program, Programs, Session};
use seedfall::{Expect, Swarm, every_operation_completes, linearizable};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// The header by which a client says that two requests are one payment.
const KEY: &str = "idempotency-key";

/// What is wrong with a service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    Nothing,
    /// It forgets its keys in a crash.
    Forgets,
    /// A client that gives up stops it midway.
    StopsMidway,
    /// Its ledger has several payments in one sector.
    SharesSectors,
}

struct Payments {
    flaw: Flaw,
    total: i64,
    keys: HashSet<String>,
    ledger: Ledger,
}

type Shared = State<Arc<Mutex<Payments>>>;

/// The service's `main`, as it would run anywhere.
#[tokio::main(flavor = "current_thread")]
async fn serve(flaw: Flaw) -> std::io::Result<()> {
    let (ledger, old) = Ledger::open("ledger", flaw != Flaw::SharesSectors).await?;
    let booked = old.iter().filter_map(|line| line.split_once(' '));
    let total = booked.clone().filter_map(|(_, amount)| amount.parse::<i64>().ok()).sum();
    let keys = booked.filter(|_| flaw != Flaw::Forgets).map(|(key, _)| key.to_owned()).collect();
    let app = Router::new()
        .route("/payments", post(pay))
        .route("/total", get(total_now))
        .with_state(Arc::new(Mutex::new(Payments { flaw, total, keys, ledger })));
    let listener = tokio::net::TcpListener::bind("0.0.0.0:80").await?;
    tracing::info!(total, "serves");
    axum::serve(listener, app).await
}

async fn pay(
    State(payments): Shared,
    headers: HeaderMap,
    amount: String,
) -> Result<String, StatusCode> {
    let key = headers.get(KEY).and_then(|key| key.to_str().ok()).ok_or(StatusCode::BAD_REQUEST)?;
    let sum = amount.parse::<i64>().map_err(|_| StatusCode::BAD_REQUEST)?;
    let key = key.to_owned();
    if payments.lock().await.flaw == Flaw::StopsMidway {
        return Ok(book(payments, key, sum).await);
    }
    let booked = tokio::spawn(book(payments, key, sum));
    booked.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn book(payments: Arc<Mutex<Payments>>, key: String, sum: i64) -> String {
    let mut payments = payments.lock().await;
    if payments.keys.contains(&key) {
        tracing::info!(key, "is booked already");
        return "booked before\n".to_owned();
    }
    payments.ledger.append(&format!("{key} {sum}")).await;
    payments.ledger.sync().await;
    payments.total += sum;
    payments.keys.insert(key);
    "booked\n".to_owned()
}

async fn total_now(State(payments): Shared) -> String {
    payments.lock().await.total.to_string()
}

/// A client: each payment is tried up to five times, under one key.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<In, Out>) {
    let patience = Duration::from_millis(250);
    let http = reqwest::Client::builder().timeout(patience).build().expect("a client");
    let mut payment = 0;
    while let Some(input) = session.next().await {
        payment += 1;
        let key = format!("client{}-{payment}", session.client() + 1);
        let mut answer = Answer::Indeterminate;
        for _ in 0..5 {
            match ask(&http, &input, &key).await {
                Ok(output) => {
                    answer = Answer::Ok(output);
                    break;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        session.answer(answer);
    }
}

async fn ask(http: &reqwest::Client, input: &In, key: &str) -> reqwest::Result<Out> {
    let In::Add(amount) = input else {
        let answer = http.get("http://payments/total").send().await?.error_for_status()?;
        return Ok(Out::Value(answer.text().await?.parse().expect("a number")));
    };
    let request = http.post("http://payments/payments").header(KEY, key).body(amount.to_string());
    request.send().await?.error_for_status()?.text().await?;
    Ok(Out::Done)
}

fn scenario(name: &'static str, flaw: Flaw, expect: Expect<Process>) -> Programs<In, Out> {
    Programs {
        story: "Two clients pay through a service over HTTP, and look at the total.",
        nodes: vec![Program::new("payments", move || serve(flaw).expect("it can serve"))],
        faults: Swarm::ALL,
        properties: vec![linearizable(Counter { initial: 0 }), every_operation_completes()],
        expect,
        ..Programs::new(
            name,
            |_, draw| {
                if draw.below(3) == 0 { In::Read } else { In::Add(1 + draw.below(99) as i64) }
            },
            client,
        )
    }
}

/// The service that books no payment twice.
pub fn right() -> Programs<In, Out> {
    scenario("payments", Flaw::Nothing, Expect::Holds)
}

fn wrong(name: &'static str, flaw: Flaw, because: &'static str) -> Programs<In, Out> {
    scenario(name, flaw, Expect::Violates { properties: &["linearizable"], because })
}

/// The service that forgets its keys in a crash.
pub fn forgetful() -> Programs<In, Out> {
    let because = "it forgets in a crash which payments it has booked";
    wrong("payments-forgetful", Flaw::Forgets, because)
}

/// The service that a client stops midway when it gives up.
pub fn stopped() -> Programs<In, Out> {
    let because = "a request that is dropped midway has booked its payment, and nobody knows";
    wrong("payments-stopped", Flaw::StopsMidway, because)
}

/// The service whose ledger has several payments in one sector.
pub fn unpadded() -> Programs<In, Out> {
    let because = "a payment that was synced stands in one sector with the next one, which may be \
                   garbage after a crash";
    wrong("payments-unpadded", Flaw::SharesSectors, because)
}
