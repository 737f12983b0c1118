//! Seeded histories of transactions against a small store, for tests and measurements.
//!
//! The store really runs at the isolation level asked for, one step of one process at a time, so a
//! history is correct by construction; `ReadCommitted` shows read skew and lost updates.

use std::collections::BTreeMap;

use crate::history::Outcome;
use crate::transactions::history::{DataType, HistoryError, Micro, TransactionHistory};
use crate::transactions::timestamps::Stamp;

/// The generator `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014): small, seeded, equal
/// everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Draws that depend on `seed` alone.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// True `percent` times in a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// How the generated store isolates transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// All steps at one instant, between call and return.
    StrictSerializable,
    /// Reads from one instant, writes at a later one; the first of two writers of a key commits.
    Snapshot,
    /// Each read at an instant of its own, then all writes at one.
    ReadCommitted,
}

/// What to generate. All numbers are counts, percents or sizes; none has a default.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Lists or registers.
    pub data_type: DataType,
    /// How the store behaves.
    pub isolation: Isolation,
    /// How many transactions.
    pub transactions: u32,
    /// How many run at once.
    pub processes: u32,
    /// Keys in use at any time.
    pub keys: u64,
    /// Steps of a transaction: from 1 to this many.
    pub micros_max: u64,
    /// Steps out of a hundred that read.
    pub read_percent: u64,
    /// A key is replaced by a fresh one after this many writes.
    pub writes_per_key: u64,
    /// Transactions out of a hundred that fail.
    pub failed_percent: u64,
    /// Transactions out of a hundred that commit (or not) without telling.
    pub indeterminate_percent: u64,
}

impl Shape {
    /// Elle's usual load: 8 hot keys, up to 4 steps, 32 writes a key; 20 processes, nothing fails.
    #[must_use]
    pub const fn usual(data_type: DataType, isolation: Isolation, transactions: u32) -> Self {
        Self {
            data_type,
            isolation,
            transactions,
            processes: 20,
            keys: 8,
            micros_max: 4,
            read_percent: 50,
            writes_per_key: 32,
            failed_percent: 0,
            indeterminate_percent: 0,
        }
    }
}

/// A generated history, and what the store knows of it.
#[derive(Clone, Debug)]
pub struct Generated {
    /// What the clients saw.
    pub history: TransactionHistory,
    /// When each transaction read and committed, by the store's clock; `None` if it did not commit.
    pub stamps: Vec<Option<Stamp>>,
}

/// Generates a history; equal arguments give an equal history, anywhere.
///
/// # Errors
/// If the shape asks for more steps than a history may hold.
pub fn generate(shape: &Shape, seed: u64) -> Result<Generated, HistoryError> {
    let mut store = Store::new(shape, seed);
    let mut idle: Vec<u32> = (0..shape.processes).collect();
    let mut open: Vec<Running> = Vec::new();
    let mut called = 0;
    while called < shape.transactions || !open.is_empty() {
        store.clock += 1;
        let choice = store.random.below(u64::from(shape.processes)) as usize;
        if choice < open.len() {
            if store.step(&mut open[choice]) {
                let done = open.swap_remove(choice);
                idle.push(done.process);
                store.push(&done)?;
            }
        } else if called < shape.transactions
            && let Some(process) = idle.pop()
        {
            called += 1;
            let running = store.begin(process);
            open.push(running);
        } else if !open.is_empty() {
            // Nothing left to call: let someone finish.
            let last = open.len() - 1;
            if store.step(&mut open[last]) {
                let done = open.swap_remove(last);
                idle.push(done.process);
                store.push(&done)?;
            }
        }
    }
    Ok(Generated { history: store.history, stamps: store.stamps })
}

/// A transaction on its way.
struct Running {
    process: u32,
    call: u64,
    start: u64,
    plan: Vec<Planned>,
    done: Vec<Micro>,
    /// When it committed; 0 if it has not.
    commit: u64,
    fate: Fate,
}

#[derive(Clone, Copy)]
enum Planned {
    Read(u64),
    Write(u64, u64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Commits,
    Fails,
    CommitsSilently,
    VanishesSilently,
}

/// The committed versions of a key: when, and how many values there were then.
#[derive(Default)]
struct Versions {
    values: Vec<u64>,
    commits: Vec<(u64, usize)>,
}

struct Store<'s> {
    shape: &'s Shape,
    random: Random,
    clock: u64,
    active: Vec<u64>,
    next_key: u64,
    written: BTreeMap<u64, u64>,
    versions: BTreeMap<u64, Versions>,
    history: TransactionHistory,
    stamps: Vec<Option<Stamp>>,
}

impl<'s> Store<'s> {
    fn new(shape: &'s Shape, seed: u64) -> Self {
        Self {
            shape,
            random: Random::new(seed),
            clock: 0,
            active: (0..shape.keys).collect(),
            next_key: shape.keys,
            written: BTreeMap::new(),
            versions: BTreeMap::new(),
            history: TransactionHistory::new(),
            stamps: Vec::new(),
        }
    }

    fn begin(&mut self, process: u32) -> Running {
        let steps = 1 + self.random.below(self.shape.micros_max);
        let mut plan: Vec<Planned> = (0..steps).map(|_| self.plan()).collect();
        if self.shape.isolation == Isolation::ReadCommitted {
            // Without locks a transaction cannot know where its own appends will land.
            plan.sort_by_key(|planned| matches!(planned, Planned::Write(..)));
        }
        let fate = self.random.below(100);
        let (failed, silent) = (self.shape.failed_percent, self.shape.indeterminate_percent);
        let fate = if fate < failed {
            Fate::Fails
        } else if fate < failed + silent {
            if self.random.percent(50) { Fate::CommitsSilently } else { Fate::VanishesSilently }
        } else {
            Fate::Commits
        };
        let (call, done) = (self.clock, Vec::new());
        Running { process, call, start: 0, plan, done, commit: 0, fate }
    }

    fn plan(&mut self) -> Planned {
        let slot = self.random.below(self.active.len() as u64) as usize;
        if self.random.percent(self.shape.read_percent) {
            return Planned::Read(self.active[slot]);
        }
        if self.shape.writes_per_key
            <= self.written.get(&self.active[slot]).copied().unwrap_or_default()
        {
            self.written.remove(&self.active[slot]);
            self.active[slot] = self.next_key;
            self.next_key += 1;
        }
        let key = self.active[slot];
        let value = self.written.entry(key).or_default();
        *value += 1;
        Planned::Write(key, *value)
    }

    /// Moves a transaction on; true when it has returned.
    fn step(&mut self, running: &mut Running) -> bool {
        if running.commit != 0 {
            return true;
        }
        if running.start == 0 {
            running.start = self.clock;
            if self.shape.isolation != Isolation::StrictSerializable {
                return false;
            }
        }
        let one_read = self.shape.isolation == Isolation::ReadCommitted;
        while running.done.len() < running.plan.len() {
            let at = if one_read { self.clock } else { running.start };
            let micro = self.micro(running, at);
            running.done.push(micro);
            if one_read {
                return false;
            }
        }
        running.commit = self.clock;
        self.commit(running);
        false
    }

    fn micro(&self, running: &Running, at: u64) -> Micro {
        match (running.plan[running.done.len()], self.shape.data_type) {
            (Planned::Write(key, value), DataType::List) => Micro::Append { key, value },
            (Planned::Write(key, value), DataType::Register) => Micro::Write { key, value },
            (Planned::Read(key), data_type) => {
                let mut own = running.done.iter().filter_map(|micro| match micro {
                    Micro::Append { key: k, value } | Micro::Write { key: k, value } => {
                        (*k == key).then_some(*value)
                    }
                    _ => None,
                });
                let seen = self.versions.get(&key).map_or(&[][..], |versions| versions.at(at));
                match data_type {
                    DataType::List => {
                        let values = seen.iter().copied().chain(own).collect();
                        Micro::ReadList { key, values }
                    }
                    DataType::Register => {
                        Micro::Read { key, value: own.next_back().or(seen.last().copied()) }
                    }
                }
            }
        }
    }

    fn commit(&mut self, running: &mut Running) {
        let conflicts = |micro: &Micro| match micro {
            Micro::Append { key, .. } | Micro::Write { key, .. } => self
                .versions
                .get(key)
                .and_then(|versions| versions.commits.last())
                .is_some_and(|(last, _)| running.start < *last),
            _ => false,
        };
        let snapshot = self.shape.isolation == Isolation::Snapshot;
        if snapshot && running.done.iter().any(conflicts) {
            running.fate = match running.fate {
                Fate::Commits | Fate::Fails => Fate::Fails,
                Fate::CommitsSilently | Fate::VanishesSilently => Fate::VanishesSilently,
            };
        }
        if matches!(running.fate, Fate::Fails | Fate::VanishesSilently) {
            return;
        }
        for micro in &running.done {
            if let Micro::Append { key, value } | Micro::Write { key, value } = micro {
                let versions = self.versions.entry(*key).or_default();
                versions.values.push(*value);
                let len = versions.values.len();
                match versions.commits.last_mut() {
                    Some(last) if last.0 == running.commit => last.1 = len,
                    Some(_) | None => versions.commits.push((running.commit, len)),
                }
            }
        }
    }

    fn push(&mut self, done: &Running) -> Result<(), HistoryError> {
        let outcome = match done.fate {
            Fate::Commits => Outcome::Ok { returned: self.clock, output: () },
            Fate::Fails => Outcome::Failed { returned: self.clock },
            Fate::CommitsSilently | Fate::VanishesSilently => Outcome::Indeterminate,
        };
        self.history.push(done.process, done.call, &outcome, &done.done)?;
        let committed = matches!(done.fate, Fate::Commits | Fate::CommitsSilently);
        // The strict store reads at its commit; the clock of its start is the same.
        self.stamps.push(committed.then_some(Stamp { start: done.start, commit: done.commit }));
        Ok(())
    }
}

impl Versions {
    fn at(&self, clock: u64) -> &[u64] {
        let visible = self.commits.iter().rev().find(|(commit, _)| *commit <= clock);
        &self.values[..visible.map_or(0, |(_, len)| *len)]
    }
}
