//! Everything that a program can see is decided by the seed alone.

use seedfall_kernel::{Report, Simulation, isolated};
use seedfall_sim::Duration as Span;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant, SystemTime};

/// Looks at everything that differs from process to process.
fn look() {
    let map: HashMap<u32, u32> = (0..20).map(|number| (number, number)).collect();
    let order: Vec<&u32> = map.keys().collect();
    let mut random = [0; 16];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
    let threads: Vec<String> = (0..3)
        .map(|_| std::thread::spawn(|| format!("{:?}", std::thread::current().id())))
        .map(|thread| thread.join().unwrap())
        .collect();
    let place = Box::new(1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let chosen: Vec<u32> = runtime.block_on(async {
        let mut chosen = Vec::new();
        for _ in 0..20 {
            chosen.push(tokio::select! { () = async {} => 0, () = async {} => 1 });
        }
        chosen
    });
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let cores = std::thread::available_parallelism().unwrap();
    println!(
        "{order:?} {random:?} {threads:?} {:?} {place:p} {chosen:?} {wall:?} {} {cores}",
        std::thread::current().id(),
        std::process::id(),
    );
    println!("{:?}", Instant::now());
}

/// Threads that push to one list, each once: in which order they do is a draw.
fn race() {
    let list = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let all: Vec<_> = (0..5)
        .map(|name| {
            let list = list.clone();
            std::thread::spawn(move || {
                list.lock().unwrap().push(name);
            })
        })
        .collect();
    for one in all {
        one.join().unwrap();
    }
    println!("{:?}", list.lock().unwrap());
}

fn looking(seed: u64) -> Report {
    let report = Simulation::new(seed).node("a", look).node("b", race).horizon(Span::secs(1)).run();
    assert_eq!(report.failures, []);
    report
}

#[test]
fn what_a_program_sees_is_the_same_in_two_runs_and_another_for_another_seed() {
    isolated(|| {
        let (one, same, other) = (looking(1), looking(1), looking(2));
        println!("{}", one.node("a").output());
        if !one.isolation.fixed_addresses {
            println!("this machine permits no fixed addresses: those of statics are random");
        }
        assert_eq!(one.nodes, same.nodes);
        assert_eq!(one.hash, same.hash);
        assert_ne!(one.node("a").output(), other.node("a").output());
        let races: Vec<String> = (0..5).map(|seed| looking(seed).node("b").output()).collect();
        assert!(races.iter().any(|race| *race != races[0]), "other seeds interleave: {races:?}");
    });
}

#[test]
fn what_reaches_the_real_machine_is_said() {
    isolated(|| {
        let report = Simulation::new(1)
            .node("a", || {
                assert_eq!(seedfall_kernel::node().as_deref(), Some("a"));
                let real = || std::fs::exists(env!("CARGO_MANIFEST_DIR")).unwrap();
                assert!(!real(), "a file system of its own");
                assert!(seedfall_kernel::nondeterministic(real));
                assert!(!real());
            })
            .run();
        assert_eq!((report.failures, report.nondeterministic), (vec![], 1));
    });
}

#[test]
fn an_environment_is_a_nodes_own() {
    isolated(|| {
        let show = || println!("{:?}", std::env::vars().collect::<Vec<_>>());
        let report =
            Simulation::new(1).node("a", show).node("b", show).env("a", "NAME", "value").run();
        assert_eq!(report.failures, []);
        assert_eq!(report.node("a").output(), "[(\"NAME\", \"value\")]\n");
        assert_eq!(report.node("b").output(), "[]\n");
    });
}

/// The hashes of some runs, as the process prints them that the variable asks.
const ASKED: &str = "SEEDFALL_KERNEL_TEST_HASHES";

fn service() {
    let listener = TcpListener::bind("0.0.0.0:7000").unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                let _ = stream.write_all(&buffer[..count]);
            }
        });
    }
}

fn workload() {
    let map: HashMap<u32, u32> = (0..10).map(|number| (number, number)).collect();
    for number in map.keys() {
        let Ok(mut stream) = TcpStream::connect("service:7000") else { continue };
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut got = [0; 4];
        let asked = stream.write_all(&number.to_le_bytes());
        let answer = asked.and_then(|()| stream.read_exact(&mut got));
        println!("{number} {:?} {got:?}", answer.map_err(|error| error.kind()));
    }
}

fn hash(seed: u64) -> u64 {
    let report = Simulation::new(seed)
        .node("service", service)
        .client_main("one", |_| workload())
        .client_main("two", |_| workload())
        .partition(Span::millis(5), Span::millis(700), &["one"])
        .crash(Span::millis(8), Span::millis(400), "service")
        .run();
    assert_eq!(report.failures, []);
    report.hash
}

/// Prints the hash of all hashes, if this process is asked for it; nothing for people.
#[test]
fn hashes_for_another_process() {
    if std::env::var(ASKED).is_ok() {
        isolated(|| println!("hashes {:?}", (0..200).map(hash).collect::<Vec<_>>()));
    }
}

#[test]
fn two_hundred_seeds_have_the_same_hashes_alone_in_threads_and_in_other_processes() {
    isolated(|| {
        let alone: Vec<u64> = (0..200).map(hash).collect();
        let mut distinct = alone.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 200, "every seed is another run");
        let halves = [(0..100), (100..200)]
            .map(|seeds| std::thread::spawn(move || seeds.rev().map(hash).collect::<Vec<_>>()));
        let mut threads = Vec::new();
        for half in halves {
            threads.extend(half.join().unwrap().into_iter().rev());
        }
        assert_eq!(alone, threads);
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let name = "decided::hashes_for_another_process";
        command.args([name, "--exact", "--nocapture"]).env(ASKED, "1");
        command.env_remove("SEEDFALL_KERNEL_ISOLATED");
        command.env("LONG", "x".repeat(10_000)).current_dir("/");
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert!(output.contains(&format!("hashes {alone:?}")), "another process: {output}");
        println!(
            "the sum of all hashes: {:016x}",
            alone.iter().fold(0_u64, |sum, one| { sum.rotate_left(5) ^ one })
        );
        // Measured in debug and in release builds, which must agree.
        assert_eq!(alone[..2], PINNED, "a run of these programs has changed");
    });
}

/// The hashes of the seeds 0 and 1.
const PINNED: [u64; 2] = [1789954593599450526, 17064340026378104924];
