//! LMDB: a copy-on-write tree in a mapped file, of whose two meta pages the newer counts. A page
//! of meta data is written after what it points to was synced, and has no checksum.
//!
//! It promises, of its flags (`lmdb.h`): by default and with `MDB_WRITEMAP`, that a commit is
//! durable; with `MDB_NOMETASYNC`, that the last one may be undone and nothing is damaged; with
//! `MDB_MAPASYNC` or `MDB_NOSYNC`, that a crash of the system may damage all.

use crate::redb::{breaks, on, powersafe};
use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions};
use seedfall::programs::storage::{Engine, In, Out, Promise, Write, Wrong, engine};
use seedfall::programs::{Program, Programs};
use std::fs;

/// A database without a name.
struct Lmdb {
    env: Env,
    rows: Database<Bytes, Bytes>,
}

impl Lmdb {
    /// heed notes in a static which paths are open. Where nodes share statics (a binary that was
    /// stripped) one survives a crash, so each life opens the file by another name. A file that was
    /// not made to its end is not opened: what was not `finished` is made anew, if `again`.
    fn open(flags: EnvFlags, again: bool) -> Result<Self, Wrong> {
        let life = seedfall_kernel::now().unwrap_or_default().as_nanos();
        let name = format!("life-{life}");
        if again && !fs::exists("finished")? && fs::exists("data")? {
            fs::remove_file("data")?;
        }
        if !fs::exists("data")? {
            fs::File::create("data")?;
        }
        fs::hard_link("data", &name)?;
        let mut options = EnvOpenOptions::new();
        options.map_size(1 << 20);
        // SAFETY: nobody else opens the file, and the flags are those that are on trial.
        let env = unsafe {
            options.flags(EnvFlags::NO_SUB_DIR | flags);
            options.open(name)?
        };
        let mut first = env.write_txn()?;
        let rows = env.create_database(&mut first, None)?;
        first.commit()?;
        if again {
            env.force_sync()?;
            fs::File::create("finished")?.sync_all()?;
        }
        Ok(Self { env, rows })
    }
}

impl Engine for Lmdb {
    fn commit(&mut self, writes: &[Write]) -> Result<(), Wrong> {
        let mut transaction = self.env.write_txn()?;
        for Write { key, value } in writes {
            match value {
                Some(value) => self.rows.put(&mut transaction, key, value)?,
                None => drop(self.rows.delete(&mut transaction, key)?),
            }
        }
        Ok(transaction.commit()?)
    }

    fn sync(&mut self) -> Result<(), Wrong> {
        Ok(self.env.force_sync()?)
    }

    fn all(&mut self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Wrong> {
        let transaction = self.env.read_txn()?;
        let rows = self.rows.iter(&transaction)?.map(|row| {
            let (key, value) = row?;
            Ok((key.to_vec(), value.to_vec()))
        });
        rows.collect()
    }
}

fn scenario(
    name: &'static str,
    promise: Promise,
    flags: EnvFlags,
    again: bool,
) -> Programs<In, Out> {
    on(Program::atomic, engine(name, promise, move || Lmdb::open(flags, again)))
}

/// As it is by default, on the disks that it takes for granted, once its file is there: the map is
/// for reading, what is written goes by `pwrite`.
pub fn lmdb() -> Programs<In, Out> {
    scenario("lmdb", Promise::Commits, EnvFlags::empty(), true)
}

/// What is written is stored in the map, and synced by `msync`; likewise.
pub fn write_map() -> Programs<In, Out> {
    scenario("lmdb-write-map", Promise::Commits, EnvFlags::WRITE_MAP, true)
}

/// The meta page is not synced with a commit; likewise.
pub fn no_meta_sync() -> Programs<In, Out> {
    scenario("lmdb-no-meta-sync", Promise::Syncs, EnvFlags::NO_META_SYNC, true)
}

/// As it is by default, and a crash may come as it makes its file.
pub fn new() -> Programs<In, Out> {
    let because = "a power loss while the file is made leaves one that is not empty and is none of \
                   LMDB's: it is refused from then on (\"MDB_INVALID: File is not an LMDB file\")";
    let programs = scenario("lmdb-new", Promise::Commits, EnvFlags::empty(), false);
    breaks(&["never panics", "every operation completes"], because, programs)
}

/// As it is by default, on a disk that may leave a part of a sector that was being written.
pub fn torn() -> Programs<In, Out> {
    let because = "a meta page has no checksum: if the sector that it is in is torn as the power \
                   fails, its root may be one of no commit";
    let programs = engine("lmdb-torn", Promise::Commits, || Lmdb::open(EnvFlags::empty(), true));
    breaks(&["kept", "never panics", "every operation completes"], because, powersafe(programs))
}

/// What is stored in the map is not synced with a commit.
pub fn map_async() -> Programs<In, Out> {
    let because = "with MDB_WRITEMAP and MDB_MAPASYNC a crash of the system may damage the \
                   database, as LMDB's documentation says";
    let flags = EnvFlags::WRITE_MAP | EnvFlags::MAP_ASYNC;
    let programs = scenario("lmdb-map-async", Promise::Commits, flags, true);
    breaks(&["kept", "never panics", "every operation completes"], because, programs)
}
