//! Small random histories of transactions, judged twice: by the checkers and by trying every order.

#![cfg(feature = "transactions")]

mod transactions_small;

use seedfall_checkers::transactions::generate::Random;
use seedfall_checkers::transactions::weak::{self, WeakLevel};
use seedfall_checkers::transactions::{
    DataType, Level, Micro, Report, Scope, Status, TransactionHistory, check, serial_order,
    verify_cycle, verify_order,
};
use seedfall_checkers::{Budget, Outcome};
use transactions_small::{KEYS, Small, State, Tally, build, is_ok, read, rounds, small};

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

#[test]
fn stronger_levels_forbid_more() {
    let mut random = Random::new(16);
    for _ in 0..rounds(3_000) {
        let mut history = small(&mut random, DataType::Register, false);
        history.retain(is_ok);
        let transactions = build(&history);
        let weak = WeakLevel::ALL
            .map(|level| weak::check(&transactions, level, Budget::DEFAULT).unwrap().status());
        for pair in weak.windows(2) {
            assert!(pair[0] == Status::Holds || pair[1] == Status::Violated, "{history:#?}");
        }
        if weak[2] == Status::Violated {
            let session = Level::StrongSessionSerializable;
            assert!(!Orders::exists(&history, session), "{history:#?}");
        }
    }
}
