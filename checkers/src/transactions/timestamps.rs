//! Snapshot isolation and serializability when the system's own timestamps are known.
//!
//! A simulated system can say when each transaction took its snapshot and when it committed. Then
//! nothing has to be searched: replay the commits in that order and compare (Emme, 2024;
//! Chronos and Aion, ICDE 2025). The axioms checked are theirs: INT (a transaction agrees with
//! itself), EXT (a read sees the last commit before the snapshot), NOCONFLICT (no two overlapping
//! transactions write one key), SESSION (a process does not go back).
//!
//! A finding here refutes the claimed order, which is a bug report of its own; it does not prove
//! that clients could see the difference. [`Monitor`] is the online form: it judges each
//! transaction as it commits and forgets what no open snapshot can see.

use rustc_hash::FxHashMap;

use crate::transactions::history::{HistoryError, Micro, Status, TransactionHistory};

/// When a transaction read and when it committed, by the system's clock. `start <= commit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// It sees exactly what committed at or before this time.
    pub start: u64,
    /// What it wrote appears at this time. Unique per transaction that writes.
    pub commit: u64,
}

/// Which property the timestamps are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// Reads from the snapshot; no two overlapping transactions write one key.
    SnapshotIsolation,
    /// Everything takes effect at the commit; `start` is not looked at.
    Serializability,
}

/// Which axiom a transaction broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axiom {
    /// Commits out of order, or a commit before its start.
    Order,
    /// A process saw a snapshot older than its own last commit.
    Session,
    /// A read against the transaction's own earlier steps.
    Internal,
    /// A read that is not the last commit before the snapshot.
    External,
    /// A write to a key that another transaction wrote since the snapshot.
    NoConflict,
}

/// One broken axiom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Which.
    pub axiom: Axiom,
    /// The transaction that broke it, by index.
    pub transaction: u32,
    /// What happened, in a sentence.
    pub explanation: String,
}

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// The first breaches, at most [`Replay::BREACHES_MAX`], in commit order.
    pub breaches: Vec<Breach>,
    /// How many there were.
    pub breached: u64,
    /// Transactions replayed.
    pub replayed: u64,
}

impl Replay {
    /// How many breaches are kept.
    pub const BREACHES_MAX: usize = 16;

    /// Whether the claimed order explains all that was seen.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.breached == 0
    }
}

/// Replays a whole history in the order of its commit times. A transaction without a stamp did not
/// commit. An `Ok` transaction without a stamp is a breach of [`Axiom::Order`].
///
/// # Errors
/// [`HistoryError::TooLarge`] if there are fewer stamps than transactions.
pub fn replay(
    history: &TransactionHistory,
    stamps: &[Option<Stamp>],
    property: Property,
) -> Result<Replay, HistoryError> {
    if stamps.len() != history.len() {
        return Err(HistoryError::TooLarge);
    }
    let mut order: Vec<(u64, u32)> = Vec::with_capacity(history.len());
    let mut monitor = Monitor::new(property);
    for (transaction, stamp) in (0u32..).zip(stamps) {
        match stamp {
            Some(stamp) => order.push((stamp.commit, transaction)),
            None if history.status[transaction as usize] == Status::Ok => {
                monitor.breach(Axiom::Order, transaction, || "it never committed".to_owned());
            }
            None => {}
        }
    }
    order.sort_unstable();
    for (_, transaction) in order {
        if let Some(stamp) = stamps[transaction as usize] {
            let process = history.process[transaction as usize];
            monitor.commit(transaction, process, stamp, &history.transaction(transaction));
        }
    }
    Ok(monitor.finish())
}

/// Judges transactions as they commit.
#[derive(Clone, Debug)]
pub struct Monitor {
    property: Property,
    key_of: FxHashMap<u64, u32>,
    keys: Vec<Versions>,
    /// Last commit of each process.
    sessions: FxHashMap<u32, u64>,
    last_commit: u64,
    replay: Replay,
}

/// The versions of a key that a snapshot may still see.
#[derive(Clone, Debug, Default)]
struct Versions {
    /// All values of a list; of a register, those of the kept commits.
    values: Vec<u64>,
    /// `(commit, len)`: at `commit` the first `len` values were there.
    commits: Vec<(u64, usize)>,
    is_list: bool,
}

impl Versions {
    fn at(&self, clock: u64) -> &[u64] {
        let visible = self.commits.iter().rev().find(|(commit, _)| *commit <= clock);
        &self.values[..visible.map_or(0, |(_, len)| *len)]
    }

    fn push(&mut self, commit: u64, value: u64) {
        self.values.push(value);
        let len = self.values.len();
        match self.commits.last_mut() {
            Some(last) if last.0 == commit => last.1 = len,
            Some(_) | None => self.commits.push((commit, len)),
        }
    }

    /// Forgets commits that every snapshot from `horizon` on sees through.
    fn forget(&mut self, horizon: u64) {
        let old = self.commits.partition_point(|(commit, _)| *commit <= horizon);
        if old < 2 {
            return;
        }
        self.commits.drain(..old - 1);
        if !self.is_list {
            let gone = self.commits[0].1 - 1;
            self.values.drain(..gone);
            self.commits.iter_mut().for_each(|(_, len)| *len -= gone);
        }
    }
}

impl Monitor {
    /// A monitor that has seen nothing.
    #[must_use]
    pub fn new(property: Property) -> Self {
        Self {
            property,
            key_of: FxHashMap::default(),
            keys: Vec::new(),
            sessions: FxHashMap::default(),
            last_commit: 0,
            replay: Replay::default(),
        }
    }

    fn breach(&mut self, axiom: Axiom, transaction: u32, explain: impl FnOnce() -> String) {
        self.replay.breached += 1;
        if self.replay.breaches.len() < Replay::BREACHES_MAX {
            let explanation = format!("T{transaction}: {}", explain());
            self.replay.breaches.push(Breach { axiom, transaction, explanation });
        }
    }

    /// Takes the next commit; commits must come in the order of their times. Returns whether this
    /// transaction broke nothing.
    pub fn commit(
        &mut self,
        transaction: u32,
        process: u32,
        stamp: Stamp,
        micros: &[Micro],
    ) -> bool {
        let before = self.replay.breached;
        self.replay.replayed += 1;
        if stamp.commit < self.last_commit || stamp.commit < stamp.start {
            let last = self.last_commit;
            self.breach(Axiom::Order, transaction, || {
                format!("commits at {} with start {}, after {last}", stamp.commit, stamp.start)
            });
        }
        self.last_commit = self.last_commit.max(stamp.commit);
        let snapshot = match self.property {
            Property::SnapshotIsolation => stamp.start,
            Property::Serializability => stamp.commit,
        };
        if let Some(last) = self.sessions.insert(process, stamp.commit)
            && snapshot < last
        {
            self.breach(Axiom::Session, transaction, || {
                format!("reads at {snapshot}, before its process committed at {last}")
            });
        }
        self.reads(transaction, snapshot, micros);
        self.writes(transaction, stamp, micros);
        self.replay.breached == before
    }

    fn seen(&self, key: u64, snapshot: u64) -> &[u64] {
        self.key_of.get(&key).map_or(&[][..], |key| self.keys[*key as usize].at(snapshot))
    }

    fn versions(&mut self, key: u64) -> &mut Versions {
        let next = self.keys.len() as u32;
        let key = *self.key_of.entry(key).or_insert(next);
        if key == next {
            self.keys.push(Versions::default());
        }
        &mut self.keys[key as usize]
    }

    fn reads(&mut self, transaction: u32, snapshot: u64, micros: &[Micro]) {
        for (at, micro) in micros.iter().enumerate() {
            let verdict = match micro {
                Micro::Read { key, value } => {
                    let own = micros[..at].iter().rev().find_map(|earlier| match earlier {
                        Micro::Write { key: k, value } if k == key => Some(*value),
                        _ => None,
                    });
                    let seen = self.seen(*key, snapshot).last().copied();
                    judge(own.or(seen) == *value, own.is_some())
                }
                Micro::ReadList { key, values } => {
                    let seen = self.seen(*key, snapshot);
                    let own = || {
                        micros[..at].iter().filter_map(move |earlier| match earlier {
                            Micro::Append { key: k, value } if k == key => Some(value),
                            _ => None,
                        })
                    };
                    let same = values.get(..seen.len()) == Some(seen);
                    let (appended, rest) = (own().count(), values.len().wrapping_sub(seen.len()));
                    let own_same =
                        !same || (appended == rest && own().eq(values[seen.len()..].iter()));
                    judge(same && own_same, same && 0 < appended)
                }
                Micro::Append { .. } | Micro::Write { .. } | Micro::Unread { .. } => None,
            };
            if let Some(axiom) = verdict {
                self.breach(axiom, transaction, || format!("{micro:?} is not what {snapshot} had"));
            }
        }
    }

    fn writes(&mut self, transaction: u32, stamp: Stamp, micros: &[Micro]) {
        for micro in micros {
            let (Micro::Append { key, value } | Micro::Write { key, value }) = micro else {
                continue;
            };
            let versions = self.versions(*key);
            versions.is_list = matches!(micro, Micro::Append { .. });
            let last = versions.commits.last().map_or(0, |(commit, _)| *commit);
            versions.push(stamp.commit, *value);
            // Its own earlier write of the key carries the same commit time.
            let overlaps = self.property == Property::SnapshotIsolation
                && stamp.start < last
                && last != stamp.commit;
            if overlaps {
                self.breach(Axiom::NoConflict, transaction, || {
                    format!("wrote key {key}, which changed at {last}, after its snapshot")
                });
            }
        }
    }

    /// Says that no snapshot before `horizon` is open any more, so that old versions can go.
    pub fn forget_before(&mut self, horizon: u64) {
        self.keys.iter_mut().for_each(|versions| versions.forget(horizon));
    }

    /// What was found so far.
    #[must_use]
    pub fn finish(self) -> Replay {
        self.replay
    }
}

fn judge(agrees: bool, is_internal: bool) -> Option<Axiom> {
    match (agrees, is_internal) {
        (true, _) => None,
        (false, true) => Some(Axiom::Internal),
        (false, false) => Some(Axiom::External),
    }
}
