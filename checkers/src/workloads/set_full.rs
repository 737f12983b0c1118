//! A set that only grows: every element that was added shows in every later read (Jepsen's
//! `set-full`).
//!
//! An element is *known* from the moment its add is confirmed or a read that shows it ends. It is
//! *lost* if some read that begins later misses it and none shows it after that one; *stale* if it
//! shows again, which only a linearizable set forbids. An element nobody added, or whose add
//! failed, must never show. O(n log n) in what all reads show together.

use std::collections::BTreeMap;

use crate::history::{History, Outcome};
use crate::report::Report;

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
    /// Calls of the reads that show it, and the read that did so last in the history.
    shown: Vec<u64>,
    shown_by: Option<u32>,
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
                    if element.shown_by.replace(index) != Some(index) {
                        element.shown.push(operation.call);
                    }
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
        let last_shown = self.shown.last().copied().unwrap_or(0);
        if let Some(&(_, missing)) = later.last().filter(|(call, _)| last_shown < *call) {
            report.note("lost", &[by, missing], || {
                format!(
                    "{value} is known by {by}, read {missing} misses it and none shows it again"
                )
            });
        } else if strictness == SetFull::Linearizable {
            let missing = self.missing(value, history, later, report);
            report.note("stale", &[by, missing], || {
                format!("{value} is known by {by}, and read {missing}, called later, misses it")
            });
        }
    }

    /// The first of the reads that miss the element; looked for only while breaches are kept.
    fn missing(
        &self,
        value: u64,
        history: &History<SetAccess, Vec<u64>>,
        later: &[(u64, u32)],
        report: &Report,
    ) -> u32 {
        let misses = |read: &&(u64, u32)| match &history.operations[read.1 as usize].outcome {
            Outcome::Ok { output, .. } => !output.contains(&value),
            Outcome::Failed { .. } | Outcome::Indeterminate => false,
        };
        let wanted = report.breaches.len() < Report::BREACHES_MAX;
        let found = later.iter().filter(|_| wanted).find(misses);
        found.map_or(0, |(_, read)| *read)
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
    #[cfg(feature = "transactions")] // For its random numbers.
    fn random_histories_are_judged_by_the_definition() {
        use crate::transactions::generate::Random;
        let mut random = Random::new(71);
        let mut seen = [0; 3];
        for _ in 0..3_000 {
            let mut history: History<SetAccess, Vec<u64>> = History::new();
            let add = history.invoke(0, random.below(4), SetAccess::Add(1));
            if random.percent(70) {
                history.complete(add, history.operations[add].call + random.below(4), vec![]);
            }
            let copies = |random: &mut Random| vec![1; random.below(3) as usize];
            for _ in 0..1 + random.below(4) {
                let call = 1 + random.below(12);
                let read = history.invoke(1, call, SetAccess::Read);
                history.complete(read, call + random.below(3), copies(&mut random));
            }
            let reads: Vec<(u64, u64, bool)> = history.operations[1..]
                .iter()
                .map(|read| {
                    let shows = !read.outcome.output().unwrap().is_empty();
                    (read.call, read.outcome.returned().unwrap(), shows)
                })
                .collect();
            let shown = || reads.iter().filter(|read| read.2);
            let confirmed = history.operations[add].outcome.returned();
            let known = shown().map(|read| read.1).chain(confirmed).min();
            let late = |read: &&(u64, u64, bool)| !read.2 && known < Some(read.0);
            let early = known.is_some_and(|known| known < history.operations[add].call);
            let missing: Vec<_> = reads.iter().filter(late).filter(|_| known.is_some()).collect();
            let lost = missing.iter().any(|m| shown().all(|read| read.0 < m.0));
            let report = set_full(&history, SetFull::Linearizable);
            if early {
                assert!(report.breaks("unexpected"));
                continue;
            }
            assert_eq!(report.breaks("lost"), lost, "{history:?} {report}");
            assert_eq!(report.breaks("stale"), !lost && !missing.is_empty(), "{history:?}");
            let eventual = set_full(&history, SetFull::Eventual);
            assert_eq!(eventual.breaks("lost"), lost);
            seen[usize::from(lost) + 2 * usize::from(!lost && !missing.is_empty())] += 1;
        }
        assert!(seen.iter().all(|seen| 100 < *seen), "{seen:?}");
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
