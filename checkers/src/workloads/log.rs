//! An append-only log with offsets, as in Jepsen's `kafka` workload, for one partition at a time.
//!
//! Offsets tell the total order, so each rule is one pass: a value has one offset and an offset one
//! value (*inconsistent-offset*, *duplicate*); a poll returns offsets that rise
//! (*nonmonotonic-poll*) and, within what it covers, skips nothing that anyone saw
//! (*lost-in-poll*); a confirmed send is seen by someone if anyone polled beyond it (*lost-write*);
//! sends of one client that do not overlap get rising offsets (*nonmonotonic-send*); what failed is
//! seen by nobody (*aborted-read*), what was never sent neither (*unexpected*). It does not judge
//! how far a consumer lags.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::history::{History, Outcome};
use crate::report::Report;

/// What a client asks of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogAccess {
    /// Append a value; each is sent once.
    Send(u64),
    /// Read the next entries of this client.
    Poll,
    /// Start reading again from an offset of the client's choice: a jump is no breach.
    Seek,
}

/// One entry as a client saw it: its offset and its value. A send is told one entry, a poll many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogRead {
    /// Its place in the log.
    pub offset: u64,
    /// Its value.
    pub value: u64,
}

#[derive(Default)]
struct Seen {
    /// Value at each offset, and who first told of it.
    at: BTreeMap<u64, (u64, u32)>,
    /// Offset of each value.
    offset_of: FxHashMap<u64, u64>,
    /// Greatest offset that some poll returned.
    polled: Option<u64>,
}

/// Checks one partition.
#[must_use]
pub fn log_offsets(history: &History<LogAccess, Vec<LogRead>>) -> Report {
    let mut report = Report::default();
    let mut seen = Seen::default();
    let mut sends: FxHashMap<u64, u32> = FxHashMap::default();
    for (index, operation) in (0u32..).zip(&history.operations) {
        if let LogAccess::Send(value) = operation.input {
            sends.insert(value, index);
        }
        let Outcome::Ok { output, .. } = &operation.outcome else { continue };
        for entry in output {
            report.examined += 1;
            seen.learn(index, *entry, &mut report);
            if operation.input == LogAccess::Poll {
                seen.polled = seen.polled.max(Some(entry.offset));
            }
        }
    }
    for (offset, (value, by)) in &seen.at {
        match sends.get(value) {
            None => report.note("unexpected", &[*by], || {
                format!("operation {by} saw {value} at {offset}, which nobody sent")
            }),
            Some(send) if failed(history, *send) => {
                report.note("aborted-read", &[*by, *send], || {
                    format!("operation {by} saw {value} at {offset}, of failed {send}")
                });
            }
            Some(_) => {}
        }
    }
    judge_sends(history, &seen, &mut report);
    judge_polls(history, &seen, &mut report);
    report
}

fn failed(history: &History<LogAccess, Vec<LogRead>>, index: u32) -> bool {
    matches!(history.operations[index as usize].outcome, Outcome::Failed { .. })
}

impl Seen {
    fn learn(&mut self, index: u32, entry: LogRead, report: &mut Report) {
        let (known, first) = *self.at.entry(entry.offset).or_insert((entry.value, index));
        if known != entry.value {
            report.note("inconsistent-offset", &[first, index], || {
                format!(
                    "offset {} is {known} to operation {first} and {} to {index}",
                    entry.offset, entry.value
                )
            });
        }
        let known = *self.offset_of.entry(entry.value).or_insert(entry.offset);
        if known != entry.offset {
            report.note("duplicate", &[index], || {
                format!("{} stands at offset {known} and at {}", entry.value, entry.offset)
            });
        }
    }
}

fn judge_sends(history: &History<LogAccess, Vec<LogRead>>, seen: &Seen, report: &mut Report) {
    // Which offsets polls returned: a confirmed send below the greatest must be among them.
    let mut polled: Vec<u64> = history
        .operations
        .iter()
        .filter(|operation| operation.input == LogAccess::Poll)
        .filter_map(|operation| operation.outcome.output())
        .flatten()
        .map(|entry| entry.offset)
        .collect();
    polled.sort_unstable();
    let mut last: FxHashMap<u32, (u64, u32)> = FxHashMap::default();
    for (index, operation) in (0u32..).zip(&history.operations) {
        let (LogAccess::Send(value), Some([entry, ..])) =
            (operation.input, operation.outcome.output().map(Vec::as_slice))
        else {
            continue;
        };
        let beyond = seen.polled.is_some_and(|polled| entry.offset < polled);
        if beyond && polled.binary_search(&entry.offset).is_err() {
            report.note("lost-write", &[index], || {
                format!("{value}, sent by {index} to {}, was polled by nobody", entry.offset)
            });
        }
        let before = last.insert(operation.client, (entry.offset, index));
        if let Some((offset, earlier)) = before.filter(|(offset, _)| entry.offset <= *offset) {
            report.note("nonmonotonic-send", &[earlier, index], || {
                format!("sends {earlier} and {index} of one client got {offset}, {}", entry.offset)
            });
        }
    }
}

fn judge_polls(history: &History<LogAccess, Vec<LogRead>>, seen: &Seen, report: &mut Report) {
    // Where each client is; nothing after a seek.
    let mut position: FxHashMap<u32, u64> = FxHashMap::default();
    for (index, operation) in (0u32..).zip(&history.operations) {
        match (operation.input, &operation.outcome) {
            // A poll that told nothing may have moved the client.
            (LogAccess::Seek, _) | (LogAccess::Poll, Outcome::Indeterminate) => {
                position.remove(&operation.client);
            }
            (LogAccess::Send(_), _) | (LogAccess::Poll, Outcome::Failed { .. }) => {}
            (LogAccess::Poll, Outcome::Ok { output, .. }) => {
                for entry in output {
                    let before = position.insert(operation.client, entry.offset);
                    let Some(before) = before else { continue };
                    if entry.offset <= before {
                        report.note("nonmonotonic-poll", &[index], || {
                            format!("operation {index} polled {} after {before}", entry.offset)
                        });
                    } else if let Some((skipped, _)) =
                        seen.at.range(before + 1..entry.offset).next()
                    {
                        report.note("lost-in-poll", &[index], || {
                            format!(
                                "operation {index} polled {before}, then {}, and not {skipped}",
                                entry.offset
                            )
                        });
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LogAccess::{Poll, Seek, Send};

    /// Client, what it asked, and the entries it was told.
    type Row = (u32, LogAccess, &'static [(u64, u64)]);

    fn run(rows: &[Row]) -> Report {
        let mut history = History::new();
        for (time, (client, input, output)) in (0u64..).zip(rows) {
            let index = history.invoke(*client, 2 * time, *input);
            let entries =
                output.iter().map(|(offset, value)| LogRead { offset: *offset, value: *value });
            history.complete(index, 2 * time + 1, entries.collect());
        }
        log_offsets(&history)
    }

    const A: Row = (0, Send(10), &[(0, 10)]);
    const B: Row = (0, Send(11), &[(1, 11)]);
    const C: Row = (1, Send(12), &[(2, 12)]);

    #[test]
    fn a_correct_log_holds() {
        let report = run(&[A, B, C, (2, Poll, &[(0, 10), (1, 11)]), (2, Poll, &[(2, 12)])]);
        assert!(report.holds() && report.examined == 6, "{report}");
        let again = [A, B, (2, Poll, &[(0, 10), (1, 11)]), (2, Seek, &[]), (2, Poll, &[(0, 10)])];
        assert!(run(&again).holds());
    }

    #[test]
    fn each_rule_is_named() {
        assert!(run(&[A, B, C, (2, Poll, &[(0, 10), (2, 12)])]).breaks("lost-in-poll"));
        assert!(run(&[A, B, (2, Poll, &[(1, 11), (0, 10)])]).breaks("nonmonotonic-poll"));
        assert!(run(&[A, B, C, (2, Poll, &[(2, 12)])]).breaks("lost-write"));
        assert!(run(&[A, (2, Poll, &[(0, 99)])]).breaks("inconsistent-offset"));
        assert!(run(&[A, (2, Poll, &[(0, 10), (1, 10)])]).breaks("duplicate"));
        assert!(run(&[(2, Poll, &[(0, 99)])]).breaks("unexpected"));
        assert!(run(&[B, (0, Send(13), &[(0, 13)])]).breaks("nonmonotonic-send"));
    }

    #[test]
    fn a_failed_send_must_not_be_seen() {
        let mut history = History::new();
        let send = history.invoke(0, 0, Send(5));
        history.fail(send, 1);
        let poll = history.invoke(1, 2, Poll);
        history.complete(poll, 3, vec![LogRead { offset: 0, value: 5 }]);
        assert!(log_offsets(&history).breaks("aborted-read"));
        // Unknown sends may be seen, or not.
        let mut history = History::new();
        history.invoke(0, 0, Send(5));
        assert!(log_offsets(&history).holds());
        let poll = history.invoke(1, 2, Poll);
        history.complete(poll, 3, vec![LogRead { offset: 0, value: 5 }]);
        assert!(log_offsets(&history).holds());
    }
}
