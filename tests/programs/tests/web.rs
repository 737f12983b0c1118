//! axum and reqwest, as they are: a counter behind HTTP, with partitions and crashes.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use seedfall_kernel::{ClientContext, Ended, Report, Simulation, isolated};
use seedfall_sim::Duration as Span;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;

/// A counter with a log of its own: an answer is given when it is synced.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn server() {
    let old = tokio::fs::read("/work/log").await.map_or(0, |log| log.len() / 8);
    let mut options = tokio::fs::OpenOptions::new();
    let log = options.create(true).append(true).open("/work/log").await.unwrap();
    let state = Arc::new(Mutex::new((old as u64, log)));
    let app = Router::new().route("/next", get(next)).with_state(state);
    let listener = tokio::net::TcpListener::bind("0.0.0.0:80").await.unwrap();
    axum::serve(listener, app).await.unwrap();
}

async fn next(State(state): State<Arc<Mutex<(u64, tokio::fs::File)>>>) -> String {
    let mut state = state.lock().await;
    state.0 += 1;
    let number = state.0;
    state.1.write_all(&number.to_le_bytes()).await.unwrap();
    state.1.flush().await.unwrap();
    state.1.sync_data().await.unwrap();
    number.to_string()
}

/// Counts, and records each number or what went wrong.
#[tokio::main(flavor = "current_thread")]
async fn client(context: ClientContext) {
    let timeout = Duration::from_millis(500);
    let client = reqwest::Client::builder().timeout(timeout).build().unwrap();
    for _ in 0..30 {
        let answer = client.get("http://server/next").send().await;
        context.record(match answer {
            Ok(response) => response.text().await.unwrap_or_else(|_| "cut".to_owned()),
            Err(error) if error.is_timeout() => "late".to_owned(),
            Err(error) if error.is_connect() => "refused".to_owned(),
            Err(_) => "broken".to_owned(),
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn run(seed: u64) -> Report {
    Simulation::new(seed)
        .node("server", server)
        .client_main("one", client)
        .client_main("two", client)
        .partition(Span::millis(500), Span::millis(1_200), &["one"])
        .crash(Span::millis(1_700), Span::millis(2_300), "server")
        .run()
}

#[test]
fn a_counter_behind_http_never_gives_a_number_twice() {
    isolated(|| {
        let (mut faults, mut answers) = (0, 0);
        for seed in 0..20 {
            let report = run(seed);
            assert_eq!(report.failures, [], "seed {seed}");
            assert_eq!(report.ended, Ended::Finished);
            let notes = report.notes_as_text();
            assert_eq!(notes.len(), 60);
            let mut numbers: Vec<u64> = notes.iter().filter_map(|one| one.parse().ok()).collect();
            (answers, faults) = (answers + numbers.len(), faults + 60 - numbers.len());
            numbers.sort_unstable();
            assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{notes:?}");
            assert_eq!(run(seed).hash, report.hash, "seed {seed}");
        }
        println!("{answers} numbers, {faults} requests failed, in 20 runs");
        assert!(faults > 40, "the faults are felt: {faults}");
        assert_ne!(run(1).hash, run(2).hash);
    });
}
