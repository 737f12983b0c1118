//! Long fork (Jepsen's workload for parallel snapshot isolation; Sovran et al., SOSP 2011).
//!
//! Each key is written once, alone; reads cover a whole group of keys at once. Under snapshot
//! isolation the reads of a group form a chain: of any two, one has seen all that the other saw.
//! Two reads of which each misses what the other has are a long fork.

use std::collections::BTreeMap;

use crate::history::{History, Outcome};
use crate::report::Report;

/// Checks reads of groups of keys: the input of an operation names the keys read (none for a write,
/// which is not looked at), the output tells for each whether it was there.
///
/// Reads are grouped by their keys. Sorted by how much they saw, each must contain the one before
/// it, so the cost is O(n log n) comparisons of neighbours.
#[must_use]
pub fn long_fork(history: &History<Vec<u64>, Vec<bool>>) -> Report {
    let mut report = Report::default();
    let mut groups: BTreeMap<&[u64], Vec<(u32, &[bool])>> = BTreeMap::new();
    for (index, operation) in (0u32..).zip(&history.operations) {
        let Outcome::Ok { output, .. } = &operation.outcome else { continue };
        if operation.input.is_empty() {
            continue;
        }
        report.examined += 1;
        if output.len() != operation.input.len() {
            report.note("malformed-read", &[index], || {
                format!("operation {index} answers for {} keys, not all", output.len())
            });
            continue;
        }
        groups.entry(&operation.input).or_default().push((index, output));
    }
    for (keys, mut reads) in groups {
        reads.sort_by_key(|(index, seen)| (seen.iter().filter(|seen| **seen).count(), *index));
        for pair in reads.windows(2) {
            let ((first, less), (second, more)) = (pair[0], pair[1]);
            let misses = less.iter().zip(more).position(|(less, more)| *less && !more);
            let gains = less.iter().zip(more).position(|(less, more)| !less && *more);
            if let (Some(misses), Some(gains)) = (misses, gains) {
                report.note("long-fork", &[first, second], || {
                    format!(
                        "operation {first} saw key {} and not {}, operation {second} the reverse",
                        keys[misses], keys[gains]
                    )
                });
            }
        }
    }
    report
}

#[cfg(all(test, feature = "transactions"))] // For its random numbers.
mod tests {
    use super::*;
    use crate::transactions::generate::Random;

    fn reads(rows: &[&[bool]]) -> History<Vec<u64>, Vec<bool>> {
        let mut history = History::new();
        for row in rows {
            let index = history.invoke(0, 0, (0..row.len() as u64).collect());
            history.complete(index, 1, row.to_vec());
        }
        history
    }

    #[test]
    fn a_fork_is_found_exactly_where_two_reads_differ_both_ways() {
        let mut random = Random::new(61);
        let mut forks = 0;
        for _ in 0..2_000 {
            let rows: Vec<Vec<bool>> = (0..2 + random.below(3))
                .map(|_| (0..3).map(|_| random.percent(50)).collect())
                .collect();
            let slices: Vec<&[bool]> = rows.iter().map(Vec::as_slice).collect();
            let contains = |a: &[bool], b: &[bool]| a.iter().zip(b).all(|(a, b)| *a || !b);
            let expected =
                rows.iter().any(|a| rows.iter().any(|b| !contains(a, b) && !contains(b, a)));
            let report = long_fork(&reads(&slices));
            assert_eq!(!report.holds(), expected, "{rows:?} {report}");
            forks += u32::from(expected);
        }
        assert!(200 < forks && forks < 1_900);
    }
}
