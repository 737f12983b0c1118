//! fjall: a log-structured merge tree with a journal. A batch is atomic; it is durable if it asks
//! for that, or after `persist`.
//!
//! Its journal begins as 64 MB of zeros, which a run pays for with a tenth of a second.

use crate::redb::breaks;
use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use seedfall::programs::Programs;
use seedfall::programs::storage::{Engine, In, Out, Promise, Write, Wrong, engine};
use std::fs;

/// A database of one keyspace.
struct Fjall {
    database: Database,
    rows: Keyspace,
    mode: Option<PersistMode>,
}

impl Fjall {
    /// A database that was not made to its end is not opened: what was not `finished` is made anew,
    /// if `again`.
    fn open(mode: Option<PersistMode>, again: bool) -> Result<Self, Wrong> {
        if again && !fs::exists("finished")? && fs::exists("data")? {
            fs::remove_dir_all("data")?;
        }
        // The first of several workers sends what it leaves to the others to itself, again and
        // again, without a call of the kernel: no other would ever run.
        let database = Database::builder("data").worker_threads(1).open()?;
        // So that trees are written to files, too.
        let options = || KeyspaceCreateOptions::default().max_memtable_size(8_000);
        let rows = database.keyspace("rows", options)?;
        if again {
            database.persist(PersistMode::SyncAll)?;
            fs::File::create("finished")?.sync_all()?;
            fs::File::open(".")?.sync_all()?;
        }
        Ok(Self { database, rows, mode })
    }
}

impl Engine for Fjall {
    fn commit(&mut self, writes: &[Write]) -> Result<(), Wrong> {
        let mut batch = self.database.batch().durability(self.mode);
        for Write { key, value } in writes {
            match value {
                Some(value) => batch.insert(&self.rows, key.clone(), value.clone()),
                None => batch.remove(&self.rows, key.clone()),
            }
        }
        Ok(batch.commit()?)
    }

    fn sync(&mut self) -> Result<(), Wrong> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    fn all(&mut self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Wrong> {
        let rows = self.rows.iter().map(|row| {
            let (key, value) = row.into_inner()?;
            Ok((key.to_vec(), value.to_vec()))
        });
        rows.collect()
    }
}

/// Every batch is synced with its metadata, once the database is there.
pub fn sync_all() -> Programs<In, Out> {
    let mode = Some(PersistMode::SyncAll);
    engine("fjall", Promise::Commits, move || Fjall::open(mode, true))
}

/// As it is by default: what was not persisted may be gone, the last first.
pub fn default() -> Programs<In, Out> {
    engine("fjall-default", Promise::Syncs, || Fjall::open(None, true))
}

/// Every batch is synced, and a crash may come as the database is made.
pub fn new() -> Programs<In, Out> {
    let because = "a crash while the database is made leaves one that is refused from then on \
                   (`AlreadyExists`, `InvalidVersion(None)`)";
    let mode = Some(PersistMode::SyncAll);
    let programs = engine("fjall-new", Promise::Commits, move || Fjall::open(mode, false));
    breaks(&["never panics", "every operation completes"], because, programs)
}
