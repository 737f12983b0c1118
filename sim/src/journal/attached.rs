//! Records as bytes on a simulated disk, by the write-ahead log that real files use too.
//!
//! Records have no encoding: the engine asks of them no more than a hash. So a frame holds the
//! number of its record among all that were ever appended, its stable hash, and padding up to a
//! plausible size; what recovery hands out is looked up by that number, and every byte is compared.

use crate::disk::Disk;
use crate::draw::Draw;
use crate::hash::{StableHasher, fold};
use crate::wal::{Recovery, Wal};
use std::hash::Hash;

/// A journal's disk, and the log on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Attached<R> {
    disk: Disk,
    /// The open log; `None` from a crash to the next start.
    wal: Option<Wal>,
    /// Every record that was ever appended, and the bytes that stand for it. A frame names its
    /// record by the place here.
    written: Vec<(R, Vec<u8>)>,
    refusal: Option<String>,
}

/// Bytes that stand for a record: 24 to 200 of them, by its hash.
fn payload(number: usize, digest: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(200);
    bytes.extend_from_slice(&(number as u64).to_le_bytes());
    bytes.extend_from_slice(&digest.to_le_bytes());
    let length = 24 + (digest % 177) as usize;
    let mut padding = digest;
    while bytes.len() < length {
        padding = fold(padding, 1);
        bytes.push(padding as u8);
    }
    bytes
}

impl<R: Clone + Hash> Attached<R> {
    /// An honest disk that holds these records, the first `synced` of them for certain.
    pub(super) fn new(records: &[R], synced: usize) -> Self {
        let mut attached =
            Self { disk: Disk::default(), wal: None, written: Vec::new(), refusal: None };
        let honest = "a disk without faults does not fail";
        attached.reopen(Draw::NOMINAL).expect(honest);
        for (place, record) in records.iter().enumerate() {
            if place == synced {
                attached.sync(Draw::NOMINAL).expect(honest);
            }
            attached.append(record, Draw::NOMINAL).expect(honest);
        }
        if synced == records.len() {
            attached.sync(Draw::NOMINAL).expect(honest);
        }
        attached
    }

    /// Adds a record.
    pub(super) fn append(&mut self, record: &R, draw: Draw) -> Result<(), String> {
        self.disk.deal(draw);
        let number = self.written.len();
        self.written.push((record.clone(), payload(number, StableHasher::hash(record))));
        let wal = self.wal.as_mut().ok_or("the log is closed")?;
        let appended = wal.append(&mut self.disk, &self.written[number].1);
        appended.map_err(|error| self.stop(&error.to_string()))
    }

    /// Makes all records durable.
    pub(super) fn sync(&mut self, draw: Draw) -> Result<(), String> {
        self.disk.deal(draw);
        let wal = self.wal.as_mut().ok_or("the log is closed")?;
        match wal.sync(&mut self.disk) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.stop(&error.to_string())),
        }
    }

    /// Makes so many changes of a sync, the last that happen before a crash.
    pub(super) fn sync_in_part(&mut self, changes: u32, draw: Draw) {
        self.disk.deal(draw);
        self.disk.lose_power_after(changes);
        if let Some(mut wal) = self.wal.take() {
            // The answer is lost with the node.
            let _ = wal.sync(&mut self.disk);
        }
    }

    fn stop(&mut self, why: &str) -> String {
        self.wal = None;
        self.disk.note_stop();
        why.to_owned()
    }

    /// A crash. The records that a start without faults would find, and how many bytes of a torn
    /// tail it would cut; `None` if it would be refused.
    pub(super) fn crash(&mut self, draw: Draw) -> Option<(Vec<R>, u64)> {
        self.wal = None;
        self.disk.crash(draw);
        let (_, found) = Wal::open(&mut self.disk.clone().without_faults()).ok()?;
        Some((self.records(&found), found.cut))
    }

    /// An empty disk in place of this one.
    pub(super) fn wipe(&mut self) {
        self.wal = None;
        self.disk.wipe();
    }

    /// A start: what recovery finds.
    pub(super) fn reopen(&mut self, draw: Draw) -> Result<Vec<R>, String> {
        self.disk.deal(draw);
        match Wal::open(&mut self.disk) {
            Ok((wal, found)) => {
                self.wal = Some(wal);
                self.refusal = None;
                Ok(self.records(&found))
            }
            Err(error) => {
                self.wal = None;
                self.disk.note_refusal();
                self.refusal = Some(error.to_string());
                Err(error.to_string())
            }
        }
    }

    fn records(&self, found: &Recovery) -> Vec<R> {
        let record = |(place, bytes): (usize, &Vec<u8>)| {
            let number = bytes.first_chunk().map_or(u64::MAX, |chunk| u64::from_le_bytes(*chunk));
            match self.written.get(number as usize) {
                Some((record, payload)) if bytes == payload => record.clone(),
                _ => panic!("recovery hands out a record that nobody wrote, as number {place}"),
            }
        };
        found.payloads.iter().enumerate().map(record).collect()
    }
}

impl<R> Attached<R> {
    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(super) fn disk_mut(&mut self) -> &mut Disk {
        &mut self.disk
    }

    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }
}
