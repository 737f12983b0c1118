//! A simulated disk: files of bytes behind a page cache, and all that can go wrong with them.
//!
//! What a program sees is the cache. A sync writes the pages of one file that were written to
//! since; a crash leaves of every un-synced *sector* the new bytes, the old ones, or a torn
//! mixture, each independently ([`Disk::crash`]; [`Disk::crash_as`] to choose), and of a file's
//! length and of every creation, renaming and removal either the new or the old. Beyond that,
//! faults are data: [`DiskFault`].
//!
//! What it does not do: time (a slow disk is a slow node), and reordering of what was synced.

mod crash;
mod fault;

pub use crash::{Remains, Unsynced};
pub use fault::{About, Answer, DiskCounters, DiskFault};

use crate::draw::Draw;
use crate::hash::fold;
use crate::wal::Storage;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a disk writes whole or tears, in bytes.
pub const SECTOR: usize = 512;

/// What the cache writes and forgets, in bytes.
pub const PAGE: usize = 4096;

/// What a program is told when a disk fails.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DiskError {
    /// There is no file of that name.
    NotFound,
    /// A file cannot grow.
    NoSpace,
    /// The device failed.
    Io,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such file",
            Self::NoSpace => "no space left on the device (ENOSPC)",
            Self::Io => "input/output error (EIO)",
        })
    }
}

impl std::error::Error for DiskError {}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct File {
    /// What the program sees.
    cached: Vec<u8>,
    /// What is on the disk.
    durable: Vec<u8>,
    /// The pages that the next sync writes.
    dirty: BTreeSet<usize>,
    /// Which bits of a byte read wrong.
    rot: BTreeMap<usize, u8>,
}

/// A change of the directory. It concerns a file by its number: its name may change meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct NameChange {
    /// A name that goes.
    from: Option<String>,
    /// A name that now means a file.
    to: Option<(String, u32)>,
}

/// A fault that lasts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Active {
    fault: DiskFault,
    /// How much must pass before it strikes: syncs, pages, writes, reads, or bytes that are free.
    left: u32,
    /// It struck, and was of the kind that strikes once.
    is_over: bool,
    /// The page of a file that it does not let through, once a phantom write has struck.
    stuck: Option<(u32, usize)>,
    /// What the disk held when it began, if it is a rollback.
    image: Option<Image>,
    /// What it spoiled, to be mended with it: bytes of a file.
    rotten: Vec<(u32, usize)>,
}

/// What a disk holds: bytes by file, and files by name.
type Image = (BTreeMap<u32, Vec<u8>>, BTreeMap<String, u32>);

/// Many small decisions out of one draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Dice {
    state: u64,
    is_random: bool,
}

impl Dice {
    fn of(mut draw: Draw) -> Self {
        let is_random = !draw.is_nominal();
        let state = (0..4).fold(0, |state, _| fold(state, draw.word().into()));
        Self { state, is_random }
    }

    /// Uniform over `0..bound`, or the middle of it; `bound` must not be zero.
    fn below(&mut self, bound: usize) -> usize {
        self.state = fold(self.state, 1);
        let word = if self.is_random { self.state >> 32 } else { 1 << 31 };
        ((word * bound as u64) >> 32) as usize
    }
}

/// The disk of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Disk {
    files: BTreeMap<u32, File>,
    /// How many files there ever were.
    made: u32,
    /// As the program sees it.
    names: BTreeMap<String, u32>,
    durable_names: BTreeMap<String, u32>,
    unsynced_names: Vec<NameChange>,
    faults: Vec<Active>,
    dice: Dice,
    /// After how many more changes the power fails; `None`: not yet.
    power: Option<u32>,
    /// How many operations its user has counted.
    operations: u64,
    counters: DiskCounters,
}

impl Disk {
    /// How often what happened.
    pub fn counters(&self) -> &DiskCounters {
        &self.counters
    }

    /// True if a fault lasts.
    pub fn is_faulty(&self) -> bool {
        !self.faults.is_empty()
    }

    /// What decides, from here on, which page or byte a fault strikes. Without it, or with a
    /// nominal draw, it is the middle one.
    pub fn deal(&mut self, draw: Draw) {
        self.dice = Dice::of(draw);
    }

    /// The power fails after so many more changes and syncs: those that come then fail, until the
    /// crash.
    pub fn lose_power_after(&mut self, changes: u32) {
        self.power = Some(changes);
    }

    fn draw_power(&mut self) -> Result<(), DiskError> {
        match &mut self.power {
            Some(0) => Err(DiskError::Io),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Counts one operation of the disk's user; says how many there were before.
    pub(crate) fn count_operation(&mut self) -> u64 {
        self.operations += 1;
        self.operations - 1
    }

    /// A fault begins; `at_rest` says that the disk's node is down.
    pub fn begin(&mut self, fault: &DiskFault, at_rest: bool) {
        let left = match fault {
            DiskFault::SyncFails { after }
            | DiskFault::PhantomWrite { after }
            | DiskFault::MisdirectedWrite { after }
            | DiskFault::MisdirectedRead { after }
            | DiskFault::WriteError { after }
            | DiskFault::ReadError { after } => *after,
            DiskFault::NoSpace { left } => *left,
            DiskFault::LyingSync
            | DiskFault::BitRot { .. }
            | DiskFault::Truncate { .. }
            | DiskFault::Rollback { .. } => 0,
        };
        let image = matches!(fault, DiskFault::Rollback { .. }).then(|| self.image());
        let fault = fault.clone();
        let (is_over, stuck, rotten) = (false, None, Vec::new());
        self.faults.push(Active { fault, left, is_over, stuck, image, rotten });
        if at_rest {
            self.rest();
        }
    }

    /// A fault ends, the first of those equal to this one. Rotten sectors read right again; what
    /// was lost, cut off or written to a wrong place stays so.
    pub fn end(&mut self, fault: &DiskFault) {
        let Some(index) = self.faults.iter().position(|active| active.fault == *fault) else {
            return;
        };
        for (file, byte) in self.faults.remove(index).rotten {
            if let Some(file) = self.files.get_mut(&file) {
                file.rot.remove(&byte);
            }
        }
    }

    /// Loses everything; faults, counters and what they count from stay.
    pub fn wipe(&mut self) {
        let old = std::mem::take(self);
        let Self { made, faults, dice, operations, counters, .. } = old;
        *self = Self { made, faults, dice, operations, counters, ..Self::default() };
    }

    /// Ends every fault, and mends every rotten sector: what the disk really holds.
    pub fn without_faults(mut self) -> Self {
        self.faults.clear();
        for file in self.files.values_mut() {
            file.rot.clear();
        }
        self
    }

    /// Notes that a program stopped because of an error.
    pub fn note_stop(&mut self) {
        self.counters.stops += 1;
    }

    /// Notes that a program refused to start.
    pub fn note_refusal(&mut self) {
        self.counters.refusals += 1;
    }

    fn image(&self) -> Image {
        let bytes = self.files.iter().map(|(number, file)| (*number, file.durable.clone()));
        (bytes.collect(), self.durable_names.clone())
    }

    /// Does a fault of this kind strike now? Each call lets one chance pass.
    fn strikes(&mut self, is_kind: impl Fn(&DiskFault) -> bool) -> bool {
        let waiting = |active: &&mut Active| is_kind(&active.fault) && !active.is_over;
        let Some(active) = self.faults.iter_mut().find(waiting) else { return false };
        if active.left > 0 {
            active.left -= 1;
            return false;
        }
        active.is_over = active.fault != DiskFault::LyingSync;
        self.counters.effects[active.fault.kind()] += 1;
        true
    }

    /// Whether a page that is written never reaches the disk.
    fn is_lost(&mut self, number: u32, page: usize) -> bool {
        let kind = DiskFault::PhantomWrite { after: 0 }.kind();
        if self.faults.iter().any(|active| active.stuck == Some((number, page))) {
            self.counters.effects[kind] += 1;
            return true;
        }
        let waiting = |active: &&mut Active| active.fault.kind() == kind && active.stuck.is_none();
        match self.faults.iter_mut().find(waiting) {
            Some(active) if active.left == 0 => {
                active.stuck = Some((number, page));
                self.counters.effects[kind] += 1;
                true
            }
            Some(active) => {
                active.left -= 1;
                false
            }
            None => false,
        }
    }

    fn number(&self, name: &str) -> Result<u32, DiskError> {
        self.names.get(name).copied().ok_or(DiskError::NotFound)
    }

    fn file(&mut self, name: &str) -> Result<&mut File, DiskError> {
        let number = self.number(name)?;
        Ok(self.files.get_mut(&number).expect("every name means a file"))
    }

    /// How many of these bytes may still be added to files.
    fn room(&mut self, growth: usize) -> usize {
        let is_full = |active: &&mut Active| matches!(active.fault, DiskFault::NoSpace { .. });
        let Some(active) = self.faults.iter_mut().find(is_full) else { return growth };
        let granted = growth.min(active.left as usize);
        active.left -= granted as u32;
        self.counters.effects[active.fault.kind()] += u64::from(granted < growth);
        granted
    }

    /// Writes the dirty pages of a file to the disk. `fails`: at least one of them is not written.
    fn write_back(&mut self, number: u32, fails: bool) {
        let file = self.files.get_mut(&number).expect("the caller found it");
        let pages: Vec<usize> = std::mem::take(&mut file.dirty).into_iter().collect();
        file.durable.resize(file.cached.len(), 0);
        let in_file = file.cached.len().div_ceil(PAGE);
        let unlucky = if fails { self.dice.below(pages.len()) } else { 0 };
        let mut astray = None;
        for (place, page) in pages.iter().enumerate() {
            if fails && (place == unlucky || self.dice.below(2) == 0) {
                continue;
            }
            if self.is_lost(number, *page) {
                continue;
            }
            let can_stray = in_file > 1 && astray.is_none();
            if can_stray
                && self.strikes(|fault| matches!(fault, DiskFault::MisdirectedWrite { .. }))
            {
                let other = (page + 1 + self.dice.below(in_file - 1)) % in_file;
                astray = Some((*page, other));
                continue;
            }
            self.file_mut(number).write_page(*page, *page);
        }
        if let Some((page, other)) = astray {
            self.file_mut(number).write_page(page, other); // Last: nothing may write over it.
        }
    }

    fn file_mut(&mut self, number: u32) -> &mut File {
        self.files.get_mut(&number).expect("the caller found it")
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u32>) {
        if let Some(from) = &self.from {
            names.remove(from);
        }
        if let Some((to, number)) = &self.to {
            names.insert(to.clone(), *number);
        }
    }
}

impl File {
    /// Writes a page of the cache to the place of a page on the disk, which is as long.
    fn write_page(&mut self, page: usize, place: usize) {
        let source = &self.cached[page * PAGE..self.cached.len().min((page + 1) * PAGE)];
        let start = place * PAGE;
        let room = self.durable.len().min(start + PAGE) - start;
        let length = source.len().min(room);
        self.durable[start..start + length].copy_from_slice(&source[..length]);
        self.rot.retain(|byte, _| !(start..start + PAGE).contains(byte));
    }
}

impl Storage for Disk {
    type Error = DiskError;

    fn list(&mut self) -> Result<Vec<String>, DiskError> {
        Ok(self.names.keys().cloned().collect())
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, DiskError> {
        let number = self.number(name)?;
        if self.strikes(|fault| matches!(fault, DiskFault::ReadError { .. })) {
            return Err(DiskError::Io);
        }
        let file = self.file(name)?;
        let mut bytes = file.cached.clone();
        let mut rotten = BTreeSet::new();
        for (byte, mask) in &file.rot {
            // A page that was written to since is read from the cache.
            if !file.dirty.contains(&(byte / PAGE)) && *byte < bytes.len() {
                bytes[*byte] ^= mask;
                rotten.insert(byte / SECTOR);
            }
        }
        let rot = DiskFault::BitRot { bits: 1 };
        self.counters.effects[rot.kind()] += rotten.len() as u64;
        let pages = bytes.len().div_ceil(PAGE);
        for page in 0..if pages > 1 { pages } else { 0 } {
            if self.strikes(|fault| matches!(fault, DiskFault::MisdirectedRead { .. })) {
                let other = (page + 1 + self.dice.below(pages - 1)) % pages;
                let source = self.files[&number].cached[other * PAGE..].iter().copied();
                let source = source.chain(std::iter::repeat(0));
                bytes[page * PAGE..].iter_mut().take(PAGE).zip(source).for_each(|(to, from)| {
                    *to = from;
                });
            }
        }
        Ok(bytes)
    }

    fn create(&mut self, name: &str) -> Result<(), DiskError> {
        self.draw_power()?;
        self.made += 1;
        self.files.insert(self.made, File::default());
        let to = Some((name.to_owned(), self.made));
        self.change_names(NameChange { from: None, to });
        Ok(())
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.draw_power()?;
        let (start, length) = (offset as usize, self.file(name)?.cached.len());
        if self.strikes(|fault| matches!(fault, DiskFault::WriteError { .. })) {
            return Err(DiskError::Io);
        }
        let growth = (start + bytes.len()).saturating_sub(length);
        let missing = growth - self.room(growth);
        let end = (start + bytes.len() - missing).max(length);
        let file = self.file(name)?;
        file.cached.resize(end, 0);
        let bytes = &bytes[..bytes.len().min(end.saturating_sub(start))];
        if !bytes.is_empty() {
            file.cached[start..start + bytes.len()].copy_from_slice(bytes);
            // A gap is written too: older bytes may stand there on the disk.
            file.dirty.extend(start.min(length) / PAGE..=(start + bytes.len() - 1) / PAGE);
        }
        if missing > 0 { Err(DiskError::NoSpace) } else { Ok(()) }
    }

    fn truncate(&mut self, name: &str, length: u64) -> Result<(), DiskError> {
        self.draw_power()?;
        let file = self.file(name)?;
        file.cached.resize(length as usize, 0);
        let pages = file.cached.len().div_ceil(PAGE);
        file.dirty.retain(|page| *page < pages);
        Ok(())
    }

    fn sync(&mut self, name: &str) -> Result<(), DiskError> {
        self.draw_power()?;
        let number = self.number(name)?;
        let file = &self.files[&number];
        if file.dirty.is_empty() {
            if file.cached.len() != file.durable.len() && !self.lies() {
                self.write_back(number, false);
            }
            return Ok(());
        }
        if self.strikes(|fault| matches!(fault, DiskFault::SyncFails { .. })) {
            self.write_back(number, true);
            return Err(DiskError::Io);
        }
        if !self.lies() {
            self.write_back(number, false);
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        self.draw_power()?;
        let number = self.number(from)?;
        let to = Some((to.to_owned(), number));
        self.change_names(NameChange { from: Some(from.to_owned()), to });
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        self.draw_power()?;
        self.number(name)?;
        self.change_names(NameChange { from: Some(name.to_owned()), to: None });
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<(), DiskError> {
        self.draw_power()?;
        if !self.unsynced_names.is_empty() && !self.lies() {
            self.unsynced_names.clear();
            self.durable_names = self.names.clone();
            self.forget_nameless();
        }
        Ok(())
    }
}

impl Disk {
    fn lies(&mut self) -> bool {
        self.strikes(|fault| *fault == DiskFault::LyingSync)
    }

    /// Forgets files that have no name any more, on the disk or before the next sync.
    fn forget_nameless(&mut self) {
        let named: BTreeSet<u32> = self.names.values().copied().collect();
        let durable = &self.durable_names;
        self.files.retain(|number, _| {
            named.contains(number) || durable.values().any(|other| other == number)
        });
    }
}
