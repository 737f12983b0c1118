//! The weak levels of transactions, judged by their axioms over every order of commits.

#![cfg(feature = "transactions")]

mod transactions_small;

use seedfall_checkers::transactions::generate::Random;
use seedfall_checkers::transactions::weak::{self, WeakLevel};
use seedfall_checkers::transactions::{DataType, Micro, Status};
use seedfall_checkers::{Budget, Outcome};
use transactions_small::{KEYS, Small, Tally, build, is_ok, rounds, small};

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
            let report = weak::check(&transactions, level, Budget::DEFAULT).unwrap();
            let holds = report.status() == Status::Holds;
            assert_eq!(holds, possible, "{level:?} {history:#?}\n{report:#?}");
            tally.count(holds);
        }
    }
    tallies.iter().for_each(|tally| tally.assert_both(500));
}
