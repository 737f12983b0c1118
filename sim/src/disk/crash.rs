//! What a crash leaves on a disk: of every un-synced sector, length and name, one of a few things.

use super::{Active, Dice, Disk, DiskFault, PAGE, SECTOR};
use crate::draw::Draw;

/// Something of which a crash may leave the new state or the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unsynced {
    /// The bytes of a sector of a file.
    Sector {
        /// The file's number: its name may be un-synced too.
        file: u32,
        /// The sector, counted from the start of the file.
        sector: usize,
    },
    /// The length of a file.
    Length {
        /// The file's number.
        file: u32,
    },
    /// The change of the directory with this number, counted from its last sync.
    Name(usize),
}

/// What a crash leaves of something un-synced. A length or a name is kept or dropped: whatever is
/// not [`Remains::Kept`] drops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remains {
    /// The new state.
    Kept,
    /// The old one.
    Dropped,
    /// The first so many bytes are new, the others old.
    TornLeft(usize),
    /// The first so many bytes are old, the others new.
    TornRight(usize),
    /// Neither.
    Garbage,
}

impl Disk {
    /// Everything of which a crash, now, may leave one thing or another.
    pub fn unsynced(&self) -> Vec<Unsynced> {
        let mut found = Vec::new();
        for (number, file) in &self.files {
            let length = file.cached.len();
            for page in &file.dirty {
                let end = length.min((page + 1) * PAGE);
                for start in (page * PAGE..end).step_by(SECTOR) {
                    let new = &file.cached[start..end.min(start + SECTOR)];
                    let old = file.durable.get(start..).unwrap_or_default();
                    let (same, beyond) = new.split_at(new.len().min(old.len()));
                    if !old.starts_with(same) || beyond.iter().any(|byte| *byte != 0) {
                        found.push(Unsynced::Sector { file: *number, sector: start / SECTOR });
                    }
                }
            }
            if length != file.durable.len() {
                found.push(Unsynced::Length { file: *number });
            }
        }
        found.extend((0..self.unsynced_names.len()).map(Unsynced::Name));
        found
    }

    /// A crash: a third lose everything un-synced, a third nothing, a third decide for each page
    /// and name, and inside torn pages for each sector. A nominal draw loses everything.
    pub fn crash(&mut self, draw: Draw) {
        let mut dice = Dice::of(draw);
        let unsynced = self.unsynced();
        let mode = if dice.is_random { dice.below(3) } else { 0 };
        let mut page = None;
        let remains: Vec<Remains> = unsynced
            .iter()
            .map(|item| match (mode, item) {
                (0, _) => Remains::Dropped,
                (1, _) => Remains::Kept,
                (_, Unsynced::Sector { file, sector }) => {
                    let of = (*file, sector * SECTOR / PAGE);
                    let fate = match page {
                        Some((last, fate)) if last == of => fate,
                        _ => dice.below(4),
                    };
                    page = Some((of, fate));
                    match fate {
                        0 => Remains::Dropped,
                        1 => Remains::Kept,
                        _ => Remains::of_sector(&mut dice),
                    }
                }
                _ if dice.below(2) == 0 => Remains::Dropped,
                _ => Remains::Kept,
            })
            .collect();
        self.crash_as(&remains, draw);
    }

    /// A crash that leaves of each of [`Disk::unsynced`] what is said here, and garbage by `draw`.
    /// Faults that strike a disk at rest strike after it.
    pub fn crash_as(&mut self, remains: &[Remains], draw: Draw) {
        let unsynced = self.unsynced();
        assert_eq!(unsynced.len(), remains.len(), "one for each");
        let mut dice = Dice::of(draw);
        // Lengths first: a sector that is kept may stand past a length that is dropped.
        for (item, remains) in unsynced.iter().zip(remains) {
            match item {
                Unsynced::Length { file } if *remains == Remains::Kept => {
                    let file = self.file_mut(*file);
                    file.durable.resize(file.cached.len(), 0);
                }
                Unsynced::Name(index) if *remains == Remains::Kept => {
                    let change = self.unsynced_names[*index].clone();
                    change.apply(&mut self.durable_names);
                }
                Unsynced::Name(_) => self.counters.names_lost += 1,
                Unsynced::Length { .. } | Unsynced::Sector { .. } => {}
            }
        }
        for (item, remains) in unsynced.iter().zip(remains) {
            if let Unsynced::Sector { file, sector } = item {
                self.leave(*file, *sector, *remains, &mut dice);
            }
        }
        self.unsynced_names.clear();
        self.names = self.durable_names.clone();
        self.forget_nameless();
        for file in self.files.values_mut() {
            file.cached = file.durable.clone();
            file.dirty.clear();
        }
        self.dice = dice;
        self.power = None;
        self.rest();
    }

    fn leave(&mut self, number: u32, sector: usize, remains: Remains, dice: &mut Dice) {
        match remains {
            Remains::Kept => self.counters.sectors_kept += 1,
            Remains::Dropped => {
                self.counters.sectors_dropped += 1;
                return;
            }
            _ => self.counters.sectors_torn += 1,
        }
        let file = self.file_mut(number);
        let start = sector * SECTOR;
        let end = file.cached.len().min(start + SECTOR);
        if file.durable.len() < end {
            file.durable.resize(end, 0);
        }
        for byte in start..end {
            let is_new = match remains {
                Remains::Kept => true,
                Remains::TornLeft(bytes) => byte - start < bytes,
                Remains::TornRight(bytes) => byte - start >= bytes,
                Remains::Dropped => false,
                Remains::Garbage => {
                    file.durable[byte] = dice.below(256) as u8;
                    false
                }
            };
            if is_new {
                file.durable[byte] = file.cached[byte];
            }
        }
        file.rot.retain(|byte, _| !(start..end).contains(byte));
    }

    /// The disk is at rest: what waits for that strikes.
    pub(super) fn rest(&mut self) {
        for index in 0..self.faults.len() {
            let active = &self.faults[index];
            if active.is_over || !active.fault.strikes_at_rest() {
                continue;
            }
            let Active { fault, image, .. } = active.clone();
            let effects = match (&fault, image) {
                (DiskFault::BitRot { bits }, _) => {
                    self.decay(*bits, index);
                    0 // What counts is that a rotten sector is read.
                }
                (DiskFault::Truncate { bytes }, _) => self.cut_off(*bytes),
                (DiskFault::Rollback { whole: true }, Some((files, names))) => {
                    let changed = u64::from(self.image() != (files.clone(), names.clone()));
                    self.files = files.into_iter().map(|(file, old)| (file, old.into())).collect();
                    (self.durable_names, self.names) = (names.clone(), names);
                    changed
                }
                (_, Some((files, _))) => self.fall_back(&files),
                _ => 0,
            };
            self.faults[index].is_over = true;
            self.counters.effects[fault.kind()] += effects;
        }
    }

    /// Spoils bits of one sector, of those that hold anything.
    fn decay(&mut self, bits: u32, fault: usize) {
        let mut sectors = Vec::new();
        for (number, file) in &self.files {
            for (sector, bytes) in file.durable.chunks(SECTOR).enumerate() {
                let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
                if !used.is_empty() {
                    sectors.push((*number, sector * SECTOR, used));
                }
            }
        }
        if sectors.is_empty() {
            return;
        }
        let (number, start, used) = &sectors[self.dice.below(sectors.len())];
        for _ in 0..bits.clamp(1, 64) {
            let byte = start + used[self.dice.below(used.len())];
            let mask = 1 << self.dice.below(8);
            *self.file_mut(*number).rot.entry(byte).or_insert(0) |= mask;
            self.faults[fault].rotten.push((*number, byte));
        }
    }

    /// Cuts bytes off the longest file; says how many.
    fn cut_off(&mut self, bytes: u32) -> u64 {
        let longest = self.files.iter().max_by_key(|(_, file)| file.durable.len());
        let Some((number, length)) = longest.map(|(number, file)| (*number, file.durable.len()))
        else {
            return 0;
        };
        let cut = (1 + self.dice.below(bytes.max(1) as usize)).min(length);
        let file = self.file_mut(number);
        file.durable.truncate(length - cut);
        file.cached = file.durable.clone();
        cut as u64
    }

    /// Gives one file its old bytes, of those that have others now; says how many did.
    fn fall_back(&mut self, old: &std::collections::BTreeMap<u32, Vec<u8>>) -> u64 {
        let changed: Vec<u32> = self
            .files
            .iter()
            .filter(|(number, file)| old.get(number).is_some_and(|old| *old != file.durable))
            .map(|(number, _)| *number)
            .collect();
        if changed.is_empty() {
            return 0;
        }
        let number = changed[self.dice.below(changed.len())];
        *self.file_mut(number) = old[&number].clone().into();
        1
    }
}

impl From<Vec<u8>> for super::File {
    /// A file on a disk at rest.
    fn from(durable: Vec<u8>) -> Self {
        Self { cached: durable.clone(), durable, ..Self::default() }
    }
}

impl Remains {
    /// What is left of a sector of a torn page.
    fn of_sector(dice: &mut Dice) -> Self {
        match dice.below(5) {
            0 => Self::Kept,
            1 => Self::Dropped,
            2 => Self::TornLeft(1 + dice.below(SECTOR - 1)),
            3 => Self::TornRight(1 + dice.below(SECTOR - 1)),
            _ => Self::Garbage,
        }
    }
}
