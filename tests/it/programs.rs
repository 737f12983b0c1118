//! Programs as they are, as scenarios: a register over `std::net` and `std::fs`, with threads.

use seedfall::checkers::models::{Register, RegisterInput as In, RegisterOutput as Out};
use seedfall::programs::{Answer, Program, Programs, Session};
use seedfall::sim::Seed;
use seedfall::sweep::{Meaning, Sweep, all_cores, sweep};
use seedfall::testing::check_seed;
use seedfall::{
    Expect, FailureKind, Horizon, Runnable, Swarm, Trial, every_operation_completes, linearizable,
};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Whether a write is synced before it is acknowledged.
#[derive(Clone, Copy)]
struct Syncs(bool);

#[expect(clippy::disallowed_methods, reason = "a thread of the simulated Linux")]
/// Keeps one number in a file, for whoever connects: `r` reads it, `w 7` writes it.
fn server(Syncs(syncs): Syncs) {
    let old = std::fs::read_to_string("/work/value").unwrap_or_default();
    let value = Arc::new(Mutex::new(old.trim().parse::<u64>().unwrap_or(0)));
    let listener = TcpListener::bind("0.0.0.0:7000").expect("the port is free");
    for stream in listener.incoming() {
        let (stream, value) = (stream.expect("a connection"), Arc::clone(&value));
        std::thread::spawn(move || serve(stream, &value, syncs));
    }
}

fn serve(mut stream: TcpStream, value: &Mutex<u64>, syncs: bool) {
    let reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    for line in reader.lines() {
        let Ok(line) = line else { return };
        let mut value = value.lock().expect("nobody panics");
        let answer = match line.strip_prefix("w ").map(str::parse) {
            Some(Ok(new)) => {
                // Beside, then renamed: a crash leaves the old or the new one.
                let mut file = std::fs::File::create("/work/new").expect("a file");
                writeln!(file, "{new}").expect("room");
                if syncs {
                    file.sync_all().expect("a disk");
                }
                std::fs::rename("/work/new", "/work/value").expect("a name");
                if syncs {
                    std::fs::File::open("/work").and_then(|dir| dir.sync_all()).expect("a disk");
                }
                *value = new;
                "ok".to_owned()
            }
            _ => value.to_string(),
        };
        if writeln!(stream, "{answer}").is_err() {
            return;
        }
    }
}

fn client(mut session: Session<In<u64>, Out<u64>>) {
    while let Some(input) = session.next_blocking() {
        session.answer(ask(&input).unwrap_or(Answer::Indeterminate));
    }
}

fn ask(input: &In<u64>) -> std::io::Result<Answer<Out<u64>>> {
    let mut stream = TcpStream::connect("server:7000")?;
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    match input {
        In::Read => writeln!(stream, "r")?,
        In::Write(value) => writeln!(stream, "w {value}")?,
        In::Cas { .. } => return Ok(Answer::Failed),
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(match (input, text.trim().parse()) {
        (In::Read, Ok(value)) => Answer::Ok(Out::Value(value)),
        (In::Write(_), _) if text.trim() == "ok" => Answer::Ok(Out::Done),
        _ => Answer::Indeterminate,
    })
}

fn register(name: &'static str, syncs: bool) -> Programs<In<u64>, Out<u64>> {
    Programs {
        nodes: vec![Program::new("server", move || server(Syncs(syncs)))],
        clients: 3,
        // One server alone has nobody from whom it could be parted: clients reach everybody.
        faults: Swarm { partitions: 0, flaps: 0, ..Swarm::ALL },
        horizon: Horizon::SHORT,
        promises: vec![linearizable(Register { initial: 0 }), every_operation_completes()],
        expect: Expect::Holds,
        ..Programs::new(
            name,
            |op, draw| if draw.below(2) == 0 { In::Read } else { In::Write(op.unique()) },
            client,
        )
    }
}

#[test]
fn a_program_holds_what_it_promises() {
    let scenario = register("program-register", true);
    let plan = Sweep { seeds: 0..200, keep_going: true, ..Sweep::new(all_cores()) };
    let summary = sweep(&scenario, &plan, &|_| ());
    assert_eq!(summary.meaning(&scenario), Meaning::Good, "{summary:?}");
    assert!(summary.fired.len() > 12, "{:?}", summary.fired);
    assert!(summary.fired.values().all(|(_, fired)| *fired > 0), "{:?}", summary.fired);
    assert!(summary.twice > 4 && summary.completed > 5_000, "{summary:?}");
}

#[test]
fn a_program_that_acknowledges_too_early_is_found_and_its_run_made_small() {
    let scenario = register("program-register-unsynced", false);
    let plan = Sweep { seeds: 0..200, ..Sweep::new(all_cores()) };
    let summary = sweep(&scenario, &plan, &|_| ());
    let failure = summary.failures.first().expect("it forgets what it acknowledged");
    assert_eq!(failure.kind, FailureKind::Safety, "{failure}");
    assert_eq!(failure.promise, "always linearizable");
    let replayed = scenario.run(&Trial::of(failure.seed));
    assert_eq!(replayed.failure(), Some(failure), "the same run");
    let effort = seedfall::shrink::Effort::runs(300);
    let small = seedfall::shrink::shrink(&scenario, &Trial::of(failure.seed), &effort);
    let small = small.expect("it fails");
    assert_eq!(small.after.faults, 1, "{}", small.summary());
    assert!(small.after.operations < small.before.operations, "{}", small.summary());
}

#[test]
fn the_same_seed_is_the_same_run_of_a_program_wherever_it_runs() {
    let scenario = register("program-register", true);
    let hashes = |seed| {
        let (alone, again) = (scenario.run(&Trial::of(Seed(seed))), scenario.shared());
        (alone.hash, again.run(&Trial::of(Seed(seed))).hash)
    };
    for seed in 0..20 {
        let (alone, again) = hashes(seed);
        assert_eq!(alone, again, "seed {seed}");
    }
    assert_ne!(hashes(1).0, hashes(2).0);
}

#[test]
fn a_program_that_panics_exits_or_spins_is_a_verdict() {
    let with = |main: fn()| {
        let mut scenario = register("program-broken", true);
        scenario.faults = Swarm::NONE;
        scenario.nodes = vec![Program::new("server", main)];
        scenario.limits.spin = 1;
        let report = scenario.run(&Trial::of(Seed(1)));
        let failure = report.failure().expect("it is broken").clone();
        (failure.kind, failure.explanation)
    };
    let (kind, why) = with(|| panic!("not today"));
    assert_eq!(kind, FailureKind::Crash);
    assert!(why.contains("`server` panicked at") && why.contains("not today"), "{why}");
    let (kind, why) = with(|| std::process::exit(3));
    assert!(kind == FailureKind::Crash && why.contains("with code 3"), "{why}");
    let (kind, why) = with(|| {
        let mut turns = 0_u64;
        while std::hint::black_box(turns) < u64::MAX {
            turns += 1;
        }
    });
    assert!(kind == FailureKind::Hang && why.contains("computes without an end"), "{why}");
}

#[test]
fn a_scenario_of_programs_that_makes_no_sense_is_refused() {
    let mut scenario = register("program-register", true);
    scenario.nodes.clear();
    let why = check_seed(&scenario, 1).expect_err("nobody is there");
    assert!(why.contains("has 0 nodes"), "{why}");
    let mut scenario = register("program-register", true);
    scenario.promises.push(seedfall::eventually("all is well", |_| Ok(())));
    let why = check_seed(&scenario, 1).expect_err("nobody sees");
    assert!(why.contains("the state of a program is not seen"), "{why}");
}

/// The code of the guide is code that is compiled and run: each block stands in a file of tests or
/// examples, line by line.
#[test]
fn the_code_of_the_guide_is_code_that_runs() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).expect("it is there");
    let compiled = read("tests/programs/tests/twenty_lines.rs");
    let lines: Vec<&str> = compiled.lines().map(str::trim).collect();
    for page in ["README.md", "docs/guide/programs.md"] {
        let text = read(page);
        let blocks: Vec<&str> = text.split("```rust,ignore\n").skip(1).collect();
        assert!(!blocks.is_empty(), "{page} shows no code");
        for block in blocks {
            let (code, _) = block.split_once("```").expect("a block ends");
            for line in code.lines().map(str::trim).filter(|line| !line.is_empty()) {
                assert!(lines.contains(&line), "{page}: not in twenty_lines.rs: {line}");
            }
        }
    }
}
