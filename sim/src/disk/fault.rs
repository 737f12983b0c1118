//! What can be wrong with a disk, as plain data, and how often it was.

use crate::draw::Draw;
use std::fmt;

/// One thing that is wrong with the disk of one node for a while. Faults add up.
///
/// Each happens at a countable moment and then is over, so that a plan with two of them says so
/// twice; the exceptions, [`DiskFault::LyingSync`], [`DiskFault::PhantomWrite`] and
/// [`DiskFault::NoSpace`], last as long as their entry. What a journal can do against each is its
/// [`Answer`]; ranges and sources are [`DiskFault::about`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case", deny_unknown_fields))]
pub enum DiskFault {
    /// One sync with something to write fails. Of its pages some do not reach the disk, and all
    /// count as written from then on: the next sync reports success.
    SyncFails {
        /// How many syncs with something to write succeed first.
        after: u32,
    },
    /// Every sync reports success and makes nothing durable. What it was given stays un-synced, and
    /// an honest sync, once the fault has ended, still writes it.
    LyingSync,
    /// From some moment on one page of a file is reported as written and never is, as long as this
    /// lasts, though it reads as if it were until the node crashes. Two of these at once, on frames
    /// and on the head that speaks of them, are what no journal can see.
    PhantomWrite {
        /// How many pages are written first.
        after: u32,
    },
    /// A sector of a file has decayed: the same bits are wrong at every read, until the page is
    /// written anew. Strikes a disk at rest: when its node next crashes, at once if it is down.
    BitRot {
        /// How many bits; 1 to 64.
        bits: u32,
    },
    /// One page of a sync is written to the place of another page of the same file, which has one.
    MisdirectedWrite {
        /// How many pages, of files with more than one, are written first.
        after: u32,
    },
    /// One page of a read is that of another place of the same file, which has one.
    MisdirectedRead {
        /// How many pages, of files with more than one, are read first.
        after: u32,
    },
    /// The end of the longest file is gone. Strikes a disk at rest.
    Truncate {
        /// How many bytes at most; at least 1.
        bytes: u32,
    },
    /// A file is as it was, on the disk, when this fault began. Strikes a disk at rest.
    Rollback {
        /// All files, and the directory: no journal can find out.
        whole: bool,
    },
    /// No file can grow by more than this in all.
    NoSpace {
        /// In bytes.
        left: u32,
    },
    /// One write fails, with nothing written.
    WriteError {
        /// How many writes succeed first.
        after: u32,
    },
    /// One read fails.
    ReadError {
        /// How many reads succeed first.
        after: u32,
    },
}

/// What the best journal can do against a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// The node goes on; or it stops, or does not start, and does when the fault has ended; with
    /// everything that was synced.
    Survives,
    /// The node may refuse to start, rather than forget what was synced; with luck it survives. For
    /// its cluster it is then a node that crashed for good.
    Refuses,
    /// What was synced may be lost without a sign: outside crash-recovery, for negative controls
    /// and for protocols that say they bear it.
    Forgets,
}

/// What the tables say of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name: that of the variant, in kebab case.
    pub name: &'static str,
    /// What a journal can do against it.
    pub answer: Answer,
    /// The default range of its parameter, and its unit.
    pub range: &'static str,
    /// Who has seen it.
    pub source: &'static str,
}

impl DiskFault {
    /// How many kinds there are.
    pub const KINDS: usize = 12;

    /// A fault of the kind with this number, its parameter drawn from the default range; a rollback
    /// of one file and of all are two kinds.
    pub fn of_kind(kind: usize, mut draw: Draw) -> Self {
        assert!(kind < Self::KINDS, "there are {} kinds of disk faults", Self::KINDS);
        let mut below = |bound| draw.below(bound);
        match kind {
            0 => Self::SyncFails { after: below(32) },
            1 => Self::LyingSync,
            2 => Self::PhantomWrite { after: below(64) },
            3 => Self::BitRot { bits: 1 + below(8) },
            4 => Self::MisdirectedWrite { after: below(64) },
            5 => Self::MisdirectedRead { after: below(8) },
            6 => Self::Truncate { bytes: 1 + below(4096) },
            7 => Self::Rollback { whole: false },
            8 => Self::Rollback { whole: true },
            9 => Self::NoSpace { left: below(16 << 10) },
            10 => Self::WriteError { after: below(64) },
            _ => Self::ReadError { after: below(2) },
        }
    }

    /// The number of its kind.
    pub fn kind(&self) -> usize {
        match self {
            Self::SyncFails { .. } => 0,
            Self::LyingSync => 1,
            Self::PhantomWrite { .. } => 2,
            Self::BitRot { .. } => 3,
            Self::MisdirectedWrite { .. } => 4,
            Self::MisdirectedRead { .. } => 5,
            Self::Truncate { .. } => 6,
            Self::Rollback { whole: false } => 7,
            Self::Rollback { whole: true } => 8,
            Self::NoSpace { .. } => 9,
            Self::WriteError { .. } => 10,
            Self::ReadError { .. } => 11,
        }
    }

    /// What the tables say of it.
    pub fn about(&self) -> &'static About {
        &ABOUT[self.kind()]
    }

    /// The same without patience: it strikes the next operation that it can strike.
    pub fn at_once(&self) -> Self {
        match self {
            Self::SyncFails { .. } => Self::SyncFails { after: 0 },
            Self::PhantomWrite { .. } => Self::PhantomWrite { after: 0 },
            Self::MisdirectedWrite { .. } => Self::MisdirectedWrite { after: 0 },
            Self::MisdirectedRead { .. } => Self::MisdirectedRead { after: 0 },
            Self::NoSpace { .. } => Self::NoSpace { left: 0 },
            Self::WriteError { .. } => Self::WriteError { after: 0 },
            Self::ReadError { .. } => Self::ReadError { after: 0 },
            Self::LyingSync
            | Self::BitRot { .. }
            | Self::Truncate { .. }
            | Self::Rollback { .. } => self.clone(),
        }
    }

    /// True if it takes its effect on a disk whose node is down.
    pub fn strikes_at_rest(&self) -> bool {
        matches!(self, Self::BitRot { .. } | Self::Truncate { .. } | Self::Rollback { .. })
    }
}

const fn about(
    name: &'static str,
    answer: Answer,
    range: &'static str,
    source: &'static str,
) -> About {
    About { name, answer, range, source }
}

/// By the number of the kind. `DiskFault::of_kind` draws from these ranges.
static ABOUT: [About; DiskFault::KINDS] = [
    about(
        "sync-fails",
        Answer::Survives,
        "after 0 to 31 syncs",
        "Rebello et al., ATC 2020; PostgreSQL fsyncgate 2018",
    ),
    about("lying-sync", Answer::Forgets, "while it lasts", "lazyfs; Zheng et al., FAST 2013"),
    about("phantom-write", Answer::Refuses, "after 0 to 63 pages", "Bairavasundaram, FAST 2008"),
    about(
        "bit-rot",
        Answer::Refuses,
        "1 to 8 bits of a sector",
        "Bairavasundaram, FAST 2008; TigerBeetle",
    ),
    about("misdirected-write", Answer::Refuses, "after 0 to 63 pages", "TigerBeetle (same zone)"),
    about("misdirected-read", Answer::Refuses, "after 0 to 7 pages", "Bairavasundaram, FAST 2008"),
    about("truncate", Answer::Refuses, "1 to 4096 bytes", "Jepsen, file nemesis"),
    about("rollback", Answer::Refuses, "to the entry's begin", "Jepsen, file nemesis"),
    about("rollback-all", Answer::Forgets, "to the entry's begin", "snapshots put back by hand"),
    about("no-space", Answer::Survives, "0 to 16 KiB left", "FoundationDB INJECT_FAULT; Turso"),
    about("write-error", Answer::Survives, "after 0 to 63 writes", "FoundationDB INJECT_FAULT"),
    about("read-error", Answer::Refuses, "after 0 or 1 reads", "Bairavasundaram, SIGMETRICS 2007"),
];

impl fmt::Display for DiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SyncFails { after } => write!(f, "a sync fails, after {after}"),
            Self::LyingSync => write!(f, "syncs lie"),
            Self::PhantomWrite { after } => write!(f, "a page is not written, after {after}"),
            Self::BitRot { bits } => write!(f, "bit rot of {bits} bits"),
            Self::MisdirectedWrite { after } => write!(f, "a page goes astray, after {after}"),
            Self::MisdirectedRead { after } => write!(f, "a read goes astray, after {after} pages"),
            Self::Truncate { bytes } => write!(f, "up to {bytes} bytes are cut off"),
            Self::Rollback { whole: false } => write!(f, "a file falls back"),
            Self::Rollback { whole: true } => write!(f, "the disk falls back"),
            Self::NoSpace { left } => write!(f, "only {left} bytes are free"),
            Self::WriteError { after } => write!(f, "a write fails, after {after}"),
            Self::ReadError { after } => write!(f, "a read fails, after {after}"),
        }
    }
}

/// How often each kind of fault had an effect, and what crashes left: effects, not attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DiskCounters {
    /// By the number of the kind: syncs that failed; syncs that lied about something; pages that
    /// were not written; sectors read with wrong bits; pages written, or read, at a wrong place;
    /// bytes cut off; files that fell back (kinds 7 and 8); writes refused for want of room; writes
    /// and reads that failed.
    pub effects: [u64; DiskFault::KINDS],
    /// Un-synced sectors that a crash left all the same.
    pub sectors_kept: u64,
    /// Un-synced sectors that a crash dropped.
    pub sectors_dropped: u64,
    /// Un-synced sectors that a crash tore, or filled with garbage.
    pub sectors_torn: u64,
    /// Creations, renamings and removals that a crash undid.
    pub names_lost: u64,
    /// Writes and syncs after which the node stopped.
    pub stops: u64,
    /// Starts that were refused.
    pub refusals: u64,
}

impl DiskCounters {
    /// How often faults of this kind had an effect.
    pub fn of(&self, fault: &DiskFault) -> u64 {
        self.effects[fault.kind()]
    }

    /// How often faults had an effect of which a journal can make this at best.
    pub fn answered(&self, answer: Answer) -> u64 {
        let kinds = ABOUT.iter().zip(self.effects);
        kinds.filter(|(about, _)| about.answer == answer).map(|(_, effects)| effects).sum()
    }

    /// Adds those of another disk.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.effects.iter_mut().zip(other.effects) {
            *mine += theirs;
        }
        self.sectors_kept += other.sectors_kept;
        self.sectors_dropped += other.sectors_dropped;
        self.sectors_torn += other.sectors_torn;
        self.names_lost += other.names_lost;
        self.stops += other.stops;
        self.refusals += other.refusals;
    }
}
