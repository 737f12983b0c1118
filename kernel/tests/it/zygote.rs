//! Runs that are forked from a zygote find nothing of what the process that asks for them did.

use crate::backstop::raw;
use seedfall_kernel::{Asked, Course, Failure, Fork, Report, Simulation, Zygote, isolated};
use seedfall_sim::{Duration as Span, Recording, Seed};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A static of the process, as libraries have for their tables.
static TABLE: OnceLock<u32> = OnceLock::new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Prints what a run finds in its process.
fn look() {
    let thread = std::thread::spawn(|| format!("{:?}", std::thread::current().id()));
    println!(
        "{:?} {} {}",
        thread.join().unwrap(),
        TABLE.get_or_init(|| 7),
        COUNT.fetch_add(1, Relaxed)
    );
}

/// What the process of a sweep does meanwhile.
fn live() {
    for _ in 0..5 {
        std::thread::spawn(|| drop(vec![1_u8; 1 << 20])).join().unwrap();
    }
    TABLE.get_or_init(|| 8);
    COUNT.fetch_add(1, Relaxed);
}

fn looking(asked: &[u8]) -> Simulation {
    Simulation::new(asked[0].into()).node("a", look).horizon(Span::secs(1))
}

fn printed(report: &Report) -> String {
    assert_eq!(report.failures, []);
    report.node("a").output()
}

#[test]
fn a_run_of_a_zygote_finds_nothing_of_what_its_asker_did() {
    isolated(|| {
        let zygote = Zygote::new(looking).unwrap();
        let run = |seed: u8| printed(&zygote.run(&looking(&[seed]), &[seed]));
        let (before, direct) = (run(1), printed(&looking(&[1]).run()));
        assert_eq!(before, direct, "nothing has happened yet");
        live();
        assert_eq!(run(1), before);
        std::thread::scope(|scope| {
            let four =
                [(); 4].map(|()| scope.spawn(|| (0..20).map(|_| run(1)).collect::<Vec<_>>()));
            for thread in four {
                assert!(thread.join().unwrap().iter().all(|one| *one == before));
            }
        });
        assert_ne!(printed(&looking(&[1]).run()), before, "what is forked from here finds it");
    });
}

#[test]
fn a_run_of_a_zygote_that_dies_is_a_verdict_and_the_zygote_goes_on() {
    isolated(|| {
        let make = |asked: &[u8]| {
            let kills = asked == b"kill";
            Simulation::new(1).node("a", move || {
                if kills {
                    let (getpid, kill, by) = (39, 62, 9);
                    seedfall_kernel::nondeterministic(|| {
                        raw(kill, [raw(getpid, [0; 3]) as usize, by, 0]);
                    });
                }
                println!("well");
            })
        };
        let zygote = Zygote::new(make).unwrap();
        for _ in 0..2 {
            let killed = zygote.run(&make(b"kill"), b"kill");
            let signal = killed.failures.iter().any(|failure| match failure {
                Failure::Signal { signal, .. } => signal.contains("SIGKILL"),
                _ => false,
            });
            assert!(signal, "{:?}", killed.failures);
            assert_eq!(printed(&zygote.run(&make(b""), b"")), "well\n");
        }
        let large = vec![b'x'; 3 << 20];
        assert_eq!(printed(&zygote.run(&make(&large), &large)), "well\n", "a long question");
    });
}

#[test]
fn futures_of_a_zygote_are_those_of_the_run() {
    isolated(|| {
        let fork = |seed: u64| Fork { after: 3, seed: Seed(seed), faults: None };
        let make = |asked: &[u8]| {
            let course = Course { recording: Recording::Full, ..Course::of(Seed(4)) };
            let main = || {
                let order = std::sync::Mutex::new(Vec::new());
                std::thread::scope(|scope| {
                    for name in 0..6 {
                        let order = &order;
                        scope.spawn(move || {
                            println!("{name}");
                            order.lock().unwrap().push(name);
                        });
                    }
                });
                println!("{:?}", order.into_inner().unwrap());
            };
            let simulation = Simulation::new(4).node("a", main).course(course);
            let futures = (0..u64::from(asked[0])).map(fork).collect();
            Asked { simulation, futures, jobs: 2 }
        };
        let zygote = Zygote::new(make).unwrap();
        let Asked { simulation, futures, jobs } = make(&[5]);
        let direct = simulation.futures(&futures, jobs);
        let forked = zygote.futures(&simulation, &[5], 5);
        let hashes = |all: &[Report]| all.iter().map(|one| one.hash).collect::<Vec<_>>();
        assert_eq!(hashes(&direct), hashes(&forked));
        assert_eq!(direct[2].trace, forked[2].trace);
        let mut distinct = hashes(&forked);
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() > 1, "futures differ");
    });
}

/// Threads of the process that asks hold locks of the standard library as a run is forked. They are
/// not in the run, and would never give them back to it.
#[test]
fn a_run_finds_no_lock_that_a_thread_of_its_asker_holds() {
    let main = || {
        let own = std::thread::current();
        let other = std::thread::spawn(|| std::thread::current().id()).join().unwrap();
        println!("{:?} {:?} {other:?}", own.name(), own.id());
        std::thread::sleep(std::time::Duration::from_secs(9));
    };
    isolated(|| {
        let world = Simulation::new(1).node("a", main).node("b", main);
        let world = world.crash(Span::secs(1), Span::secs(2), "a").horizon(Span::secs(3));
        let before = world.clone().run();
        assert_eq!(before.failures, []);
        let line = "Some(\"main\") ThreadId(1) ThreadId(2)\n";
        assert_eq!(before.node("a").output(), line.repeat(2), "each life counts its own threads");
        assert_eq!(before.node("b").output(), line);
        let (is_held, held) = std::sync::mpsc::channel();
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let holder = std::thread::spawn(move || {
            let lock = std::io::stdout().lock();
            is_held.send(()).unwrap();
            is_done.recv().unwrap();
            drop(lock);
        });
        held.recv().unwrap();
        let (while_held, shared) = (world.clone().run(), world.shared_statics().run());
        done.send(()).unwrap();
        holder.join().unwrap();
        assert_eq!(
            (while_held.hash, while_held.node("b").output()),
            (before.hash, line.to_owned())
        );
        assert_eq!(shared.node("b").output(), line);
    });
}
