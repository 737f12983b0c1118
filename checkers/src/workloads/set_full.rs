//! A set that only grows: every element that was added shows in every later read (Jepsen's
//! `set-full`).
//!
//! An element is *known* from the moment its add is confirmed or a read that shows it ends. It is
//! *lost* if some read that begins later misses it and none shows it after that one; *stale* if it
//! shows again, which only a linearizable set forbids. An element nobody added, or whose add
//! failed, must never show. O(n log n) in what all reads show together.

use std::collections::BTreeMap;

use crate::history::{History, Outcome};
use crate::weak::Report;

/// What a client asks of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetAccess {
    /// Add an element; each is added once.
    Add(u64),
    /// Read all elements.
    Read,
}

/// How strict the set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetFull {
    /// A known element may be missed for a while.
    Eventual,
    /// A known element is never missed.
    Linearizable,
}

#[derive(Default)]
struct Element {
    add: Option<u32>,
    failed: bool,
    /// When it was first known, and by which operation.
    known: Option<(u64, u32)>,
    /// Calls of the reads that show it.
    shown: Vec<u64>,
}

/// Checks a growing set; the output of a read is its elements, of an add nothing.
#[must_use]
pub fn set_full(history: &History<SetAccess, Vec<u64>>, strictness: SetFull) -> Report {
    let mut report = Report::default();
    let mut elements: BTreeMap<u64, Element> = BTreeMap::new();
    let mut reads: Vec<(u64, u32)> = Vec::new();
    for (index, operation) in (0u32..).zip(&history.operations) {
        match (operation.input, &operation.outcome) {
            (SetAccess::Add(value), outcome) => {
                let element = elements.entry(value).or_default();
                element.add = Some(index);
                element.failed = matches!(outcome, Outcome::Failed { .. });
                if let Outcome::Ok { returned, .. } = outcome {
                    element.learn(*returned, index);
                }
            }
            (SetAccess::Read, Outcome::Ok { returned, output }) => {
                report.examined += 1;
                reads.push((operation.call, index));
                for value in output {
                    let element = elements.entry(*value).or_default();
                    element.shown.push(operation.call);
                    element.learn(*returned, index);
                }
                note_repeated(index, output, &mut report);
            }
            (SetAccess::Read, Outcome::Failed { .. } | Outcome::Indeterminate) => {}
        }
    }
    reads.sort_unstable();
    for (value, element) in &mut elements {
        element.shown.sort_unstable();
        element.judge(*value, history, &reads, strictness, &mut report);
    }
    report
}

fn note_repeated(read: u32, output: &[u64], report: &mut Report) {
    let mut sorted = output.to_vec();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        report.note("duplicated", &[read], || format!("read {read} shows {} twice", pair[0]));
    }
}

impl Element {
    fn learn(&mut self, time: u64, by: u32) {
        if self.known.is_none_or(|(known, _)| time < known) {
            self.known = Some((time, by));
        }
    }

    fn judge(
        &self,
        value: u64,
        history: &History<SetAccess, Vec<u64>>,
        reads: &[(u64, u32)],
        strictness: SetFull,
        report: &mut Report,
    ) {
        let Some((known, by)) = self.known else { return };
        let added = self.add.filter(|_| !self.failed);
        let Some(add) = added else {
            return report.note("unexpected", &[by], || {
                format!("operation {by} shows {value}, which was never added")
            });
        };
        if history.operations[add as usize].call > known {
            return report.note("unexpected", &[by, add], || {
                format!("operation {by} shows {value} before {add} was called to add it")
            });
        }
        // Reads that began after it was known and do not show it.
        let first = reads.partition_point(|(call, _)| *call <= known);
        let later = &reads[first..];
        let shown = self.shown.len() - self.shown.partition_point(|call| *call <= known);
        if shown == later.len() {
            return;
        }
        let shows = |read: u32| match &history.operations[read as usize].outcome {
            Outcome::Ok { output, .. } => output.contains(&value),
            Outcome::Failed { .. } | Outcome::Indeterminate => false,
        };
        let last_shown = self.shown.last().copied().unwrap_or(0);
        let Some(missing) = later.iter().rev().find(|(_, read)| !shows(*read)) else { return };
        if last_shown < missing.0 {
            report.note("lost", &[by, missing.1], || {
                format!(
                    "{value} is known by {by}, read {} misses it and none shows it again",
                    missing.1
                )
            });
        } else if strictness == SetFull::Linearizable {
            report.note("stale", &[by, missing.1], || {
                format!("{value} is known by {by}, and read {}, called later, misses it", missing.1)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rows: &[(SetAccess, u64, &[u64])]) -> History<SetAccess, Vec<u64>> {
        let mut history = History::new();
        for (input, call, output) in rows {
            let index = history.invoke(0, *call, *input);
            history.complete(index, call + 1, output.to_vec());
        }
        history
    }

    #[test]
    fn lost_stale_and_strange_elements_are_told_apart() {
        use SetAccess::{Add, Read};
        let judge = |rows: &[_], how| set_full(&run(rows), how);
        let good = [(Add(1), 0, &[][..]), (Read, 2, &[1]), (Add(2), 4, &[]), (Read, 6, &[1, 2])];
        assert!(judge(&good, SetFull::Linearizable).holds());
        let lost = [(Add(1), 0, &[][..]), (Read, 2, &[1]), (Read, 4, &[])];
        assert!(judge(&lost, SetFull::Eventual).breaks("lost"));
        let stale = [(Add(1), 0, &[][..]), (Read, 2, &[]), (Read, 4, &[1])];
        assert!(judge(&stale, SetFull::Eventual).holds());
        assert!(judge(&stale, SetFull::Linearizable).breaks("stale"));
        let strange = [(Add(1), 0, &[][..]), (Read, 2, &[1, 9])];
        assert!(judge(&strange, SetFull::Eventual).breaks("unexpected"));
        let twice = [(Add(1), 0, &[][..]), (Read, 2, &[1, 1])];
        assert!(judge(&twice, SetFull::Eventual).breaks("duplicated"));
        let early = [(Read, 0, &[1][..]), (Add(1), 5, &[]), (Read, 8, &[1])];
        assert!(judge(&early, SetFull::Eventual).breaks("unexpected"));
    }

    #[test]
    fn an_unconfirmed_add_may_show_or_not_until_it_is_seen() {
        let mut history = run(&[(SetAccess::Read, 2, &[])]);
        history.invoke(1, 0, SetAccess::Add(5));
        assert!(set_full(&history, SetFull::Linearizable).holds());
        for (call, output) in [(4, vec![5]), (6, vec![])] {
            let index = history.invoke(0, call, SetAccess::Read);
            history.complete(index, call + 1, output);
        }
        assert!(set_full(&history, SetFull::Linearizable).breaks("lost"));
        let mut failed = run(&[(SetAccess::Read, 2, &[5])]);
        let index = failed.invoke(1, 0, SetAccess::Add(5));
        failed.fail(index, 1);
        assert!(set_full(&failed, SetFull::Eventual).breaks("unexpected"));
    }
}
