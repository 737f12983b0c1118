//! The first test of a service over HTTP, in as few lines as it takes: a counter that lives in
//! memory, and the same counter with a file (`docs/guide/programs.md` tells its story).

use axum::{Router, routing::get, routing::post};
use seedfall::checkers::models::{Counter, CounterInput as In, CounterOutput as Out};
use seedfall::programs::{Answer, Process, Program, Programs, Session};
use seedfall::{Expect, Swarm, linearizable};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::{fs, io::Write as _, sync::Arc, time::Duration};

#[tokio::main]
async fn counter(keeps: bool) {
    let old = fs::read("count").map_or(0, |old| old.len() as i64);
    let count = Arc::new(AtomicI64::new(old));
    let (read, add) = (Arc::clone(&count), count);
    let added = move || async move {
        if keeps {
            let mut file = fs::File::options().create(true).append(true).open("count").unwrap();
            file.write_all(b"+").and_then(|()| file.sync_all()).unwrap();
        }
        add.fetch_add(1, SeqCst);
    };
    let app = Router::new()
        .route("/count", get(move || async move { read.load(SeqCst).to_string() }))
        .route("/add", post(added));
    axum::serve(tokio::net::TcpListener::bind("0.0.0.0:80").await.unwrap(), app).await.unwrap();
}

#[tokio::main]
async fn client(mut session: Session<In, Out>) {
    let patience = Duration::from_millis(300);
    let http = reqwest::Client::builder().timeout(patience).build().unwrap();
    while let Some(input) = session.next().await {
        session.answer(ask(&http, &input).await.unwrap_or(Answer::Indeterminate));
    }
}

async fn ask(http: &reqwest::Client, input: &In) -> reqwest::Result<Answer<Out>> {
    if *input == In::Read {
        let count = http.get("http://counter/count").send().await?.error_for_status()?;
        return Ok(Answer::Ok(Out::Value(count.text().await?.parse().unwrap())));
    }
    http.post("http://counter/add").send().await?.error_for_status()?;
    Ok(Answer::Ok(Out::Done))
}

fn scenario(keeps: bool, expect: Expect<Process>) -> Programs<In, Out> {
    Programs {
        nodes: vec![Program::new("counter", move || counter(keeps))],
        faults: Swarm::ALL,
        properties: vec![linearizable(Counter { initial: 0 })],
        expect,
        ..Programs::new(
            "counter",
            |_, draw| if draw.below(2) == 0 { In::Read } else { In::Add(1) },
            client,
        )
    }
}

#[test]
fn a_counter_in_memory_forgets() {
    let because = "a crash takes what is in memory alone";
    let properties = &["linearizable"];
    seedfall::check(scenario(false, Expect::Violates { properties, because }));
}

#[test]
fn a_counter_in_a_file_does_not() {
    seedfall::check(scenario(true, Expect::Holds));
}
