//! The point of no return, the cause, and the last moment of a fix.

use crate::shrinking::small;
use seedfall::checkers::models::{Register, RegisterInput, RegisterOutput};
use seedfall::diff::Side;
use seedfall::point::{self, Futures, cause, point, too_late};
use seedfall::run::Fork;
use seedfall::shrink::{DEFAULT_RUNS, Effort, shrink};
use seedfall::sim::{Context, NodeId, Protocol, Recording, RequestId, Seed};
use seedfall::{Expect, Reply, Runnable, Scenario, Trial, Workload};
use seedfall_scenarios::{copied_register, raft_kv};
use std::num::NonZeroUsize;

fn fails(scenario: &dyn Runnable, trial: &Trial) -> bool {
    scenario.run(trial).failed()
}

#[test]
fn the_point_of_no_return_is_where_the_failure_becomes_likely() {
    let (scenario, small) = small();
    let futures = |jobs| Futures { of_each: 40, jobs: NonZeroUsize::new(jobs).expect("not zero") };
    let point = point(scenario.as_ref(), &small.trial, futures(2)).expect("it fails");
    assert_eq!(Some(point.clone()), point::point(scenario.as_ref(), &small.trial, futures(1)));
    let last = point.curve.last().expect("some prefixes");
    assert_eq!((last.after, last.failed), (point.events, last.of), "in the end it has failed");
    let (before, after) = (point.jump.before.share(), point.jump.after.share());
    assert!(before < 0.5 && 0.5 <= after, "{point:?}");
    let later = point.curve.iter().filter(|chance| point.jump.after.after <= chance.after);
    assert!(later.clone().all(|chance| 0.5 <= chance.share()), "for good: {point:?}");
    assert!(later.count() > 1, "{point:?}");
    assert!(point.jump.event <= point.events && 0.95 <= point.decided.after.share());
    let passing = Trial::of(Seed(1));
    assert!(point::point(&raft_kv::three(), &passing, futures(1)).is_none());
}

/// Without each of these the run passes; the last of them to be decided is the cause.
#[test]
fn the_cause_is_the_last_decision_that_the_run_cannot_fail_without() {
    let (scenario, small) = small();
    let whole = Trial { until: None, ..small.trial.clone() };
    let mut less = Vec::new();
    for operation in scenario.operations() {
        let mut without = whole.clone();
        if without.skip.insert(operation) {
            less.push(without);
        }
    }
    for draw in whole.random.iter().flatten() {
        let mut without = whole.clone();
        without.random.as_mut().expect("it has one").remove(draw);
        less.push(without);
    }
    less.retain(|without| !fails(scenario.as_ref(), without));
    assert!(less.len() > 1, "{whole:?}");
    let failing = Side::of(scenario.as_ref(), &whole);
    let parts = |without: &Trial| {
        let open_until = Some(failing.report.ended);
        let passing = Side::of(scenario.as_ref(), &Trial { open_until, ..without.clone() });
        let both = failing.report.trace.iter().zip(&passing.report.trace);
        both.take_while(|(one, two)| one.hash == two.hash).count() as u64 + 1
    };
    let places: Vec<u64> = less.iter().map(parts).collect();
    let cause_until = |event| cause(scenario.as_ref(), &small.trial, event);
    let mut last = cause_until(u64::MAX).expect("one answer too many");
    assert!(places.contains(&last.shows) && last.event <= last.shows, "{last:?}: {places:?}");
    // Nothing that is needed shows before the first cause of all.
    while let Some(before) = cause_until(last.event - 1) {
        assert!(before.event < last.event && places.contains(&before.shows), "{before:?}");
        last = before;
    }
    assert!(places.iter().all(|place| last.event <= *place), "{last:?}: {places:?}");
    assert_eq!(cause(&raft_kv::three(), &Trial::of(Seed(1)), u64::MAX), None, "it passes");
}

/// The copied register, with its fix: only one node answers.
struct Mended(u64);

impl Protocol for Mended {
    type Config = ();
    type Message = u64;
    type Timer = ();
    type Record = ();
    type Request = RegisterInput<u64>;
    type Response = RegisterOutput<u64>;

    fn start(_: NodeId, (): &(), _: &[()], _: &mut Context<'_, Self>) -> Self {
        Self(0)
    }

    fn on_request(&mut self, id: RequestId, body: RegisterInput<u64>, ctx: &mut Context<'_, Self>) {
        if seedfall::sim::planted::has_fix(ctx) && ctx.id() != NodeId::new(0) {
            return;
        }
        if let RegisterInput::Write(value) = body {
            self.0 = value;
            ctx.broadcast(value);
            ctx.respond(id, RegisterOutput::Done);
        } else {
            ctx.respond(id, RegisterOutput::Value(self.0));
        }
    }

    fn on_message(&mut self, _: NodeId, value: u64, _: &mut Context<'_, Self>) {
        self.0 = value;
    }

    fn on_timer(&mut self, (): (), _: &mut Context<'_, Self>) {}
}

/// With the fix from its first event on a run passes, from its last on it fails.
#[test]
fn a_fix_comes_too_late_from_some_step_on() {
    let scenario = Scenario::<Mended, _, _> {
        name: "mended-register",
        story: "The copied register, of which one node alone answers once it is mended.",
        model: copied_register::scenario().model,
        cluster: copied_register::scenario().cluster,
        config: (),
        workload: Workload::short(
            |operation, draw| match draw.below(2) {
                0 => RegisterInput::Read,
                _ => RegisterInput::Write(operation.unique()),
            },
            |_, input| input.clone(),
            Reply::Done,
        ),
        faults: copied_register::scenario().faults,
        horizon: copied_register::scenario().horizon,
        properties: vec![seedfall::linearizable(Register { initial: 0 })],
        expect: Expect::Violates { properties: &["linearizable"], because: "it reads a copy" },
    };
    let failing = (0..100).map(|seed| Trial::of(Seed(seed))).find(|trial| fails(&scenario, trial));
    let failing = failing.expect("the bug shows in most runs");
    let small = shrink(&scenario, &failing, &Effort::runs(DEFAULT_RUNS)).expect("it fails");
    let futures = Futures { of_each: 40, jobs: NonZeroUsize::MIN };
    let late = too_late(&scenario, &small.trial, futures).expect("mended at once, it passes");
    assert!(late.before.share() < 0.5 && 0.5 <= late.after.share(), "{late:?}");
    assert!(1 <= late.event && late.event <= small.after.events, "{late:?}");
    assert!(!fails(&scenario, &Trial { fix: Some(0), until: None, ..small.trial.clone() }));
    let end = Trial { fix: Some(small.after.events), ..small.trial.clone() };
    assert_eq!(scenario.run(&end).hash, small.report.hash, "it changes nothing that has happened");
    // What never asks whether it is mended is not.
    let (unaware, small) = crate::shrinking::small();
    assert!(too_late(unaware.as_ref(), &small.trial, futures).is_none());
}

/// Another future has the same past: up to the fork the traces are equal, after it they are not.
#[test]
fn a_fork_keeps_the_past_and_changes_the_future() {
    let scenario = raft_kv::three();
    let trial = Trial { recording: Recording::Full, ..Trial::of(Seed(3)) };
    let whole = scenario.run(&trial);
    let fork = |seed| Some(Fork { after: 150, seed: Seed(seed) });
    let runs = [4, 5].map(|seed| scenario.run(&Trial { fork: fork(seed), ..trial.clone() }));
    for run in &runs {
        let same = whole.trace.iter().zip(&run.trace).take_while(|(one, two)| one == two).count();
        assert!((150..400).contains(&same), "{same} of {}", whole.events);
    }
    assert_ne!(runs[0].hash, runs[1].hash, "two futures");
    let again = scenario.run(&Trial { fork: fork(4), ..trial });
    assert_eq!(runs[0].hash, again.hash, "each of them the same every time");
}
