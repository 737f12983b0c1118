//! Small random histories of transactions, judged twice: by the checkers and by trying every order.

use seedfall_checkers::Outcome;
use seedfall_checkers::transactions::generate::Random;
use seedfall_checkers::transactions::weak::{self, WeakLevel};
use seedfall_checkers::transactions::{
    DataType, Level, Micro, Report, Scope, Status, TransactionHistory, check, serial_order,
    verify_cycle, verify_order,
};

/// One transaction of a small history.
#[derive(Clone, Debug)]
struct Small {
    process: u32,
    call: u64,
    outcome: Outcome<()>,
    micros: Vec<Micro>,
}

const KEYS: u64 = 2;

/// Enough rounds for a debug build in seconds; a release build does 25 times as many.
fn rounds(count: u32) -> u32 {
    if cfg!(debug_assertions) { count } else { 25 * count }
}

/// What each key holds: a list, of which a register shows the last element.
type State = Vec<Vec<u64>>;

fn is_ok(small: &Small) -> bool {
    matches!(small.outcome, Outcome::Ok { .. })
}

/// Runs a transaction on a snapshot; `None` if a read differs. Returns what it wrote, by key.
fn run(small: &Small, snapshot: &State) -> Option<State> {
    let mut seen = snapshot.clone();
    let mut wrote: State = vec![Vec::new(); KEYS as usize];
    for micro in &small.micros {
        match micro {
            Micro::Append { key, value } | Micro::Write { key, value } => {
                seen[*key as usize].push(*value);
                wrote[*key as usize].push(*value);
            }
            Micro::ReadList { key, values } => {
                if is_ok(small) && seen[*key as usize] != *values {
                    return None;
                }
            }
            Micro::Read { key, value } => {
                if is_ok(small) && seen[*key as usize].last() != value.as_ref() {
                    return None;
                }
            }
            Micro::Unread { .. } => {}
        }
    }
    Some(wrote)
}

/// Whether `a` must come before `b` by the order that `scope` respects.
fn precedes(a: &Small, b: &Small, scope: Scope) -> bool {
    let Outcome::Ok { returned, .. } = a.outcome else { return false };
    match scope {
        Scope::Data => false,
        Scope::Process => a.process == b.process && a.call < b.call,
        Scope::RealTime => precedes(a, b, Scope::Process) || returned < b.call,
    }
}

/// Tries every order of commits, and for snapshots every snapshot.
struct Orders<'h> {
    history: &'h [Small],
    scope: Scope,
    snapshots: bool,
    placed: Vec<usize>,
    states: Vec<State>,
}

impl Orders<'_> {
    fn exists(history: &[Small], level: Level) -> bool {
        let snapshots = level < Level::Serializable;
        let states = vec![vec![Vec::new(); KEYS as usize]];
        Orders { history, scope: level.scope(), snapshots, placed: Vec::new(), states }.place()
    }

    fn place(&mut self) -> bool {
        let open = |t: &usize| !self.placed.contains(t);
        let all: Vec<usize> = (0..self.history.len()).filter(open).collect();
        if all.iter().all(|t| !is_ok(&self.history[*t])) {
            return true;
        }
        all.into_iter()
            .filter(|t| !matches!(self.history[*t].outcome, Outcome::Failed { .. }))
            .any(|t| self.place_one(t))
    }

    fn place_one(&mut self, t: usize) -> bool {
        let small = &self.history[t];
        let now = self.placed.len();
        // Whoever must come first and certainly happened is placed already.
        let is_missing = |other: usize| {
            precedes(&self.history[other], small, self.scope) && !self.placed.contains(&other)
        };
        if (0..self.history.len()).any(is_missing) {
            return false;
        }
        for snapshot in if self.snapshots { 0..=now } else { now..=now } {
            let after = &self.placed[snapshot..];
            if after.iter().any(|p| precedes(&self.history[*p], small, self.scope)) {
                continue;
            }
            let Some(wrote) = run(small, &self.states[snapshot]) else { continue };
            let conflict = (0..KEYS as usize).any(|key| {
                !wrote[key].is_empty() && self.states[snapshot][key] != self.states[now][key]
            });
            if conflict {
                continue;
            }
            let mut state = self.states[now].clone();
            for (list, new) in state.iter_mut().zip(wrote) {
                list.extend(new);
            }
            self.states.push(state);
            self.placed.push(t);
            if self.place() {
                return true;
            }
            self.placed.pop();
            self.states.pop();
        }
        false
    }
}

/// A random small history: a run of a store at snapshots, with some reads then changed.
fn small(random: &mut Random, data_type: DataType, updates_only: bool) -> Vec<Small> {
    let count = 2 + random.below(4) as usize;
    let mut states: Vec<State> = vec![vec![Vec::new(); KEYS as usize]];
    let mut free_at = [0u64; 3];
    let mut history: Vec<Small> = Vec::new();
    let mut value = 0;
    for at in 0..count as u64 {
        let process = random.below(3) as u32;
        let call = free_at[process as usize].max(at * 3).saturating_sub(random.below(4));
        let call = call.max(free_at[process as usize]);
        let returned = call + random.below(9);
        free_at[process as usize] = returned + 1;
        let outcome = match random.below(12) {
            0 => Outcome::Failed { returned },
            1 | 2 => Outcome::Indeterminate,
            _ => Outcome::Ok { returned, output: () },
        };
        let back = random.below(states.len() as u64).min(random.below(3)) as usize;
        let base = states[states.len() - 1 - back].clone();
        let mut seen = base;
        let mut micros = Vec::new();
        for _ in 0..1 + random.below(3) {
            let key = random.below(KEYS);
            let list = &mut seen[key as usize];
            if random.percent(50) || updates_only {
                micros.push(read(data_type, key, list));
            }
            if random.percent(50) {
                value += 1;
                list.push(value);
                micros.push(match data_type {
                    DataType::List => Micro::Append { key, value },
                    DataType::Register => Micro::Write { key, value },
                });
            }
        }
        let mut next = states[states.len() - 1].clone();
        if !matches!(outcome, Outcome::Failed { .. }) || random.percent(10) {
            for micro in &micros {
                if let Micro::Append { key, value } | Micro::Write { key, value } = micro {
                    next[*key as usize].push(*value);
                }
            }
        }
        states.push(next);
        if random.percent(15) {
            disturb(random, &mut micros);
        }
        history.push(Small { process, call, outcome, micros });
    }
    history
}

/// Adds a last transaction that reads everything, in the order of the history.
fn read_all(history: &mut Vec<Small>) {
    let call = history.iter().map(|small| small.call).max().unwrap_or(0) + 20;
    let mut state: State = vec![Vec::new(); KEYS as usize];
    for small in history.iter().filter(|s| !matches!(s.outcome, Outcome::Failed { .. })) {
        for micro in &small.micros {
            if let Micro::Append { key, value } = micro {
                state[*key as usize].push(*value);
            }
        }
    }
    let micros = (0..KEYS).map(|key| read(DataType::List, key, &state[key as usize])).collect();
    let outcome = Outcome::Ok { returned: call + 1, output: () };
    history.push(Small { process: 9, call, outcome, micros });
}

fn read(data_type: DataType, key: u64, list: &[u64]) -> Micro {
    match data_type {
        DataType::List => Micro::ReadList { key, values: list.to_vec() },
        DataType::Register => Micro::Read { key, value: list.last().copied() },
    }
}

/// Changes one read: loses, swaps or doubles an element.
fn disturb(random: &mut Random, micros: &mut [Micro]) {
    let at = random.below(micros.len().max(1) as u64) as usize;
    match micros.get_mut(at) {
        Some(Micro::ReadList { values, .. }) if !values.is_empty() => {
            let last = values.len() - 1;
            match random.below(5) {
                0 => values.swap(0, last),
                1 => values.push(values[0]),
                2 => values.push(1 + random.below(6)),
                _ => values.truncate(random.below(values.len() as u64) as usize),
            }
        }
        Some(Micro::Read { value, .. }) => {
            *value = match random.below(3) {
                0 => None,
                _ => Some(1 + random.below(6)),
            }
        }
        Some(_) | None => {}
    }
}

fn build(history: &[Small]) -> TransactionHistory {
    let mut transactions = TransactionHistory::new();
    for small in history {
        let Small { process, call, outcome, micros } = small;
        transactions.push(*process, *call, outcome, micros).expect("times go forward");
    }
    transactions
}

/// Whether some read shows every write of a transaction that may have committed.
fn all_seen(history: &[Small]) -> bool {
    history.iter().filter(|small| !matches!(small.outcome, Outcome::Failed { .. })).all(|small| {
        small.micros.iter().all(|micro| match micro {
            Micro::Append { key: k, value: v } => {
                history.iter().filter(|s| is_ok(s)).any(|other| {
                    other.micros.iter().any(|micro| {
                        matches!(micro,
                        Micro::ReadList { key, values } if key == k && values.contains(v))
                    })
                })
            }
            _ => true,
        })
    })
}

/// A verdict comes with a proof: an order that replays, or cycles whose edges are there.
fn assert_certified(transactions: &TransactionHistory, report: &Report) {
    let order = serial_order(transactions, report.level).expect("values are unique");
    if report.status() == Status::Holds {
        let order = order.expect("no cycle");
        assert_eq!(verify_order(transactions, &order, report.level.scope()), Ok(()));
    } else if let Some(order) = order {
        // No cycle: then something else is wrong, and no order can hide it.
        assert!(verify_order(transactions, &order, report.level.scope()).is_err(), "{report}");
    }
    for finding in report.findings.iter().filter(|finding| !finding.steps.is_empty()) {
        assert!(verify_cycle(transactions, finding), "{report}");
    }
}

const SNAPSHOTS: [Level; 3] = [
    Level::SnapshotIsolation,
    Level::StrongSessionSnapshotIsolation,
    Level::StrongSnapshotIsolation,
];
const SERIALS: [Level; 3] =
    [Level::Serializable, Level::StrongSessionSerializable, Level::StrictSerializable];

/// Levels, how many histories kept them and how many broke them.
#[derive(Default)]
struct Tally {
    holds: u32,
    violated: u32,
}

impl Tally {
    fn count(&mut self, holds: bool) {
        *(if holds { &mut self.holds } else { &mut self.violated }) += 1;
    }

    /// A comparison that met only one answer compared nothing.
    fn assert_both(&self, least: u32) {
        assert!(least <= self.holds, "only {} hold", self.holds);
        assert!(least <= self.violated, "only {} are violated", self.violated);
    }
}

#[test]
fn lists_are_serializable_exactly_if_an_order_exists() {
    let mut random = Random::new(11);
    let mut tally = Tally::default();
    for _ in 0..rounds(8_000) {
        let history = small(&mut random, DataType::List, false);
        let transactions = build(&history);
        for level in SERIALS {
            let holds = Orders::exists(&history, level);
            let report = check(&transactions, level).unwrap();
            assert_eq!(report.status() == Status::Holds, holds, "{history:#?}\n{report}");
            tally.count(holds);
            assert_certified(&transactions, &report);
        }
    }
    tally.assert_both(4_000);
}

#[test]
fn lists_are_snapshot_isolated_exactly_if_snapshots_exist() {
    let mut random = Random::new(12);
    let mut exact = Tally::default();
    for _ in 0..rounds(8_000) {
        let mut history = small(&mut random, DataType::List, false);
        if random.percent(50) {
            read_all(&mut history);
        }
        let transactions = build(&history);
        for level in SNAPSHOTS {
            let possible = Orders::exists(&history, level);
            let report = check(&transactions, level).unwrap();
            let holds = report.status() == Status::Holds;
            assert!(holds || !possible, "false alarm: {history:#?}\n{report}");
            // Of two appends that nobody saw no order is known, so one anomaly can hide.
            if all_seen(&history) {
                assert_eq!(holds, possible, "{history:#?}\n{report}");
                exact.count(holds);
            }
        }
    }
    exact.assert_both(1_000);
}

#[test]
fn registers_raise_no_false_alarm() {
    let mut random = Random::new(13);
    let mut tally = Tally::default();
    for _ in 0..rounds(8_000) {
        let history = small(&mut random, DataType::Register, false);
        let transactions = build(&history);
        for level in SERIALS.into_iter().chain(SNAPSHOTS) {
            let report = check(&transactions, level).unwrap();
            let holds = report.status() == Status::Holds;
            assert!(holds || !Orders::exists(&history, level), "{history:#?}\n{report}");
            tally.count(holds);
        }
    }
    tally.assert_both(4_000);
}

#[test]
fn registers_that_are_read_before_each_write_are_decided_exactly() {
    let mut random = Random::new(14);
    let mut tally = Tally::default();
    for _ in 0..rounds(8_000) {
        let mut history = small(&mut random, DataType::Register, true);
        history.retain(is_ok);
        let transactions = build(&history);
        for level in SERIALS.into_iter().chain(SNAPSHOTS) {
            let possible = Orders::exists(&history, level);
            let report = check(&transactions, level).unwrap();
            assert_eq!(report.status() == Status::Holds, possible, "{history:#?}\n{report}");
            tally.count(possible);
            if Level::Serializable <= level {
                assert_certified(&transactions, &report);
            }
        }
    }
    tally.assert_both(4_000);
}

/// A weak level by its definition: some total order of commits satisfies the axiom.
fn weak_order_exists(history: &[Small], level: WeakLevel) -> bool {
    let facts = Facts::new(history);
    facts.reads_are_sound && facts.place(level, &mut Vec::new())
}

/// Session order, write-read pairs, and their closure; transaction `n` is the initial state.
struct Facts {
    n: usize,
    /// External reads in order: key, writer.
    reads: Vec<Vec<(u64, usize)>>,
    writes: Vec<Vec<u64>>,
    before: Vec<Vec<bool>>,
    causal: Vec<Vec<bool>>,
    reads_are_sound: bool,
}

impl Facts {
    fn new(history: &[Small]) -> Self {
        let n = history.len();
        let mut facts = Self {
            n,
            reads: vec![Vec::new(); n],
            writes: vec![Vec::new(); n],
            before: vec![vec![false; n + 1]; n + 1],
            causal: vec![vec![false; n + 1]; n + 1],
            reads_are_sound: true,
        };
        for t in 0..n {
            facts.transaction(history, t);
            for earlier in 0..t {
                // A transaction that timed out may take effect after its process went on.
                facts.before[earlier][t] =
                    history[earlier].process == history[t].process && is_ok(&history[earlier]);
            }
            facts.before[n][t] = true;
        }
        for (t, reads) in facts.reads.iter().enumerate() {
            reads.iter().for_each(|(_, writer)| facts.causal[*writer][t] = true);
        }
        for a in 0..=n {
            for b in 0..=n {
                facts.causal[a][b] |= facts.before[a][b];
            }
        }
        for via in 0..=n {
            for a in 0..=n {
                for b in 0..=n {
                    facts.causal[a][b] |= facts.causal[a][via] && facts.causal[via][b];
                }
            }
        }
        facts
    }

    fn transaction(&mut self, history: &[Small], t: usize) {
        let mut own: Vec<Option<u64>> = vec![None; KEYS as usize];
        for micro in &history[t].micros {
            match micro {
                Micro::Write { key, value } => {
                    own[*key as usize] = Some(*value);
                    self.writes[t].push(*key);
                }
                Micro::Read { .. } if !is_ok(&history[t]) => {}
                Micro::Read { key, value } => match (own[*key as usize], value) {
                    (Some(mine), seen) => self.reads_are_sound &= *seen == Some(mine),
                    (None, None) => self.reads[t].push((*key, self.n)),
                    (None, Some(seen)) => {
                        let last = |s: &Small| {
                            s.micros.iter().rev().find_map(|micro| match micro {
                                Micro::Write { key: k, value } if k == key => Some(*value),
                                _ => None,
                            })
                        };
                        let writer = history.iter().position(|s| last(s) == Some(*seen));
                        match writer.filter(|writer| *writer != t) {
                            Some(writer) => self.reads[t].push((*key, writer)),
                            None => self.reads_are_sound = false,
                        }
                    }
                },
                _ => {}
            }
        }
    }

    fn place(&self, level: WeakLevel, order: &mut Vec<usize>) -> bool {
        if order.len() == self.n {
            return self.satisfies(level, order);
        }
        (0..self.n).any(|t| {
            // A commit order extends session order and write-read pairs.
            let ready = !order.contains(&t)
                && (0..self.n).all(|p| !self.causal[p][t] || order.contains(&p));
            if !ready {
                return false;
            }
            order.push(t);
            let found = self.place(level, order);
            order.pop();
            found
        })
    }

    fn satisfies(&self, level: WeakLevel, order: &[usize]) -> bool {
        let place = |t: usize| order.iter().position(|o| *o == t).map_or(0, |at| at + 1);
        (0..self.n).all(|t3| {
            self.reads[t3].iter().enumerate().all(|(at, &(key, t1))| {
                (0..self.n).filter(|t2| *t2 != t1 && self.writes[*t2].contains(&key)).all(|t2| {
                    let knows = match level {
                        WeakLevel::ReadCommitted => {
                            self.reads[t3][..at].iter().any(|read| read.1 == t2)
                        }
                        WeakLevel::ReadAtomic => {
                            self.before[t2][t3] || self.reads[t3].iter().any(|read| read.1 == t2)
                        }
                        WeakLevel::Causal => self.causal[t2][t3],
                    };
                    !knows || place(t2) < place(t1)
                })
            })
        })
    }
}

/// Drops what failed, and what timed out unseen.
fn retain_committed(history: &mut Vec<Small>) {
    let seen: Vec<u64> = history
        .iter()
        .filter(|small| is_ok(small))
        .flat_map(|small| &small.micros)
        .filter_map(|micro| match micro {
            Micro::Read { value, .. } => *value,
            _ => None,
        })
        .collect();
    history.retain(|small| match small.outcome {
        Outcome::Ok { .. } => true,
        Outcome::Failed { .. } => false,
        Outcome::Indeterminate => small
            .micros
            .iter()
            .any(|micro| matches!(micro, Micro::Write { value, .. } if seen.contains(value))),
    });
}

#[test]
fn weak_levels_are_what_their_axioms_say() {
    let mut random = Random::new(15);
    let mut tallies = [Tally::default(), Tally::default(), Tally::default()];
    for _ in 0..rounds(8_000) {
        let mut history = small(&mut random, DataType::Register, false);
        retain_committed(&mut history);
        let transactions = build(&history);
        for (level, tally) in WeakLevel::ALL.into_iter().zip(&mut tallies) {
            let possible = weak_order_exists(&history, level);
            let report = weak::check(&transactions, level).unwrap();
            let holds = report.status() == Status::Holds;
            assert_eq!(holds, possible, "{level:?} {history:#?}\n{report:#?}");
            tally.count(holds);
        }
    }
    tallies.iter().for_each(|tally| tally.assert_both(500));
}

#[test]
fn stronger_levels_forbid_more() {
    let mut random = Random::new(16);
    for _ in 0..rounds(3_000) {
        let mut history = small(&mut random, DataType::Register, false);
        history.retain(is_ok);
        let transactions = build(&history);
        let weak = WeakLevel::ALL.map(|level| weak::check(&transactions, level).unwrap().status());
        for pair in weak.windows(2) {
            assert!(pair[0] == Status::Holds || pair[1] == Status::Violated, "{history:#?}");
        }
        if weak[2] == Status::Violated {
            let session = Level::StrongSessionSerializable;
            assert!(!Orders::exists(&history, session), "{history:#?}");
        }
    }
}

/// Every history of two transactions of two steps each, over two keys.
#[test]
fn all_histories_of_two_transactions_are_decided_exactly() {
    // A step: append to a key, or read a key as one of the lists that its appends allow.
    let lists: [&[u64]; 3] = [&[], &[0], &[0, 1]];
    let mut tally = Tally::default();
    let steps = 2 * (1 + 5u64);
    for code in 0..steps.pow(4) {
        let mut appends = [Vec::new(), Vec::new()];
        let digits: Vec<u64> = (0..4).map(|at| code / steps.pow(at) % steps).collect();
        for (at, digit) in (1u64..).zip(&digits) {
            if digit / 2 == 0 {
                appends[(digit % 2) as usize].push(at);
            }
        }
        let mut micros = Vec::new();
        for (at, digit) in (1u64..).zip(&digits) {
            let (key, choice) = (digit % 2, digit / 2);
            let all = &appends[key as usize];
            let values = match choice {
                0 => {
                    micros.push(Micro::Append { key, value: at });
                    continue;
                }
                1..=3 => {
                    lists[choice as usize - 1].iter().map(|at| all.get(*at as usize)).collect()
                }
                4 => vec![all.get(1)],
                _ => vec![all.get(1), all.first()],
            };
            // A list that names an append which is not there was counted already.
            let values: Option<Vec<u64>> = values.into_iter().map(Option::<&u64>::copied).collect();
            micros.extend(values.map(|values| Micro::ReadList { key, values }));
        }
        if micros.len() < 4 {
            continue;
        }
        let second = micros.split_off(2);
        let history: Vec<Small> = [micros, second]
            .into_iter()
            .zip([0, 3])
            .map(|(micros, call)| {
                let outcome = Outcome::Ok { returned: call + 1, output: () };
                Small { process: call as u32, call, outcome, micros }
            })
            .collect();
        let transactions = build(&history);
        for level in [Level::Serializable, Level::StrictSerializable] {
            let possible = Orders::exists(&history, level);
            let report = check(&transactions, level).unwrap();
            assert_eq!(report.status() == Status::Holds, possible, "{history:#?}\n{report}");
            tally.count(possible);
        }
    }
    tally.assert_both(500);
}
