//! What a server keeps: its votes, entries and snapshots in one journal, its keys in memory.

use super::{Command, Types, Way};
use crate::common::or_stop;
use openraft::storage::{LogFlushed, RaftLogStorage, RaftStateMachine};
use openraft::{
    Entry, EntryPayload, LogId, LogState, OptionalSend, RaftLogReader, RaftSnapshotBuilder,
    Snapshot, SnapshotMeta, StorageError, StorageIOError, StoredMembership, Vote,
};
use seedfall_real::driver::{Files, Journal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::Cursor;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Node = openraft::BasicNode;
type Result<T> = std::result::Result<T, StorageError<u64>>;

/// What is in the journal, in the order in which it happened.
#[derive(Serialize, Deserialize)]
enum Record {
    Vote(Vote<u64>),
    Committed(Option<LogId<u64>>),
    Entry(Entry<Types>),
    /// This entry and all behind it are gone.
    Truncated(LogId<u64>),
    /// This entry and all before it are gone.
    Purged(LogId<u64>),
    Snapshot(Box<(SnapshotMeta<u64, Node>, Machine)>),
}

/// The state machine: keys, and which request of each client was the last that changed them.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Machine {
    applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, Node>,
    keys: BTreeMap<String, String>,
    last: BTreeMap<u64, u64>,
}

impl Machine {
    fn apply(&mut self, command: Command, once: bool) {
        let last = self.last.entry(command.client).or_default();
        if once && command.number <= *last {
            return;
        }
        *last = command.number;
        self.keys.insert(command.key, command.value);
    }
}

struct Kept {
    journal: Journal<Files>,
    vote: Option<Vote<u64>>,
    committed: Option<LogId<u64>>,
    entries: BTreeMap<u64, Entry<Types>>,
    purged: Option<LogId<u64>>,
    snapshot: Option<(SnapshotMeta<u64, Node>, Machine)>,
    machine: Machine,
    /// Up to where the log is to go when a snapshot has it.
    to_purge: Option<LogId<u64>>,
}

impl Kept {
    /// Of the journal and of what it says: the state that comes of it.
    fn follow(&mut self, record: Record) {
        match record {
            Record::Vote(vote) => self.vote = Some(vote),
            Record::Committed(committed) => self.committed = committed,
            Record::Entry(entry) => drop(self.entries.insert(entry.log_id.index, entry)),
            Record::Truncated(from) => drop(self.entries.split_off(&from.index)),
            Record::Purged(upto) => {
                self.entries = self.entries.split_off(&(upto.index + 1));
                self.purged = Some(upto);
            }
            Record::Snapshot(snapshot) => self.snapshot = Some(*snapshot),
        }
    }

    /// Keeps a snapshot, and lets go of what it was kept for.
    fn keep_snapshot(&mut self, meta: SnapshotMeta<u64, Node>, machine: Machine) {
        let covered = |upto: &LogId<u64>| Some(*upto) <= meta.last_log_id;
        let purged = self.to_purge.take_if(|upto| covered(upto)).map(Record::Purged);
        let snapshot = Record::Snapshot(Box::new((meta, machine)));
        self.keep([Some(snapshot), purged].into_iter().flatten().collect());
    }

    /// Writes it down, durably.
    fn keep(&mut self, records: Vec<Record>) {
        for record in records {
            or_stop(self.journal.append(&record));
            self.follow(record);
        }
        or_stop(self.journal.sync());
    }
}

/// The store of a server: its log, and its state machine.
#[derive(Clone)]
pub(super) struct Store {
    kept: Arc<Mutex<Kept>>,
    way: Way,
}

impl Store {
    pub(super) fn open(folder: &str, way: Way) -> Self {
        let (journal, opened) = or_stop(Journal::open(or_stop(Files::new(folder))));
        let mut kept = Kept {
            journal,
            vote: None,
            committed: None,
            entries: BTreeMap::new(),
            purged: None,
            snapshot: None,
            machine: Machine::default(),
            to_purge: None,
        };
        for record in opened.records {
            kept.follow(record);
        }
        if let Some((_, machine)) = &kept.snapshot {
            kept.machine = machine.clone();
        }
        Self { kept: Arc::new(Mutex::new(kept)), way }
    }

    pub(super) fn value(&self, key: &str) -> Option<String> {
        self.kept().machine.keys.get(key).cloned()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RaftLogReader<Types> for Store {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry<Types>>> {
        Ok(self.kept().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }
}

impl RaftLogStorage<Types> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>> {
        let kept = self.kept();
        let last = kept.entries.values().next_back().map(|entry| entry.log_id);
        let last_log_id = last.or(kept.purged);
        Ok(LogState { last_purged_log_id: kept.purged, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<()> {
        self.kept().keep(vec![Record::Vote(*vote)]);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>> {
        Ok(self.kept().vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId<u64>>) -> Result<()> {
        if self.way != Way::Forgets {
            self.kept().keep(vec![Record::Committed(committed)]);
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<u64>>> {
        Ok(self.kept().committed)
    }

    async fn append<I>(&mut self, entries: I, flushed: LogFlushed<Types>) -> Result<()>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.kept().keep(entries.into_iter().map(Record::Entry).collect());
        flushed.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId<u64>) -> Result<()> {
        self.kept().keep(vec![Record::Truncated(from)]);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId<u64>) -> Result<()> {
        let (mut kept, told_to) = (self.kept(), matches!(self.way, Way::AsTold | Way::Forgets));
        let snapshot = kept.snapshot.as_ref().and_then(|(meta, _)| meta.last_log_id);
        if told_to || snapshot >= Some(upto) {
            kept.keep(vec![Record::Purged(upto)]);
        } else {
            kept.to_purge = Some(upto);
        }
        Ok(())
    }
}

impl RaftSnapshotBuilder<Types> for Store {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>> {
        let mut kept = self.kept();
        let machine = kept.machine.clone();
        let index = machine.applied.map_or(0, |id| id.index);
        let meta = SnapshotMeta {
            last_log_id: machine.applied,
            last_membership: machine.membership.clone(),
            snapshot_id: format!("{index}-{}", kept.entries.len()),
        };
        let bytes = serde_json::to_vec(&machine).expect("keys and values are JSON");
        kept.keep_snapshot(meta.clone(), machine);
        Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) })
    }
}

impl RaftStateMachine<Types> for Store {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId<u64>>, StoredMembership<u64, Node>)> {
        let machine = &self.kept().machine;
        Ok((machine.applied, machine.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let (mut kept, mut answers) = (self.kept(), Vec::new());
        for entry in entries {
            let machine = &mut kept.machine;
            machine.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(command) => machine.apply(command, self.way != Way::Repeats),
                EntryPayload::Membership(members) => {
                    machine.membership = StoredMembership::new(Some(entry.log_id), members);
                }
            }
            answers.push(());
        }
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, Node>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<()> {
        let machine: Machine = serde_json::from_slice(snapshot.get_ref())
            .map_err(|error| StorageIOError::read_snapshot(Some(meta.signature()), &error))?;
        let mut kept = self.kept();
        kept.machine = machine.clone();
        kept.keep_snapshot(meta.clone(), machine);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>> {
        let kept = self.kept();
        Ok(kept.snapshot.as_ref().map(|(meta, machine)| {
            let bytes = serde_json::to_vec(machine).expect("keys and values are JSON");
            Snapshot { meta: meta.clone(), snapshot: Box::new(Cursor::new(bytes)) }
        }))
    }
}
