//! fjall: a log-structured merge tree with a journal. A batch is atomic; it is durable if it asks
//! for that, or after `persist`.

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use seedfall::programs::Programs;
use seedfall::programs::storage::{Engine, In, Out, Promise, Write, Wrong, engine};

/// A database of one keyspace.
struct Fjall {
    database: Database,
    rows: Keyspace,
    mode: Option<PersistMode>,
}

impl Fjall {
    fn open(mode: Option<PersistMode>) -> Result<Self, Wrong> {
        // One of several workers sends what it leaves to the others to itself, again and again,
        // without a call of the kernel: no other would ever run.
        let database = Database::builder("data").worker_threads(1).open()?;
        // So that trees are written to files, too.
        let options = || KeyspaceCreateOptions::default().max_memtable_size(8_000);
        let rows = database.keyspace("rows", options)?;
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

/// Every batch is synced with its metadata.
pub fn sync_all() -> Programs<In, Out> {
    let mode = Some(PersistMode::SyncAll);
    engine("fjall", Promise::Commits, move || Fjall::open(mode))
}

/// As it is by default: what was not persisted may be gone, the last first.
pub fn default() -> Programs<In, Out> {
    engine("fjall-default", Promise::Syncs, || Fjall::open(None))
}
