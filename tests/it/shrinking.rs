//! What shrinking guarantees: the same failure, nothing in it that could be left out, and the same
//! result every time.

use seedfall::case::{Case, Replayed};
use seedfall::shrink::{DEFAULT_RUNS, Effort, Shrunk, Stop, arrivals, shrink, shrink_once, story};
use seedfall::sim::{DrawAddress, Event, Recording, Seed, Site};
use seedfall::{Runnable, Swarm, Trial};
use seedfall_scenarios::{self, copied_register, raft_kv};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// A failing run of the negative control, under faults that have nothing to do with its bug.
pub(crate) fn small() -> (Box<dyn Runnable>, Shrunk) {
    let mut scenario = copied_register::scenario();
    scenario.faults = Swarm::ALL;
    let scenario: Box<dyn Runnable> = Box::new(scenario);
    let failing = (0..100).map(|seed| Trial::of(Seed(seed))).find(|trial| {
        let report = scenario.run(trial);
        report.plan.entries.len() > 3 && report.failed()
    });
    let failing = failing.expect("the bug shows in most runs");
    let small = shrink(scenario.as_ref(), &failing, &Effort::runs(DEFAULT_RUNS)).expect("it fails");
    (scenario, small)
}

fn fingerprint(scenario: &dyn Runnable, trial: &Trial) -> Option<String> {
    scenario.run(trial).failure().map(|failure| failure.fingerprint.clone())
}

#[test]
fn a_shrunk_run_fails_in_the_same_way_and_nothing_can_be_left_out() {
    let (scenario, small) = small();
    assert!(small.runs < DEFAULT_RUNS, "the search came to its end");
    let same = small.failure().map(|failure| failure.fingerprint.clone());
    assert!(same.is_some() && fingerprint(scenario.as_ref(), &small.trial) == same);
    // Whatever fails without it, within as many events as the original took to fail, is less.
    let until = Some(small.before.events);
    let fails =
        |trial: &Trial| fingerprint(scenario.as_ref(), &Trial { until, ..trial.clone() }) == same;
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

/// A shrunk run is over as soon as it has failed: one event less, and it has not.
#[test]
fn a_shrunk_run_ends_with_what_breaks_it() {
    let (scenario, small) = small();
    assert_eq!(small.trial.until, Some(small.after.events));
    assert!(small.before.events <= small.whole, "{}", small.summary());
    let less = Trial { until: Some(small.after.events - 1), ..small.trial.clone() };
    let report = scenario.run(&less);
    let shorter = report.events < small.after.events;
    assert!(!shorter || !report.failed(), "{}", report.events);
    let whole = Trial { until: None, ..small.trial.clone() };
    let same = small.failure().map(|failure| failure.fingerprint.clone());
    assert_eq!(fingerprint(scenario.as_ref(), &whole), same, "and to its end it fails as well");
}

/// Only so may a shrunk run be cut short: whoever keeps an `always` to the end keeps it throughout.
#[test]
fn a_run_that_passes_violates_no_property_when_it_is_cut_short() {
    for scenario in seedfall_scenarios::all() {
        for seed in 0..2 {
            let trial = Trial { recording: Recording::Full, ..Trial::of(Seed(seed)) };
            let whole = scenario.run(&trial);
            if whole.failed() {
                continue;
            }
            for part in 1..5 {
                let until = Some(whole.events * part / 5);
                let cut = scenario.run(&Trial { until, ..trial.clone() });
                let name = format!("{} {seed}: {until:?} {:?}", scenario.name(), cut.conclusion());
                assert!(!cut.failed(), "{name}");
                assert!(until <= Some(cut.events) && cut.events < whole.events, "{name}");
                assert_eq!(cut.trace[..], whole.trace[..cut.trace.len()], "{name}");
            }
        }
    }
}

#[test]
fn a_shrunk_run_is_much_smaller_and_has_a_story() {
    let (_, small) = small();
    assert!(small.after.events < small.before.events, "{}", small.summary());
    assert!(small.after.events * 3 <= small.whole, "{} of {}", small.summary(), small.whole);
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
fn what_is_small_already_is_told_as_it_is() {
    let (scenario, small) = small();
    let effort = Effort::runs(DEFAULT_RUNS);
    let again = shrink_once(scenario.as_ref(), &small.trial, &effort).expect("it fails");
    assert_eq!((again.runs, again.report.hash), (0, small.report.hash));
    assert_eq!((story(&again), again.matter.clone()), (story(&small), small.matter));
    let told = again.told("so").expect("it fails");
    assert!(told.contains("\n  story\n") && !told.contains("shrunk to"), "{told}");
    let seed = Trial::of(small.trial.seed);
    assert!(shrink_once(scenario.as_ref(), &seed, &effort).is_some_and(|small| small.runs > 0));
}

#[test]
fn the_case_is_the_same_byte_for_byte_on_one_core_and_on_several() {
    let mut scenario = copied_register::scenario();
    scenario.faults = Swarm::ALL;
    let fails = |trial: &Trial| scenario.run(trial).failed();
    let failing = (0..100).map(|seed| Trial::of(Seed(seed))).find(fails);
    let failing = failing.expect("the bug shows in most runs");
    // Fewer runs than it would take: also where it stops must not depend on the cores.
    for runs in [DEFAULT_RUNS, 90] {
        let cases = [1, 2, 5].map(|jobs| {
            let jobs = NonZeroUsize::new(jobs).expect("not zero");
            let effort = Effort { runs, time: None, jobs };
            let small = shrink(&scenario, &failing, &effort).expect("it fails");
            let case = Case::of(&small.trial, &small.report, "");
            (small.runs, serde_json::to_string(&case).expect("a case is JSON"))
        });
        assert!(cases[0] == cases[1] && cases[1] == cases[2], "{runs}");
    }
}

#[test]
fn a_shrink_that_has_no_time_says_so() {
    let (scenario, small) = small();
    assert_eq!(small.stopped, None);
    let seed = Trial::of(small.trial.seed);
    let time = Some(std::time::Duration::ZERO);
    let hasty = Effort { time, ..Effort::runs(DEFAULT_RUNS) };
    let hasty = shrink(scenario.as_ref(), &seed, &hasty).expect("it fails");
    assert_eq!(hasty.stopped, Some(Stop::Time));
    assert!(hasty.summary().contains("not minimal: its time was up"), "{}", hasty.summary());
    let few = shrink(scenario.as_ref(), &seed, &Effort::runs(20)).expect("it fails");
    assert_eq!(few.stopped, Some(Stop::Runs), "{}", few.summary());
}

/// The draw that decided when it arrives.
fn draw(event: &Event) -> DrawAddress {
    DrawAddress { site: Site::Link(event.peer, event.actor), index: event.index }
}

/// Every arrival of the small run either matters or can be lost; together they can be.
#[test]
fn what_matters_is_what_cannot_be_lost() {
    let (scenario, small) = small();
    let matter = small.matter.clone().expect("asked, and a broken safety property");
    assert!(0 < matter.matter && matter.matter <= matter.arrivals, "{matter:?}");
    assert!(!matter.draws.is_empty(), "{matter:?}");
    let same = small.failure().map(|failure| failure.fingerprint.clone());
    let (matters, others): (Vec<Event>, Vec<Event>) = arrivals(&small.report.trace)
        .into_iter()
        .partition(|one| matter.draws.contains(&draw(one)));
    let only = |events: &[Event]| Trial {
        only: Some(Arc::new(events.to_vec())),
        until: None,
        ..small.trial.clone()
    };
    let fails = |events: &[Event]| fingerprint(scenario.as_ref(), &only(events)) == same;
    assert!(fails(&matters), "with these alone it fails");
    assert!(!fails(&others), "without all of them it does not");
    // Nothing in the part arrives that did not in the run that is told.
    let part = Trial { recording: Recording::Full, ..only(&matters) };
    for event in arrivals(&scenario.run(&part).trace) {
        let like = |one: &&Event| Event { index: event.index, ..**one } == event;
        assert!(matters.iter().any(|one| like(&one)), "{event:?}");
    }
}

#[test]
fn a_run_that_passes_is_not_shrunk() {
    let scenario = raft_kv::three();
    assert!(shrink(&scenario, &Trial::of(Seed(1)), &Effort::runs(100)).is_none());
}
