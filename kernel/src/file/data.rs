//! The bytes of one file, which of them a crash leaves, and what decayed.

use seedfall_sim::StableHasher;
use std::collections::BTreeMap;
use std::ops::Range;

/// What the page cache writes at once.
pub(super) const PAGE: usize = 4096;
/// What a disk writes whole, or tears.
pub(super) const SECTOR: usize = 512;

/// What becomes of a page as it is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is on the disk.
    Whole,
    /// It counts as written, and is not.
    Not,
    /// It is written to the place of another page.
    Astray(usize),
}

/// What a disk and its file system promise beyond what everybody must.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Promises {
    /// Of a sector that was being written as the power failed, no byte is anything but what it was
    /// or what was written.
    pub(crate) powersafe: bool,
    /// A sector that was being written as the power failed is what it was, or what was written.
    pub(crate) atomic: bool,
    /// A file that was growing ends, after a crash, where it ended or with a whole page or with
    /// what was written last.
    pub(crate) journaled: bool,
}

/// What a crash leaves of a sector that is not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// What it held before.
    Old,
    /// What was written.
    New,
    /// The first so many bytes are new.
    Torn(usize),
    /// Neither.
    Garbage(u8),
}

/// The bytes of a file, and what is durable of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    pub(super) bytes: Vec<u8>,
    /// Pages that were written since the last sync, and what the disk holds of them; `None`: they
    /// were behind the end.
    pub(super) before: BTreeMap<usize, Option<Vec<u8>>>,
    /// Pages that count as synced and are not on the disk, and what it holds of them.
    unwritten: BTreeMap<usize, Option<Vec<u8>>>,
    /// How long the file was at the last sync.
    durable_length: usize,
    /// Which bits of a byte read wrong.
    pub(super) rot: BTreeMap<usize, u8>,
}

/// The bytes of a page that a file of this length has.
fn range(page: usize, length: usize) -> Range<usize> {
    let start = (page * PAGE).min(length);
    start..(page * PAGE + PAGE).min(length)
}

/// Puts back what the disk holds of a page.
fn put_back(image: &mut [u8], page: usize, old: Option<&Vec<u8>>) {
    let place = range(page, image.len());
    let place = &mut image[place];
    place.fill(0);
    let old = old.map_or(&[][..], Vec::as_slice);
    let size = old.len().min(place.len());
    place[..size].copy_from_slice(&old[..size]);
}

/// Which bytes of a sector are new, where each is old or new.
fn mix(dice: u8) -> impl Iterator<Item = bool> {
    let next = |dice: &u64| Some(StableHasher::hash(dice));
    std::iter::successors(Some(StableHasher::hash(&dice)), next).map(|word| word & 1 == 1)
}

/// What is not durable of a sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Its bytes.
    Bytes,
    /// Only that the file is so long: behind its old end there are zeros.
    Length,
}

/// What a sector of `new` has that the disk, which holds `old`, has not; `None`: nothing. The disk
/// writes no sector but those that changed, whatever else was written of their page: no other is
/// in danger as the power fails.
fn change(old: &[u8], new: &[u8], sector: Range<usize>) -> Option<Change> {
    let held = &old[sector.start.min(old.len())..sector.end.min(old.len())];
    let (same, beyond) = new[sector].split_at(held.len());
    match same != held || beyond.iter().any(|byte| *byte != 0) {
        true => Some(Change::Bytes),
        false if !beyond.is_empty() => Some(Change::Length),
        false => None,
    }
}

impl Data {
    /// The page is about to change: what the disk holds of it is kept for a crash.
    fn touch(&mut self, page: usize) {
        let Data { bytes, before, unwritten, durable_length, rot } = self;
        if !rot.is_empty() {
            rot.retain(|byte, _| byte / PAGE != page);
        }
        before.entry(page).or_insert_with(|| {
            unwritten.remove(&page).unwrap_or_else(|| {
                let held = range(page, (*durable_length).min(bytes.len()));
                (!held.is_empty()).then(|| bytes[held].to_vec())
            })
        });
    }

    fn touch_range(&mut self, start: usize, end: usize) {
        if start < end {
            (start / PAGE..=(end - 1) / PAGE).for_each(|page| self.touch(page));
        }
    }

    /// Writes at a place.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        self.touch_range(at.min(self.bytes.len()), end);
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
    }

    /// Cuts it off, or fills it up with zeros.
    pub(super) fn resize(&mut self, length: usize) {
        let old = self.bytes.len();
        self.touch_range(old.min(length), old.max(length));
        self.bytes.resize(length, 0);
    }

    /// Whether a crash may take something of it.
    pub(super) fn is_unsynced(&self) -> bool {
        !self.before.is_empty() || self.durable_length != self.bytes.len()
    }

    /// All of these pages are durable, but for those of which `fate` says otherwise. The length of
    /// the file is, too, as it is part of what a journal has in any case.
    pub(super) fn sync(&mut self, pages: Range<usize>, mut fate: impl FnMut(usize) -> Written) {
        self.durable_length = self.bytes.len();
        let mut behind = self.before.split_off(&pages.start);
        let rest = behind.split_off(&pages.end);
        self.before.extend(rest);
        for (page, old) in behind {
            let fate = fate(page);
            if fate != Written::Whole {
                self.unwritten.insert(page, old);
            }
            if let Written::Astray(other) = fate {
                let held = self.bytes[range(page, self.bytes.len())].to_vec();
                self.unwritten.insert(other, Some(held));
            }
        }
    }

    /// The pages of a range that overwrite what the disk has are on it; how many.
    pub(super) fn write_out(&mut self, from: usize, to: usize) -> usize {
        let length = self.durable_length;
        let is_there = |page: usize| (page + 1) * PAGE <= length;
        let before = self.before.len();
        let last = to.div_ceil(PAGE);
        self.before.retain(|page, _| !(from / PAGE..last).contains(page) || !is_there(*page));
        before - self.before.len()
    }

    /// What the disk holds now.
    fn held(&self) -> Vec<u8> {
        let mut image = self.bytes.clone();
        image.resize(self.durable_length, 0);
        for (page, old) in self.unwritten.iter().chain(&self.before) {
            put_back(&mut image, *page, old.as_ref());
        }
        image
    }

    /// What a crash leaves: `left` decides for each sector that is not durable, and `keeps` whether
    /// the file stays as short as it was cut. How many of the pages count as synced and are lost.
    pub(super) fn crash(
        &mut self,
        Promises { powersafe, atomic, journaled }: Promises,
        mut left: impl FnMut(usize, usize) -> Left,
        keeps: impl FnOnce() -> bool,
    ) -> usize {
        if !self.is_unsynced() && self.unwritten.is_empty() {
            return 0;
        }
        let mut image = self.held();
        let before = std::mem::take(&mut self.before);
        let lost = std::mem::take(&mut self.unwritten).len();
        let new = std::mem::take(&mut self.bytes);
        for page in before.keys() {
            let place = range(*page, new.len());
            for start in place.clone().step_by(SECTOR) {
                let end = (start + SECTOR).min(place.end);
                let Some(change) = change(&image, &new, start..end) else { continue };
                let sector = match left(*page, start / SECTOR) {
                    Left::Garbage(dice) if atomic && dice % 2 == 0 => Left::Old,
                    Left::Torn(size) if atomic && size % 2 == 0 => Left::Old,
                    Left::Garbage(_) | Left::Torn(_) if atomic => Left::New,
                    left => left,
                };
                if sector == Left::Old {
                    continue;
                }
                let length = if journaled { range(*page, new.len()).end } else { end };
                if image.len() < length {
                    image.resize(length, 0);
                }
                match sector {
                    _ if change == Change::Length => {}
                    Left::Garbage(dice) if powersafe => {
                        let all = image[start..end].iter_mut().zip(&new[start..end]);
                        all.zip(mix(dice)).filter(|(_, new)| *new).for_each(|((old, new), _)| {
                            *old = *new;
                        });
                    }
                    Left::Garbage(byte) => image[start..end].fill(byte),
                    Left::Torn(size) => {
                        let end = end.min(start + size);
                        image[start..end].copy_from_slice(&new[start..end]);
                    }
                    _ => image[start..end].copy_from_slice(&new[start..end]),
                }
            }
        }
        if new.len() < self.durable_length && keeps() {
            image.truncate(new.len());
        }
        (self.durable_length, self.bytes) = (image.len(), image);
        lost
    }

    /// A disk at rest loses the end of the file.
    pub(super) fn cut(&mut self, length: usize) {
        self.bytes.truncate(length);
        self.durable_length = self.bytes.len();
    }
}
