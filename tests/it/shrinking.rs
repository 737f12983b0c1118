//! What shrinking promises: the same failure, nothing in it that could be left out, and the same
//! result every time.

use seedfall::builtin::{copied_register, raft_kv};
use seedfall::case::{Case, Replayed};
use seedfall::shrink::{DEFAULT_RUNS, Effort, Shrunk, shrink, story};
use seedfall::sim::Seed;
use seedfall::{Conclusion, Runnable, Swarm, Trial};

/// A failing run of the negative control, under faults that have nothing to do with its bug.
fn small() -> (Box<dyn Runnable>, Shrunk) {
    let mut scenario = copied_register::scenario();
    scenario.faults = Swarm::ALL;
    let scenario: Box<dyn Runnable> = Box::new(scenario);
    let failing = (0..100).map(|seed| Trial::of(Seed(seed))).find(|trial| {
        let report = scenario.run(trial);
        report.plan.entries.len() > 3 && matches!(report.conclusion, Conclusion::Failed(_))
    });
    let failing = failing.expect("the bug shows in most runs");
    let small = shrink(scenario.as_ref(), &failing, &Effort::runs(DEFAULT_RUNS)).expect("it fails");
    (scenario, small)
}

fn fingerprint(scenario: &dyn Runnable, trial: &Trial) -> Option<String> {
    match scenario.run(trial).conclusion {
        Conclusion::Failed(failure) => Some(failure.fingerprint),
        _ => None,
    }
}

#[test]
fn a_shrunk_run_fails_in_the_same_way_and_nothing_can_be_left_out() {
    let (scenario, small) = small();
    assert!(small.runs < DEFAULT_RUNS, "the search came to its end");
    let same = small.failure().map(|failure| failure.fingerprint.clone());
    assert!(same.is_some() && fingerprint(scenario.as_ref(), &small.trial) == same);
    let fails = |trial: &Trial| fingerprint(scenario.as_ref(), trial) == same;
    let plan = small.trial.plan.clone().expect("a shrunk run has its plan written out");
    for index in 0..plan.entries.len() {
        let mut less = plan.clone();
        less.entries.remove(index);
        let without = Trial { plan: Some(less), ..small.trial.clone() };
        assert!(!fails(&without), "fault {index} can be left out");
    }
    for operation in scenario.operations() {
        let mut without = small.trial.clone();
        if without.skip.insert(operation) {
            assert!(!fails(&without), "{operation} can be left out");
        }
    }
    for draw in small.trial.random.clone().expect("a shrunk run is calm") {
        let mut without = small.trial.clone();
        without.random.as_mut().expect("calm").remove(&draw);
        assert!(!fails(&without), "{draw:?} can be made dull");
    }
}

#[test]
fn a_shrunk_run_is_much_smaller_and_has_a_story() {
    let (_, small) = small();
    assert!(small.after.events * 3 <= small.before.events, "{}", small.summary());
    assert_eq!(small.after.faults, 0, "the bug needs no fault: {}", small.summary());
    assert!(small.after.draws <= 5, "{}", small.summary());
    let story = story(&small).join("\n");
    assert!(story.contains("asks") && story.contains("is told by"), "{story}");
}

#[test]
fn shrinking_is_deterministic_and_its_case_replays() {
    let (scenario, one) = small();
    let (_, two) = small();
    assert_eq!((one.report.hash, one.runs), (two.report.hash, two.runs));
    let case = Case::of(&one.trial, &one.report, "");
    assert_eq!(case.compare(&scenario.run(&case.trial())), Replayed::Same);
}

#[test]
fn a_run_that_passes_is_not_shrunk() {
    let scenario = raft_kv::three();
    assert!(shrink(&scenario, &Trial::of(Seed(1)), &Effort::runs(100)).is_none());
}
