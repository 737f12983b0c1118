//! Total queue: what goes in comes out, once (Jepsen's `total-queue`).
//!
//! The run must end with a drain, so that nothing is left inside. Order is not looked at. An
//! enqueue that failed must not come out; one that is unconfirmed may (then it was *recovered*); a
//! dequeue that is unconfirmed may have taken one element with it, so each excuses one loss.

use std::collections::BTreeMap;

use crate::history::{History, Outcome};
use crate::report::Report;

/// What a client asks of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueAccess {
    /// Put an element in.
    Enqueue(u64),
    /// Take one element out; the output is empty if there was none.
    Dequeue,
    /// Take everything out.
    Drain,
}

#[derive(Default)]
struct Balance {
    confirmed: u64,
    possible: u64,
    out: u64,
    last: u32,
}

/// Checks a drained queue; the output of a dequeue or drain is what came out.
#[must_use]
pub fn total_queue(history: &History<QueueAccess, Vec<u64>>) -> Report {
    let mut report = Report::default();
    let mut balances: BTreeMap<u64, Balance> = BTreeMap::new();
    let mut excuses = 0u64;
    let mut drain_lost = false;
    for (index, operation) in (0u32..).zip(&history.operations) {
        match (operation.input, &operation.outcome) {
            (QueueAccess::Enqueue(value), Outcome::Ok { .. }) => {
                let balance = balances.entry(value).or_default();
                balance.confirmed += 1;
                balance.last = index;
            }
            (QueueAccess::Enqueue(value), Outcome::Indeterminate) => {
                balances.entry(value).or_default().possible += 1;
            }
            (QueueAccess::Dequeue | QueueAccess::Drain, Outcome::Ok { output, .. }) => {
                for value in output {
                    report.examined += 1;
                    let balance = balances.entry(*value).or_default();
                    balance.out += 1;
                    balance.last = index;
                }
            }
            (QueueAccess::Dequeue, Outcome::Indeterminate) => excuses += 1,
            (QueueAccess::Drain, Outcome::Indeterminate) => drain_lost = true,
            (_, Outcome::Failed { .. }) => {}
        }
    }
    let mut lost = Vec::new();
    for (value, balance) in &balances {
        let (put, last) = (balance.confirmed + balance.possible, balance.last);
        if put == 0 {
            report.note("unexpected", &[last], || {
                format!("operation {last} took out {value}, which was never put in")
            });
        } else if put < balance.out {
            report.note("duplicated", &[last], || {
                format!("{value} was put in {put} times and came out {} times", balance.out)
            });
        } else if balance.out < balance.confirmed {
            lost.push((*value, balance.confirmed - balance.out, last));
        }
    }
    let missing: u64 = lost.iter().map(|(_, count, _)| count).sum();
    if excuses < missing && !drain_lost {
        for (value, _, last) in lost {
            report.note("lost", &[last], || {
                format!("{value}, put in by {last}, never came out ({excuses} dequeues unknown)")
            });
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use QueueAccess::{Dequeue, Drain, Enqueue};

    fn run(rows: &[(QueueAccess, &[u64])]) -> History<QueueAccess, Vec<u64>> {
        let mut history = History::new();
        for (input, output) in rows {
            let index = history.invoke(0, 0, *input);
            history.complete(index, 1, output.to_vec());
        }
        history
    }

    #[test]
    fn each_rule_is_named() {
        let good = run(&[(Enqueue(1), &[]), (Enqueue(2), &[]), (Dequeue, &[1]), (Drain, &[2])]);
        let report = total_queue(&good);
        assert!(report.holds() && report.examined == 2);
        assert!(total_queue(&run(&[(Enqueue(1), &[]), (Drain, &[])])).breaks("lost"));
        let twice = run(&[(Enqueue(1), &[]), (Dequeue, &[1]), (Drain, &[1])]);
        assert!(total_queue(&twice).breaks("duplicated"));
        assert!(total_queue(&run(&[(Drain, &[7])])).breaks("unexpected"));
    }

    #[test]
    fn unknown_outcomes_excuse_only_what_they_can_explain() {
        let mut history = run(&[(Enqueue(1), &[]), (Enqueue(2), &[]), (Drain, &[])]);
        history.invoke(1, 0, Dequeue);
        assert!(total_queue(&history).breaks("lost"));
        history.invoke(2, 0, Dequeue);
        assert!(total_queue(&history).holds());
        let mut recovered = run(&[(Drain, &[3])]);
        recovered.invoke(1, 0, Enqueue(3));
        assert!(total_queue(&recovered).holds());
        let mut undone = run(&[(Drain, &[3])]);
        let index = undone.invoke(1, 0, Enqueue(3));
        undone.fail(index, 1);
        assert!(total_queue(&undone).breaks("unexpected"));
    }
}
