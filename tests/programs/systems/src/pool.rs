//! hyper-util's client with its pool of connections, below tower's layers (retry, limit, timeout),
//! against a service of axum.

use crate::account::Account;
use crate::common::looks_and_adds;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use seedfall::checkers::models::{Counter, CounterInput as In, CounterOutput as Out};
use seedfall::programs::{Answer, Program, Programs, Session};
use seedfall::{Expect, Swarm, every_operation_completes, linearizable};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;
use tower::retry::Policy;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

/// How long one try may take.
const PATIENCE: Duration = Duration::from_millis(250);

type Shared = State<Arc<Mutex<Account>>>;
type Ask = Request<Full<Bytes>>;

/// The service's `main`.
#[tokio::main(flavor = "current_thread")]
async fn serve(once: bool) -> std::io::Result<()> {
    let account = Arc::new(Mutex::new(Account::open(once)));
    let app = Router::new()
        .route("/total", get(total))
        .route("/add/{key}/{amount}", post(add))
        .with_state(account);
    axum::serve(tokio::net::TcpListener::bind("0.0.0.0:80").await?, app).await
}

async fn total(State(account): Shared) -> String {
    account.lock().unwrap_or_else(PoisonError::into_inner).total().to_string()
}

async fn add(State(account): Shared, Path((key, amount)): Path<(String, i64)>) {
    account.lock().unwrap_or_else(PoisonError::into_inner).add(key, amount);
}

/// Tries again, after a pause, what failed in whatever way; five times at most.
#[derive(Clone)]
struct Again {
    left: u32,
}

impl Policy<Ask, Response<Incoming>, BoxError> for Again {
    type Future = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn retry(
        &mut self,
        _: &mut Ask,
        result: &mut Result<Response<Incoming>, BoxError>,
    ) -> Option<Self::Future> {
        let failed = result.as_ref().map_or(true, |answer| !answer.status().is_success());
        self.left = self.left.checked_sub(1)?;
        failed.then(|| Box::pin(sleep(Duration::from_millis(50))) as Self::Future)
    }

    fn clone_request(&mut self, ask: &Ask) -> Option<Ask> {
        Some(ask.clone())
    }
}

/// A client: the pool below, then a limit of time for each try, and tries.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<In, Out>) {
    let pool = Client::builder(TokioExecutor::new()).build_http();
    let mut http = ServiceBuilder::new()
        .retry(Again { left: 5 })
        .concurrency_limit(2)
        .timeout(PATIENCE)
        .service(pool);
    let mut number = 0;
    while let Some(input) = session.next().await {
        number += 1;
        let key = format!("client{}-{number}", session.client() + 1);
        let request = match input {
            In::Add(amount) => Request::post(format!("http://service/add/{key}/{amount}")),
            _ => Request::get("http://service/total"),
        };
        let request = request.body(Full::default()).expect("a request");
        let answer = ask(&mut http, request, &input).await;
        session.answer(answer.map_or(Answer::Indeterminate, Answer::Ok));
    }
}

async fn ask<S>(http: &mut S, request: Ask, input: &In) -> Result<Out, BoxError>
where
    S: Service<Ask, Response = Response<Incoming>, Error = BoxError>,
{
    let answer = http.ready().await?.call(request).await?;
    if !answer.status().is_success() {
        return Err(answer.status().as_str().into());
    }
    let body = answer.into_body().collect().await?.to_bytes();
    match input {
        In::Add(_) => Ok(Out::Done),
        _ => Ok(Out::Value(std::str::from_utf8(&body)?.parse()?)),
    }
}

fn scenario(name: &'static str, once: bool) -> Programs<In, Out> {
    Programs {
        story: "Two clients with a pool of connections add to a sum, and look at it.",
        nodes: vec![Program::new("service", move || serve(once).expect("it can serve"))],
        faults: Swarm::ALL,
        properties: vec![linearizable(Counter { initial: 0 }), every_operation_completes()],
        ..Programs::new(name, looks_and_adds, client)
    }
}

/// A service that knows a second try by its key.
pub fn right() -> Programs<In, Out> {
    scenario("pool", true)
}

/// A service that does not, behind a client that tries again.
pub fn repeats() -> Programs<In, Out> {
    let because = "tower's retry sends again what the service has done, and nobody knows";
    Programs {
        expect: Expect::Violates { properties: &["linearizable"], because },
        ..scenario("pool-repeats", false)
    }
}
