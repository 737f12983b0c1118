//! `SQLite` (rusqlite, bundled, as it is published) on the simulated files: what was acknowledged
//! is there after every crash, if it is told to sync, and is not if it is told not to.

use seedfall_kernel::{Fault, Report, Simulation, isolated, note};
use seedfall_programs::sqlite::Mode;
use seedfall_sim::{CrashPoint, Duration as Span, EffectKind};
use std::time::Duration;

/// Appends to a table, a transaction for each row, and notes each that is acknowledged; at its
/// start it notes what it finds.
fn store(mode: Mode) -> rusqlite::Result<()> {
    let mut db = mode.open()?;
    db.execute("CREATE TABLE IF NOT EXISTS rows (n INTEGER PRIMARY KEY, text TEXT)", ())?;
    let (last, count): (u64, u64) =
        db.query_row("SELECT ifnull(max(n), 0), count(*) FROM rows", (), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let intact: String = db.query_row("PRAGMA integrity_check", (), |row| row.get(0))?;
    note(format!("found {last} {count} {intact}").as_bytes());
    for number in last + 1.. {
        let transaction = db.transaction()?;
        let text = "x".repeat(100 + number as usize % 7 * 300);
        transaction.execute("INSERT INTO rows VALUES (?1, ?2)", (number, text))?;
        transaction.commit()?;
        note(format!("acknowledged {number}").as_bytes());
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn run(seed: u64, mode: Mode) -> Report {
    let world = Simulation::new(seed).node("db", move || {
        if let Err(error) = store(mode) {
            note(format!("error {error}").as_bytes());
        }
    });
    let node = world.place("db");
    let mut plan = Vec::new();
    for turn in 0..8 {
        // At another place of a transaction in each turn, and at no place in particular.
        let at = Span::millis(20 * (turn + 1)) + Span::micros(seed * 137 % 1_000);
        match turn {
            0..=3 => {
                let all = [
                    CrashPoint::Before(EffectKind::Sync),
                    CrashPoint::After(EffectKind::Sync),
                    CrashPoint::Before(EffectKind::Append),
                    CrashPoint::After(EffectKind::Append),
                ];
                let point = all[(turn + seed) as usize % 4];
                plan.push((at, Fault::CrashAt(node, point, Span::millis(1))));
                plan.push((at + Span::millis(6), Fault::CrashEnd(node, point)));
            }
            _ => {
                plan.push((at, Fault::Crash(node)));
                plan.push((at + Span::millis(1), Fault::Restart(node)));
            }
        }
    }
    world.plan(plan).horizon(Span::millis(220)).run()
}

/// What is wrong with a run: something that was acknowledged is gone, or the database is broken.
fn wrong(report: &Report) -> Option<String> {
    let mut acknowledged = 0;
    for text in report.notes_as_text() {
        let words: Vec<&str> = text.splitn(4, ' ').collect();
        match words.as_slice() {
            ["acknowledged", number] => acknowledged = number.parse().unwrap(),
            ["found", last, count, intact] => {
                let last: u64 = last.parse().unwrap();
                if *intact != "ok" || count.parse() != Ok(last) {
                    return Some(format!("broken: {text}"));
                }
                if last < acknowledged {
                    return Some(format!("{last} found, {acknowledged} acknowledged"));
                }
            }
            _ => return Some(text),
        }
    }
    assert_eq!(report.failures, []);
    None
}

const SEEDS: u64 = 250;

#[test]
fn what_sqlite_acknowledged_is_there_after_every_crash_if_it_syncs() {
    isolated(|| {
        let modes = [("DELETE", "EXTRA"), ("TRUNCATE", "FULL"), ("PERSIST", "FULL")];
        for (journal, synchronous) in modes {
            let (mut starts, mut rows) = (0, 0);
            let mode = Mode { journal, synchronous, safe_overwrite: true };
            for seed in 0..SEEDS {
                let report = run(seed, mode);
                assert_eq!(wrong(&report), None, "{journal}, seed {seed}");
                let notes = report.notes_as_text();
                starts += notes.iter().filter(|note| note.starts_with("found")).count();
                rows += notes.iter().filter(|note| note.starts_with("ack")).count();
                if seed < 3 {
                    let again = run(seed, mode);
                    assert_eq!(again.hash, report.hash, "the same run");
                }
            }
            println!("{journal}: {starts} starts, {rows} rows acknowledged, none lost");
            assert!(
                starts > 5 * SEEDS as usize && rows > 25 * SEEDS as usize,
                "{journal}: {starts} starts, {rows} rows"
            );
        }
    });
}

#[test]
fn what_sqlite_does_not_sync_is_lost_or_breaks_it() {
    isolated(|| {
        let modes = [
            ("DELETE", "FULL", true),
            ("DELETE", "OFF", true),
            ("MEMORY", "FULL", true),
            ("WAL", "NORMAL", true),
            ("WAL", "FULL", true),
            ("WAL", "FULL", false),
        ];
        for (journal, synchronous, safe_overwrite) in modes {
            let mode = Mode { journal, synchronous, safe_overwrite };
            let found = (0..SEEDS).find_map(|seed| Some((seed, wrong(&run(seed, mode))?)));
            println!("{mode:?}: {found:?}");
            assert!(found.is_some(), "{mode:?} keeps what it need not");
        }
    });
}
