//! Transaction checkers side by side, on generated histories, one child process a measurement.
//!
//! `cargo run --release` prints the whole table; `cargo run --release -- list` only the cases whose
//! name contains `list`. Figures are CPU seconds of one thread and the peak of resident memory of a
//! child that holds the input and checks it once. `build` is the time from the generator's rows to
//! the checker's own history, `check` the check alone. The peer is adya, the one that is on the
//! registry (dbcop 0.2 and AWDIT are not).

use std::fs;
use std::process::{Command, ExitCode};

use adya::history::{History as AdyaHistory, Interner, Mop, Op, OpType, ReadValue, Scalar};
use seedfall_checkers::{Budget, Outcome};
use seedfall_checkers::transactions::generate::{Generated, Isolation, Shape, generate};
use seedfall_checkers::transactions::weak::{self, WeakLevel};
use seedfall_checkers::transactions::{
    DataType, Level, Micro, Status, TransactionHistory, check, timestamps,
};

/// What one line of the table measures.
struct Case {
    name: &'static str,
    shape: Shape,
    what: What,
    /// Whether the peer can decide it in reasonable time.
    has_peer: bool,
    /// The target, in seconds of `check`.
    target: f64,
}

#[derive(Clone, Copy)]
enum What {
    Level(Level),
    Weak(WeakLevel),
    Stamps(timestamps::Promise),
    Online(timestamps::Promise),
}

fn cases() -> Vec<Case> {
    use Isolation::{ReadCommitted, Snapshot, StrictSerializable};
    let list = |isolation, n| Shape::usual(DataType::List, isolation, n);
    let register = |isolation, n| Shape::usual(DataType::Register, isolation, n);
    let events = |processes| Shape {
        processes,
        keys: 1_000,
        // 4.5 events a transaction on average: a million events.
        micros_max: 8,
        writes_per_key: u64::MAX,
        ..register(StrictSerializable, 222_222)
    };
    let case = |name, shape, what, has_peer, target| Case { name, shape, what, has_peer, target };
    let level = What::Level;
    let (si, ser, strict) =
        (Level::SnapshotIsolation, Level::Serializable, Level::StrictSerializable);
    vec![
        case("list 1e5 serializable", list(StrictSerializable, 100_000), level(ser), true, 0.12),
        case("list 1e5 strict", list(StrictSerializable, 100_000), level(strict), true, 0.2),
        case("list 1e5 si as si", list(Snapshot, 100_000), level(si), true, 0.12),
        case("list 1e5 si as ser", list(Snapshot, 100_000), level(ser), true, 1.0),
        case("list 1e4 rc as strict", list(ReadCommitted, 10_000), level(strict), true, 1.0),
        case("list 1e5 rc as strict", list(ReadCommitted, 100_000), level(strict), true, 1.0),
        case("list 1e6 serializable", list(StrictSerializable, 1_000_000), level(ser), true, 1.5),
        case("list 1e6 strict", list(StrictSerializable, 1_000_000), level(strict), true, 2.0),
        case(
            "register 1e5 strict",
            register(StrictSerializable, 100_000),
            level(strict),
            true,
            0.2,
        ),
        case(
            "register 1e6 strict",
            register(StrictSerializable, 1_000_000),
            level(strict),
            true,
            2.0,
        ),
        case("weak rc 20", events(20), What::Weak(WeakLevel::ReadCommitted), false, 0.3),
        case("weak ra 20", events(20), What::Weak(WeakLevel::ReadAtomic), false, 0.4),
        case("weak cc 20", events(20), What::Weak(WeakLevel::Causal), false, 1.0),
        case("weak cc 100", events(100), What::Weak(WeakLevel::Causal), false, 2.0),
        case("weak cc 1000", events(1_000), What::Weak(WeakLevel::Causal), false, 5.0),
        case(
            "stamps si 1e6",
            register(Snapshot, 1_000_000),
            What::Stamps(timestamps::Promise::SnapshotIsolation),
            false,
            1.0,
        ),
        case(
            "stamps ser 1e6",
            register(StrictSerializable, 1_000_000),
            What::Stamps(timestamps::Promise::Serializability),
            false,
            1.0,
        ),
        case(
            "online si 1e6",
            register(Snapshot, 1_000_000),
            What::Online(timestamps::Promise::SnapshotIsolation),
            false,
            2.0,
        ),
    ]
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => table(""),
        [part] => table(part),
        [tool, name] => {
            let Some(case) = cases().into_iter().find(|case| case.name == name) else {
                eprintln!("no case is called {name}");
                return ExitCode::from(2);
            };
            match tool.as_str() {
                "adya" => run_adya(&case),
                _ => run_ours(&case),
            }
        }
        _ => {
            eprintln!("usage: [part of a case's name]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn table(part: &str) {
    println!(
        "{:24} {:>6} {:>8} {:>8} {:>7} {:>9} | {:>8} {:>8} {:>7} {:>9} | {:>6} {:>6}",
        "case",
        "target",
        "build s",
        "check s",
        "MB",
        "verdict",
        "adya b",
        "adya c",
        "MB",
        "verdict",
        "check",
        "memory"
    );
    for case in cases().iter().filter(|case| case.name.contains(part)) {
        let ours = child("ours", case.name);
        let mut line = format!(
            "{:24} {:6.2} {:8.3} {:8.3} {:7.0} {:>9} |",
            case.name, case.target, ours.build, ours.check, ours.megabytes, ours.verdict
        );
        if case.has_peer {
            let peer = child("adya", case.name);
            line += &format!(
                " {:8.3} {:8.3} {:7.0} {:>9} | {:5.1}x {:5.1}x",
                peer.build,
                peer.check,
                peer.megabytes,
                peer.verdict,
                peer.check / ours.check,
                peer.megabytes / ours.megabytes
            );
        }
        println!("{line}");
    }
}

/// What a child process measured.
struct Measured {
    build: f64,
    check: f64,
    megabytes: f64,
    verdict: String,
}

fn child(tool: &str, name: &str) -> Measured {
    let nothing = || Measured {
        build: f64::NAN,
        check: f64::NAN,
        megabytes: f64::NAN,
        verdict: "failed".to_owned(),
    };
    let Ok(this) = std::env::current_exe() else { return nothing() };
    let Ok(output) = Command::new(this).args([tool, name]).output() else { return nothing() };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let fields: Vec<&str> = text.split_whitespace().collect();
    match fields.as_slice() {
        [build, check, megabytes, verdict] => Measured {
            build: build.parse().unwrap_or(f64::NAN),
            check: check.parse().unwrap_or(f64::NAN),
            megabytes: megabytes.parse().unwrap_or(f64::NAN),
            verdict: (*verdict).to_owned(),
        },
        _ => nothing(),
    }
}

/// CPU seconds of this thread so far, as Linux counts them; NaN elsewhere.
fn cpu() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|field| field.parse::<f64>().ok());
    nanoseconds.map_or(f64::NAN, |nanoseconds| nanoseconds / 1e9)
}

/// Sets the peak of resident memory back to what is resident now.
fn forget_peak() {
    // Where this is refused the peak includes the generator: an upper bound.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn peak_megabytes() -> f64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.map_or(f64::NAN, |kilobytes| kilobytes / 1024.0)
}

/// What a level costs is measured to its end.
const UNBOUNDED: Budget = Budget { configurations: u64::MAX, bytes: u64::MAX };

fn generated(case: &Case) -> Generated {
    generate(&case.shape, 1).expect("the shapes of this file are small enough")
}

fn run_ours(case: &Case) {
    let Generated { history, stamps } = generated(case);
    forget_peak();
    let start = cpu();
    // Only list histories are built again: it shows what building costs, reads compared included.
    let history = if case.has_peer { rebuilt(history) } else { history };
    let built = cpu();
    let status = match case.what {
        What::Level(level) => check(&history, level).map(|report| report.status()),
        What::Weak(level) => weak::check(&history, level, UNBOUNDED).map(|report| report.status()),
        What::Stamps(promise) => {
            timestamps::replay(&history, &stamps, promise).map(|replay| status(replay.holds()))
        }
        What::Online(promise) => Ok(status(online(&history, &stamps, promise))),
    };
    let end = cpu();
    let verdict = status.map_or("error".to_owned(), |status| format!("{status:?}"));
    println!("{:.4} {:.4} {:.1} {verdict}", built - start, end - built, peak_megabytes());
}

fn status(holds: bool) -> Status {
    if holds { Status::Holds } else { Status::Violated }
}

/// Feeds a monitor in commit order and lets it forget now and then.
fn online(
    history: &TransactionHistory,
    stamps: &[Option<timestamps::Stamp>],
    promise: timestamps::Promise,
) -> bool {
    let mut order: Vec<(u64, u32)> = (0u32..)
        .zip(stamps)
        .filter_map(|(t, stamp)| stamp.map(|stamp| (stamp.commit, t)))
        .collect();
    order.sort_unstable();
    let mut monitor = timestamps::Monitor::new(promise);
    for (count, (commit, t)) in order.into_iter().enumerate() {
        if let Some(stamp) = stamps[t as usize] {
            monitor.commit(t, history.process(t), stamp, &history.transaction(t));
        }
        if count % 10_000 == 0 {
            // The generator's snapshots are open for a few hundred steps at most.
            monitor.forget_before(commit.saturating_sub(20_000));
        }
    }
    monitor.finish().holds()
}

/// The same history once more, from rows as a simulation would hand them over.
fn rebuilt(history: TransactionHistory) -> TransactionHistory {
    let mut again = TransactionHistory::new();
    for t in 0..history.len() as u32 {
        let micros = history.transaction(t);
        let pushed = again.push(history.process(t), history.call(t), &history.outcome(t), &micros);
        pushed.expect("it was a history before");
    }
    again
}

fn run_adya(case: &Case) {
    let history = generated(case).history;
    let mut events: Vec<(u64, bool, u32)> = Vec::new();
    for t in 0..history.len() as u32 {
        events.push((history.call(t), false, t));
        let returned = match history.outcome(t) {
            Outcome::Ok { returned, .. } | Outcome::Failed { returned } => returned,
            Outcome::Indeterminate => u64::MAX,
        };
        events.push((returned, true, t));
    }
    events.sort_unstable();
    forget_peak();
    let start = cpu();
    let mut interner = Interner::default();
    let ops = (0u64..)
        .zip(&events)
        .map(|(index, (time, returns, t))| Op {
            index,
            kind: match history.outcome(*t) {
                _ if !*returns => OpType::Invoke,
                Outcome::Ok { .. } => OpType::Ok,
                Outcome::Failed { .. } => OpType::Fail,
                Outcome::Indeterminate => OpType::Info,
            },
            process: Some(i64::from(history.process(*t))),
            value: history
                .transaction(*t)
                .iter()
                .map(|micro| mop(micro, *returns, &mut interner))
                .collect(),
            time: i64::try_from(*time).ok(),
        })
        .collect();
    let theirs = AdyaHistory::from_ops(ops, interner);
    drop(events);
    drop(history);
    let built = cpu();
    let What::Level(level) = case.what else { return };
    let workload = match case.shape.data_type {
        DataType::List => adya::Workload::ListAppend,
        DataType::Register => adya::Workload::RwRegister,
    };
    let options = adya::Opts {
        models: vec![level.name().to_owned()],
        wfr_keys: true,
        timeout: std::time::Duration::from_secs(60),
        ..adya::Opts::default()
    };
    let report = adya::check(&theirs, workload, &options);
    let end = cpu();
    let verdict = match report.valid {
        adya::Valid::True => "Holds",
        adya::Valid::False => "Violated",
        adya::Valid::Unknown => "Unknown",
    };
    println!("{:.4} {:.4} {:.1} {verdict}", built - start, end - built, peak_megabytes());
}

fn mop(micro: &Micro, returned: bool, interner: &mut Interner) -> Mop {
    let mut id = |name: u64| interner.intern(Scalar::Int(name as i64));
    match micro {
        Micro::Append { key, value } => Mop::Append { key: id(*key), value: id(*value) },
        Micro::Write { key, value } => Mop::Write { key: id(*key), value: id(*value) },
        Micro::ReadList { key, values } => {
            let key = id(*key);
            let value = match (returned, values.is_empty()) {
                (true, false) => ReadValue::List(values.iter().map(|value| id(*value)).collect()),
                _ => ReadValue::Nil,
            };
            Mop::Read { key, value }
        }
        Micro::Read { key, value } => {
            let key = id(*key);
            let value = match (returned, value) {
                (true, Some(value)) => ReadValue::Scalar(id(*value)),
                _ => ReadValue::Nil,
            };
            Mop::Read { key, value }
        }
        Micro::Unread { key } => Mop::Read { key: id(*key), value: ReadValue::Nil },
    }
}
