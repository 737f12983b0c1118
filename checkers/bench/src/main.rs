//! Linearizability checkers side by side, in one command: `cargo run --release`.
//!
//! Check only, input in memory, one core; processor time, the best of a few runs. Peers are given a
//! few seconds each in a process of their own, because neither can be asked to stop. They are those
//! that exist as crates and judge linearizability: todc-utils and stateright. For transactions see
//! `bench-transactions` (adya; dbcop 0.2 is not on the registry, so it is not here).

mod loads;
mod peers;

use std::io::Read;

use seedfall_checkers::models::{PriorityQueue, Queue, Register, Set, Stack};
use seedfall_checkers::readers::{Format, Limits, ModelName, Typed, read};
use seedfall_checkers::{Budget, HistoryError, Verdict, linearizable};

/// As much as it takes: what is measured is how long.
const BUDGET: Budget = Budget::configurations(100_000_000);

fn main() {
    // glibc hands freed memory back to the kernel above a threshold, which grows once something
    // large was freed. Without this line a check that is repeated measures page faults too, or not,
    // by where in the heap its last result lies.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(31 << 20)));
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("peer") => peers::child(arguments.collect()),
        // The beginning of a name: those loads alone, for a profiler.
        Some(only) => targets(only),
        None => {
            targets("");
            corpora();
            peers::table();
        }
    }
}

/// Seconds of processor that this thread has used: steady on a shared machine, unlike a clock.
pub fn cpu_seconds() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos: u64 = told.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    nanos as f64 / 1e9
}

/// Seconds for one check: the best of three rounds, each long enough for the kernel's accounting.
pub fn best_of<T>(check: impl Fn() -> T) -> (f64, T) {
    let mut best = f64::INFINITY;
    let mut last = check();
    for _ in 0..3 {
        let start = cpu_seconds();
        let mut count = 0;
        while count == 0 || (cpu_seconds() - start < 0.05 && count < 100_000) {
            last = check();
            count += 1;
        }
        best = best.min((cpu_seconds() - start) / f64::from(count));
        if best > 1.0 {
            break;
        }
    }
    (best, last)
}

fn measure(name: &str, target: &str, check: impl Fn() -> Result<Verdict, HistoryError>) {
    let (best, verdict) = best_of(&check);
    let verdict = verdict.expect("a load is well-formed");
    let answer = match &verdict {
        Verdict::Holds(_) => "holds".to_owned(),
        Verdict::Violated(witness) => format!("violated, core {}", witness.core.len()),
        Verdict::Unknown(_) => "UNKNOWN".to_owned(),
    };
    let spent = verdict.statistics();
    println!(
        "| {name} | {target} | {:.3} ms | {answer} | {} configurations, {} KB |",
        best * 1e3,
        spent.configurations,
        spent.bytes / 1024
    );
}

/// The loads of the targets whose names begin with `only`.
fn targets(only: &str) {
    println!("| load | target | measured | verdict | spent |\n|---|---|---|---|---|");
    let chosen = |name: &str| name.starts_with(only);
    registers(&chosen);
    containers(&chosen);
}

fn registers(chosen: &impl Fn(&str) -> bool) {
    let (model, store, budget) = (Register { initial: None }, loads::store(), BUDGET);
    let register = |name: &str, target: &str, history: &loads::Registers| {
        measure(name, target, || linearizable(&model, history, budget));
    };
    let million = 1_000_000;
    let name = "kv, 40 operations, 3 keys (one simulated run)";
    if chosen(name) {
        let history = loads::keys((1, 40, 4, 5), 3);
        measure(name, "20 us", || linearizable(&store, &history, budget));
    }
    if chosen("register unique 1e6 c100 u5") {
        let mut history = loads::register((1, million, 100, 5), 0, None, true);
        register("register unique 1e6 c100 u5 ok", "100 ms", &history);
        loads::plant_stale_read(&mut history);
        register("register unique 1e6 c100 u5 bad", "100 ms", &history);
    }
    if chosen("the same with 20% cas") {
        let history = loads::register((1, million, 100, 5), 20, None, true);
        register("the same with 20% cas", "150 ms", &history);
    }
    if chosen("1e6 on 1000 keys c100 u5") {
        let history = loads::keys((1, million, 100, 5), 1_000);
        measure("1e6 on 1000 keys c100 u5", "100 ms", || linearizable(&store, &history, budget));
    }
    for (n, clients, unknown, target) in [
        (1_000, 20, 0, "300 ms"),
        (1_000, 20, 5, "300 ms"),
        (10_000, 10, 5, "1000 ms"),
        (10_000, 20, 0, "5000 ms"),
    ] {
        let name = format!("5 values, 20% cas, {n} c{clients} u{unknown}");
        if chosen(&name) {
            let history = loads::register((1, n, clients, unknown), 20, Some(5), false);
            register(&name, target, &history);
        }
    }
    for clients in [2, 3, 5, 20, 100] {
        let name = format!("one stale read in 1e3 c{clients} u5");
        if chosen(&name) {
            let mut history = loads::register((1, 1_000, clients, 5), 0, None, true);
            loads::plant_stale_read(&mut history);
            register(&name, "1 ms", &history);
        }
    }
}

fn containers(chosen: &impl Fn(&str) -> bool) {
    let (million, budget) = (1_000_000, BUDGET);
    if chosen("queue 1e6 c20") {
        let history = loads::queue(million, 20);
        measure("queue 1e6 c20", "100 ms", || linearizable(&Queue::new(), &history, budget));
    }
    if chosen("set 1e6 c20") {
        let history = loads::set(million, 20);
        measure("set 1e6 c20", "150 ms", || linearizable(&Set::new(), &history, budget));
    }
    if chosen("stack 1e6 c20") {
        let history = loads::stack(million, 20);
        measure("stack 1e6 c20", "600 ms", || linearizable(&Stack::new(), &history, budget));
    }
    if chosen("pqueue 1e6 c20") {
        let history = loads::priority_queue(million, 20);
        let model = PriorityQueue::new();
        measure("pqueue 1e6 c20", "600 ms", || linearizable(&model, &history, budget));
    }
}

/// Porcupine's own data, where it lies on this machine.
fn corpora() {
    let Ok(folder) = std::env::var("SEEDFALL_PORCUPINE_DIR") else {
        println!("\nSKIPPED: SEEDFALL_PORCUPINE_DIR is not set: no etcd and kv corpora");
        return;
    };
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .collect();
    files.sort();
    let (mut total, mut slowest, mut count) = (0.0, 0.0_f64, 0);
    for path in files.iter().filter(|path| path.extension().is_some_and(|e| e == "gz")) {
        let name = path.file_name().expect("name").to_string_lossy().into_owned();
        let etcd = name.starts_with("etcd");
        let typed = load(path, if etcd { ModelName::Register } else { ModelName::Kv });
        if name.starts_with("kv") {
            measure(&name, "3 / 1.5 ms", || typed.check(BUDGET));
            continue;
        }
        let (best, verdict) = best_of(|| typed.check(BUDGET));
        assert!(!matches!(verdict, Ok(Verdict::Unknown(_)) | Err(_)), "{name}");
        total += best;
        if best > slowest {
            slowest = best;
        }
        count += 1;
    }
    println!(
        "| etcd, {count} files | 5 ms, slowest 0.5 | {:.3} ms, slowest {:.3} | | |",
        total * 1e3,
        slowest * 1e3
    );
}

pub fn load(path: &std::path::Path, model: ModelName) -> Typed {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).expect("file");
    flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes).expect("gzip");
    let raw = read(Format::JsonLines, &bytes[..], Limits::DEFAULT).expect("history");
    raw.interpret(model).expect("model")
}
