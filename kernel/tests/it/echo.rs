//! Programs over `std::net` and threads, as they are.

use seedfall_kernel::{Ended, Simulation, isolated};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// A thread for each connection, which answers whatever comes.
fn server() {
    let listener = TcpListener::bind("0.0.0.0:7000").unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => return,
                    Ok(count) => stream.write_all(&buffer[..count]).unwrap(),
                }
            }
        });
    }
}

fn connect(to: &str) -> TcpStream {
    loop {
        match TcpStream::connect(to) {
            Ok(stream) => return stream,
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    }
}

fn client() {
    let workers: Vec<_> = (0..4_u64)
        .map(|worker| {
            std::thread::spawn(move || {
                let mut stream = connect("server:7000");
                for number in 0..20_u64 {
                    let sent = (worker * 1000 + number).to_le_bytes();
                    stream.write_all(&sent).unwrap();
                    let mut got = [0; 8];
                    stream.read_exact(&mut got).unwrap();
                    assert_eq!(got, sent);
                }
                worker
            })
        })
        .collect();
    let sum: u64 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    println!("all answered: {sum}");
}

thread_local! {
    static LOCAL: std::cell::RefCell<Counted> = const { std::cell::RefCell::new(Counted(0)) };
}

static DROPPED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// A thread-local value that counts how many of it were dropped.
struct Counted(u64);

impl Drop for Counted {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Many threads one after another, then more at once than were made before the fork.
fn threads() {
    let work = |number: u64| {
        std::thread::spawn(move || {
            LOCAL.with_borrow_mut(|local| {
                assert_eq!(local.0, 0, "a thread begins with values of its own");
                local.0 = number + 1;
            });
            std::thread::sleep(std::time::Duration::from_millis(1));
            LOCAL.with_borrow(|local| local.0)
        })
    };
    for number in 0..500 {
        assert_eq!(work(number).join().unwrap(), number + 1);
    }
    let all: Vec<_> = (0..100).map(work).collect();
    let sum: u64 = all.into_iter().map(|one| one.join().unwrap()).sum();
    assert_eq!(sum, 5_050);
    println!("{} dropped", DROPPED.load(std::sync::atomic::Ordering::Relaxed));
}

#[test]
fn threads_come_and_go_with_their_own_values() {
    isolated(|| {
        let simulation = Simulation::new(1).client_main("many", |_| threads());
        let report = simulation.run();
        assert_eq!(report.failures, []);
        assert_eq!(report.node("many").output(), "600 dropped\n");
        assert_eq!(simulation.run().hash, report.hash);
    });
}

#[test]
fn threads_and_blocking_sockets() {
    isolated(|| {
        let simulation =
            Simulation::new(1).node("server", server).client_main("client", |_| client());
        let report = simulation.run();
        println!("{report:#?}");
        assert_eq!(report.failures, []);
        assert_eq!(report.ended, Ended::Finished);
        assert_eq!(report.node("client").output(), "all answered: 6\n");
        assert_eq!(simulation.run().hash, report.hash);
        assert_ne!(simulation.clone().seed(2).run().hash, report.hash);
    });
}
