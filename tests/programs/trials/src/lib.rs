//! How a scenario of programs is tried in a test: that it holds over many seeds, or that what it
//! expects to break is found, made small, told and replayed.

use seedfall::explain::Explanation;
use seedfall::report::Failure;
use seedfall::shrink::{Effort, Shrunk, shrink, story};
use seedfall::sweep::{Meaning, Summary, Sweep, all_cores, sweep};
use seedfall::{Runnable, Trial};
use std::ops::Range;

/// Does it in a process of its own.
pub fn alone(scenario: impl Runnable, body: impl Fn(&dyn Runnable)) {
    scenario.alone(&mut || body(&scenario));
}

/// A thousand seeds hold.
///
/// # Panics
/// If one does not, or the sweep is vacuous.
pub fn holds(scenario: &dyn Runnable) {
    let summary = as_expected(scenario, 0..1_000, true);
    assert_eq!(summary.passed, 1_000);
    println!("{}: 1,000 seeds in {:?}", scenario.name(), summary.took);
}

/// The first failure of the first thousand seeds, made small, and its story.
///
/// # Panics
/// As [`found_in`].
pub fn found(scenario: &dyn Runnable) -> (Shrunk, Vec<String>) {
    found_in(scenario, 0..1_000)
}

/// The first failure of these seeds, made small, and its story.
///
/// # Panics
/// If none fails, something fails that is not expected to, or a run does not repeat itself.
pub fn found_in(scenario: &dyn Runnable, seeds: Range<u64>) -> (Shrunk, Vec<String>) {
    let failure = seen_in(scenario, seeds);
    let trial = Trial::of(failure.seed);
    let small = shrink(scenario, &trial, &Effort::runs(3_000)).expect("it fails");
    let told = story(&small);
    println!("{failure}\n{}\n{}", small.summary(), told.join("\n"));
    assert_eq!(scenario.run(&small.trial).hash, small.report.hash, "the small one, too");
    let page = Explanation::of(scenario, &small, "replay".to_owned(), None).html();
    assert!(page.contains(scenario.name()) && page.len() < 4 << 20);
    (small, told)
}

/// The first failure of these seeds as it is.
///
/// # Panics
/// If none fails, something fails that is not expected to, or its run does not repeat itself.
pub fn seen_in(scenario: &dyn Runnable, seeds: Range<u64>) -> Failure {
    let summary = as_expected(scenario, seeds, false);
    let (_, failure) = summary.expected.into_values().next().expect("it is found");
    assert_eq!(scenario.run(&Trial::of(failure.seed)).hash, failure.hash, "the same run");
    failure
}

fn as_expected(scenario: &dyn Runnable, seeds: Range<u64>, keep_going: bool) -> Summary {
    let plan = Sweep { seeds, keep_going, ..Sweep::new(all_cores()) };
    let summary = sweep(scenario, &plan, &|_| ());
    assert_eq!(summary.meaning(scenario), Meaning::AsExpected, "{summary:?}");
    summary
}

/// Whether some line has all of these words.
#[must_use]
pub fn tells(story: &[String], words: &[&str]) -> bool {
    story.iter().any(|line| words.iter().all(|word| line.contains(word)))
}
