//! What is wrong with the disk of a node: the faults of `sim`, as data, and what they do to files.
//!
//! A sync that fails or lies, pages that never reach the disk or the wrong place of it, sectors
//! that decay, files that are cut off or fall back, no space, and calls that fail. Which page or
//! byte is struck follows from the draw with which a fault began.

use super::data::{PAGE, SECTOR, Written};
use super::{Content, Data, Tree};
use crate::kernel::Errno;
use seedfall_sim::{Answer, DiskCounters, DiskFault, Draw, StableHasher};
use std::ops::Range;

/// A fault that lasts.
#[derive(Clone, Debug)]
struct Active {
    fault: DiskFault,
    /// How much must pass before it strikes: syncs, pages, writes, reads, or bytes that are free.
    left: u32,
    /// It struck, and was of the kind that strikes once.
    is_over: bool,
    /// The page of a file that it does not let through, once a phantom write has struck.
    stuck: Option<(usize, usize)>,
    /// What the disk held when it began, if it is a rollback.
    image: Option<Box<Tree>>,
    /// What it spoiled, to be mended with it: bytes of a file.
    rotten: Vec<(usize, usize)>,
}

/// All that is wrong with a disk, and how often it was.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    active: Vec<Active>,
    counters: DiskCounters,
    dice: u64,
    /// Something of what was synced is lost.
    is_damaged: bool,
}

impl Faults {
    /// Uniform over `0..bound`, as the draw of the last fault decides.
    fn below(&mut self, bound: usize) -> usize {
        self.dice = StableHasher::hash(&self.dice);
        (((self.dice >> 32) * bound as u64) >> 32) as usize
    }

    pub(super) fn count(&mut self, fault: &DiskFault) {
        self.counters.effects[fault.kind()] += 1;
        self.is_damaged |= fault.about().answer != Answer::Survives;
    }

    /// Does a fault of this kind strike now? Each call lets one chance pass.
    pub(super) fn strikes(&mut self, is_kind: impl Fn(&DiskFault) -> bool) -> bool {
        let waiting = |active: &&mut Active| is_kind(&active.fault) && !active.is_over;
        let Some(active) = self.active.iter_mut().find(waiting) else { return false };
        if active.left > 0 {
            active.left -= 1;
            return false;
        }
        active.is_over = active.fault != DiskFault::LyingSync;
        let fault = active.fault.clone();
        self.count(&fault);
        true
    }

    /// Whether a page that is written never reaches the disk.
    fn is_lost(&mut self, inode: usize, page: usize) -> bool {
        let is_phantom = |active: &Active| matches!(active.fault, DiskFault::PhantomWrite { .. });
        let here = |active: &Active| active.stuck == Some((inode, page));
        let mut lost = self.active.iter().any(here);
        let fresh = |active: &&mut Active| is_phantom(active) && active.stuck.is_none();
        if !lost && let Some(active) = self.active.iter_mut().find(fresh) {
            lost = active.left == 0;
            active.left = active.left.saturating_sub(1);
            active.stuck = lost.then_some((inode, page));
        }
        if lost {
            self.count(&DiskFault::PhantomWrite { after: 0 });
        }
        lost
    }

    /// How many of these bytes may still be added to files.
    pub(super) fn room(&mut self, growth: usize) -> usize {
        let is_full = |active: &&mut Active| matches!(active.fault, DiskFault::NoSpace { .. });
        let Some(active) = self.active.iter_mut().find(is_full) else { return growth };
        let granted = growth.min(active.left as usize);
        active.left -= granted as u32;
        self.counters.effects[active.fault.kind()] += u64::from(granted < growth);
        granted
    }

    /// What becomes of the pages of a file, of which these are to be written; `fails`: at least one
    /// of them is not.
    fn fates(&mut self, inode: usize, pages: &[usize], all: usize, fails: bool) -> Vec<Written> {
        let unlucky = if fails { self.below(pages.len()) } else { 0 };
        let mut astray = false;
        let mut fate = |place: usize, page: usize| {
            if fails && (place == unlucky || self.below(2) == 0) || self.is_lost(inode, page) {
                return Written::Not;
            }
            let misdirected =
                |fault: &DiskFault| matches!(fault, DiskFault::MisdirectedWrite { .. });
            if all > 1 && !astray && self.strikes(misdirected) {
                astray = true;
                return Written::Astray((page + 1 + self.below(all - 1)) % all);
            }
            Written::Whole
        };
        pages.iter().enumerate().map(|(place, page)| fate(place, *page)).collect()
    }
}

impl Tree {
    /// How often what was wrong.
    pub(crate) fn counters(&self) -> &DiskCounters {
        &self.faults.counters
    }

    /// How often something was wrong, of any kind.
    pub(crate) fn harm(&self) -> u64 {
        self.faults.counters.effects.iter().sum()
    }

    /// Whether something of what was synced is lost.
    pub(crate) fn is_damaged(&self) -> bool {
        self.faults.is_damaged
    }

    /// All files are those of another tree from now on; what is wrong with the disk stays wrong.
    pub(crate) fn replace(&mut self, other: Self) {
        let faults = std::mem::take(&mut self.faults);
        *self = Self { faults, ..other };
        self.faults.is_damaged = false;
    }

    /// A fault begins; `rests`: the machine is off.
    pub(crate) fn begin_fault(&mut self, fault: &DiskFault, mut draw: Draw, rests: bool) {
        use DiskFault::{
            MisdirectedRead, MisdirectedWrite, NoSpace, PhantomWrite, ReadError, SyncFails,
            WriteError,
        };
        let left = match fault {
            SyncFails { after }
            | PhantomWrite { after }
            | MisdirectedWrite { after }
            | MisdirectedRead { after }
            | WriteError { after }
            | ReadError { after } => *after,
            NoSpace { left } => *left,
            _ => 0,
        };
        let image = matches!(fault, DiskFault::Rollback { .. }).then(|| {
            let mut image = self.clone();
            image.forget();
            Box::new(image)
        });
        self.faults.dice = StableHasher::hash(&(draw.word(), draw.word()));
        let fault = fault.clone();
        let (is_over, stuck, rotten) = (false, None, Vec::new());
        self.faults.active.push(Active { fault, left, is_over, stuck, image, rotten });
        if rests {
            self.rest();
        }
    }

    /// A fault ends. Decayed sectors read right again.
    pub(crate) fn end_fault(&mut self, fault: &DiskFault) {
        let same = |active: &Active| active.fault == *fault;
        let Some(at) = self.faults.active.iter().position(same) else { return };
        for (inode, byte) in self.faults.active.remove(at).rotten {
            if let Content::File(data) = &mut self.inodes[inode].content {
                data.rot.remove(&byte);
            }
        }
    }

    /// The disk is at rest, after a crash: what strikes it then, strikes.
    pub(super) fn rest(&mut self) {
        for at in 0..self.faults.active.len() {
            let active = &mut self.faults.active[at];
            if active.is_over || !active.fault.strikes_at_rest() {
                continue;
            }
            let (fault, image) = (active.fault.clone(), active.image.take());
            let struck = match fault {
                DiskFault::BitRot { bits } => self.decay(at, bits),
                DiskFault::Truncate { bytes } => self.cut_longest(bytes as usize),
                _ => image.is_some_and(|image| self.fall_back(*image, &fault)),
            };
            if struck {
                self.faults.active[at].is_over = true;
                self.faults.count(&fault);
            }
        }
    }

    /// Files with bytes in them.
    fn full_files(&self) -> Vec<usize> {
        let is_full = |inode: &usize| match &self.inodes[*inode].content {
            Content::File(data) => !data.bytes.is_empty() && self.inodes[*inode].links > 0,
            _ => false,
        };
        (0..self.inodes.len()).filter(is_full).collect()
    }

    fn data_at(&mut self, inode: usize) -> &mut Data {
        match &mut self.inodes[inode].content {
            Content::File(data) => data,
            other => unreachable!("only files are full: {other:?}"),
        }
    }

    /// A sector of a file decays. False if there is none.
    fn decay(&mut self, at: usize, bits: u32) -> bool {
        let files = self.full_files();
        if files.is_empty() {
            return false;
        }
        let inode = files[self.faults.below(files.len())];
        let length = self.data_at(inode).bytes.len();
        let start = self.faults.below(length.div_ceil(SECTOR)) * SECTOR;
        for _ in 0..bits {
            let byte = start + self.faults.below((length - start).min(SECTOR));
            let mask = 1 << self.faults.below(8);
            *self.data_at(inode).rot.entry(byte).or_insert(0) ^= mask;
            self.faults.active[at].rotten.push((inode, byte));
        }
        true
    }

    /// The end of the longest file is gone. False if there is none.
    fn cut_longest(&mut self, most: usize) -> bool {
        let mut files = self.full_files();
        files.sort_by_key(|inode| self.status_of(*inode).size);
        let Some(inode) = files.pop() else { return false };
        let cut = 1 + self.faults.below(most);
        let data = self.data_at(inode);
        let length = data.bytes.len().saturating_sub(cut);
        data.cut(length);
        true
    }

    /// A file, or the whole disk, is as it was when the fault began. False if that is what it is.
    fn fall_back(&mut self, image: Self, fault: &DiskFault) -> bool {
        let bytes = |tree: &Self, inode: usize| match tree.inodes.get(inode).map(|i| &i.content) {
            Some(Content::File(data)) => data.bytes.clone(),
            _ => Vec::new(),
        };
        let all = 0..self.inodes.len();
        let is_other = |inode: &usize| bytes(self, *inode) != bytes(&image, *inode);
        let changed: Vec<usize> = all.filter(is_other).collect();
        if changed.is_empty() {
            return false;
        }
        if matches!(fault, DiskFault::Rollback { whole: true }) {
            let faults = std::mem::take(&mut self.faults);
            *self = Self { faults, ..image };
            return true;
        }
        let inode = changed[self.faults.below(changed.len())];
        let old = bytes(&image, inode);
        let data = self.data_at(inode);
        data.bytes = old;
        data.cut(usize::MAX);
        true
    }

    /// What a read finds that is wrong: an error, decayed bits, or another page's bytes.
    pub(super) fn spoil(&mut self, inode: usize, at: usize, into: &mut [u8]) -> Result<(), Errno> {
        if self.faults.active.is_empty() || into.is_empty() {
            return Ok(());
        }
        if self.faults.strikes(|fault| matches!(fault, DiskFault::ReadError { .. })) {
            return Err(libc::EIO);
        }
        let (first, last) = (at / PAGE, (at + into.len() - 1) / PAGE);
        let pages = self.data_at(inode).bytes.len().div_ceil(PAGE);
        let astray = |fault: &DiskFault| matches!(fault, DiskFault::MisdirectedRead { .. });
        for page in first..=if pages > 1 { last } else { 0 } {
            if pages > 1 && self.faults.strikes(astray) {
                let other = (page + 1 + self.faults.below(pages - 1)) % pages;
                let data = self.data_at(inode);
                for byte in (page * PAGE).max(at)..((page + 1) * PAGE).min(at + into.len()) {
                    let from = other * PAGE + byte % PAGE;
                    into[byte - at] = data.bytes.get(from).copied().unwrap_or(0);
                }
            }
        }
        let mut sectors: Vec<usize> = Vec::new();
        for (byte, mask) in self.data_at(inode).rot.range(at..at + into.len()) {
            into[byte - at] ^= mask;
            sectors.push(byte / SECTOR);
        }
        sectors.dedup();
        for _ in sectors {
            self.faults.count(&DiskFault::BitRot { bits: 1 });
        }
        Ok(())
    }

    /// Whether a write may go on: how many of its bytes.
    pub(super) fn admit(&mut self, inode: usize, at: usize, size: usize) -> Result<usize, Errno> {
        if self.faults.active.is_empty() || size == 0 {
            return Ok(size);
        }
        if self.faults.strikes(|fault| matches!(fault, DiskFault::WriteError { .. })) {
            return Err(libc::EIO);
        }
        let length = self.status_of(inode).size as usize;
        let growth = (at + size).saturating_sub(length).min(size);
        let granted = size - (growth - self.faults.room(growth));
        if granted == 0 { Err(libc::ENOSPC) } else { Ok(granted) }
    }

    /// Writes the pages of a range to the disk that overwrite what it has; how many. A disk that is
    /// at fault is given nothing: what it does wrong, it does at a sync.
    pub(crate) fn write_out(&mut self, inode: usize, from: usize, to: usize) -> usize {
        match &mut self.inodes[inode].content {
            Content::File(data) if self.faults.active.is_empty() => data.write_out(from, to),
            _ => 0,
        }
    }

    /// Syncs some bytes of a file. How many pages were not durable.
    pub(super) fn sync_data(&mut self, inode: usize, bytes: Range<usize>) -> Result<usize, Errno> {
        let Self { inodes, faults, .. } = self;
        let Content::File(data) = &mut inodes[inode].content else { return Ok(0) };
        let range = bytes.start / PAGE..bytes.end.div_ceil(PAGE);
        let pages: Vec<usize> = data.before.range(range.clone()).map(|(page, _)| *page).collect();
        if faults.active.is_empty() {
            data.sync(range, |_| Written::Whole);
            return Ok(pages.len());
        }
        let fails = !pages.is_empty()
            && faults.strikes(|fault| matches!(fault, DiskFault::SyncFails { .. }));
        if !fails && data.is_unsynced() && faults.lies() {
            return Ok(0);
        }
        let all = data.bytes.len().div_ceil(PAGE);
        let mut fates = faults.fates(inode, &pages, all, fails).into_iter();
        data.sync(range, |_| fates.next().unwrap_or(Written::Whole));
        if fails { Err(libc::EIO) } else { Ok(pages.len()) }
    }
}

impl Faults {
    /// Whether a sync lies.
    pub(super) fn lies(&mut self) -> bool {
        self.strikes(|fault| *fault == DiskFault::LyingSync)
    }
}
