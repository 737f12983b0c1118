//! What a node wrote down, and what a crash leaves of it.
//!
//! A journal is append-only. Records that were synced survive every crash; of the others a crash
//! leaves a prefix, whose last record may have been torn in the middle: its checksum then fails,
//! and recovery ends before it. (Sectors, bit rot and lying disks stand below this contract, not in
//! it.)

use crate::draw::Draw;

/// The records of one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Journal<R> {
    records: Vec<R>,
    synced: usize,
}

/// What a crash did to the un-synced records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CrashImage {
    /// Un-synced records that reached the disk all the same.
    pub kept: u32,
    /// Un-synced records that are gone.
    pub lost: u32,
    /// True if the first of the lost ones was cut in the middle.
    pub torn: bool,
}

impl<R> Default for Journal<R> {
    fn default() -> Self {
        Self { records: Vec::new(), synced: 0 }
    }
}

impl<R> Journal<R> {
    /// Everything appended, in order; after a crash, everything that was left.
    pub fn records(&self) -> &[R] {
        &self.records
    }

    /// How many records would survive a crash for certain.
    pub fn synced(&self) -> usize {
        self.synced
    }

    /// How many records a crash may lose.
    pub fn unsynced(&self) -> usize {
        self.records.len() - self.synced
    }

    /// Adds a record, which a crash may lose until the next [`Journal::sync`].
    #[inline]
    pub fn append(&mut self, record: R) {
        self.records.push(record);
    }

    /// Makes everything appended so far durable; says how many records that newly covers.
    #[inline]
    pub fn sync(&mut self) -> usize {
        let fresh = self.records.len() - self.synced;
        self.synced = self.records.len();
        fresh
    }

    /// Loses what a crash loses. A third of crashes lose every un-synced record, a third keep all,
    /// a third cut between or inside records; a nominal draw loses them all.
    pub fn crash(&mut self, mut draw: Draw) -> CrashImage {
        let pending = (self.records.len() - self.synced) as u32;
        if pending == 0 {
            return CrashImage::default();
        }
        let kept = match draw.below(3) {
            _ if draw.is_nominal() => 0,
            0 => 0,
            1 => pending,
            _ => draw.below(pending + 1),
        };
        let lost = pending - kept;
        self.records.truncate(self.synced + kept as usize);
        // What came back from the disk is on the disk.
        self.synced = self.records.len();
        CrashImage { kept, lost, torn: draw.chance(500_000) && lost > 0 }
    }
}
