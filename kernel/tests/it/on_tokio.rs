//! Programs over tokio, as it is published: one thread and several.

use seedfall_kernel::{ClientContext, Ended, Report, Simulation, isolated};
use seedfall_sim::Duration as Span;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn echo() {
    let listener = TcpListener::bind("0.0.0.0:7000").await.unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1024];
            loop {
                match stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => {
                        tokio::time::sleep(Duration::from_millis(3)).await;
                        stream.write_all(&buffer[..count]).await.unwrap();
                    }
                }
            }
        });
    }
}

async fn connect() -> TcpStream {
    loop {
        match TcpStream::connect("server:7000").await {
            Ok(stream) => return stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Asks for ten minutes of virtual time, with a time-out that rings and one that does not.
async fn ask(context: ClientContext) {
    let began = Instant::now();
    let mut stream = connect().await;
    let mut number = 0_u64;
    while began.elapsed() < Duration::from_secs(600) {
        number += 1;
        stream.write_all(&number.to_le_bytes()).await.unwrap();
        let mut got = [0; 8];
        let answer =
            tokio::time::timeout(Duration::from_millis(50), stream.read_exact(&mut got)).await;
        answer.unwrap().unwrap();
        assert_eq!(u64::from_le_bytes(got), number);
        let never = std::future::pending::<()>();
        assert!(tokio::time::timeout(Duration::from_millis(2), never).await.is_err());
        tokio::time::sleep(Duration::from_millis(93)).await;
    }
    context.record(format!("{number} answers"));
}

#[tokio::main(flavor = "current_thread")]
async fn one_thread() {
    echo().await;
}

#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn four_threads() {
    echo().await;
}

#[tokio::main(flavor = "multi_thread", worker_threads = 3)]
async fn asking_threads(context: ClientContext) {
    let asking = |worker: u64| async move {
        let mut stream = connect().await;
        for number in 0..50 {
            let sent = (worker * 1_000 + number).to_le_bytes();
            stream.write_all(&sent).await.unwrap();
            let mut got = [0; 8];
            stream.read_exact(&mut got).await.unwrap();
            assert_eq!(got, sent);
            let nap = || std::thread::sleep(Duration::from_millis(1));
            tokio::task::spawn_blocking(nap).await.unwrap();
        }
    };
    let all: Vec<_> = (0..8).map(|worker| tokio::spawn(asking(worker))).collect();
    for one in all {
        one.await.unwrap();
    }
    context.record("done");
}

fn on_tokio(simulation: Simulation) -> Simulation {
    simulation.runtime(|future| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap().block_on(future);
    })
}

fn passed(report: &Report, note: &str) {
    assert_eq!(report.failures, []);
    assert_eq!(report.ended, Ended::Finished);
    assert_eq!(report.notes_as_text(), [note]);
}

#[test]
fn ten_minutes_on_one_thread() {
    isolated(|| {
        let simulation = on_tokio(Simulation::new(1).node("server", one_thread))
            .client("client", ask)
            .horizon(Span::secs(700));
        let began = Instant::now();
        let report = simulation.run();
        let took = began.elapsed();
        println!("{took:?} for {}, {} deliveries", report.at, report.deliveries);
        passed(&report, "5871 answers");
        assert!(took < Duration::from_secs(20), "a shared machine in a debug build: {took:?}");
        assert_eq!(simulation.run().hash, report.hash);
        assert_ne!(simulation.clone().seed(2).run().hash, report.hash);
    });
}

#[test]
fn several_threads_on_either_side() {
    isolated(|| {
        let simulation =
            Simulation::new(1).node("server", four_threads).client_main("client", asking_threads);
        let report = simulation.run();
        println!("{} deliveries, {} switches", report.deliveries, report.switches);
        passed(&report, "done");
        for _ in 0..10 {
            assert_eq!(simulation.run().hash, report.hash);
        }
        assert_ne!(simulation.clone().seed(2).run().hash, report.hash);
    });
}

#[test]
fn an_asynchronous_main_has_a_runtime_of_its_own() {
    isolated(|| {
        let report = on_tokio(Simulation::new(1))
            .node_async("server", echo)
            .client("client", |context| async move {
                let mut stream = connect().await;
                stream.write_all(b"hello").await.unwrap();
                let mut got = [0; 5];
                stream.read_exact(&mut got).await.unwrap();
                context.record(got);
            })
            .run();
        passed(&report, "hello");
    });
}
