//! sled: a log of pages, and threads that write it. A batch is atomic; what is flushed is durable.

use ::sled::{Batch, Config, Db};
use seedfall::programs::Programs;
use seedfall::programs::storage::{Engine, In, Out, Promise, Write, Wrong, engine};

/// A database with its one tree.
struct Sled {
    database: Db,
    flushes: bool,
}

impl Sled {
    fn open(flushes: bool) -> Result<Self, Wrong> {
        // Nothing of it is flushed behind our back; the cache and the segments are as small as they
        // can be, so that pages are moved within a few dozen transactions.
        let config = Config::new().path("data").flush_every_ms(None).cache_capacity(1 << 20);
        Ok(Self { database: config.segment_size(8_192).open()?, flushes })
    }
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
        if self.flushes {
            self.database.flush()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Wrong> {
        self.database.flush()?;
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

/// Every batch is flushed.
pub fn flushed() -> Programs<In, Out> {
    engine("sled", Promise::Commits, || Sled::open(true))
}

/// What was not flushed may be gone, the last first.
pub fn unflushed() -> Programs<In, Out> {
    engine("sled-unflushed", Promise::Syncs, || Sled::open(false))
}
