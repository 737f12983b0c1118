//! What a node wrote down, and what a crash leaves of it.
//!
//! A journal is append-only. Records that were synced survive every crash; of the others a crash
//! leaves a prefix, whose last record may have been torn in the middle: its checksum then fails,
//! and recovery ends before it.
//!
//! That is the contract, and without disk faults it is all that is simulated. [`Journal::attach`]
//! puts a [`Disk`] below it: from then on records are written as bytes by the [`wal`](crate::wal),
//! and what a crash leaves is what its recovery makes of the sectors.

mod attached;

use crate::disk::Disk;
use crate::draw::Draw;
use attached::Attached;
use std::hash::Hash;

/// A sync makes frames durable, writes a head, and makes that durable: see [`wal`](crate::wal).
const SYNC_STEPS: u32 = 3;

/// The records of one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Journal<R> {
    records: Vec<R>,
    synced: usize,
    /// The disk below, if there is one; then every record is on it as well.
    attached: Option<Box<Attached<R>>>,
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
        Self { records: Vec::new(), synced: 0, attached: None }
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

    /// True if there is a disk below: then [`Journal::append_through`] and
    /// [`Journal::sync_through`] take the places of [`Journal::append`] and [`Journal::sync`].
    #[inline]
    pub fn is_attached(&self) -> bool {
        self.attached.is_some()
    }

    /// The disk below, if there is one.
    pub fn disk(&self) -> Option<&Disk> {
        self.attached.as_ref().map(|attached| attached.disk())
    }

    /// The disk below, to be made faulty.
    pub fn disk_mut(&mut self) -> Option<&mut Disk> {
        self.attached.as_mut().map(|attached| attached.disk_mut())
    }

    /// Why the last [`Journal::reopen`] was refused; nothing if it was not.
    pub fn refusal(&self) -> Option<&str> {
        self.attached.as_ref().and_then(|attached| attached.refusal())
    }
}

impl<R: Clone + Hash> Journal<R> {
    /// Puts a disk below, without faults, with everything on it that was appended; nothing if there
    /// is one already. It stays for ever.
    pub fn attach(&mut self) {
        if self.attached.is_none() {
            self.attached = Some(Box::new(Attached::new(&self.records, self.synced)));
        }
    }

    /// As [`Journal::append`], on the disk below; `draw` decides where its faults strike.
    ///
    /// # Errors
    /// The disk failed, in words: the node must stop here, as if it had crashed.
    ///
    /// # Panics
    /// If there is no disk below.
    pub fn append_through(&mut self, record: R, draw: Draw) -> Result<(), String> {
        let attached = self.attached.as_mut().expect("the caller asked whether there is one");
        attached.append(&record, draw)?;
        self.records.push(record);
        Ok(())
    }

    /// As [`Journal::sync`], on the disk below; `draw` decides where its faults strike.
    ///
    /// # Errors
    /// As [`Journal::append_through`].
    ///
    /// # Panics
    /// If there is no disk below.
    pub fn sync_through(&mut self, draw: Draw) -> Result<usize, String> {
        let attached = self.attached.as_mut().expect("the caller asked whether there is one");
        attached.sync(draw)?;
        Ok(self.sync())
    }

    /// The power fails in the middle of a sync; the caller crashes the node next. Nothing without a
    /// disk below.
    pub fn sync_in_part(&mut self, draw: Draw) {
        if let Some(attached) = &mut self.attached {
            // A copy: what the disk decides takes all of it.
            let mut first = draw;
            attached.sync_in_part(first.below(SYNC_STEPS), draw);
        }
    }

    /// Reads the records back from the disk below, as a node does that starts. Without a disk they
    /// are what they were.
    ///
    /// # Errors
    /// Something that was synced is damaged, or the disk cannot be read, in words: the node must
    /// not start. The records are then as they were.
    ///
    /// # Panics
    /// If recovery hands out a record that was never appended: it is what this simulates to find.
    pub fn reopen(&mut self, draw: Draw) -> Result<(), String> {
        if let Some(attached) = &mut self.attached {
            self.records = attached.reopen(draw)?;
            self.synced = self.records.len();
        }
        Ok(())
    }

    /// Loses everything; a disk below is as new, but for the faults that last.
    pub fn wipe(&mut self) {
        (self.records, self.synced) = (Vec::new(), 0);
        if let Some(attached) = &mut self.attached {
            attached.wipe();
        }
    }

    /// Loses what a crash loses. Without a disk below, a third of crashes lose every un-synced
    /// record, a third keep all, a third cut between or inside records; a nominal draw loses them
    /// all.
    pub fn crash(&mut self, mut draw: Draw) -> CrashImage {
        if self.attached.is_some() {
            return self.crash_below(draw);
        }
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

    /// What a crash leaves of the sectors, and what recovery would make of that if it were read
    /// now, without a fault.
    #[cold]
    fn crash_below(&mut self, draw: Draw) -> CrashImage {
        let (before, synced) = (self.records.len(), self.synced);
        let attached = self.attached.as_mut().expect("the caller asked");
        let (records, torn) = match attached.crash(draw) {
            Some((records, cut)) => (records, cut > 0),
            None => (self.records[..synced].to_vec(), false),
        };
        self.records = records;
        self.synced = self.records.len();
        CrashImage {
            kept: self.synced.saturating_sub(synced) as u32,
            lost: before.saturating_sub(self.synced) as u32,
            torn,
        }
    }
}
