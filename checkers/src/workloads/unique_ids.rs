//! Unique identifiers: no identifier is given out twice (Jepsen's and Maelstrom's `unique-ids`).

use rustc_hash::FxHashMap;

use crate::history::{History, Outcome};
use crate::report::Report;

/// Checks that the outputs of all successful operations differ.
#[must_use]
pub fn unique_ids<I>(history: &History<I, u64>) -> Report {
    let mut report = Report::default();
    let mut given: FxHashMap<u64, u32> = FxHashMap::default();
    for (index, operation) in (0u32..).zip(&history.operations) {
        let Outcome::Ok { output, .. } = &operation.outcome else { continue };
        report.examined += 1;
        if let Some(&first) = given.get(output) {
            report.note("duplicate-id", &[first, index], || {
                format!("operations {first} and {index} were both given {output}")
            });
        } else {
            given.insert(*output, index);
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_gift_is_found() {
        let mut history: History<(), u64> = History::new();
        for id in [7, 8, 9] {
            let index = history.invoke(0, 0, ());
            history.complete(index, 1, id);
        }
        history.invoke(1, 0, ());
        let good = unique_ids(&history);
        assert!(good.holds() && good.examined == 3);
        let index = history.invoke(2, 0, ());
        history.complete(index, 1, 8);
        let report = unique_ids(&history);
        assert_eq!(report.breaches[0].operations, [1, 4]);
    }
}
