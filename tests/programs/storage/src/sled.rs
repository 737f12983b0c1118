//! sled: a log-structured page cache. A batch is atomic; it is durable after a flush, which comes
//! by itself every half second.

use ::sled::{Batch, Db};
use seedfall::programs::Programs;
use seedfall::programs::storage::{Engine, In, Out, Promise, Write, Wrong, engine};

/// A database of one tree.
struct Sled {
    db: Db,
    flushes: bool,
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
        self.db.apply_batch(batch)?;
        if self.flushes { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), Wrong> {
        self.db.flush()?;
        Ok(())
    }

    fn all(&mut self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Wrong> {
        let row = |row: ::sled::Result<(::sled::IVec, ::sled::IVec)>| {
            let (key, value) = row?;
            Ok((key.to_vec(), value.to_vec()))
        };
        self.db.iter().map(row).collect()
    }
}

fn open(flushes: bool) -> Result<Sled, Wrong> {
    Ok(Sled { db: ::sled::open("data")?, flushes })
}

/// Every batch is flushed.
pub fn flushed() -> Programs<In, Out> {
    engine("sled", Promise::Commits, || open(true))
}

/// As it is by default: what was not flushed may be gone, the last first.
pub fn default() -> Programs<In, Out> {
    engine("sled-default", Promise::Syncs, || open(false))
}
