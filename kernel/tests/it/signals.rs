//! Signals, and statics of each node's own: a program that is told to end, as it is.

use seedfall_kernel::{Fault, Report, Signal, Simulation, isolated};
use seedfall_sim::Duration as Span;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};

/// Serves its own name, until it is told to end by the signal that it listens to.
#[tokio::main(flavor = "current_thread")]
async fn server(listens: SignalKind) {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:80").await.unwrap();
    let mut told = signal(listens).unwrap();
    loop {
        tokio::select! {
            _ = told.recv() => break,
            accepted = listener.accept() => {
                let (mut stream, _) = accepted.unwrap();
                let mut asked = [0];
                stream.read_exact(&mut asked).await.unwrap();
                stream.write_all(&[asked[0] + 1]).await.unwrap();
            }
        }
    }
    tokio::fs::write("farewell", "ended as told").await.unwrap();
    println!("ended as told");
}

fn client() {
    for round in 0..20 {
        std::thread::sleep(Duration::from_millis(100));
        for server in ["a:80", "b:80"] {
            let Ok(mut stream) = TcpStream::connect(server) else {
                println!("{round} {server} is away");
                continue;
            };
            stream.write_all(&[round]).unwrap();
            let mut told = [0];
            if stream.read_exact(&mut told).is_ok() {
                assert_eq!(told, [round + 1]);
            }
        }
    }
}

fn two(seed: u64, listens: SignalKind, sent: Signal) -> Report {
    let simulation = Simulation::new(seed)
        .node("a", move || server(listens))
        .node("b", move || server(listens))
        .client_main("client", |_| client());
    let a = simulation.place("a");
    let report = simulation
        .fault(Span::millis(500), Fault::Signal(a, sent))
        .fault(Span::millis(800), Fault::Restart(a))
        .run();
    assert_eq!(report.failures, [], "{report:?}");
    report
}

#[test]
fn one_of_two_servers_is_told_to_end_and_ends_by_itself() {
    isolated(|| {
        for seed in 0..20 {
            let report = two(seed, SignalKind::terminate(), Signal::Terminate);
            let [a, b] = [&report.nodes[0], &report.nodes[1]];
            assert_eq!(a.exits.iter().map(|(_, code)| *code).collect::<Vec<_>>(), [0]);
            assert_eq!((a.output().trim(), b.output().trim()), ("ended as told", ""));
            assert_eq!(b.exits, [], "the other one was told nothing");
            assert!(report.nodes[2].output().contains("a:80 is away"));
            assert!(!report.nodes[2].output().contains("b:80 is away"));
            assert_eq!(report.hash, two(seed, SignalKind::terminate(), Signal::Terminate).hash);
        }
    });
}

#[test]
fn who_listens_to_another_signal_is_ended_by_this_one() {
    isolated(|| {
        let report = two(3, SignalKind::interrupt(), Signal::Terminate);
        assert_eq!(report.nodes[0].output(), "");
        assert_eq!(report.nodes[0].exits, []);
        assert!(report.nodes[2].output().contains("a:80 is away"));
    });
}

static STARTS: AtomicU32 = AtomicU32::new(7);

fn counts() {
    for _ in 0..5 {
        println!("{}", STARTS.fetch_add(1, Relaxed));
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_secs(1));
}

#[test]
fn statics_are_each_nodes_own_and_new_in_each_life() {
    isolated(|| {
        let simulation = Simulation::new(1)
            .node("a", counts)
            .node("b", counts)
            .client_main("client", |_| std::thread::sleep(Duration::from_millis(400)));
        let world = simulation.crash(Span::millis(100), Span::millis(200), "a");
        let lines = |report: &Report| -> Vec<Vec<String>> {
            let of = |node: usize| report.nodes[node].output().lines().map(str::to_owned).collect();
            vec![of(0), of(1)]
        };
        let once = ["7", "8", "9", "10", "11"];
        let own = lines(&world.clone().run());
        assert_eq!(own[0], [once, once].concat());
        assert_eq!(own[1], once);
        let shared = lines(&world.shared_statics().run());
        assert_ne!(shared[1], once, "without it, they are the process's");
    });
}

/// What interrupts a wait, and what goes on waiting.
fn interrupted() {
    let (mut one, mut other) = std::os::unix::net::UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        other.write_all(b"x").unwrap();
    });
    let began = std::time::Instant::now();
    let mut got = [0];
    one.read_exact(&mut got).unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(50), "a read that is begun again goes on");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(began.elapsed(), Duration::from_millis(150), "a sleep is slept to its end");
    println!("done");
}

#[test]
fn a_handler_disturbs_no_wait_that_is_begun_again() {
    #[tokio::main(flavor = "current_thread")]
    async fn listens() {
        let told = signal(SignalKind::hangup()).unwrap();
        tokio::task::spawn_blocking(interrupted).await.unwrap();
        drop(told);
    }
    isolated(|| {
        let simulation = Simulation::new(1)
            .node("a", listens)
            .client_main("client", |_| std::thread::sleep(Duration::from_secs(1)));
        let a = simulation.place("a");
        let hang_up = |at| (Span::millis(at), Fault::Signal(a, Signal::HangUp));
        let report = simulation.plan([10, 20, 30, 60, 61, 200].map(hang_up)).run();
        assert_eq!(report.failures, []);
        assert_eq!(report.nodes[0].output(), "done\n");
    });
}

#[test]
fn who_is_ended_as_it_starts_does_not_start() {
    isolated(|| {
        let simulation = Simulation::new(1)
            .node("a", || seedfall_kernel::note(b"a"))
            .client_main("client", |_| std::thread::sleep(Duration::from_secs(1)));
        let a = simulation.place("a");
        let at = Span::millis(100);
        let faults = [
            (at, Fault::Crash(a)),
            (at, Fault::Restart(a)),
            (at, Fault::Signal(a, Signal::Terminate)),
            (at, Fault::Restart(a)),
            (at, Fault::Kill(a)),
        ];
        let report = simulation.plan(faults).run();
        assert_eq!(report.failures, []);
        assert_eq!(report.notes_as_text(), ["a"], "once, before all that");
    });
}

/// How often the handler ran.
static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn handler(signal: i32) {
    assert_eq!(signal, libc::SIGHUP);
    HANDLED.fetch_add(1, Relaxed);
}

/// `sigaction` of SIGHUP.
#[expect(unsafe_code, reason = "what C does")]
fn wants(handler: usize, flags: i32) {
    // SAFETY: a whole record, and a function of the kind that the flags say.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        (action.sa_sigaction, action.sa_flags) = (handler, flags);
        assert_eq!(libc::sigaction(libc::SIGHUP, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// A read, and a sleep, each with what it came to.
#[expect(unsafe_code, reason = "what C does")]
fn waits(from: &impl std::os::fd::AsRawFd) -> [i32; 2] {
    let mut byte = [0_u8; 1];
    let asked = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let mut left = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let errno = || std::io::Error::last_os_error().raw_os_error().unwrap();
    // SAFETY: a byte that is there, and two records that are.
    unsafe {
        let read = libc::read(from.as_raw_fd(), byte.as_mut_ptr().cast(), 1);
        let read = if read < 0 { errno() } else { 0 };
        let slept = libc::nanosleep(&raw const asked, &raw mut left);
        let slept = if slept < 0 { errno() } else { 0 };
        assert_eq!(slept == libc::EINTR, left.tv_nsec > 0, "what is left is told");
        [read, slept]
    }
}

#[test]
#[expect(unsafe_code, reason = "what C does")]
fn waits_are_interrupted_as_the_manual_of_signals_says() {
    let main = || {
        let (one, mut other) = std::os::unix::net::UnixStream::pair().unwrap();
        let handler = handler as extern "C" fn(i32) as usize;
        // Told at 10 ms, while it reads, and at 30 ms, while it sleeps.
        wants(handler, 0);
        assert_eq!(waits(&one), [libc::EINTR, libc::EINTR]);
        assert_eq!(HANDLED.load(Relaxed), 2);
        // At 40 ms and 70 ms: a read is begun again, a sleep is not.
        wants(handler, libc::SA_RESTART);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            other.write_all(b"x").unwrap();
            std::thread::sleep(Duration::from_secs(9));
        });
        assert_eq!(waits(&one), [0, libc::EINTR]);
        assert_eq!(HANDLED.load(Relaxed), 4);
        // SAFETY: plain calls. The handler has run as they come back.
        let sent = unsafe { [libc::raise(libc::SIGHUP), libc::kill(libc::getpid(), 0)] };
        assert_eq!((sent, HANDLED.load(Relaxed)), ([0, 0], 5));
        // SAFETY: a plain call, for a process that is not there.
        assert_eq!(unsafe { libc::kill(77, libc::SIGHUP) }, -1);
        wants(libc::SIG_IGN, 0);
        // SAFETY: a plain call.
        assert_eq!(unsafe { libc::raise(libc::SIGHUP) }, 0);
        assert_eq!(HANDLED.load(Relaxed), 5, "ignored");
        wants(libc::SIG_DFL, 0);
        println!("last");
        // SAFETY: a plain call, which ends the program.
        unsafe { libc::raise(libc::SIGHUP) };
        println!("never");
    };
    isolated(|| {
        let simulation = Simulation::new(1)
            .node("a", main)
            .client_main("client", |_| std::thread::sleep(Duration::from_secs(1)));
        let a = simulation.place("a");
        let hang_up = |at| (Span::millis(at), Fault::Signal(a, Signal::HangUp));
        let report = simulation.plan([10, 30, 40, 70].map(hang_up)).run();
        assert_eq!(report.failures, []);
        assert_eq!(report.nodes[0].output(), "last\n");
    });
}
