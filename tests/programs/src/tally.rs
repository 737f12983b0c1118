//! A service that counts in memory and writes down now and then what it has, as its makers may
//! decide: a crash may cost a second of it, an upgrade must cost nothing. So it ends as it is told
//! to: it takes no further connection, answers what it was asked, writes, and goes.
//!
//! What is told to it is `SIGTERM` or `SIGINT`; whoever does not end in time is killed. One that is
//! wrong listens to Ctrl-C alone, as the example does that most begin with, and what supervises
//! services sends the other one. Another writes when it is told, and answers what it was asked
//! thereafter: what is counted then is gone.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Router, serve};
use seedfall::checkers::models::{Counter, CounterInput as In, CounterOutput as Out};
use seedfall::programs::{Answer, Process, Program, Programs, Session};
use seedfall::{Expect, Swarm, linearizable};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// What is wrong with a service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    Nothing,
    /// `SIGTERM` is not what it listens to.
    ListensToCtrlCAlone,
    /// It writes down what it has before it has answered everybody.
    WritesTooEarly,
}

#[derive(Default)]
struct Tally {
    count: AtomicI64,
    /// It was told to end: from now on it writes before it answers.
    ends: AtomicBool,
}

impl Tally {
    /// A file that is there is whole: it takes the place of the last one by its name.
    fn write(&self) {
        std::fs::write("count.new", self.count.load(SeqCst).to_string()).expect("a disk");
        std::fs::rename("count.new", "count").expect("a disk");
    }
}

/// The service's `main`, as it would run anywhere.
#[tokio::main(flavor = "current_thread")]
async fn run(flaw: Flaw) -> std::io::Result<()> {
    let old = std::fs::read_to_string("count").unwrap_or_default().parse().unwrap_or(0);
    let tally = Arc::new(Tally { count: old.into(), ..Tally::default() });
    let app = Router::new()
        .route(
            "/count",
            get(async |State(tally): State<Arc<Tally>>| tally.count.load(SeqCst).to_string()),
        )
        .route("/add", post(add))
        .with_state(Arc::clone(&tally));
    let keeps = Arc::clone(&tally);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            keeps.write();
        }
    });
    let listener = tokio::net::TcpListener::bind("0.0.0.0:80").await?;
    serve(listener, app).with_graceful_shutdown(told(flaw, Arc::clone(&tally))).await?;
    if flaw != Flaw::WritesTooEarly {
        tally.write();
    }
    Ok(())
}

async fn add(State(tally): State<Arc<Tally>>) {
    // What an answer takes, and what a shutdown may fall into.
    tokio::time::sleep(Duration::from_millis(2)).await;
    tally.count.fetch_add(1, SeqCst);
    if tally.ends.load(SeqCst) {
        tally.write();
    }
}

/// Comes back when the service is told to end.
async fn told(flaw: Flaw, tally: Arc<Tally>) {
    let terminated = async {
        match flaw {
            Flaw::ListensToCtrlCAlone => std::future::pending().await,
            _ => signal(SignalKind::terminate()).expect("a handler").recv().await,
        }
    };
    tokio::select! {
        _ = terminated => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.expect("a handler"),
    }
    if flaw == Flaw::WritesTooEarly {
        tally.write();
    } else {
        tally.ends.store(true, SeqCst);
        tally.write();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<In, Out>) {
    let patience = Duration::from_millis(300);
    let http = reqwest::Client::builder().timeout(patience).build().expect("a client");
    while let Some(input) = session.next().await {
        session.answer(ask(&http, &input).await.unwrap_or(Answer::Indeterminate));
    }
}

async fn ask(http: &reqwest::Client, input: &In) -> reqwest::Result<Answer<Out>> {
    if *input == In::Read {
        let count = http.get("http://tally/count").send().await?.error_for_status()?;
        return Ok(Answer::Ok(Out::Value(count.text().await?.parse().expect("a number"))));
    }
    http.post("http://tally/add").send().await?.error_for_status()?;
    Ok(Answer::Ok(Out::Done))
}

fn scenario(name: &'static str, flaw: Flaw, expect: Expect<Process>) -> Programs<In, Out> {
    Programs {
        story: "A service counts in memory. It is told to end, is started again, and has all.",
        nodes: vec![Program::new("tally", move || run(flaw))],
        clients: 3,
        operations: 20,
        // Nothing that takes its memory away without telling it.
        faults: Swarm {
            shutdowns: 4,
            loss: Swarm::ALL.loss,
            reorder: Swarm::ALL.reorder,
            clogs: Swarm::ALL.clogs,
            pauses: Swarm::ALL.pauses,
            ..Swarm::NONE
        },
        properties: vec![linearizable(Counter { initial: 0 })],
        expect,
        ..Programs::new(
            name,
            |_, draw| if draw.below(3) == 0 { In::Read } else { In::Add(1) },
            client,
        )
    }
}

/// It ends as it should.
pub fn right() -> Programs<In, Out> {
    scenario("tally", Flaw::Nothing, Expect::Holds)
}

/// It listens to Ctrl-C alone.
pub fn deaf() -> Programs<In, Out> {
    let because = "who listens to Ctrl-C alone is ended by SIGTERM where it stands";
    let properties = &["linearizable"];
    scenario("tally-ctrl-c", Flaw::ListensToCtrlCAlone, Expect::Violates { properties, because })
}

/// It writes before it has answered everybody.
pub fn hasty() -> Programs<In, Out> {
    let because = "what is counted after the last write is gone";
    let properties = &["linearizable"];
    scenario("tally-hasty", Flaw::WritesTooEarly, Expect::Violates { properties, because })
}
