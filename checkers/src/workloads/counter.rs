//! Counter bounds: every read lies between what must and what may have been added (Jepsen's
//! `counter`).
//!
//! When a read ends, the least that it may show is the sum of all increments confirmed before it
//! began and of all decrements called before it ended; the most is the reverse. Sound for any mix
//! of deltas; incomplete: a value inside the bounds need not be one that any order gives.

use crate::history::{History, Outcome};
use crate::report::Report;

/// What a client asks of the counter, which starts at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CounterAccess {
    /// Add a number, positive or negative. The output is not looked at.
    Add(i64),
    /// Read the counter.
    Read,
}

/// A moment in the sweep, in the order in which equal times are taken: intervals are closed, so at
/// one moment calls come before responses, and a response binds only reads called strictly later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Call,
    Return,
}

/// Checks every read of one counter, in O(n log n).
#[must_use]
pub fn counter_bounds(history: &History<CounterAccess, i64>) -> Report {
    let mut report = Report::default();
    let mut moments: Vec<(u64, Moment, u32)> = Vec::new();
    for (index, operation) in (0u32..).zip(&history.operations) {
        match &operation.outcome {
            Outcome::Failed { .. } => {}
            Outcome::Ok { returned, .. } => {
                moments.push((operation.call, Moment::Call, index));
                moments.push((*returned, Moment::Return, index));
            }
            Outcome::Indeterminate => moments.push((operation.call, Moment::Call, index)),
        }
    }
    moments.sort_unstable();
    // Sums of what surely was added and of what may have been, apart for each sign.
    let (mut sure, mut possible) = ([0i128; 2], [0i128; 2]);
    let mut at_call = vec![[0i128; 2]; history.operations.len()];
    for (_, moment, index) in moments {
        let operation = &history.operations[index as usize];
        match (operation.input, moment) {
            (CounterAccess::Add(delta), Moment::Call) => {
                possible[usize::from(delta < 0)] += i128::from(delta);
            }
            (CounterAccess::Add(delta), Moment::Return) => {
                sure[usize::from(delta < 0)] += i128::from(delta);
            }
            (CounterAccess::Read, Moment::Call) => at_call[index as usize] = sure,
            (CounterAccess::Read, Moment::Return) => {
                let Outcome::Ok { output, .. } = &operation.outcome else { continue };
                report.examined += 1;
                let sure = at_call[index as usize];
                let (least, most) = (sure[0] + possible[1], possible[0] + sure[1]);
                if !(least..=most).contains(&i128::from(*output)) {
                    report.note("out-of-bounds", &[index], || {
                        format!("operation {index} read {output}, not within {least}..={most}")
                    });
                }
            }
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use CounterAccess::{Add, Read};

    fn run(rows: &[(u64, u64, CounterAccess, i64)]) -> History<CounterAccess, i64> {
        let mut history = History::new();
        for (call, returned, input, output) in rows {
            let index = history.invoke(0, *call, *input);
            history.complete(index, *returned, *output);
        }
        history
    }

    #[test]
    fn a_read_lies_between_what_must_and_what_may_be() {
        for (value, fits) in [(1, false), (2, true), (5, true), (6, false)] {
            // 2 surely, 3 beside the read, 4 only after it.
            let history = run(&[
                (0, 1, Add(2), 0),
                (2, 9, Add(3), 0),
                (4, 6, Read, value),
                (7, 8, Add(4), 0),
            ]);
            assert_eq!(counter_bounds(&history).holds(), fits, "{value}");
        }
        for (value, fits) in [(-4, false), (-3, true), (0, true), (1, false)] {
            let mut history = run(&[(4, 6, Read, value)]);
            history.invoke(1, 0, Add(-3));
            let failed = history.invoke(2, 0, Add(9));
            history.fail(failed, 1);
            assert_eq!(counter_bounds(&history).holds(), fits, "{value}");
        }
        // Equal stamps are concurrent.
        assert!(counter_bounds(&run(&[(0, 4, Add(2), 0), (4, 6, Read, 0)])).holds());
        assert!(counter_bounds(&run(&[(6, 7, Add(2), 0), (4, 6, Read, 2)])).holds());
    }
}
