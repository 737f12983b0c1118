//! sled: a log of pages, and threads that write it. A batch is atomic; what is flushed is durable
//! ("calls fsync", says `Tree::flush`).
//!
//! On Linux it calls `sync_file_range` instead, which starts the writing and waits for it, and
//! promises nothing: not that the disk has it, nor that the file is known to be so long (its
//! manual; sled's issue 1452). [`synced`] is what holds where somebody syncs its files beside it.

use crate::redb::{breaks, on};
use ::sled::{Batch, Config, Db};
use seedfall::programs::storage::{Engine, In, Out, Promise, Write, Wrong, engine};
use seedfall::programs::{Program, Programs};
use std::fs;
use std::path::Path;

/// A database with its one tree.
struct Sled {
    database: Db,
    /// Its files are synced after each flush.
    syncs: bool,
}

impl Sled {
    /// A database that was not made to its end is not opened: what was not `finished` is made anew,
    /// if `again`.
    fn open(syncs: bool, again: bool) -> Result<Self, Wrong> {
        if again && !fs::exists("finished")? && fs::exists("data")? {
            fs::remove_dir_all("data")?;
        }
        // Nothing of it is flushed behind our back; the cache and the segments are small, so that
        // pages are moved within a few dozen transactions.
        let config = Config::new().path("data").flush_every_ms(None).cache_capacity(1 << 20);
        let database = config.segment_size(8_192).open()?;
        if again {
            sync_all("data".as_ref())?;
            fs::File::create("finished")?.sync_all()?;
            fs::File::open(".")?.sync_all()?;
        }
        Ok(Self { database, syncs })
    }
}

/// Syncs what sled does not: its configuration, and the names of its files.
fn sync_all(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            sync_all(&entry?.path())?;
        }
    }
    fs::File::open(path)?.sync_all()
}

impl Engine for Sled {
    fn commit(&mut self, writes: &[Write]) -> Result<(), Wrong> {
        let mut batch = Batch::default();
        for Write { key, value } in writes {
            match value {
                Some(value) => batch.insert(&key[..], &value[..]),
                None => batch.remove(&key[..]),
            }
        }
        self.database.apply_batch(batch)?;
        self.database.flush()?;
        if self.syncs {
            sync_all("data".as_ref())?;
        }
        Ok(())
    }

    fn all(&mut self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Wrong> {
        let rows = self.database.iter().map(|row| {
            let (key, value) = row?;
            Ok((key.to_vec(), value.to_vec()))
        });
        rows.collect()
    }
}

/// Every batch is flushed, once the database is there and was synced by somebody else.
pub fn flushed() -> Programs<In, Out> {
    let because = "`flush` calls `sync_file_range`, which makes nothing durable (issue 1452)";
    let programs = engine("sled", Promise::Commits, || Sled::open(false, true));
    breaks(&["kept", "never panics", "every operation completes"], because, programs)
}

/// The same, and its files are synced after each flush, on disks that write sectors whole.
pub fn synced() -> Programs<In, Out> {
    let because = "a large value is a file of its own, which is not durable before the log names \
                   it: after a crash in its midst a batch is there without that value";
    let programs = engine("sled-synced", Promise::Commits, || Sled::open(true, true));
    let programs = on(Program::atomic, on(Program::journaled, programs));
    breaks(&["kept", "every operation completes"], because, programs)
}
