//! What transactions of SQLite cost on the simulated files, beside the same on tmpfs, in CPU time
//! of one run of this program: `cargo run --release -p seedfall-storage --example speed`.

use rusqlite::{Connection, params};
use seedfall_kernel::{Limits, Simulation, isolated};
use std::path::Path;
use std::process::ExitCode;

/// How many transactions of one row of 100 bytes.
const TRANSACTIONS: u32 = 20_000;

/// How often both are measured, in turn.
const ROUNDS: usize = 5;

/// CPU time of this process and of all children that ended, in ticks of 10 ms.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux tells it");
    let rest = text.rsplit(')').next().expect("after the name");
    // utime, stime, cutime, cstime: the 14th to the 17th of all fields.
    let fields = rest.split_whitespace().skip(11).take(4);
    fields.map(|field| field.parse::<u64>().expect("a number")).sum()
}

fn transactions(path: &Path, journal: &str) -> rusqlite::Result<()> {
    let mut db = Connection::open(path)?;
    if journal == "WAL" {
        db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    }
    db.pragma_update(None, "journal_mode", journal)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute("CREATE TABLE rows (key INTEGER PRIMARY KEY, value BLOB)", ())?;
    for key in 0..TRANSACTIONS {
        let transaction = db.transaction()?;
        transaction.execute("INSERT INTO rows VALUES (?1, ?2)", params![key, [7_u8; 100]])?;
        transaction.commit()?;
    }
    let rows: u32 = db.query_row("SELECT count(*) FROM rows", (), |row| row.get(0))?;
    assert_eq!(rows, TRANSACTIONS);
    Ok(())
}

fn real(folder: &Path, journal: &str) -> u64 {
    let file = folder.join("data.db");
    let before = cpu();
    transactions(&file, journal).expect("the database works");
    let spent = cpu() - before;
    std::fs::remove_dir_all(folder).expect("the folder can go");
    spent
}

fn simulated(journal: &'static str) -> u64 {
    let before = cpu();
    let limits = Limits { events: u64::MAX, ..Limits::USUAL };
    let main = move || transactions(Path::new("data.db"), journal).expect("the database works");
    let report = Simulation::new(1).node("database", main).limits(limits).run();
    assert_eq!(report.failures, []);
    assert_eq!(report.nodes[0].exits.len(), 1, "it came to its end");
    cpu() - before
}

fn main() -> ExitCode {
    let Some(root) = std::env::args().nth(1) else {
        eprintln!("speed: name a folder on tmpfs, in which a database can be made: /dev/shm");
        return ExitCode::from(2);
    };
    isolated(|| {
        for journal in ["DELETE", "WAL"] {
            let (mut there, mut here) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let folder = Path::new(&root).join(format!("seedfall-{}", std::process::id()));
                std::fs::create_dir(&folder).expect("a new folder");
                there.push(real(&folder, journal));
                here.push(simulated(journal));
            }
            there.sort_unstable();
            here.sort_unstable();
            let (there, here) = (there[ROUNDS / 2], here[ROUNDS / 2]);
            println!(
                "{journal}: {TRANSACTIONS} transactions, tmpfs {} ms of CPU, simulated {} ms: \
                 {:.2} times",
                there * 10,
                here * 10,
                here as f64 / there as f64
            );
        }
    });
    ExitCode::SUCCESS
}
