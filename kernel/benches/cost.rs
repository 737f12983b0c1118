//! What the simulated Linux costs, in CPU time of the processes of the runs and of their forks:
//! `cargo bench -p seedfall-kernel`, and with `-- "one thread"` only the rows with that in them.

#![cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
#![expect(clippy::print_stdout, reason = "it prints what it measures")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "it reads the clock")]

use seedfall_kernel::{Limits, Report, Simulation, Zygote, isolated};
use seedfall_sim::Duration as Span;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// CPU time of this process and of all children that ended, in microseconds; Linux counts in ticks
/// of 10 ms.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux tells it");
    let rest = text.rsplit(')').next().expect("after the name");
    let field = |at: usize| -> u64 {
        rest.split_whitespace().nth(at).and_then(|field| field.parse().ok()).expect("a number")
    };
    // utime, stime, cutime, cstime: the 14th to the 17th of all fields.
    (11..15).map(field).sum::<u64>() * 10_000
}

async fn echo() {
    let listener = TcpListener::bind("0.0.0.0:7000").await.expect("a free port");
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        tokio::spawn(async move {
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn ping() {
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut stream = TcpStream::connect("server:7000").await.expect("it listens");
    let mut buffer = [7; 64];
    loop {
        stream.write_all(&buffer).await.expect("connected");
        stream.read_exact(&mut buffer).await.expect("connected");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn echo_one() {
    echo().await;
}

#[tokio::main(flavor = "current_thread")]
async fn ping_one() {
    ping().await;
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn echo_two() {
    tokio::spawn(echo()).await.expect("it does not panic");
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn ping_two() {
    tokio::spawn(ping()).await.expect("it does not panic");
}

#[tokio::main(flavor = "current_thread")]
async fn idle() {
    let listener = TcpListener::bind("0.0.0.0:7000").await.expect("a free port");
    tokio::time::sleep(Duration::from_millis(2)).await;
    let _ = listener.accept().await;
}

/// Whether a row is asked for: all are, unless parts of names are given.
fn is_asked(what: &str) -> bool {
    let mut parts = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    parts.peek().is_none() || parts.any(|part| what.contains(&part))
}

fn measured(what: &str, simulation: &Simulation) {
    if !is_asked(what) {
        return;
    }
    let before = cpu();
    let report: Report = simulation.run();
    let spent = cpu() - before;
    assert_eq!(report.failures, []);
    println!(
        "{what}: {} deliveries, {} ns of CPU each ({:.1} calls, {:.1} switches)",
        report.deliveries,
        spent * 1_000 / report.deliveries,
        report.calls as f64 / report.deliveries as f64,
        report.switches as f64 / report.deliveries as f64,
    );
}

/// What it takes to start a run. The time of a zygote counts once it has ended.
fn started(what: &str, run: impl Fn(u64) -> Report) {
    const RUNS: u64 = 1_000;
    if !is_asked(what) {
        return;
    }
    let (before, began) = (cpu(), Instant::now());
    (0..RUNS).for_each(|seed| assert_eq!(run(seed).failures, []));
    let took = began.elapsed();
    drop(run);
    let each = (cpu() - before) / RUNS;
    println!(
        "{what}: {each} us of CPU a run, {} us by the clock, {} a second and core",
        took.as_micros() / u128::from(RUNS),
        1_000_000 / each
    );
}

/// A zygote of a world, as this process is now.
fn zygote(world: &Simulation) -> Zygote {
    let world = world.clone();
    Zygote::new(move |asked| {
        world.clone().seed(u64::from_le_bytes(asked.try_into().expect("a seed")))
    })
    .expect("a process")
}

/// What it takes to start a run of a process that holds memory.
fn started_everywhere(what: &str, world: &Simulation) {
    let from = |zygote: Zygote| {
        move |seed: u64| zygote.run(&world.clone().seed(seed), &seed.to_le_bytes())
    };
    started(what, |seed| world.clone().seed(seed).run());
    started(&format!("{what}, from a zygote"), from(zygote(world)));
    let early = zygote(world);
    let held: Vec<Vec<u8>> = (0..100).map(|_| vec![1; 1 << 20]).collect();
    started(&format!("{what}, and 100 MB"), |seed| world.clone().seed(seed).run());
    started(&format!("{what}, and 100 MB, from a zygote of before"), from(early));
    started(&format!("{what}, and 100 MB, from a zygote that has them"), from(zygote(world)));
    drop(std::hint::black_box(held));
}

fn main() {
    isolated(|| {
        let limits = Limits { horizon: Span::secs(1_500), events: u64::MAX, ..Limits::USUAL };
        for _ in 0..2 {
            let one = Simulation::new(1).node("server", echo_one).node("client", ping_one);
            measured("ping-pong, tokio on one thread", &one.limits(limits));
            let two = Simulation::new(1).node("server", echo_two).node("client", ping_two);
            measured("ping-pong, tokio on two threads", &two.limits(limits));
        }
        let five = (0..5).fold(Simulation::new(1), |all, at| all.node(&format!("n{at}"), idle));
        started_everywhere("five nodes, 10 ms", &five.horizon(Span::millis(10)));
        let nothing = Simulation::new(1).node("nothing", || ()).horizon(Span::millis(10));
        started_everywhere("a node that does nothing", &nothing);
    });
}
