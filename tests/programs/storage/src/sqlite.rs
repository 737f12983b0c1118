//! `SQLite`: a journal that rolls back, or a write-ahead log.

use crate::redb::powersafe;
use rusqlite::{Connection, params};
use seedfall::Expect;
use seedfall::programs::storage::{Engine, In, Out, Promise, Write, Wrong, engine};
use seedfall::programs::{Process, Programs};

/// A database of one table.
struct Sqlite(Connection);

impl Sqlite {
    fn open(journal: &str, synchronous: &str) -> Result<Self, Wrong> {
        let db = Connection::open("data.db")?;
        if journal == "WAL" {
            // With the database for itself, the index of the log needs no shared memory.
            db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        }
        db.pragma_update(None, "journal_mode", journal)?;
        db.pragma_update(None, "synchronous", synchronous)?;
        db.execute("CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, value BLOB)", ())?;
        Ok(Self(db))
    }
}

impl Engine for Sqlite {
    fn commit(&mut self, writes: &[Write]) -> Result<(), Wrong> {
        let transaction = self.0.transaction()?;
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
        let check: String = self.0.query_row("PRAGMA integrity_check", (), |row| row.get(0))?;
        if check != "ok" {
            return Err(check.into());
        }
        let mut rows = self.0.prepare_cached("SELECT key, value FROM rows")?;
        let rows = rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn mode(
    name: &'static str,
    journal: &'static str,
    synchronous: &'static str,
    expect: Expect<Process>,
) -> Programs<In, Out> {
    let open = move || Sqlite::open(journal, synchronous);
    powersafe(Programs { expect, ..engine(name, Promise::Commits, open) })
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
