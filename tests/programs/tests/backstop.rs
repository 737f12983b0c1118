//! What makes its own system calls, and what brings its own heap: smol (by way of rustix) over
//! mimalloc. smol's reactor and its threads are statics, of which each node has its own.

use seedfall_kernel::{ClientContext, Ended, Report, Simulation, isolated};
use seedfall_sim::Duration as Span;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: mimalloc::MiMalloc = mimalloc::MiMalloc;

async fn server() {
    let listener = TcpListener::bind("0.0.0.0:7000").await.unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        smol::spawn(async move {
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        })
        .detach();
    }
}

fn client(context: ClientContext) {
    smol::block_on(async {
        smol::spawn(server()).detach();
        ask("client:7000", context).await;
    });
}

async fn ask(server: &str, context: ClientContext) {
    smol::Timer::after(Duration::from_millis(10)).await;
    let mut stream = TcpStream::connect(server).await.unwrap();
    for number in 0..20_u32 {
        let asked = Instant::now();
        stream.write_all(&number.to_le_bytes()).await.unwrap();
        let mut got = [0; 4];
        stream.read_exact(&mut got).await.unwrap();
        context.record(format!("{number} {:?}", asked.elapsed()));
        smol::Timer::after(Duration::from_millis(50)).await;
    }
    let log = smol::unblock(|| {
        std::fs::write("log", "written").unwrap();
        std::fs::read_to_string("log").unwrap()
    });
    context.record(log.await);
}

fn run(seed: u64) -> Report {
    Simulation::new(seed).client_main("client", client).run()
}

#[test]
fn system_calls_without_a_symbol_are_served() {
    isolated(|| {
        for seed in 0..10 {
            let report = run(seed);
            assert_eq!(report.failures, [], "seed {seed}");
            assert_eq!(report.ended, Ended::Finished);
            let notes = report.notes_as_text();
            assert_eq!(notes.last().map(String::as_str), Some("written"));
            assert_eq!(run(seed).notes, report.notes, "seed {seed}");
            assert_eq!(run(seed).hash, report.hash, "seed {seed}");
        }
    });
}

/// With one reactor for all, the second node would wait for ever for what the first one's thread,
/// which died with it, was to tell.
#[test]
fn a_runtime_whose_reactor_is_a_static_serves_several_nodes_and_lives() {
    let ask_server = |context| smol::block_on(ask("server:7000", context));
    let world = |seed| {
        let world = Simulation::new(seed).node("server", || smol::block_on(server()));
        let again = move |context: ClientContext| {
            std::thread::sleep(Duration::from_secs(3));
            ask_server(context);
        };
        let world = world.client_main("one", ask_server).client_main("other", again);
        world.crash(Span::secs(2), Span::millis(2_100), "server")
    };
    isolated(|| {
        for seed in 0..10 {
            let report = world(seed).run();
            assert_eq!(report.failures, [], "seed {seed}");
            assert_eq!(report.ended, Ended::Finished, "seed {seed}");
            assert!(report.isolation.own_statics, "mimalloc keeps its memory in those of C");
            assert_eq!(report.notes.len(), 42, "seed {seed}");
            assert_eq!(world(seed).run().hash, report.hash, "seed {seed}");
        }
    });
}
