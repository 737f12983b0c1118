//! Programs as they are, as scenarios: a register over `std::net` and `std::fs`, with threads.

#![cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]

use seedfall::case::{Case, Replayed};
use seedfall::checkers::models::{Register, RegisterInput as In, RegisterOutput as Out};
use seedfall::diff::{Side, compare, neighbour};
use seedfall::explain::Explanation;
use seedfall::point::point;
use seedfall::programs::{Answer, Program, Programs, Session};
use seedfall::run::{Fork, Futures};
use seedfall::shrink::{Effort, Shrunk, shrink, story};
use seedfall::sim::{Kind, Recording, Seed};
use seedfall::sweep::{Meaning, Sweep, all_cores, sweep};
use seedfall::testing::check_seed;
use seedfall::{
    COMES_TO_ITS_END, Class, Expect, FailureKind, Horizon, Report, Runnable, Swarm, Trial,
    every_operation_completes, linearizable, sometimes_in,
};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// Whether a write is synced before it is acknowledged.
#[derive(Clone, Copy)]
struct Syncs(bool);

#[expect(clippy::disallowed_methods, reason = "it calls the simulated Linux")]
/// Keeps one number in a file, for whoever connects: `r` reads it, `w 7` writes it.
fn server(Syncs(syncs): Syncs) {
    let old = std::fs::read_to_string("/work/value").unwrap_or_default();
    let old = old.split_whitespace().next().unwrap_or("0");
    let value = Arc::new(Mutex::new(old.parse::<u64>().expect("whole lines are renamed")));
    let listener = TcpListener::bind("0.0.0.0:7000").expect("the port is free");
    for stream in listener.incoming() {
        let (stream, value) = (stream.expect("a connection"), Arc::clone(&value));
        std::thread::spawn(move || serve(stream, &value, syncs));
    }
}

#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it calls the simulated Linux"
)]
fn keep(new: u64, syncs: bool) -> std::io::Result<()> {
    let mut file = std::fs::File::create("/work/new")?;
    // When, is for whoever looks at the file.
    use std::time::SystemTime;
    let written = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    writeln!(file, "{new} {}", written.as_millis())?;
    if syncs {
        file.sync_all()?;
    }
    std::fs::rename("/work/new", "/work/value")?;
    if syncs {
        std::fs::File::open("/work")?.sync_all()?;
    }
    Ok(())
}

fn serve(mut stream: TcpStream, value: &Mutex<u64>, syncs: bool) {
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
    let reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    for line in reader.lines() {
        let Ok(line) = line else { return };
        let mut value = value.lock().expect("nobody panics");
        let answer = match line.strip_prefix("w ").map(str::parse) {
            Some(Ok(new)) => {
                // Beside, then renamed: a crash leaves the old or the new one.
                if keep(new, syncs).is_err() {
                    // What the disk holds now, nobody knows: recovery will see.
                    std::process::exit(1);
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
        properties: vec![linearizable(Register { initial: 0 }), every_operation_completes()],
        expect: Expect::Holds,
        ..Programs::new(
            name,
            |op, draw| if draw.below(2) == 0 { In::Read } else { In::Write(op.unique()) },
            client,
        )
    }
}

#[test]
fn a_program_keeps_its_properties() {
    let scenario = register("program-register", true);
    let plan = Sweep { seeds: 0..200, keep_going: true, ..Sweep::new(all_cores()) };
    let summary = sweep(&scenario, &plan, &|_| ());
    assert_eq!(summary.meaning(&scenario), Meaning::AsExpected, "{summary:?}");
    assert!(summary.fired.len() > 12, "{:?}", summary.fired);
    assert!(summary.fired.values().all(|(_, fired)| *fired > 0), "{:?}", summary.fired);
    assert!(summary.twice > 4 && summary.completed > 5_000, "{summary:?}");
}

#[test]
fn what_histories_of_programs_are_to_show_is_owed_and_noted() {
    let with = |name, sees: fn(usize) -> bool| {
        let mut scenario = register("program-register", true);
        let property = sometimes_in(name, move |history| sees(history.operations.len()));
        scenario.properties.push(property);
        (scenario.sometimes(), scenario.run(&Trial::of(Seed(1))))
    };
    let (owed, report) = with("operations", |count| count > 0);
    assert_eq!(owed, ["operations"]);
    assert!(report.marks.contains(&("operations", 1)), "{:?}", report.marks);
    let (owed, report) = with("none", |count| count == 0);
    assert_eq!((owed, report.marks), (vec!["none"], vec![]));
    let (_, report) = with("looks", |_| panic!("out of bounds"));
    let failure = report.failure().expect("the property panicked");
    assert!(failure.to_string().contains("looks"), "{failure}");
}

#[test]
fn a_program_that_acknowledges_too_early_is_found_and_its_run_made_small() {
    let scenario = register("program-register-unsynced", false);
    let plan = Sweep { seeds: 0..200, ..Sweep::new(all_cores()) };
    let summary = sweep(&scenario, &plan, &|_| ());
    let failure = summary.failures.first().expect("it forgets what it acknowledged");
    assert_eq!(failure.kind, FailureKind::Safety, "{failure}");
    assert_eq!(failure.property, "always linearizable");
    let replayed = scenario.run(&Trial::of(failure.seed));
    assert_eq!(replayed.failure(), Some(failure), "the same run");
    let effort = Effort::runs(1_200);
    let small = shrink(&scenario, &Trial::of(failure.seed), &effort);
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

/// What the process of a test has done until now, for all that its runs can see of it.
static DONE: AtomicU32 = AtomicU32::new(0);

/// A program that shows what is in the process in which it is forked.
#[test]
#[expect(clippy::print_stdout, reason = "what a program prints is in its trace")]
fn the_runs_of_a_sweep_find_nothing_of_what_its_process_does() {
    let scenario = Programs {
        nodes: vec![Program::new("server", || println!("{}", DONE.load(Relaxed)))],
        ..register("program-that-looks", true)
    };
    scenario.alone(&mut || {
        let hash = || scenario.run(&Trial::of(Seed(3))).hash;
        let before = hash();
        DONE.fetch_add(1, Relaxed);
        assert_eq!(hash(), before, "what was done meanwhile is not in the run");
        let trial = Trial { recording: Recording::Full, ..Trial::of(Seed(3)) };
        let report = scenario.run(&trial);
        assert_eq!(report.hash, before);
        let other = Programs { operations: 1, ..scenario.clone() };
        assert_ne!(other.run(&trial).hash, before, "it is another scenario, of the same name");
    });
    let other = Programs { operations: 1, ..scenario };
    let seen = |done| {
        DONE.store(done, Relaxed);
        other.run(&Trial::of(Seed(3))).hash
    };
    assert_ne!(seen(1), seen(2), "what is forked from here finds it");
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
fn a_clock_that_nobody_reads_and_peers_that_are_not_there_are_not_owed() {
    let deaf = || drop(TcpListener::bind("0.0.0.0:7000").map(|server| server.accept()));
    let mut bare = Programs {
        nodes: vec![Program::new("server", deaf)],
        faults: Swarm { clocks: 2, partitions: 2, ..Swarm::NONE },
        ..register("program-bare", true)
    };
    let plan = Sweep { seeds: 0..20, keep_going: true, ..Sweep::new(all_cores()) };
    let summary = sweep(&bare, &plan, &|_| ());
    assert!(summary.is_not_applicable(Class::Clock), "{summary:?}");
    assert!(summary.is_not_applicable(Class::Partition), "{summary:?}");
    bare.nodes = register("program-register", true).nodes;
    let summary = sweep(&bare, &plan, &|_| ());
    assert!(!summary.is_not_applicable(Class::Clock), "it stamps what it writes");
}

#[test]
fn a_failure_says_what_its_nodes_are_called() {
    let told = |names: &[&'static str]| {
        let mut scenario = register("program-broken", true);
        scenario.faults = Swarm::NONE;
        let main: fn() = || panic!("not today");
        scenario.nodes = names.iter().map(|name| Program::new(name, main)).collect();
        scenario.run(&Trial::of(Seed(1))).failure().expect("it is broken").to_string()
    };
    let pair = told(&["server", "backup"]);
    assert!(pair.contains("\n  nodes      n1 server, n2 backup\n"), "{pair}");
    assert!(!told(&["server"]).contains("  nodes "), "there is nobody to be confused with");
}

#[test]
fn a_program_may_be_expected_to_compute_without_an_end() {
    let mut scenario = register("program-spins", true);
    scenario.faults = Swarm::NONE;
    scenario.nodes = vec![Program::new("server", || while std::hint::black_box(true) {})];
    scenario.limits.spin = 1;
    scenario.properties = vec![linearizable(Register { initial: 0 })];
    let because = "it has nothing else to do";
    scenario.expect = Expect::Violates { properties: &[COMES_TO_ITS_END], because };
    let report = scenario.run(&Trial::of(Seed(1)));
    let failure = report.failure().expect("it does");
    assert_eq!(failure.expected.as_deref(), Some(because), "{failure:?}");
}

#[test]
fn a_call_that_is_not_simulated_is_found_made_small_and_told() {
    let mut scenario = register("program-spawns", true);
    let spawns = || drop(std::process::Command::new("true").status());
    scenario.nodes = vec![Program::new("server", spawns)];
    let small = shrink(&scenario, &Trial::of(Seed(1)), &Effort::runs(100)).expect("it fails");
    let again = scenario.run(&small.trial);
    let failure = again.failure().expect("the small run fails, too");
    assert_eq!(failure.property, "programs call only what is simulated");
    assert_eq!((small.after.faults, again.hash), (0, small.report.hash));
    let told = story(&small).join("\n");
    assert!(told.contains("n1 ends by a call of ") && told.contains("not simulated"), "{told}");
}

#[test]
fn a_signal_of_the_processor_is_found_made_small_and_told() {
    #[expect(unconditional_recursion, reason = "it is to overflow its stack")]
    fn deeper(by: u64) -> u64 {
        std::hint::black_box(deeper(std::hint::black_box(by) + 1)) + by
    }
    let mut scenario = register("program-deep", true);
    scenario.nodes = vec![Program::new("server", || assert_ne!(deeper(1), 0))];
    let small = shrink(&scenario, &Trial::of(Seed(1)), &Effort::runs(100)).expect("it fails");
    let again = scenario.run(&small.trial);
    assert!(again.failed() && again.hash == small.report.hash && again.hash != 0);
    let told = story(&small).join("\n");
    assert!(told.contains("n1 ends by a stack overflow"), "{told}");
}

#[test]
fn a_scenario_of_programs_that_makes_no_sense_is_refused() {
    let mut scenario = register("program-register", true);
    scenario.nodes.clear();
    let why = check_seed(&scenario, 1).expect_err("nobody is there");
    assert!(why.contains("has 0 nodes"), "{why}");
    let mut scenario = register("program-register", true);
    scenario.properties.push(seedfall::eventually("all is well", |_| true));
    let why = check_seed(&scenario, 1).expect_err("nobody sees");
    assert!(why.contains("the state of a program is not seen"), "{why}");
}

#[test]
fn a_program_that_ends_at_once_and_a_deadlock_are_told_as_what_they_are() {
    let why = |main: fn()| {
        let mut scenario = register("program-broken", true);
        scenario.faults = Swarm::NONE;
        scenario.nodes = vec![Program::new("server", main)];
        let report = scenario.run(&Trial::of(Seed(1)));
        report.failure().map(|failure| (failure.kind, failure.explanation.clone()))
    };
    let (kind, text) = why(|| ()).expect("nobody answers");
    assert_eq!(kind, FailureKind::Liveness);
    assert!(text.contains("`server` ended by itself at 0.000000s, with code 0"), "{text}");
    let deaf = || {
        let listener = TcpListener::bind("0.0.0.0:7000").expect("the port is free");
        let mutex = Mutex::new(());
        let held = mutex.lock();
        drop((mutex.lock(), held, listener));
    };
    let (kind, text) = why(deaf).expect("nobody answers");
    assert_eq!(kind, FailureKind::Liveness, "{text}");
}

/// A run recorded in full.
fn full(seed: u64) -> Trial {
    Trial { recording: Recording::Full, log_draws: true, ..Trial::of(Seed(seed)) }
}

/// A run that loses what it acknowledged, made small; once for all tests.
fn small(scenario: &Programs<In<u64>, Out<u64>>) -> Shrunk {
    static SMALL: OnceLock<Shrunk> = OnceLock::new();
    let make = || {
        let fails = |seed: &u64| scenario.run(&Trial::of(Seed(*seed))).failed();
        let seed = (0..200).find(fails).expect("it forgets what it acknowledged");
        shrink(scenario, &Trial::of(Seed(seed)), &Effort::runs(300)).expect("it fails")
    };
    SMALL.get_or_init(make).clone()
}

#[test]
fn a_run_of_a_program_is_traced_and_is_the_run_that_is_not() {
    let scenario = register("program-register", true);
    // As commands and `check` run it: the other tests of this process are not in its runs.
    scenario.alone(&mut || {
        for seed in 0..20 {
            let (plain, kept) = (scenario.run(&Trial::of(Seed(seed))), scenario.run(&full(seed)));
            assert_eq!((plain.hash, plain.events), (kept.hash, kept.events), "seed {seed}");
            assert_eq!(kept.trace.len() as u64, kept.events);
            let case = Case::of(&full(seed), &kept, "");
            assert_eq!(case.compare(&scenario.run(&case.trial())), Replayed::Same);
            let part = scenario.run(&Trial { until: Some(kept.events / 2), ..full(seed) });
            assert_eq!(part.trace[..], kept.trace[..part.trace.len()], "and a part of it");
        }
        let report = scenario.run(&full(7));
        let lines: Vec<String> = report.trace.iter().map(ToString::to_string).collect();
        for words in [
            "n1 starts",
            "c1 calls        c1#0 ",
            "c1 connect n1   client1:32769 connects to server:7000",
            "c1 ->      n1   w",
            "n1 <-      c1   w",
            "n1 file         renames /work/new to /work/value",
            "n1 syncs        /work/new",
            "n1 ->      c1   ok",
            "c1 returns      c1#",
            "n1 FAULT        begins: ",
            "n1 FAULT        ends: ",
        ] {
            assert!(lines.iter().any(|line| line.contains(words)), "{words}\n{}", lines.join("\n"));
        }
    });
}

#[test]
fn a_run_of_a_program_is_told_and_explained() {
    let scenario = register("program-register-unsynced", false);
    let small = small(&scenario);
    let story = story(&small).join("\n");
    for words in ["calls", "n1 writes /work/new", "n1 crashes", "not durable", "broken: always"] {
        assert!(story.contains(words), "{words}\n{story}");
    }
    let explained = Explanation::of(&scenario, &small, "replay".to_owned(), None);
    assert_eq!(
        (explained.lanes[0].name.as_str(), explained.lanes[0].title.as_str()),
        ("n1", "server")
    );
    assert_eq!(explained.operations.len() as u64, small.after.operations);
    assert!(explained.operations.iter().any(|one| one.broken), "the witness is marked");
    assert!(explained.messages.iter().all(|one| one.from != one.to));
    let arrived = explained.messages.iter().filter(|one| !one.arrivals.is_empty()).count();
    assert_eq!(arrived as u64, small.after.delivered);
    assert!(explained.html().contains("server"));
}

#[test]
fn two_runs_of_a_program_are_compared() {
    let scenario = register("program-register", true);
    let sides = [3, 4].map(|seed| Side::of(&scenario, &full(seed)));
    assert!(compare(&scenario, &sides[0], &sides[0]).is_none());
    assert!(compare(&scenario, &sides[0], &sides[1]).is_some());
    let scenario = register("program-register-unsynced", false);
    let failing = Side::of(&scenario, &small(&scenario).trial);
    let neighbour = neighbour(&scenario, &failing).expect("it does not fail without its crash");
    let left = neighbour.difference.left.expect("the crash").event.kind;
    assert!(matches!(left, Kind::Crash | Kind::Fault), "{left:?}");
}

#[test]
fn the_futures_of_a_program_are_what_they_are_from_its_beginning() {
    let scenario = register("program-register-unsynced", false);
    let small = small(&scenario);
    let trial = Trial { until: None, ..small.trial.clone() };
    let seed = |which: usize| Seed(which as u64 + 100);
    for after in [1, small.after.events / 2, small.after.events - 2] {
        let alone = (0..20).filter(|which| {
            let fork = Some(Fork { after, seed: seed(*which) });
            scenario.run(&Trial { fork, ..trial.clone() }).failed()
        });
        let fails = |report: &Report| report.failed();
        let futures = Futures { after, count: 20, seed: &seed, fails: &fails, jobs: all_cores() };
        assert_eq!(scenario.futures(&trial, &futures), alone.count(), "after {after}");
    }
    let asked = seedfall::point::Futures { of_each: 20, jobs: all_cores() };
    let point = point(&scenario, &small.trial, asked).expect("it fails");
    assert!(point.jump.after.share() >= 0.5 && point.jump.event <= point.events, "{point:?}");
}

/// The code of the guide is code that is compiled and run: each block stands in a file of tests or
/// examples, line by line.
#[test]
fn the_code_of_the_guide_is_code_that_runs() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).expect("it is there");
    let compiled = ["tests/twenty_lines.rs", "storage/src/redb.rs", "src/tally.rs"];
    let compiled = compiled.map(|file| read(&format!("tests/programs/{file}"))).concat();
    let lines: Vec<&str> = compiled.lines().map(str::trim).collect();
    for page in ["README.md", "docs/guide/programs.md"] {
        let text = read(page);
        let blocks: Vec<&str> = text.split("```rust,ignore\n").skip(1).collect();
        assert!(!blocks.is_empty(), "{page} shows no code");
        for block in blocks {
            let (code, _) = block.split_once("```").expect("a block ends");
            for line in code.lines().map(str::trim).filter(|line| !line.is_empty()) {
                assert!(lines.contains(&line), "{page}: not in the code that runs: {line}");
            }
        }
    }
}
