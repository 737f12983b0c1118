//! Eventual convergence of replicas (Shapiro et al., *Conflict-free replicated data types*, 2011).
//!
//! Judged when the run is quiet: faults stopped, every message delivered. *Eventual delivery*: what
//! one correct replica delivered all delivered. *Strong convergence*: replicas that delivered the
//! same updates have the same state, at any moment. *Durability*: an update that a client was told
//! is done was delivered by every correct replica; one that failed by none.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{History, Outcome};
use crate::report::Report;

/// What one replica had at the time of judging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its name.
    pub replica: u32,
    /// The updates it applied, by identity.
    pub delivered: BTreeSet<u64>,
    /// A digest of its state; equal states give equal digests.
    pub digest: u64,
}

/// Checks quiet, correct replicas against the updates that clients sent; an operation's input is
/// the identity of its update.
#[must_use]
pub fn convergence(updates: &History<u64, ()>, replicas: &[Replica]) -> Report {
    let mut report = Report { examined: replicas.len() as u64, ..Report::default() };
    let mut digests: BTreeMap<&BTreeSet<u64>, &Replica> = BTreeMap::new();
    for replica in replicas {
        let first = *digests.entry(&replica.delivered).or_insert(replica);
        if first.digest != replica.digest {
            report.note("strong-convergence", &[], || {
                format!(
                    "replicas {} and {} delivered the same {} updates and differ",
                    first.replica,
                    replica.replica,
                    replica.delivered.len()
                )
            });
        }
    }
    let all: BTreeSet<u64> = replicas.iter().flat_map(|r| r.delivered.iter().copied()).collect();
    for replica in replicas {
        if let Some(missing) = all.difference(&replica.delivered).next() {
            report.note("eventual-delivery", &[], || {
                format!("replica {} never delivered update {missing}", replica.replica)
            });
        }
    }
    let mut sent = BTreeSet::new();
    for (index, operation) in (0u32..).zip(&updates.operations) {
        let update = operation.input;
        sent.insert(update);
        match operation.outcome {
            Outcome::Ok { .. } if !all.contains(&update) && !replicas.is_empty() => {
                report.note("durability", &[index], || {
                    format!("update {update} was confirmed and is nowhere")
                });
            }
            Outcome::Failed { .. } if all.contains(&update) => {
                report.note("durability", &[index], || {
                    format!("update {update} failed and was delivered")
                });
            }
            Outcome::Ok { .. } | Outcome::Failed { .. } | Outcome::Indeterminate => {}
        }
    }
    if let Some(stranger) = all.difference(&sent).next() {
        report.note("validity", &[], || format!("update {stranger} was delivered and never sent"));
    }
    report
}
