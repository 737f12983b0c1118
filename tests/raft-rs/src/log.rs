//! The storage that raft-rs reads from: its log, its vote and its snapshot, in memory as in the
//! journal.
//!
//! raft-rs never writes: it hands out what is to be written. So every change of this is a
//! [`Record`], applied here and appended to the journal by the same call; a start applies the
//! records of the journal in their order and is where the crash found it.

use crate::machine::{Image, Machine};
use protobuf::Message as _;
use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Snapshot};
use raft::util::limit_size;
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};
use seedfall::sim::StableHasher;

/// What a server writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// raft-rs's `HardState`.
    Hard {
        /// The latest term.
        term: u64,
        /// Who got the vote in it; 0: nobody.
        vote: u64,
        /// How far the log is known to be committed.
        commit: u64,
    },
    /// An entry. It replaces the one at its index and all that follow.
    Entry {
        /// Where it stands.
        index: u64,
        /// Its term.
        term: u64,
        /// A command; empty: none, a new leader's first entry.
        data: Vec<u8>,
    },
    /// A snapshot, as raft-rs encodes it. It replaces the entries that it covers, and all that do
    /// not follow from it.
    Snapshot(Vec<u8>),
}

/// The log, the vote and the snapshot.
#[derive(Debug)]
pub struct Log {
    hard: HardState,
    members: ConfState,
    /// Those after the snapshot.
    entries: Vec<Entry>,
    /// For each entry, the digest of the log up to it: where two agree, so do the logs.
    digests: Vec<u64>,
    /// Empty until the first is taken.
    snapshot: Snapshot,
    /// The digest of what the snapshot covers.
    base_digest: u64,
    /// How many entries were replaced by others since the start.
    replaced: u64,
}

impl Log {
    /// The log of a server in a cluster of so many, as its journal has it.
    pub fn recover(nodes: usize, journal: &[Record]) -> Self {
        let members = ConfState { voters: (1..=nodes as u64).collect(), ..ConfState::default() };
        let mut log = Self {
            hard: HardState::default(),
            members,
            entries: Vec::new(),
            digests: Vec::new(),
            snapshot: Snapshot::default(),
            base_digest: 0,
            replaced: 0,
        };
        for record in journal {
            log.apply(record);
        }
        log
    }

    /// Changes what a record says.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Hard { term, vote, commit } => {
                (self.hard.term, self.hard.vote, self.hard.commit) = (*term, *vote, *commit);
            }
            Record::Entry { index, term, data } => self.push(*index, *term, data),
            Record::Snapshot(bytes) => {
                let snapshot = Snapshot::parse_from_bytes(bytes).expect("this server encoded it");
                self.restore(snapshot);
            }
        }
    }

    fn push(&mut self, index: u64, term: u64, data: &[u8]) {
        let kept = index.checked_sub(self.base() + 1).expect("what a snapshot covers is final");
        let kept = kept as usize;
        assert!(kept <= self.entries.len(), "the log skips an entry before {index}");
        self.replaced += (self.entries.len() - kept) as u64;
        self.entries.truncate(kept);
        self.digests.truncate(kept);
        let digest = StableHasher::hash(&(self.last_digest(), term, data));
        let data = data.to_vec().into();
        self.entries.push(Entry { index, term, data, ..Entry::default() });
        self.digests.push(digest);
    }

    /// Puts a snapshot in the place of the entries that it covers.
    fn restore(&mut self, snapshot: Snapshot) {
        let (index, term) = (snapshot.get_metadata().index, snapshot.get_metadata().term);
        assert!(index > self.base(), "snapshots move ahead");
        let covered = (index - self.base()) as usize;
        // Entries behind it are kept if they follow from what it covers.
        if self.entries.get(covered - 1).is_some_and(|entry| entry.term == term) {
            self.entries.drain(..covered);
            self.digests.drain(..covered);
        } else {
            self.entries.clear();
            self.digests.clear();
        }
        self.base_digest = image(&snapshot).log;
        self.snapshot = snapshot;
        // A crash may have come between this record and the hard state after it.
        if self.hard.term < term {
            (self.hard.term, self.hard.vote) = (term, 0);
        }
        self.hard.commit = self.hard.commit.max(index);
    }

    /// The state machine of the snapshot, or an empty one.
    pub fn machine(&self) -> Machine {
        if self.base() == 0 { Machine::default() } else { image(&self.snapshot).into() }
    }

    /// The snapshot of this machine, which has applied everything up to this entry.
    pub fn snapshot_of(&self, machine: &Machine, applied: u64) -> Snapshot {
        let digest = self.digest_at(applied).expect("applied entries are in the log");
        let image = postcard::to_allocvec(&machine.image(digest)).expect("plain data");
        let mut snapshot = Snapshot { data: image.into(), ..Snapshot::default() };
        let metadata = snapshot.mut_metadata();
        metadata.index = applied;
        metadata.term = self.term(applied).expect("applied entries are in the log");
        metadata.set_conf_state(self.members.clone());
        snapshot
    }

    /// The last entry that the snapshot covers; 0: none.
    pub fn base(&self) -> u64 {
        self.snapshot.get_metadata().index
    }

    /// The index of the last entry.
    pub fn last(&self) -> u64 {
        self.base() + self.entries.len() as u64
    }

    /// The digest of the log up to this entry; `None` if it is not here any more, or not yet.
    pub fn digest_at(&self, index: u64) -> Option<u64> {
        match index.checked_sub(self.base())? {
            0 => Some(self.base_digest),
            place => self.digests.get(place as usize - 1).copied(),
        }
    }

    /// The digest of the whole log.
    pub fn last_digest(&self) -> u64 {
        self.digests.last().copied().unwrap_or(self.base_digest)
    }

    /// The term of this entry, if it is here.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        self.term(index).ok()
    }

    /// How many entries were replaced by others since the start.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }
}

fn image(snapshot: &Snapshot) -> Image {
    postcard::from_bytes(&snapshot.data).expect("a server encoded it, and checksums guard it")
}

/// The record of an entry that raft-rs wants stored.
pub fn entry_record(entry: &Entry) -> Record {
    assert_eq!(entry.get_entry_type(), EntryType::EntryNormal, "nobody changes the members");
    Record::Entry { index: entry.index, term: entry.term, data: entry.data.to_vec() }
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard.clone(), self.members.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base() {
            return Err(Error::Store(StorageError::Compacted));
        }
        let place = |index: u64| (index - self.base() - 1) as usize;
        let mut entries = self.entries[place(low)..place(high)].to_vec();
        limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match index.checked_sub(self.base()) {
            None => Err(Error::Store(StorageError::Compacted)),
            Some(0) => Ok(self.snapshot.get_metadata().term),
            Some(place) => match self.entries.get(place as usize - 1) {
                Some(entry) => Ok(entry.term),
                None => Err(Error::Store(StorageError::Unavailable)),
            },
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base() + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, _: u64) -> raft::Result<Snapshot> {
        if self.base() == 0 || self.base() < request_index {
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        Ok(self.snapshot.clone())
    }
}
