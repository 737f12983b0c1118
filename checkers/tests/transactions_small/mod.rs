//! Small random histories of transactions, for tests that try every order.

use seedfall_checkers::Outcome;
use seedfall_checkers::transactions::generate::Random;
use seedfall_checkers::transactions::{DataType, Micro, TransactionHistory};

/// One transaction of a small history.
#[derive(Clone, Debug)]
pub(crate) struct Small {
    pub(crate) process: u32,
    pub(crate) call: u64,
    pub(crate) outcome: Outcome<()>,
    pub(crate) micros: Vec<Micro>,
}

pub(crate) const KEYS: u64 = 2;

/// Enough rounds for a debug build in seconds; a release build does 25 times as many.
pub(crate) fn rounds(count: u32) -> u32 {
    if cfg!(debug_assertions) { count } else { 25 * count }
}

/// What each key holds: a list, of which a register shows the last element.
pub(crate) type State = Vec<Vec<u64>>;

pub(crate) fn is_ok(small: &Small) -> bool {
    matches!(small.outcome, Outcome::Ok { .. })
}

/// A random small history: a run of a store at snapshots, with some reads then changed.
pub(crate) fn small(random: &mut Random, data_type: DataType, updates_only: bool) -> Vec<Small> {
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

pub(crate) fn read(data_type: DataType, key: u64, list: &[u64]) -> Micro {
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

pub(crate) fn build(history: &[Small]) -> TransactionHistory {
    let mut transactions = TransactionHistory::new();
    for small in history {
        let Small { process, call, outcome, micros } = small;
        transactions.push(*process, *call, outcome, micros).expect("times go forward");
    }
    transactions
}

/// Levels, how many histories kept them and how many broke them.
#[derive(Default)]
pub(crate) struct Tally {
    holds: u32,
    violated: u32,
}

impl Tally {
    pub(crate) fn count(&mut self, holds: bool) {
        *(if holds { &mut self.holds } else { &mut self.violated }) += 1;
    }

    /// A comparison that met only one answer compared nothing.
    pub(crate) fn assert_both(&self, least: u32) {
        assert!(least <= self.holds, "only {} hold", self.holds);
        assert!(least <= self.violated, "only {} are violated", self.violated);
    }
}
