//! `SQLite` (rusqlite, bundled, as it is published) behind a small server: records are appended to
//! a table, a transaction each, and read back. What its documentation promises of each setting is
//! what is looked for. An acknowledged transaction survives a power loss with `synchronous=EXTRA`;
//! with `FULL` and a journal that is deleted to commit, which it is by default, the last one may be
//! gone, with `NORMAL` and a write-ahead log the last ones, and with `OFF` the file may be broken.
//!
//! A write-ahead log needs one thing more of the disk: that a sector that is being written as the
//! power fails keeps its bytes that are not being written (powersafe overwrite), as some of them
//! are of a transaction before. Told that the disk has it not (`psow=0`), it pads what it syncs;
//! but after a crash that took the padding, it goes on in the middle of a sector all the same.

use rusqlite::{Connection, OptionalExtension, params};
use seedfall::checkers::models::{Log, LogInput as In, LogOutput as Out};
use seedfall::programs::{Answer, Process, Program, Programs, Session};
use seedfall::{Expect, Swarm, every_operation_completes, linearizable};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a database keeps what it is given.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// `PRAGMA journal_mode`.
    pub journal: &'static str,
    /// `PRAGMA synchronous`.
    pub synchronous: &'static str,
    /// Whether the disk is taken to overwrite parts of sectors safely, as `SQLite` does by default.
    pub safe_overwrite: bool,
}

impl Mode {
    /// Opens the database of the node, and makes its table if it is not there.
    pub fn open(self) -> rusqlite::Result<Connection> {
        let overwrite = u32::from(self.safe_overwrite);
        let db = Connection::open(format!("file:/work/db?psow={overwrite}"))?;
        if self.journal == "WAL" {
            // With the database for itself, the index of the log needs no shared memory.
            db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        }
        db.pragma_update(None, "journal_mode", self.journal)?;
        db.pragma_update(None, "synchronous", self.synchronous)?;
        let table = "CREATE TABLE IF NOT EXISTS log \
                     (place INTEGER PRIMARY KEY, key TEXT UNIQUE, record INTEGER)";
        db.execute(table, ())?;
        Ok(db)
    }
}

/// Appends a record, unless its key is known: its place, counted from zero.
fn append(db: &mut Connection, key: &str, record: u64) -> rusqlite::Result<u64> {
    let transaction = db.transaction()?;
    let find = "SELECT place - 1 FROM log WHERE key = ?1";
    let known = transaction.query_row(find, [key], |row| row.get(0)).optional()?;
    let place = match known {
        Some(place) => place,
        None => {
            let insert = "INSERT INTO log (key, record) VALUES (?1, ?2)";
            transaction.execute(insert, params![key, record])?;
            transaction.last_insert_rowid() as u64 - 1
        }
    };
    transaction.commit()?;
    Ok(place)
}

fn all(db: &Connection) -> rusqlite::Result<Vec<u64>> {
    let mut query = db.prepare_cached("SELECT record FROM log ORDER BY place")?;
    query.query_map((), |row| row.get(0))?.collect()
}

/// The server's `main`: `append KEY RECORD` and `read`, a line each.
fn serve(mode: Mode) -> Result<(), Box<dyn std::error::Error>> {
    let db = Arc::new(Mutex::new(mode.open()?));
    for stream in TcpListener::bind("0.0.0.0:80")?.incoming() {
        let (db, stream) = (db.clone(), stream?);
        std::thread::spawn(move || talk(&stream, &db));
    }
    Ok(())
}

/// Answers what comes over a connection, until it or the database fails.
fn talk(mut stream: &TcpStream, db: &Mutex<Connection>) -> Option<()> {
    for line in BufReader::new(stream).lines() {
        let line = line.ok()?;
        let mut db = db.lock().expect("nobody panics");
        let answer = match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["append", key, record] => append(&mut db, key, record.parse().ok()?).ok()?.to_string(),
            _ => format!("{:?}", all(&db).ok()?),
        };
        drop(db);
        writeln!(stream, "{answer}").ok()?;
    }
    Some(())
}

/// A client, which tries each append up to five times, with the same key.
fn client(mut session: Session<In<u64>, Out<u64>>) {
    let mut appended = 0;
    while let Some(input) = session.next_blocking() {
        appended += 1;
        let key = format!("client{}-{appended}", session.client() + 1);
        let mut tries = (0..5).map(|_| {
            let answer = ask(&input, &key);
            if answer.is_err() {
                std::thread::sleep(Duration::from_millis(50));
            }
            answer
        });
        let answer = tries.find_map(Result::ok);
        session.answer(answer.map_or(Answer::Indeterminate, Answer::Ok));
    }
}

fn ask(input: &In<u64>, key: &str) -> std::io::Result<Out<u64>> {
    let mut stream = TcpStream::connect("db:80")?;
    stream.set_read_timeout(Some(Duration::from_millis(250)))?;
    match input {
        In::Append(record) => writeln!(stream, "append {key} {record}")?,
        _ => writeln!(stream, "read")?,
    }
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let strange = || std::io::Error::other(format!("no answer: {line}"));
    let text = line.strip_suffix('\n').ok_or_else(strange)?;
    if matches!(input, In::Append(_)) {
        return text.parse().map(Out::Offset).map_err(|_| strange());
    }
    let numbers = text.trim_matches(['[', ']']).split(", ").filter(|one| !one.is_empty());
    let records: Result<Vec<u64>, _> = numbers.map(str::parse).collect();
    records.map(Out::Records).map_err(|_| strange())
}

fn scenario(
    name: &'static str,
    mode: Mode,
    expect: Expect<Process>,
) -> Programs<In<u64>, Out<u64>> {
    Programs {
        story: "Two clients append to a table of SQLite, and read it.",
        nodes: vec![Program::new("db", move || serve(mode).expect("the database opens"))],
        operations: 8,
        // It looks at no clock.
        faults: Swarm { clocks: 0, drifts: 0, timers: 0, ..Swarm::ALL },
        properties: vec![linearizable(Log::new()), every_operation_completes()],
        expect,
        ..Programs::new(
            name,
            |op, draw| if draw.below(3) == 0 { In::ReadAll } else { In::Append(op.unique()) },
            client,
        )
    }
}

/// A journal that is deleted to commit, as by default, and that synced.
pub fn extra() -> Programs<In<u64>, Out<u64>> {
    let mode = Mode { journal: "DELETE", synchronous: "EXTRA", safe_overwrite: true };
    scenario("sqlite", mode, Expect::Holds)
}

/// As `SQLite` is by default: all is synced, but not that the journal is gone.
pub fn default() -> Programs<In<u64>, Out<u64>> {
    let because = "with synchronous=FULL the removal of the journal is not synced: after a power \
                   loss it may be there again, and take the last transaction back, as SQLite's \
                   documentation says of EXTRA";
    let expect = Expect::Violates { properties: &["linearizable"], because };
    let mode = Mode { journal: "DELETE", synchronous: "FULL", safe_overwrite: true };
    scenario("sqlite-default", mode, expect)
}

/// A write-ahead log, every commit synced, that pads what it syncs.
pub fn padded() -> Programs<In<u64>, Out<u64>> {
    let because = "a first crash takes the padding behind a synced transaction, and in a second \
                   one the sector in which the log went on is garbage";
    let expect = Expect::Violates { properties: &["linearizable"], because };
    let mode = Mode { journal: "WAL", synchronous: "FULL", safe_overwrite: false };
    scenario("sqlite-wal-padded", mode, expect)
}

/// A write-ahead log as it is by default, every commit synced.
pub fn wal() -> Programs<In<u64>, Out<u64>> {
    let because = "the last bytes of a synced transaction stand in one sector with the first of \
                   the next: a sector that is garbage after a power loss takes both (SQLite calls \
                   it powersafe overwrite, and takes disks to have it)";
    let expect = Expect::Violates { properties: &["linearizable"], because };
    let mode = Mode { journal: "WAL", synchronous: "FULL", safe_overwrite: true };
    scenario("sqlite-wal", mode, expect)
}

/// A write-ahead log that is synced at checkpoints only.
pub fn normal() -> Programs<In<u64>, Out<u64>> {
    let because = "with a write-ahead log and synchronous=NORMAL, a power loss takes the last \
                   transactions, as SQLite's documentation says";
    let expect = Expect::Violates { properties: &["linearizable"], because };
    let mode = Mode { journal: "WAL", synchronous: "NORMAL", safe_overwrite: true };
    scenario("sqlite-normal", mode, expect)
}

/// Nothing is synced.
pub fn off() -> Programs<In<u64>, Out<u64>> {
    let because = "with synchronous=OFF a power loss may lose transactions, and break the file";
    let properties = &["linearizable", "every operation completes", "never panics"];
    let expect = Expect::Violates { properties, because };
    let mode = Mode { journal: "DELETE", synchronous: "OFF", safe_overwrite: true };
    scenario("sqlite-off", mode, expect)
}
