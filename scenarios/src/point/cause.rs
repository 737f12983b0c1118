//! The cause of a failure, as far as one can be computed: the last decision but for which the run
//! passes.

use super::failure;
use crate::run::{Runnable, Trial};
use seedfall_sim::{DrawAddress, Entry, Kind, Recording, Site, Time};
use serde::Serialize;

/// The last decision but for which a run would not have broken its promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Which event, counted from one: a message or a request leaves, or a fault begins.
    pub event: u64,
    /// At which event the message or the request arrives, if it does.
    pub arrives: Option<u64>,
    /// The event in words.
    pub text: String,
}

/// Tries the run, to its end, without each of its messages and requests, and without each of its
/// faults, the last ones first: the first that it cannot fail without. A message counts as decided
/// when it leaves. Answers to clients are not tried: they only tell what has been done. `None`: the
/// run does not fail, or fails whatever single thing is left out.
pub fn cause(scenario: &dyn Runnable, trial: &Trial) -> Option<Cause> {
    let plan = Some(scenario.run(trial).plan);
    let trial = Trial { plan, recording: Recording::Full, fork: None, ..trial.clone() };
    let report = scenario.run(&trial);
    let promise = &failure(&report.conclusion)?.promise;
    let whole = Trial { until: None, recording: Recording::Hash, ..trial };
    let fails = |trial: &Trial| {
        let report = scenario.run(trial);
        failure(&report.conclusion).is_some_and(|broken| broken.promise == *promise)
    };
    let mut decisions = sent(&report.trace, &whole);
    decisions.extend(begun(&report.trace, &whole));
    decisions.sort_by_key(|(event, _)| *event);
    let (event, _) = decisions.into_iter().rev().find(|(_, without)| !fails(without))?;
    let text = report.trace.get(event).map(ToString::to_string).unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(Cause { event: event as u64 + 1, arrives: arrival(&report.trace, event), text })
}

/// At which event that which left at this place of the trace first arrives, counted from one.
fn arrival(trace: &[Entry], left: usize) -> Option<u64> {
    let sent = trace.get(left)?.event;
    let is_it = |entry: &Entry| {
        matches!(entry.event.kind, Kind::Deliver | Kind::Asked)
            && (entry.event.actor, entry.event.peer) == (sent.peer, sent.actor)
            && entry.event.ordinal == sent.ordinal
    };
    let leaves = matches!(sent.kind, Kind::Send | Kind::Request);
    let found = trace.iter().skip(left).position(is_it).filter(|_| leaves)?;
    Some((left + found) as u64 + 1)
}

/// For each message and request that left, when it did, and the trial in which it is lost.
fn sent(trace: &[Entry], trial: &Trial) -> Vec<(usize, Trial)> {
    let leaves = |entry: &Entry| matches!(entry.event.kind, Kind::Send | Kind::Request);
    let lost = |entry: &Entry| {
        let site = Site::Link(entry.event.actor, entry.event.peer);
        let mut trial = trial.clone();
        trial.left_out.insert(DrawAddress { site, ordinal: entry.event.ordinal });
        trial
    };
    let all = trace.iter().enumerate().filter(|(_, entry)| leaves(entry));
    all.map(|(event, entry)| (event, lost(entry))).collect()
}

/// For each fault that began, when it did, and the trial without it.
fn begun(trace: &[Entry], trial: &Trial) -> Vec<(usize, Trial)> {
    let plan = trial.plan.clone().unwrap_or_default();
    let without = |(index, fault): (usize, &crate::plan::Entry)| {
        let event = trace.iter().position(|entry| Time::ZERO + fault.at <= entry.event.at)?;
        let mut less = plan.clone();
        less.entries.remove(index);
        Some((event, Trial { plan: Some(less), ..trial.clone() }))
    };
    plan.entries.iter().enumerate().filter_map(without).collect()
}
