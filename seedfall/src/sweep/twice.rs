//! Whether two runs of one seed are the same run: if not, the verdict is nondeterminism, whatever
//! else they came to.

use crate::report::{Failure, FailureKind, Report};
use crate::run::{Runnable, Trial};
use seedfall_sim::{Entry, Recording, StableHasher};

/// Of how many passing runs one is run twice: 2 %.
const ONE_IN: u64 = 50;

/// So many runs at the beginning of a sweep are run twice, whatever they come to: a short sweep
/// would else repeat none.
const FIRST: u64 = 4;

/// Whether a run is to be run again: every failure is, and 2 % of the others.
pub(super) fn is_due(report: &Report, place: u64) -> bool {
    let chosen = StableHasher::hash(&("twice", report.seed.0)).is_multiple_of(ONE_IN);
    report.failed() || place < FIRST || chosen
}

/// Runs a trial twice. Where the two runs differ, the failure of the first is replaced by one that
/// names the first event in which they do.
pub fn run_twice(scenario: &dyn Runnable, trial: &Trial) -> Report {
    compared(scenario, trial, scenario.run(trial))
}

/// Runs a trial again, and compares with what it came to.
pub(super) fn compared(scenario: &dyn Runnable, trial: &Trial, first: Report) -> Report {
    let second = scenario.run(trial);
    if same(&first, &second) {
        return first;
    }
    // Recorded, they need not differ in the same place, nor at all: a few tries will do.
    let full = Trial { recording: Recording::Full, ..trial.clone() };
    let differs = (0..4).find_map(|_| {
        let (one, other) = (scenario.run(&full), scenario.run(&full));
        divergence(&one.trace, &other.trace)
    });
    let failure = nondeterminism(&first, &second, differs);
    Report { failures: vec![failure], ..first }
}

fn same(first: &Report, second: &Report) -> bool {
    let prints = |report: &Report| -> Vec<String> {
        report.failures.iter().map(|failure| failure.fingerprint.clone()).collect()
    };
    (first.hash, first.events) == (second.hash, second.events) && prints(first) == prints(second)
}

/// The first event that differs, counted from one, and both.
fn divergence(one: &[Entry], other: &[Entry]) -> Option<(usize, Option<Entry>, Option<Entry>)> {
    let same = |index: &usize| match (one.get(*index), other.get(*index)) {
        (Some(one), Some(other)) => one.hash == other.hash && one.text == other.text,
        _ => false,
    };
    let index = (0..one.len().max(other.len())).find(|index| !same(index))?;
    Some((index + 1, one.get(index).cloned(), other.get(index).cloned()))
}

fn nondeterminism(
    first: &Report,
    second: &Report,
    differs: Option<(usize, Option<Entry>, Option<Entry>)>,
) -> Failure {
    let (where_, at) = match &differs {
        None => {
            let what = if first.hash == second.hash {
                "their events are the same, and their verdicts are not: a property reads something \
                 that the seed does not decide"
            } else {
                "recorded event by event they were the same"
            };
            (what.to_owned(), first.ended)
        }
        Some((event, one, other)) => {
            let entry = one.as_ref().or(other.as_ref());
            let who = entry.map_or_else(String::new, |entry| entry.event.actor.to_string());
            let told = |entry: &Option<Entry>| match entry {
                Some(entry) => entry.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
                None => "the run is over".to_owned(),
            };
            let what = format!(
                "they diverge at event {event}, an effect or event of {who}: once `{}`, once `{}`",
                told(one),
                told(other)
            );
            (what, entry.map_or(first.ended, |entry| entry.event.at))
        }
    };
    let hashes = format!("{:#018x} and {:#018x}", first.hash, second.hash);
    Failure {
        kind: FailureKind::Nondeterminism,
        scenario: first.scenario,
        seed: first.seed,
        property: "two runs of one seed are the same run".to_owned(),
        explanation: format!(
            "{where_} (hashes {hashes}). Usual causes: a HashMap or HashSet that is iterated \
             (BTreeMap, or sort first), Instant::now or SystemTime::now (Context::now), a thread, \
             rand::random (Context::draw), a global or thread-local counter, an address printed"
        ),
        expected: None,
        operations: Vec::new(),
        nodes: Vec::new(),
        event: differs.map_or(first.events, |(event, ..)| event as u64),
        at,
        hash: first.hash,
        fingerprint: "nondeterminism: two runs of one seed are the same run".to_owned(),
        faults: first.plan.entries.iter().map(ToString::to_string).collect(),
        replay: crate::words::command(&format!(
            "replay {} --seed {}",
            first.scenario, first.seed.0
        )),
    }
}
