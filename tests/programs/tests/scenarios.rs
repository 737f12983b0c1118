//! Services of axum and tonic as scenarios: the right ones hold, the bugs of the wrong ones are
//! found, made small, told and replayed.

use seedfall::explain::Explanation;
use seedfall::shrink::{Effort, Shrunk, shrink, story};
use seedfall::sweep::{Meaning, Sweep, all_cores, sweep};
use seedfall::{Runnable, Trial};
use seedfall_kernel::isolated;
use seedfall_programs::{journal, payments};

fn holds(scenario: &dyn Runnable) {
    let plan = Sweep { seeds: 0..1_000, keep_going: true, ..Sweep::new(all_cores()) };
    let summary = sweep(scenario, &plan, &|_| ());
    assert_eq!(summary.meaning(scenario), Meaning::AsExpected, "{summary:?}");
    assert_eq!(summary.passed, 1_000);
    println!("{}: 1,000 seeds in {:?}", scenario.name(), summary.took);
}

/// The first failure of a scenario, made small.
fn found(scenario: &dyn Runnable) -> (Shrunk, Vec<String>) {
    let plan = Sweep { seeds: 0..1_000, ..Sweep::new(all_cores()) };
    let summary = sweep(scenario, &plan, &|_| ());
    assert_eq!(summary.meaning(scenario), Meaning::AsExpected, "{summary:?}");
    let (_, failure) = summary.expected.values().next().expect("it is found");
    let trial = Trial::of(failure.seed);
    assert_eq!(scenario.run(&trial).failure(), Some(failure), "the same run");
    let small = shrink(scenario, &trial, &Effort::runs(3_000)).expect("it fails");
    let told = story(&small);
    println!("{failure}\n{}\n{}", small.summary(), told.join("\n"));
    assert_eq!(scenario.run(&small.trial).hash, small.report.hash, "the small one, too");
    let page = Explanation::of(scenario, &small, "replay".to_owned(), None).html();
    assert!(page.contains(scenario.name()) && page.len() < 4 << 20);
    (small, told)
}

/// Whether some line has all of these words.
fn tells(story: &[String], words: &[&str]) -> bool {
    story.iter().any(|line| words.iter().all(|word| line.contains(word)))
}

#[test]
fn a_service_of_axum_that_keeps_its_keys_holds() {
    isolated(|| holds(&payments::right()));
}

#[test]
fn a_payment_that_is_booked_twice_after_a_crash_is_found_and_told() {
    isolated(|| {
        let (small, story) = found(&payments::forgetful());
        assert!(small.after.faults <= 2, "{}", small.summary());
        assert!(tells(&story, &["n1 crashes"]), "{story:#?}");
        assert!(tells(&story, &["POST /payments HTTP/1.1"]), "{story:#?}");
        assert!(tells(&story, &["n1 writes /work/ledger"]), "{story:#?}");
        assert!(tells(&story, &["broken: always linearizable"]), "{story:#?}");
    });
}

#[test]
fn a_payment_that_is_booked_twice_as_its_request_was_dropped_is_found_and_told() {
    isolated(|| {
        let (_, story) = found(&payments::stopped());
        assert!(tells(&story, &["n1 writes /work/ledger"]), "{story:#?}");
        assert!(tells(&story, &["broken: always linearizable"]), "{story:#?}");
    });
}

#[test]
fn a_service_of_tonic_that_syncs_holds() {
    isolated(|| holds(&journal::right()));
}

#[test]
fn a_record_that_is_acknowledged_and_lost_in_a_crash_is_found_and_told() {
    isolated(|| {
        let (small, story) = found(&journal::wrong());
        assert!(small.after.faults <= 2, "{}", small.summary());
        assert!(tells(&story, &["n1 crashes", "not durable"]), "{story:#?}");
        assert!(tells(&story, &["HTTP/2", "DATA", "of stream"]), "{story:#?}");
        assert!(tells(&story, &["n1 writes /work/records"]), "{story:#?}");
    });
}
