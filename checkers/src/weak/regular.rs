//! Regular and safe registers (Lamport, *On interprocess communication*, 1986).
//!
//! *Regular*: a read returns the value of a write that overlaps it, or of one that no other write
//! had certainly replaced before the read began. With several writers this is MWR-Weak of Shao,
//! Welch, Pierce and Lee (*Multiwriter consistency conditions for shared memory registers*, 2011):
//! readers need not agree on the order of concurrent writes.
//!
//! *Safe*: as regular for a read that overlaps no write of its key; any other may return anything.
//!
//! One sweep a key, O(n log n). An unconfirmed write overlaps everything after its call and
//! replaces nothing for certain.

use crate::report::Report;
use crate::weak::accesses::{Accesses, KeyAccesses, Refused, RegisterHistory, Role};

/// Checks that every register is regular.
///
/// # Errors
/// If a value is written twice to one key, or no recorder can have produced the history.
pub fn regular(history: &RegisterHistory) -> Result<Report, Refused> {
    let mut report = Report::default();
    let accesses = Accesses::new(history, &mut report)?;
    for key in accesses.by_key() {
        sweep(&accesses, &key, |_| true, &mut report);
    }
    Ok(report)
}

/// Checks that every register is safe.
///
/// # Errors
/// If a value is written twice to one key, or no recorder can have produced the history.
pub fn safe(history: &RegisterHistory) -> Result<Report, Refused> {
    // Values out of thin air are allowed beside a write, so they are noted again below.
    let mut ignored = Report::default();
    let accesses = Accesses::new(history, &mut ignored)?;
    let mut report = Report { examined: ignored.examined, ..Report::default() };
    let overlap = Overlap::new(&accesses);
    for &read in accesses.strange.iter().filter(|read| !overlap.any(&accesses, **read)) {
        report.note("thin-air-read", &[read], || {
            format!("operation #{read} overlaps no write and read what no write left")
        });
    }
    for key in accesses.by_key() {
        sweep(&accesses, &key, |read| !overlap.any(&accesses, read), &mut report);
    }
    Ok(report)
}

/// Reads each source against the latest write certainly complete before the read.
fn sweep(
    accesses: &Accesses<'_>,
    key: &KeyAccesses,
    judged: impl Fn(u32) -> bool,
    report: &mut Report,
) {
    let mut writes = key.writes.clone();
    writes.sort_by_key(|write| accesses.returned(*write));
    let mut reads = key.reads.clone();
    reads.sort_by_key(|(read, _)| accesses.call(*read));
    let mut complete = writes.into_iter().peekable();
    // Of the writes that returned before the read was called, the one called last.
    let mut latest: Option<u32> = None;
    for (read, source) in reads {
        let call = accesses.call(read);
        while let Some(write) = complete.next_if(|write| accesses.returned(*write) < call) {
            if latest.is_none_or(|latest| accesses.call(latest) < accesses.call(write)) {
                latest = Some(write);
            }
        }
        if !judged(read) {
            continue;
        }
        match (source, latest) {
            (Some(source), _) if accesses.returned(read) < accesses.call(source) => {
                report.note("read-from-future", &[read, source], || {
                    format!("operation #{read} returned before its source #{source} was called")
                });
            }
            (Some(source), Some(latest)) if accesses.returned(source) < accesses.call(latest) => {
                report.note("stale-read", &[read, source, latest], || {
                    format!(
                        "operation #{read} read from #{source}, which #{latest} had replaced before"
                    )
                });
            }
            (None, Some(latest)) => report.note("stale-read", &[read, latest], || {
                format!("operation #{read} read the initial state, which #{latest} had replaced")
            }),
            (Some(_) | None, _) => {}
        }
    }
}

/// Whether writes run beside a read of their key.
struct Overlap {
    /// Per key: writes by call, each with the latest return among it and those before it.
    rows: Vec<Vec<(u64, u64)>>,
}

impl Overlap {
    fn new(accesses: &Accesses<'_>) -> Self {
        let mut rows = vec![Vec::new(); accesses.keys];
        for index in 0..accesses.len() {
            // An unconfirmed write that nobody saw may still be under way: it excuses too.
            let input = accesses.history.operations[index as usize].input;
            let is_write = matches!(input, crate::weak::Access::Write { .. })
                && (accesses.roles[index as usize] == Role::Write
                    || accesses.is_indeterminate(index));
            if is_write {
                rows[accesses.key[index as usize] as usize]
                    .push((accesses.call(index), accesses.returned(index)));
            }
        }
        for row in &mut rows {
            row.sort_unstable();
            for at in 1..row.len() {
                row[at].1 = row[at].1.max(row[at - 1].1);
            }
        }
        Self { rows }
    }

    fn any(&self, accesses: &Accesses<'_>, read: u32) -> bool {
        let row = &self.rows[accesses.key[read as usize] as usize];
        let begun = row.partition_point(|(call, _)| *call <= accesses.returned(read));
        0 < begun && accesses.call(read) <= row[begun - 1].1
    }
}
