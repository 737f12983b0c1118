//! What a node of openraft keeps: one file, which is replaced by a new one with every change.
//!
//! Slow, and as safe as it can be: the new file is synced before it is given the name of the old
//! one, and its folder after. So what is lost was deleted by openraft.

use super::{Command, Done};
use openraft::async_trait::async_trait;
use openraft::{
    EffectiveMembership, Entry, EntryPayload, HardState, InitialState, LogId, Membership, NodeId,
    RaftStorage, Snapshot, SnapshotMeta, StateMachineChanges, StorageError,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::ops::RangeBounds;
use std::sync::{Mutex, MutexGuard};

/// What was applied: the keys, and what each client was answered last.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Machine {
    applied: LogId,
    membership: Option<EffectiveMembership>,
    keys: BTreeMap<String, String>,
    answers: BTreeMap<usize, (u64, Done)>,
}

impl Machine {
    fn apply(&mut self, entry: &Entry<Command>) -> Done {
        self.applied = entry.log_id;
        match &entry.payload {
            EntryPayload::Blank => Done(None),
            EntryPayload::Membership(membership) => {
                let (log_id, membership) = (entry.log_id, membership.clone());
                self.membership = Some(EffectiveMembership { log_id, membership });
                Done(None)
            }
            EntryPayload::Normal(command) => self.run(command),
        }
    }

    fn run(&mut self, command: &Command) -> Done {
        if let Some((number, answer)) = self.answers.get(&command.client)
            && command.number <= *number
        {
            return answer.clone();
        }
        if let Some(value) = &command.put {
            self.keys.insert(command.key.clone(), value.clone());
        }
        let answer = Done(self.keys.get(&command.key).cloned());
        self.answers.insert(command.client, (command.number, answer.clone()));
        answer
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    hard_state: HardState,
    log: BTreeMap<u64, Entry<Command>>,
    machine: Machine,
    snapshot: Option<(SnapshotMeta, Vec<u8>)>,
}

impl Kept {
    /// What every node begins with: the first entry, which says who the nodes are.
    fn first_of(nodes: BTreeSet<NodeId>) -> Self {
        let payload = EntryPayload::Membership(Membership::new_single(nodes));
        let first = Entry { log_id: LogId { term: 1, index: 1 }, payload };
        Self {
            hard_state: HardState { current_term: 1, voted_for: None },
            log: BTreeMap::from([(1, first)]),
            machine: Machine::default(),
            snapshot: None,
        }
    }

    fn membership(&self, of: NodeId) -> EffectiveMembership {
        let logged = self.log.values().rev().find_map(|entry| match &entry.payload {
            EntryPayload::Membership(membership) => {
                Some(EffectiveMembership { log_id: entry.log_id, membership: membership.clone() })
            }
            _ => None,
        });
        logged.or_else(|| self.machine.membership.clone()).unwrap_or_else(|| EffectiveMembership {
            log_id: LogId::default(),
            membership: Membership::new_initial(of),
        })
    }

    fn first(&self) -> Option<LogId> {
        self.log.values().next().map(|entry| entry.log_id)
    }

    fn last(&self) -> LogId {
        self.log.values().next_back().map(|entry| entry.log_id).unwrap_or_default()
    }

    /// Replaces the file. Its first line is for people.
    fn write(&self) -> std::io::Result<()> {
        let log: Vec<u64> = self.log.keys().copied().collect();
        let told = format!("applied {}, log {log:?}\n", self.machine.applied.index);
        let mut file = File::create("store.new")?;
        file.write_all((told + &serde_json::to_string(self)?).as_bytes())?;
        file.sync_all()?;
        fs::rename("store.new", "store")?;
        File::open(".")?.sync_all()
    }
}

pub(super) struct Store {
    id: NodeId,
    kept: Mutex<Kept>,
}

impl Store {
    pub(super) fn open(id: NodeId, nodes: BTreeSet<NodeId>) -> anyhow::Result<Self> {
        let kept = match fs::read_to_string("store") {
            Ok(text) => {
                let (_, kept) = text.split_once('\n').unwrap_or_default();
                serde_json::from_str(kept)?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Kept::first_of(nodes),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { id, kept: Mutex::new(kept) })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nobody panics with it")
    }

    fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        let mut kept = self.kept();
        let result = change(&mut kept);
        kept.write().expect("nothing is wrong with the disk");
        result
    }
}

type Stored<T> = Result<T, StorageError>;

#[async_trait]
impl RaftStorage<Command, Done> for Store {
    type SnapshotData = Cursor<Vec<u8>>;

    async fn get_membership_config(&self) -> Stored<EffectiveMembership> {
        Ok(self.kept().membership(self.id))
    }

    async fn get_initial_state(&self) -> Stored<InitialState> {
        let kept = self.kept();
        Ok(InitialState {
            last_log_id: kept.last().max(kept.machine.applied),
            last_applied: kept.machine.applied,
            hard_state: kept.hard_state.clone(),
            last_membership: kept.membership(self.id),
        })
    }

    async fn save_hard_state(&self, state: &HardState) -> Stored<()> {
        self.change(|kept| kept.hard_state = state.clone());
        Ok(())
    }

    async fn read_hard_state(&self) -> Stored<Option<HardState>> {
        Ok(Some(self.kept().hard_state.clone()))
    }

    async fn get_log_entries<R: RangeBounds<u64> + Clone + Debug + Send + Sync>(
        &self,
        range: R,
    ) -> Stored<Vec<Entry<Command>>> {
        Ok(self.kept().log.range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + Send + Sync>(
        &self,
        range: R,
    ) -> Stored<Vec<Entry<Command>>> {
        Ok(self.kept().log.range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn try_get_log_entry(&self, index: u64) -> Stored<Option<Entry<Command>>> {
        Ok(self.kept().log.get(&index).cloned())
    }

    async fn first_id_in_log(&self) -> Stored<Option<LogId>> {
        Ok(self.kept().first())
    }

    async fn first_known_log_id(&self) -> Stored<LogId> {
        let kept = self.kept();
        let applied = kept.machine.applied;
        Ok(kept.first().map_or(applied, |first| first.min(applied)))
    }

    async fn last_id_in_log(&self) -> Stored<LogId> {
        Ok(self.kept().last())
    }

    async fn last_applied_state(&self) -> Stored<(LogId, Option<EffectiveMembership>)> {
        let kept = self.kept();
        Ok((kept.machine.applied, kept.machine.membership.clone()))
    }

    async fn delete_logs_from<R: RangeBounds<u64> + Clone + Debug + Send + Sync>(
        &self,
        range: R,
    ) -> Stored<()> {
        if self.kept().log.range(range.clone()).next().is_some() {
            self.change(|kept| kept.log.retain(|index, _| !range.contains(index)));
        }
        Ok(())
    }

    async fn append_to_log(&self, entries: &[&Entry<Command>]) -> Stored<()> {
        let entries = entries.iter().map(|entry| (entry.log_id.index, (*entry).clone()));
        self.change(|kept| kept.log.extend(entries));
        Ok(())
    }

    async fn apply_to_state_machine(&self, entries: &[&Entry<Command>]) -> Stored<Vec<Done>> {
        let apply = |kept: &mut Kept| {
            entries.iter().map(|entry| kept.machine.apply(entry)).collect::<Vec<_>>()
        };
        Ok(self.change(apply))
    }

    async fn do_log_compaction(&self) -> Stored<Snapshot<Self::SnapshotData>> {
        self.change(|kept| {
            let bytes = serde_json::to_vec(&kept.machine).expect("plain data");
            let last_log_id = kept.machine.applied;
            let snapshot_id = format!("{}-{}", last_log_id.term, last_log_id.index);
            let meta = SnapshotMeta { last_log_id, snapshot_id };
            kept.snapshot = Some((meta.clone(), bytes.clone()));
            Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) })
        })
    }

    async fn begin_receiving_snapshot(&self) -> Stored<Box<Self::SnapshotData>> {
        Ok(Box::default())
    }

    async fn finalize_snapshot_installation(
        &self,
        meta: &SnapshotMeta,
        snapshot: Box<Self::SnapshotData>,
    ) -> Stored<StateMachineChanges> {
        let older = meta.last_log_id <= self.kept().machine.applied;
        let machine = serde_json::from_slice(snapshot.get_ref());
        let (false, Ok(machine)) = (older, machine) else {
            return Ok(StateMachineChanges { last_applied: None, is_snapshot: true });
        };
        self.change(|kept| {
            kept.machine = machine;
            kept.snapshot = Some((meta.clone(), snapshot.into_inner()));
        });
        Ok(StateMachineChanges { last_applied: Some(meta.last_log_id), is_snapshot: true })
    }

    async fn get_current_snapshot(&self) -> Stored<Option<Snapshot<Self::SnapshotData>>> {
        let kept = self.kept();
        Ok(kept
            .snapshot
            .clone()
            .map(|(meta, bytes)| Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) }))
    }
}
