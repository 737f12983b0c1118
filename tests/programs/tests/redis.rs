//! The redis client over tokio, as it is, against a small server over `std::net` with a thread for
//! each connection.

use seedfall_kernel::{ClientContext, Ended, Report, Simulation, isolated};
use seedfall_sim::Duration as Span;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Store = Arc<Mutex<HashMap<Vec<u8>, i64>>>;

fn server() {
    let listener = TcpListener::bind("0.0.0.0:6379").unwrap();
    let store = Store::default();
    for stream in listener.incoming() {
        let (stream, store) = (stream.unwrap(), store.clone());
        std::thread::spawn(move || drop(serve(stream, &store)));
    }
}

/// Reads commands of the redis protocol, of which it knows `INCR`.
fn serve(stream: TcpStream, store: &Store) -> std::io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    let mut output = stream;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let count: usize = line[1..].trim_end().parse().unwrap();
        let mut words = Vec::new();
        for _ in 0..count {
            line.clear();
            input.read_line(&mut line)?;
            let size: usize = line[1..].trim_end().parse().unwrap();
            let mut word = vec![0; size + 2];
            input.read_exact(&mut word)?;
            word.truncate(size);
            words.push(word);
        }
        match words[0].to_ascii_uppercase().as_slice() {
            b"INCR" => {
                let mut store = store.lock().unwrap();
                let value = store.entry(words[1].clone()).or_default();
                *value += 1;
                write!(output, ":{value}\r\n")?;
            }
            _ => write!(output, "+OK\r\n")?,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn client(context: ClientContext) {
    let client = redis::Client::open("redis://server/").unwrap();
    let mut connection = None;
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let limit = Duration::from_millis(300);
        if connection.is_none() {
            let connecting = client.get_multiplexed_async_connection();
            connection = tokio::time::timeout(limit, connecting).await.ok().and_then(Result::ok);
        }
        let Some(open) = connection.as_mut() else {
            context.record("no connection");
            continue;
        };
        let mut command = redis::cmd("INCR");
        let asked = command.arg("counter").query_async::<i64>(open);
        match tokio::time::timeout(limit, asked).await {
            Ok(Ok(value)) => context.record(format!("value {value}")),
            Ok(Err(_)) | Err(_) => {
                connection = None;
                context.record("no answer");
            }
        }
    }
}

fn run(seed: u64) -> Report {
    Simulation::new(seed)
        .node("server", server)
        .client_main("one", client)
        .client_main("two", client)
        .partition(Span::millis(400), Span::millis(900), &["one"])
        .crash(Span::millis(1_400), Span::millis(1_600), "server")
        .run()
}

#[test]
fn increments_are_lost_only_with_the_server() {
    isolated(|| {
        for seed in 0..20 {
            let report = run(seed);
            assert_eq!(report.failures, [], "seed {seed}");
            assert_eq!(report.ended, Ended::Finished);
            let notes = report.notes_as_text();
            let values = notes.iter().filter(|one| one.starts_with("value")).count();
            assert!(values > 20 && values < 80, "{notes:?}");
            assert_eq!(run(seed).hash, report.hash, "seed {seed}");
        }
    });
}
