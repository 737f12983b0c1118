//! `SQLite`: a journal that rolls back, or a write-ahead log.

use crate::redb::powersafe;
use rusqlite::{Connection, params};
use seedfall::Expect;
use seedfall::programs::storage::{Engine, In, Out, Promise, Write, Wrong, engine};
use seedfall::programs::{Process, Programs};

/// A database of one table.
struct Sqlite {
    writer: Connection,
    /// A second connection, which reads.
    reader: Option<Connection>,
}

/// How a database is opened.
#[derive(Clone, Copy)]
struct Mode {
    journal: &'static str,
    synchronous: &'static str,
    /// Another connection has it open, too: the index of a log is in a file that both have mapped.
    is_shared: bool,
}

impl Mode {
    fn connect(self) -> Result<Connection, Wrong> {
        let Self { journal, synchronous, is_shared } = self;
        let db = Connection::open("data.db")?;
        if journal == "WAL" && !is_shared {
            // With the database for itself, the index of the log needs no shared memory.
            db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        }
        db.pragma_update(None, "journal_mode", journal)?;
        db.pragma_update(None, "synchronous", synchronous)?;
        Ok(db)
    }

    fn open(self) -> Result<Sqlite, Wrong> {
        let writer = self.connect()?;
        writer.execute("CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, value BLOB)", ())?;
        let reader = if self.is_shared { Some(self.connect()?) } else { None };
        Ok(Sqlite { writer, reader })
    }
}

impl Engine for Sqlite {
    fn commit(&mut self, writes: &[Write]) -> Result<(), Wrong> {
        let transaction = self.writer.transaction()?;
        for Write { key, value } in writes {
            match value {
                Some(value) => {
                    let put = "INSERT OR REPLACE INTO rows VALUES (?1, ?2)";
                    transaction.execute(put, params![key, value])?;
                }
                None => drop(transaction.execute("DELETE FROM rows WHERE key = ?1", [key])?),
            }
        }
        Ok(transaction.commit()?)
    }

    fn all(&mut self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Wrong> {
        let db = self.reader.as_ref().unwrap_or(&self.writer);
        let check: String = db.query_row("PRAGMA integrity_check", (), |row| row.get(0))?;
        if check != "ok" {
            return Err(check.into());
        }
        let mut rows = db.prepare_cached("SELECT key, value FROM rows")?;
        let rows = rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn scenario(name: &'static str, mode: Mode, expect: Expect<Process>) -> Programs<In, Out> {
    powersafe(Programs { expect, ..engine(name, Promise::Commits, move || mode.open()) })
}

fn mode(
    name: &'static str,
    journal: &'static str,
    synchronous: &'static str,
    expect: Expect<Process>,
) -> Programs<In, Out> {
    scenario(name, Mode { journal, synchronous, is_shared: false }, expect)
}

/// A journal that is deleted to commit, and its removal synced.
pub fn extra() -> Programs<In, Out> {
    mode("sqlite-extra", "DELETE", "EXTRA", Expect::Holds)
}

/// As it is by default: the removal of the journal is not synced.
pub fn default() -> Programs<In, Out> {
    let because = "with synchronous=FULL the removal of the journal is not synced: after a power \
                   loss it may be there again, and take the last transaction back, as SQLite's \
                   documentation says of EXTRA";
    let expect = Expect::Violates { properties: &["kept"], because };
    mode("sqlite-default", "DELETE", "FULL", expect)
}

/// A journal that is cut off to commit.
pub fn truncate() -> Programs<In, Out> {
    mode("sqlite-truncate", "TRUNCATE", "FULL", Expect::Holds)
}

/// A journal whose head is overwritten to commit.
pub fn persist() -> Programs<In, Out> {
    mode("sqlite-persist", "PERSIST", "FULL", Expect::Holds)
}

/// A write-ahead log, every commit synced.
pub fn wal() -> Programs<In, Out> {
    mode("sqlite-wal", "WAL", "FULL", Expect::Holds)
}

/// A write-ahead log that is synced at checkpoints only.
pub fn normal() -> Programs<In, Out> {
    let because = "with a write-ahead log and synchronous=NORMAL, a power loss takes the last \
                   transactions, as SQLite's documentation says";
    let expect = Expect::Violates { properties: &["kept"], because };
    mode("sqlite-normal", "WAL", "NORMAL", expect)
}

/// A write-ahead log, every commit synced, and its index in shared memory.
pub fn shared() -> Programs<In, Out> {
    let mode = Mode { journal: "WAL", synchronous: "FULL", is_shared: true };
    scenario("sqlite-wal-shared", mode, Expect::Holds)
}
