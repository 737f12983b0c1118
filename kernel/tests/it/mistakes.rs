//! What people get wrong, and what they are told.

use seedfall_kernel::{Ended, Failure, Fault, Limits, Report, Simulation, isolated};
use seedfall_sim::{CrashPoint, Duration as Span, EffectKind};
use std::cell::UnsafeCell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex, RwLock};
use std::time::Duration;

fn told(report: &Report) -> String {
    let failures = report.failures.iter().map(|one| format!("{one}\n"));
    let waiting = report.waiting.iter().map(|one| format!("{one}\n"));
    let printed = report.nodes.iter().map(seedfall_kernel::NodeReport::output);
    let hints = report.hints.iter().map(|one| String::from_utf8_lossy(&one.bytes).into_owned());
    let all: String = failures.chain(waiting).chain(printed).chain(hints).collect();
    println!("{:?} at {}\n{all}", report.ended, report.at);
    all
}

fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

#[test]
fn two_threads_that_lock_in_another_order_are_told_with_their_places() {
    fn takes_both(first: &Mutex<u32>, second: &Mutex<u32>) {
        let one = first.lock().unwrap();
        pause();
        let two = second.lock().unwrap();
        assert_eq!(*one + *two, 0);
    }
    fn in_order(locks: &[Mutex<u32>; 2]) {
        takes_both(&locks[0], &locks[1]);
    }
    fn in_another_order(locks: &[Mutex<u32>; 2]) {
        takes_both(&locks[1], &locks[0]);
    }
    isolated(|| {
        let main = |_| {
            let locks = Arc::new([Mutex::new(0), Mutex::new(0)]);
            let other = locks.clone();
            let thread = std::thread::spawn(move || in_another_order(&other));
            in_order(&locks);
            thread.join().unwrap();
        };
        let report = Simulation::new(1).client_main("client", main).run();
        let text = told(&report);
        assert_eq!((report.ended, report.waiting.len()), (Ended::Stuck, 2));
        assert!(text.contains("`client`, thread 1000, waits for a lock"), "{text}");
        if cfg!(debug_assertions) {
            assert!(text.contains("takes_both (") && text.contains("mistakes.rs:"), "{text}");
            assert!(text.contains("in_order (") && text.contains("in_another_order ("), "{text}");
        }
    });
}

#[test]
fn a_client_that_waits_for_an_answer_that_never_comes_is_told() {
    isolated(|| {
        let server = || {
            let listener = TcpListener::bind("0.0.0.0:80").unwrap();
            let all: Vec<TcpStream> = listener.incoming().map(Result::unwrap).collect();
            drop(all);
        };
        let asks = |_| {
            pause();
            let mut stream = TcpStream::connect("server:80").unwrap();
            stream.write_all(b"?").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        };
        let report = Simulation::new(1).node("server", server).client_main("client", asks).run();
        let text = told(&report);
        assert_eq!(report.ended, Ended::Stuck);
        assert!(text.contains("`server`, thread 1000, waits for a connection"), "{text}");
        assert!(text.contains("`client`, thread 2000, waits for something to re"), "{text}");
    });
}

#[test]
fn a_port_that_is_taken_is_said_by_the_program() {
    isolated(|| {
        let binds = || {
            let one = TcpListener::bind("0.0.0.0:80").unwrap();
            let two = TcpListener::bind("0.0.0.0:80").unwrap();
            drop((one, two));
        };
        let report = Simulation::new(1).node("server", binds).run();
        let text = told(&report);
        assert!(text.contains("`server` panicked at") && text.contains("AddrInUse"), "{text}");
        assert!(text.contains("port 80 of `server` is taken"), "{text}");
        // Another machine has ports of its own.
        let one = || drop(TcpListener::bind("0.0.0.0:80").unwrap());
        assert_eq!(Simulation::new(1).node("a", one).node("b", one).run().failures, []);
    });
}

#[test]
fn a_name_that_nobody_has_is_told_with_those_that_there_are() {
    isolated(|| {
        let asks = |_| println!("{:?}", TcpStream::connect("servr:80").map(drop));
        let world = Simulation::new(1).node("server", || ()).client_main("client", asks);
        let text = told(&world.run());
        assert!(text.contains("failed to lookup address information"), "{text}");
        assert!(text.contains("nobody is called `servr`: there are `server`, `client`"), "{text}");
    });
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    isolated(|| {
        let writes = || println!("{:?}", std::fs::write("/data/log", "x"));
        let text = told(&Simulation::new(1).node("server", writes).run());
        assert!(text.contains("NotFound"), "{text}");
        assert!(text.contains("`server` has no folder /data for /data/log"), "{text}");
    });
}

#[test]
fn a_program_that_ends_at_once_is_seen_by_who_asks_it() {
    isolated(|| {
        let asks = |_| {
            pause();
            println!("{:?}", TcpStream::connect("server:80").map_err(|error| error.kind()).err());
        };
        for main in [|| (), || drop(TcpListener::bind("0.0.0.0:80").unwrap())] {
            let world = Simulation::new(1).node("server", main).client_main("client", asks);
            let report = world.run();
            let text = told(&report);
            assert_eq!(report.ended, Ended::Finished);
            assert!(text.contains("ConnectionRefused"), "{text}");
            assert_eq!(report.node("server").exits.len(), 1);
            assert_eq!(report.node("server").exits[0].1, 0);
        }
        // Nobody else is there: it is over.
        let report = Simulation::new(1).node("server", || ()).run();
        assert_eq!(
            (report.failures.len(), report.ended, report.at.as_nanos()),
            (0, Ended::Stuck, 0)
        );
    });
}

#[test]
fn messages_without_an_end_are_a_storm_and_say_whose() {
    isolated(|| {
        let shouts: fn() = || {
            let socket = std::net::UdpSocket::bind("0.0.0.0:80").unwrap();
            loop {
                let _ = socket.send_to(b"!", ("b", 80));
                let _ = socket.recv_from(&mut [0; 8]);
                let _ = socket.send_to(b"!", ("a", 80));
            }
        };
        let limits = Limits { events: 20_000, ..Limits::USUAL };
        let world = Simulation::new(1).node("a", shouts).node("b", shouts).limits(limits);
        let report = world.run();
        let text = told(&report);
        assert!(matches!(report.failure(), Some(Failure::Storm { .. })), "{text}");
        assert!(text.contains("20000 events by"), "{text}");
        assert!(text.contains("`a`") || text.contains("`b`"), "{text}");
    });
}

/// Nothing of a crashed program is given back: 400 main threads have 3 GiB of stacks, of which
/// hardly anything is touched.
#[test]
fn a_machine_that_crashes_at_each_start_takes_no_memory_for_its_stacks() {
    isolated(|| {
        let world = Simulation::new(1).node("a", || {
            seedfall_kernel::note(b"starts");
            std::thread::sleep(Duration::from_micros(100));
            std::fs::write("/work/file", b"it comes to its point").unwrap();
            std::thread::sleep(Duration::from_secs(1));
        });
        let point = CrashPoint::After(EffectKind::Append);
        let crash = Fault::CrashAt(world.place("a"), point, Span::millis(1));
        let limits = Limits { memory: 512 << 20, ..Limits::USUAL };
        let report = world.fault(Span::ZERO, crash).limits(limits).horizon(Span::millis(450)).run();
        assert_eq!((&report.failures, report.ended), (&vec![], Ended::Horizon));
        assert!((400..420).contains(&report.notes.len()), "{}", report.notes.len());
    });
}

#[test]
fn ten_thousand_connections_take_bounded_memory() {
    #[tokio::main(flavor = "current_thread")]
    async fn server() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("0.0.0.0:80").await.unwrap();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() {
                    let _ = stream.write_all(&byte).await;
                }
            });
        }
    }
    #[tokio::main(flavor = "current_thread")]
    async fn client() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut all = Vec::new();
        for number in 0..10_000 {
            let Ok(stream) = tokio::net::TcpStream::connect("server:80").await else {
                panic!("connection {number}")
            };
            all.push(stream);
        }
        for stream in &mut all {
            stream.write_all(b"x").await.unwrap();
        }
        for stream in &mut all {
            assert_eq!(stream.read_u8().await.unwrap(), b'x');
        }
        let status = seedfall_kernel::nondeterministic(|| {
            std::fs::read_to_string("/proc/self/status").unwrap()
        });
        let most = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        println!("{} connections, {most}", all.len());
    }
    isolated(|| {
        let world = Simulation::new(1).node("server", server).client_main("client", |_| client());
        let limits = Limits { memory: 512 << 20, ..Limits::USUAL };
        let report = world.limits(limits).horizon(Span::secs(100)).run();
        let text = told(&report);
        assert_eq!((report.failures.len(), report.ended), (0, Ended::Finished));
        let kilobytes = text.split_whitespace().rev().find_map(|word| word.parse::<u64>().ok());
        assert!(kilobytes.is_some_and(|kilobytes| kilobytes < 200 << 10), "{text}");
    });
}

/// A lock of libc.
struct Plain(UnsafeCell<libc::pthread_mutex_t>);

#[expect(unsafe_code, reason = "what C has in its statics")]
// SAFETY: it is a lock.
unsafe impl Sync for Plain {}

/// A lock in a static, which survives the crash of its holder here, and would not elsewhere.
#[test]
#[expect(unsafe_code, reason = "what C does")]
fn a_lock_of_a_static_whose_holder_crashed_is_free_in_the_next_life() {
    static LOCK: Mutex<u32> = Mutex::new(0);
    static TABLE: LazyLock<RwLock<u32>> = LazyLock::new(RwLock::default);
    static PLAIN: Plain = Plain(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));
    let main = || {
        let lives = std::fs::read("/work/lives").unwrap_or_default().len();
        std::fs::write("/work/lives", vec![0; lives + 1]).unwrap();
        std::fs::File::open("/work/lives").unwrap().sync_all().unwrap();
        seedfall_kernel::note(b"begins");
        // SAFETY: a mutex in a static.
        assert_eq!(unsafe { libc::pthread_mutex_lock(PLAIN.0.get()) }, 0);
        let (mut lock, mut table) = (LOCK.lock().unwrap(), TABLE.write().unwrap());
        (*lock, *table) = (*lock + 1, *table + 1);
        seedfall_kernel::note(format!("{lives} {lock} {table}").as_bytes());
        if lives == 2 {
            // Among the threads of one life, a lock is one.
            drop((lock, table));
            let add = || {
                let mut lock = LOCK.lock().unwrap();
                let before = *lock;
                pause();
                *lock = before + 1;
            };
            let all: Vec<_> = (0..4).map(|_| std::thread::spawn(add)).collect();
            all.into_iter().for_each(|one| one.join().unwrap());
            seedfall_kernel::note(format!("{}", LOCK.lock().unwrap()).as_bytes());
        }
        std::thread::sleep(Duration::from_secs(9));
    };
    isolated(|| {
        let world = Simulation::new(1).node("a", main).shared_statics();
        let world = world.crash(Span::secs(1), Span::secs(2), "a");
        let report = world.crash(Span::secs(3), Span::secs(4), "a").horizon(Span::secs(6)).run();
        let notes = report.notes_as_text();
        let told = ["begins", "0 1 1", "begins", "1 2 2", "begins", "2 3 3", "7"];
        assert_eq!((report.failures, notes), (vec![], told.map(str::to_owned).to_vec()));
    });
}
