//! What a run, a sweep and a test make of code that misbehaves: it panics, does not end, eats up
//! the memory, or reads what the seed does not decide. Each is a verdict that says who did it, and
//! the sweep goes on.

use crate::verdicts::{Habit, One, OneScenario, forever, scenario_of};
use seedfall::checkers::models::RegisterInput;
use seedfall::sim::{Duration, NodeId, Seed};
use seedfall::sweep::{Limits, Summary, Sweep, all_cores, sweep, watched};
use seedfall::testing::check_seed;
use seedfall::{
    Expect, FailureKind, Judgement, Runnable, Scenario, Swarm, Trial, always, eventually,
    invariant, sometimes,
};

fn swept(scenario: &dyn Runnable, seeds: u64) -> Summary {
    let plan = Sweep { seeds: 0..seeds, keep_going: true, ..Sweep::new(all_cores()) };
    sweep(scenario, &plan, &|_| ())
}

/// A scenario whose node has this habit, or whose other parts do what `change` says.
fn with(change: impl FnOnce(&mut OneScenario)) -> OneScenario {
    let mut scenario = scenario_of(Habit::Correct);
    change(&mut scenario);
    scenario
}

#[track_caller]
fn told(scenario: &OneScenario) -> (FailureKind, String) {
    let report = scenario.run(&Trial::of(Seed(1)));
    let failure = report.failure().unwrap_or_else(|| panic!("{:?}", report.conclusion()));
    (failure.kind, failure.explanation.clone())
}

#[test]
fn a_panic_names_who_panicked_where_and_in_which_event() {
    let (kind, why) = told(&scenario_of(Habit::Stillborn));
    assert_eq!(kind, FailureKind::Crash);
    assert!(why.starts_with("n1 panicked in `start` at tests/it/verdicts.rs:"), "{why}");
    assert!(why.contains("event 1: not today"), "{why}");
    let (_, why) = told(&scenario_of(Habit::Fragile));
    assert!(why.starts_with("n1 panicked in `on_request` at tests/it/verdicts.rs:"), "{why}");

    let (kind, why) = told(&with(|scenario| {
        scenario.properties.push(always("careful", |_| -> bool { panic!("I do not judge") }));
    }));
    assert_eq!(kind, FailureKind::Crash);
    assert!(why.starts_with("the property `careful` panicked at tests/it/outcomes.rs:"), "{why}");
    let (_, why) = told(&with(|scenario| {
        scenario
            .properties
            .push(invariant("watchful", |_, _: &One| -> bool { panic!("I saw it") }));
    }));
    assert!(why.starts_with("the property `watchful` panicked"), "{why}");
    let (_, why) = told(&with(|scenario| {
        scenario
            .properties
            .push(eventually("patient", |_: &[Option<&One>]| -> bool { panic!("enough") }));
    }));
    assert!(why.starts_with("the property `patient` panicked"), "{why}");
    let (kind, why) = told(&with(|scenario| {
        scenario.workload = seedfall::Workload::short(
            |_, _| panic!("no idea what to ask"),
            |_, input: &RegisterInput<u64>| input.clone(),
            seedfall::Reply::Done,
        );
    }));
    assert_eq!(kind, FailureKind::Crash);
    assert!(why.starts_with("the workload panicked for c"), "{why}");
}

/// Two drifts of half the speed and more do not fit a clock: the sweep says so and is over, in
/// every thread.
#[test]
#[should_panic = "the swarm of scenario one-node drew a plan that does not fit"]
fn a_sweep_ends_with_what_is_wrong_with_the_swarm() {
    let faults = Swarm { drifts: 2, drift: [500_000, 600_000], ..Swarm::NONE };
    swept(&with(|scenario| scenario.faults = faults), 200);
}

#[test]
fn a_sweep_goes_on_after_panics_of_every_kind() {
    let property = with(|scenario| {
        scenario.properties.push(always("careful", |_| -> bool { panic!("I do not judge") }));
    });
    for scenario in [scenario_of(Habit::Stillborn), scenario_of(Habit::Fragile), property] {
        let summary = swept(&scenario, 20);
        assert_eq!((summary.seeds, summary.failed), (20, 20));
    }
}

#[test]
fn an_error_of_the_scenario_itself_says_what_is_wrong() {
    let refused = |change: fn(&mut OneScenario)| check_seed(&with(change), 1).expect_err("refused");
    let why = refused(|scenario| scenario.cluster.nodes = 0);
    assert!(why.contains("`cluster` has 0 nodes"), "{why}");
    for name in ["", "a/b", "two words", "Upper"] {
        let why = check_seed(&Scenario { name, ..scenario_of(Habit::Correct) }, 1);
        assert!(why.is_err_and(|why| why.contains("lower-case letters")), "{name}");
    }
    let why = refused(|scenario| scenario.properties.push(sometimes("linearizable")));
    assert!(why.contains("two properties are named `linearizable`"), "{why}");
    let why = refused(|scenario| {
        scenario.expect = Expect::Violates { properties: &["linear"], because: "a slip" };
    });
    assert!(why.contains("`expect` names the property `linear`; there are: linear"), "{why}");
}

#[test]
fn what_reads_the_machine_is_found_out_though_every_property_holds() {
    for habit in [Habit::ReadsTheClock, Habit::IteratesAMap, Habit::Threads, Habit::Counts] {
        let summary = swept(&scenario_of(habit), 50);
        let failure = summary.failures.first();
        let failure = failure.unwrap_or_else(|| panic!("{habit:?} was not found out"));
        assert_eq!(failure.kind, FailureKind::Nondeterminism, "{failure}");
        assert!(failure.explanation.contains("of n1: once `"), "{habit:?}: {failure}");
        assert!(failure.explanation.contains("Usual causes"), "{failure}");
    }
    let clean = swept(&scenario_of(Habit::Correct), 50);
    assert!(clean.failures.is_empty() && clean.twice >= 4, "{clean:?}");
}

#[test]
fn a_failure_that_cannot_be_repeated_says_so_first() {
    let failing = with(|scenario| {
        scenario.config = Habit::Counts;
        scenario.properties.push(always("impossible", |_| Judgement::Violated {
            reason: "always".to_owned(),
            operation: None,
            core: Vec::new(),
        }));
    });
    let summary = swept(&failing, 5);
    assert!(summary.failures.iter().all(|one| one.kind == FailureKind::Nondeterminism));
    assert_eq!(summary.twice, 5, "every failure is run twice");
}

#[test]
fn a_run_that_does_not_end_is_a_verdict_and_the_sweep_goes_on() {
    let endless = with(|scenario| scenario.config = Habit::Loops { on: 7 });
    let limits = Limits { event: std::time::Duration::from_millis(400), ..Limits::DEFAULT };
    let plan = Sweep { seeds: 0..40, keep_going: true, limits, ..Sweep::new(all_cores()) };
    let summary = sweep(&endless, &plan, &|_| ());
    assert_eq!(summary.seeds, 40);
    assert!(0 < summary.failed && summary.failed < 40, "{summary:?}");
    let failure = &summary.failures[0];
    assert_eq!(failure.kind, FailureKind::Hang);
    assert!(failure.explanation.contains("n1 handling event"), "{failure}");
    let alone = watched(&endless, &Trial::of(failure.seed), &limits).expect_err("it hangs");
    assert_eq!((alone.seed, alone.event), (failure.seed, failure.event));

    let slow = with(|scenario| {
        scenario.properties.push(always("thorough", |_| -> bool { forever() }));
    });
    let failure = watched(&slow, &Trial::of(Seed(1)), &limits).expect_err("it hangs");
    assert!(failure.explanation.contains("judging `always thorough`"), "{failure}");
}

#[test]
fn a_run_that_eats_up_the_memory_is_a_verdict_that_names_the_event() {
    let limits = Limits { memory: 200 << 20, ..Limits::DEFAULT };
    let greedy = scenario_of(Habit::Eats);
    let failure = watched(&greedy, &Trial::of(Seed(1)), &limits).expect_err("too much");
    assert_eq!(failure.kind, FailureKind::Hang);
    assert!(failure.explanation.contains("the process has grown by"), "{failure}");
    assert!(failure.explanation.contains("n1 handling event"), "{failure}");
}

#[test]
fn the_same_seeds_report_the_same_on_any_number_of_threads() {
    let liar = scenario_of(Habit::LiesLate);
    let digest = |jobs: usize, keep_going: bool| {
        let jobs = std::num::NonZeroUsize::new(jobs).expect("not zero");
        let plan = Sweep { seeds: 3..300, keep_going, ..Sweep::new(jobs) };
        let Summary { seeds, passed, failed, hash, events, failures, .. } =
            sweep(&liar, &plan, &|_| ());
        (seeds, passed, failed, hash, events, failures)
    };
    for keep_going in [false, true] {
        let alone = digest(1, keep_going);
        assert!(alone.2 > 0 && (keep_going || alone.0 < 297), "{alone:?}");
        for jobs in [2, 3, 7] {
            assert_eq!(digest(jobs, keep_going), alone, "{jobs} threads");
        }
    }
    let first = digest(1, false).5[0].seed;
    let fails = |seed: &u64| liar.run(&Trial::of(Seed(*seed))).failed();
    assert_eq!((3..300).find(fails), Some(first.0));
}

#[test]
fn a_stall_hides_no_broken_history_and_a_second_failure_is_not_hidden_by_the_first() {
    // It lies, and then says nothing any more: the run stalls.
    let report = scenario_of(Habit::LiesThenMute).run(&Trial::of(Seed(1)));
    let broken: Vec<_> = report.failures.iter().map(|failure| failure.property.as_str()).collect();
    assert_eq!(broken, ["always linearizable", "eventually every operation completes"]);
    let odd = |name| {
        invariant(name, |_: NodeId, one: &One| match one.value() % 2 {
            0 => Ok(()),
            _ => Err("odd".to_owned()),
        })
    };
    let report = with(|scenario| scenario.properties.extend([odd("even"), odd("not odd")]))
        .run(&Trial::of(Seed(1)));
    let broken: Vec<_> = report.failures.iter().map(|failure| failure.property.as_str()).collect();
    assert_eq!(broken, ["always even", "always not odd"], "both in one event");
}

#[test]
fn an_expectation_covers_the_property_that_it_names_and_no_other() {
    let expecting = |habit, properties| {
        let mut scenario = scenario_of(habit);
        scenario.expect = Expect::Violates { properties, because: "it lies" };
        swept(&scenario, 20)
    };
    let covered = expecting(Habit::Liar, &["linearizable"]);
    assert_eq!((covered.failed, covered.as_expected), (0, 20));
    let stalled = expecting(Habit::LiesThenMute, &["linearizable"]);
    let failure = &stalled.failures[0];
    assert_eq!((stalled.failed, failure.kind), (20, FailureKind::Liveness), "{failure}");
    let crashes = expecting(Habit::Fragile, &["linearizable"]);
    assert_eq!(crashes.failures[0].kind, FailureKind::Crash);
}

#[test]
fn a_wait_is_expected_only_if_it_is_the_wait_that_must_be() {
    fn must(nodes: &[Option<&One>]) -> Result<String, String> {
        match nodes[0] {
            Some(one) if one.value() > 0 => Ok("n1 waits for a sign".to_owned()),
            _ => Err("n1 was never written to".to_owned()),
        }
    }
    fn scenario(value: fn(u64) -> u64) -> OneScenario {
        let mut scenario = scenario_of(Habit::Correct);
        scenario.config = Habit::Writes(value);
        scenario.properties.push(eventually("a sign", |_: &[Option<&One>]| Err("none".to_owned())));
        scenario.expect = Expect::blocks("a sign", "none comes", must);
        scenario
    }
    let blocking = |value| swept(&scenario(value), 5);
    let first = |value| scenario(value).run(&Trial::of(Seed(1)));
    assert_eq!((blocking(|value| value).failed, blocking(|value| value).as_expected), (0, 5));
    let (other, first) = (blocking(|_| 0), first(|_| 0));
    assert_eq!(other.failed, 5);
    let late = first.failures.iter().find(|one| one.kind == FailureKind::Liveness);
    let late = late.expect("it waits for a sign");
    assert!(late.explanation.ends_with("it need not wait: n1 was never written to"), "{late}");
}

#[test]
fn a_scenario_without_properties_is_vacuous() {
    let summary = swept(&with(|scenario| scenario.properties.clear()), 20);
    assert_eq!((summary.vacuous, summary.passed), (20, 0));
    let why = check_seed(&with(|scenario| scenario.properties.clear()), 36).expect_err("vacuous");
    assert!(why.contains("no property"), "{why}");
}

/// The time that a run may take, at most, if clocks were read: none of it shows.
#[test]
fn a_watched_run_is_the_same_run() {
    let scenario = scenario_of(Habit::Correct);
    let trial = Trial::of(Seed(5));
    let watched = watched(&scenario, &trial, &Limits::DEFAULT).expect("it ends");
    assert_eq!(watched.hash, scenario.run(&trial).hash);
    assert!(watched.ended > seedfall::sim::Time::ZERO + Duration::millis(1));
}

/// What is judged right must be right at any earlier instant: of every `always` of the built-in
/// scenarios prefixes are judged, where debug assertions are on.
#[test]
fn every_always_is_prefix_closed() {
    for scenario in seedfall_scenarios::all() {
        for seed in [32, 96, 160] {
            let report = scenario.run(&Trial::of(Seed(seed)));
            let open =
                report.failures.iter().find(|one| one.property.ends_with("is prefix-closed"));
            assert!(open.is_none(), "{open:?}");
        }
    }
}
