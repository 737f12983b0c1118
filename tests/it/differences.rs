//! `diff` of two runs: the first event that differs, and the decision that makes the difference.

use seedfall::diff::{Decision, Side, compare, neighbour};
use seedfall::shrink::{DEFAULT_RUNS, Effort, shrink};
use seedfall::sim::{Override, Seed, Site};
use seedfall::{Conclusion, FaultPlan, Runnable, Swarm, Trial};
use seedfall_scenarios::{copied_register, raft_kv};

fn parts_at(one: &Side, two: &Side) -> u64 {
    let pairs = one.report.trace.iter().zip(&two.report.trace);
    pairs.take_while(|(one, two)| one.event == two.event).count() as u64 + 1
}

/// Seeds whose runs have faults.
fn some_trials(scenario: &dyn Runnable) -> Vec<Trial> {
    let drawn = (0..40)
        .map(|seed| Trial { plan: Some(scenario.plan(Seed(seed))), ..Trial::of(Seed(seed)) });
    drawn.filter(|trial| trial.plan.as_ref().is_some_and(|plan| plan.entries.len() > 2)).collect()
}

#[test]
fn a_run_is_equal_to_itself() {
    let scenario = raft_kv::three();
    let trial = Trial::of(Seed(4));
    let (one, two) = (Side::of(&scenario, &trial), Side::of(&scenario, &trial));
    assert!(compare(&scenario, &one, &two).is_none());
}

/// Each of a run's overridden draws is named as the decision, at the event at which it shows.
#[test]
fn the_draw_that_was_overridden_is_the_decision() {
    let scenario = raft_kv::three();
    let quiet = Trial { plan: Some(FaultPlan::default()), ..Trial::of(Seed(2)) };
    let one = Side::of(&scenario, &quiet);
    let drawn = one.report.draws.iter().map(|(draw, _)| *draw);
    let links = drawn.filter(|draw| matches!(draw.site, Site::Link(..)));
    let mut told = 0;
    for draw in links.step_by(41).take(10) {
        let mut trial = quiet.clone();
        trial.overrides.insert(draw, Override::Words([u32::MAX / 7; 4]));
        let two = Side::of(&scenario, &trial);
        // At the end of the run messages are still under way.
        let Some(difference) = compare(&scenario, &one, &two) else { continue };
        assert_eq!(difference.event, parts_at(&one, &two));
        let Some(Decision::Draw { draw: named, left, right, .. }) = difference.decision else {
            panic!("a draw was changed: {:?}", difference.decision);
        };
        assert_eq!(named, draw);
        assert_ne!(left, right);
        told += usize::from(left.contains("arrives"));
    }
    assert!(told >= 8, "most messages arrive: {told}");
}

#[test]
fn the_fault_that_was_left_out_is_the_decision() {
    let scenario = raft_kv::three();
    let mut compared = 0;
    for trial in some_trials(&scenario).into_iter().take(4) {
        let mut less = trial.clone();
        let plan = less.plan.as_mut().expect("written out");
        let gone = plan.entries.remove(1);
        let (one, two) = (Side::of(&scenario, &trial), Side::of(&scenario, &less));
        let Some(difference) = compare(&scenario, &one, &two) else { continue };
        compared += 1;
        assert_eq!(difference.event, parts_at(&one, &two));
        assert_eq!(difference.decision, Some(Decision::Fault { left: Some(gone), right: None }));
    }
    assert!(compared >= 2, "faults show: {compared}");
}

#[test]
fn the_operation_that_was_left_out_is_the_decision() {
    let scenario = raft_kv::three();
    let trial = Trial::of(Seed(2));
    let operation = scenario.operations()[3];
    let mut less = trial.clone();
    less.skip.insert(operation);
    let (one, two) = (Side::of(&scenario, &trial), Side::of(&scenario, &less));
    let difference = compare(&scenario, &one, &two).expect("an operation shows");
    assert_eq!(difference.decision, Some(Decision::Operation { operation, left: true }));
}

/// Two seeds differ in every draw. What is named is then a run: taken over, it makes one side do
/// what the other did.
#[test]
fn of_two_seeds_the_named_draw_brings_the_event_about() {
    let scenario = raft_kv::three();
    let mut named = 0;
    for seed in 0..6 {
        let quiet = |seed| Trial { plan: Some(FaultPlan::default()), ..Trial::of(Seed(seed)) };
        let (one, two) =
            (Side::of(&scenario, &quiet(seed)), Side::of(&scenario, &quiet(seed + 100)));
        let difference = compare(&scenario, &one, &two).expect("two seeds are two runs");
        let Some(Decision::Draw { draw, .. }) = difference.decision else { continue };
        named += 1;
        let at = difference.event as usize;
        let becomes = |to: &Side, from: &Side| {
            let value = |side: &Side| {
                let logged = side.report.draws.iter().find(|(one, _)| *one == draw);
                logged.map(|(_, words)| Override::Words(*words))
            };
            // A draw that was made as the run began is not in its log; the seed says it.
            let mut draws = seedfall::sim::Draws::new(from.trial.seed, 3, 5);
            let mut opening = draws.at(draw.site, draw.index);
            let opening = [opening.word(), opening.word(), opening.word(), opening.word()];
            let value = value(from).unwrap_or(Override::Words(opening));
            let mut trial = to.trial.clone();
            trial.overrides.insert(draw, value);
            at < parts_at(&Side::of(&scenario, &trial), from) as usize
        };
        assert!(becomes(&one, &two) || becomes(&two, &one), "seed {seed}: {draw:?}");
    }
    assert!(named >= 4, "a single draw decides most of them: {named}");
}

#[test]
fn the_nearest_neighbour_of_a_failing_run_passes_and_is_one_decision_away() {
    let mut scenario = copied_register::scenario();
    scenario.faults = Swarm::ALL;
    let failing =
        (0..100).map(|seed| Trial::of(Seed(seed))).find(|trial| scenario.run(trial).failed());
    let failing = failing.expect("the bug shows in most runs");
    let small = shrink(&scenario, &failing, &Effort::runs(DEFAULT_RUNS)).expect("it fails");
    let failing = Side::of(&scenario, &small.trial);
    let near = neighbour(&scenario, &failing).expect("another delay, and the read is not stale");
    assert!(matches!(near.side.report.conclusion(), Conclusion::Passed));
    assert!(1 <= near.passing && near.passing <= near.tried, "{} of {}", near.passing, near.tried);
    assert_eq!(near.difference.event, parts_at(&failing, &near.side));
    let Some(Decision::Draw { draw, .. }) = near.difference.decision else {
        panic!("the run needs no fault: {:?}", near.difference.decision);
    };
    let (before, after) = (&failing.trial.random, &near.side.trial.random);
    let (before, after) = (before.clone().expect("calm"), after.clone().expect("calm"));
    assert_eq!(before.difference(&after).copied().collect::<Vec<_>>(), [draw]);
}
