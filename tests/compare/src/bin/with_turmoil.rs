//! With turmoil: tokio code with turmoil's sockets, its links late at random.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;
use turmoil::net::{TcpListener, TcpStream};

// begin service
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Asks a node one line, and is answered one.
async fn ask(node: &str, line: &str) -> Result<String> {
    let mut stream = BufReader::new(TcpStream::connect((node, 7000)).await?);
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    Ok(answer.trim().to_owned())
}

async fn node(value: Arc<AtomicU64>) -> Result {
    let listener = TcpListener::bind(("0.0.0.0", 7000)).await?;
    loop {
        let mut stream = BufReader::new(listener.accept().await?.0);
        let value = Arc::clone(&value);
        tokio::spawn(async move {
            let mut line = String::new();
            let _ = stream.read_line(&mut line).await;
            let answer = match line.trim().split_once(' ') {
                Some(("write", new)) => {
                    let copy = format!("copy {new}");
                    // The bug: after 100 ms nobody knows whether the second has it.
                    let _ = timeout(Duration::from_millis(100), ask("second", &copy)).await;
                    "done".to_owned()
                }
                Some(("copy", new)) => {
                    value.store(new.parse().unwrap_or(0), Ordering::SeqCst);
                    "done".to_owned()
                }
                _ => value.load(Ordering::SeqCst).to_string(),
            };
            let _ = stream.write_all(format!("{answer}\n").as_bytes()).await;
        });
    }
}
// end service

// begin test
fn run(seed: u64) -> turmoil::Result {
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(200))
        .simulation_duration(Duration::from_secs(30))
        .build();
    for name in ["first", "second"] {
        let value = Arc::new(AtomicU64::new(0));
        sim.host(name, move || node(Arc::clone(&value)));
    }
    let answered = Arc::new(AtomicU64::new(0));
    let known = Arc::clone(&answered);
    sim.client("writer", async move {
        for value in 1..=10_u64 {
            ask("first", &format!("write {value}")).await?;
            known.store(value, Ordering::SeqCst);
        }
        Ok(())
    });
    sim.client("reader", async move {
        for _ in 0..20 {
            let least = answered.load(Ordering::SeqCst);
            let seen: u64 = ask("second", "read").await?.parse()?;
            assert!(least <= seen, "{least} was answered, and {seen} is read");
        }
        Ok(())
    });
    sim.run()
}
// end test

fn main() {
    std::panic::set_hook(Box::new(|_| ()));
    let started = Instant::now();
    for seed in 0.. {
        let outcome = std::panic::catch_unwind(|| run(seed).map_err(|error| error.to_string()));
        if !matches!(outcome, Ok(Ok(()))) {
            let seconds = started.elapsed().as_secs_f64();
            let what = match outcome {
                Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
                Ok(other) => format!("{other:?}"),
            };
            println!("turmoil: seed {seed}, {} runs, {seconds:.3} s: {what}", seed + 1);
            return;
        }
    }
}
