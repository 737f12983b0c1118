//! Each way in which a run can end, shown by a protocol that does nothing else.

use seedfall::checkers::models::{Register, RegisterInput as In, RegisterOutput as Out};
use seedfall::sim::{
    Context, DiskFault, Duration, Links, NodeId, Nodes, Protocol, RequestId, Seed, SystemModel,
    Timing,
};
use seedfall::sweep::{COVERAGE_FROM, Meaning, Sweep, all_cores, sweep};
use seedfall::{
    Aim, Class, Cluster, Conclusion, Entry, Expect, Failure, FailureKind, Fault, FaultPlan,
    Horizon, PlanError, Promise, Reply, Runnable, Scenario, Swarm, Trial, Workload, eventually,
    every_operation_completes, invariant, linearizable, sometimes,
};

/// How the one node behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    Correct,
    /// Never answers, but its timer rings on.
    Mute,
    /// Answers reads with what nobody wrote.
    Liar,
    /// Panics at the first write.
    Fragile,
    /// Sets a timer of no length, over and over.
    Restless,
}

struct One {
    habit: Habit,
    value: u64,
}

impl Protocol for One {
    type Config = Habit;
    type Message = ();
    type Timer = ();
    type Record = u64;
    type Request = In<u64>;
    type Response = Out<u64>;

    fn start(_: NodeId, habit: &Habit, journal: &[u64], ctx: &mut Context<'_, Self>) -> Self {
        ctx.set_timer((), Duration::millis(20));
        Self { habit: *habit, value: journal.last().copied().unwrap_or(0) }
    }
    fn on_message(&mut self, _: NodeId, (): (), _: &mut Context<'_, Self>) {}
    fn on_timer(&mut self, (): (), ctx: &mut Context<'_, Self>) {
        let restless = self.habit == Habit::Restless;
        ctx.set_timer((), if restless { Duration::ZERO } else { Duration::millis(20) });
    }
    fn on_request(&mut self, id: RequestId, body: In<u64>, ctx: &mut Context<'_, Self>) {
        match (body, self.habit) {
            (_, Habit::Mute) => ctx.ignore("mute"),
            (In::Write(value), habit) => {
                assert!(habit != Habit::Fragile, "write {value} is too much for me");
                self.value = value;
                ctx.append(value);
                ctx.sync();
                ctx.respond(id, Out::Done);
            }
            (_, Habit::Liar) => ctx.respond(id, Out::Value(u64::MAX)),
            _ => ctx.respond(id, Out::Value(self.value)),
        }
    }
}

type OneScenario = Scenario<One, In<u64>, Out<u64>>;

fn scenario(habit: Habit) -> OneScenario {
    Scenario {
        name: "one-node",
        story: "One node keeps a register.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(1, 2),
        config: habit,
        workload: Workload::short(
            |op, draw| if draw.below(2) == 0 { In::Read } else { In::Write(op.unique()) },
            |_, input| input.clone(),
            Reply::Done,
        ),
        faults: Swarm::NONE,
        horizon: Horizon::SHORT,
        promises: vec![linearizable(Register { initial: 0 }), every_operation_completes()],
        expect: Expect::Holds,
    }
}

fn with(promise: Promise<One, In<u64>, Out<u64>>) -> OneScenario {
    let mut scenario = scenario(Habit::Correct);
    scenario.promises.push(promise);
    scenario
}

fn conclusion(scenario: &OneScenario) -> Conclusion {
    scenario.run(&Trial::of(Seed(1))).conclusion
}

#[track_caller]
fn failure(scenario: &OneScenario) -> Failure {
    match conclusion(scenario) {
        Conclusion::Failed(failure) => *failure,
        other => panic!("a promise is broken, but: {other:?}"),
    }
}

#[test]
fn a_correct_run_passes() {
    assert_eq!(conclusion(&scenario(Habit::Correct)), Conclusion::Passed);
}

#[test]
fn a_wrong_answer_is_a_safety_failure_that_names_the_operation() {
    let failure = failure(&scenario(Habit::Liar));
    assert_eq!(failure.kind, FailureKind::Safety);
    assert_eq!(failure.promise, "always linearizable");
    assert!(failure.operations.iter().any(|line| line.starts_with("> c")), "{failure}");
    let told = failure.to_string();
    assert!(told.trim_end().ends_with("cargo run --release -- replay one-node --seed 1"), "{told}");
    assert!(told.contains(&format!("{:#018x}", failure.hash)), "{told}");
}

#[test]
fn silence_is_a_liveness_failure_that_says_who_waits() {
    let failure = failure(&scenario(Habit::Mute));
    assert_eq!(failure.kind, FailureKind::Liveness);
    assert!(failure.explanation.contains("c1/10 waits for an answer"), "{failure}");
    assert!(failure.explanation.contains("; n1 waits for timer ()"), "{failure}");
}

#[test]
fn a_busy_loop_is_stuck() {
    let failure = failure(&scenario(Habit::Restless));
    assert_eq!(failure.kind, FailureKind::Stuck);
    assert!(failure.explanation.contains("runs in circles"), "{failure}");
}

#[test]
fn a_panic_is_a_verdict_and_its_fingerprint_has_no_numbers() {
    let failure = failure(&scenario(Habit::Fragile));
    assert_eq!(failure.kind, FailureKind::Crash);
    assert!(failure.explanation.contains("is too much for me"), "{failure}");
    assert!(!failure.fingerprint.contains(|c: char| c.is_ascii_digit()), "{failure:?}");
}

#[test]
fn an_invariant_is_watched_while_the_run_goes_on() {
    let small = |_: NodeId, node: &One| match node.value {
        0..1_000 => Ok(()),
        value => Err(format!("{value} is not small")),
    };
    let failure = failure(&with(invariant("small values", small)));
    assert_eq!(
        (failure.kind, failure.promise.as_str()),
        (FailureKind::Safety, "always small values")
    );
    let end = scenario(Habit::Correct).run(&Trial::of(Seed(1)));
    assert!(failure.event < end.events, "it stops at the event that broke it");
}

#[test]
fn an_eventually_that_does_not_come_true_is_a_liveness_failure() {
    let never = eventually("the moon is full", |nodes: &[Option<&One>]| {
        Err(format!("{} nodes, no moon", nodes.len()))
    });
    let failure = failure(&with(never));
    assert_eq!(failure.kind, FailureKind::Liveness);
    assert!(failure.explanation.contains("1 nodes, no moon"), "{failure}");
}

#[test]
fn a_run_without_operations_is_vacuous() {
    let mut scenario = scenario(Habit::Correct);
    (scenario.workload.operations, scenario.workload.final_operations) = (0, 0);
    assert_eq!(conclusion(&scenario), Conclusion::Vacuous("no operation completed".to_owned()));
}

fn crash(at: u64, lasts: u64) -> Entry {
    let fault = Fault::Crash { node: NodeId::new(0), point: None, down: Duration::ZERO };
    let (at, lasts) = (Duration::millis(at), Duration::millis(lasts));
    Entry { at, lasts, fault, aim: Aim::Named, insists: false }
}

#[test]
fn a_planned_fault_without_effect_makes_the_run_vacuous() {
    let run = |entries: Vec<Entry>| {
        let plan = Some(FaultPlan { entries });
        scenario(Habit::Correct).run(&Trial { plan, ..Trial::of(Seed(1)) })
    };
    let once = run(vec![crash(100, 500)]);
    assert_eq!(once.conclusion, Conclusion::Passed);
    assert_eq!((once.counters.crashes, once.counters.restarts), (1, 1));
    // The second crash meets a node that is down already, and does nothing; but crashes there were.
    let twice = run(vec![crash(100, 500), crash(200, 100)]);
    assert_eq!(twice.fired, [(Class::Crash, true), (Class::Crash, false)]);
    assert_eq!(twice.conclusion, Conclusion::Passed);
    let pause = Entry { fault: Fault::Pause { node: NodeId::new(0) }, ..crash(200, 100) };
    let never = run(vec![crash(100, 500), pause]);
    assert_eq!(never.conclusion, Conclusion::Vacuous("a planned pause had no effect".to_owned()));
}

#[test]
fn what_looks_for_work_strikes_when_there_is_some() {
    let run = |at, lasts, fault: Fault, insists| {
        let plan = Some(FaultPlan { entries: vec![Entry { fault, insists, ..crash(at, lasts) }] });
        scenario(Habit::Correct).run(&Trial { plan, ..Trial::of(Seed(1)) })
    };
    // Nobody makes a thousand syncs here; after half of its time the next one fails.
    let wrong = DiskFault::SyncFails { after: 1_000 };
    let error = Fault::Disk { node: NodeId::new(0), wrong };
    let never = Conclusion::Vacuous("a planned disk-error had no effect".to_owned());
    assert_eq!(run(20, 600, error.clone(), false).conclusion, never);
    let report = run(20, 600, error, true);
    assert_eq!(
        (report.conclusion, report.fired),
        (Conclusion::Passed, vec![(Class::DiskError, true)])
    );
    // In the first millisecond nothing arrives; a timer rings after twenty.
    let pause = Fault::Pause { node: NodeId::new(0) };
    let never = Conclusion::Vacuous("a planned pause had no effect".to_owned());
    assert_eq!(run(0, 1, pause.clone(), false).conclusion, never);
    let report = run(0, 1, pause, true);
    assert_eq!((report.conclusion, report.fired), (Conclusion::Passed, vec![(Class::Pause, true)]));
    // Nothing lasts past the horizon: work that never comes is not waited for.
    let mut idle = scenario(Habit::Correct);
    (idle.workload.operations, idle.workload.final_operations) = (0, 1);
    let wrong = DiskFault::WriteError { after: 0 };
    let fault = Fault::Disk { node: NodeId::new(0), wrong };
    let entries = vec![Entry { fault, insists: true, ..crash(20, 600) }];
    let report = idle.run(&Trial { plan: Some(FaultPlan { entries }), ..Trial::of(Seed(1)) });
    let never = Conclusion::Vacuous("a planned disk-error had no effect".to_owned());
    assert_eq!(report.conclusion, never);
}

#[test]
fn a_plan_that_exceeds_its_model_is_refused() {
    let mut frame = scenario(Habit::Correct).frame();
    let plan = FaultPlan { entries: vec![crash(100, 500)] };
    assert_eq!(plan.check(&frame), Ok(()));
    let late = FaultPlan { entries: vec![crash(900, 500)] };
    assert!(matches!(late.check(&frame), Err(PlanError::TooLong { entry: 0, .. })));
    let fault = Fault::Pause { node: NodeId::new(7) };
    let stranger = FaultPlan { entries: vec![Entry { fault, ..crash(100, 500) }] };
    assert!(matches!(stranger.check(&frame), Err(PlanError::Nobody { entry: 0, .. })));
    frame.model = SystemModel {
        links: Links::Reliable,
        nodes: Nodes::CrashStop,
        timing: Timing::Synchronous,
    };
    assert!(matches!(plan.check(&frame), Err(PlanError::ExceedsModel { .. })));
    let drawn = (0..200).map(|seed| Swarm::ALL.draw(Seed(seed), &frame));
    assert!(drawn.into_iter().all(|plan| plan.entries.is_empty()), "nothing is permitted");
}

#[test]
fn drawn_plans_fit_their_frame_and_use_every_class() {
    let mut frame = seedfall::builtin::all()[0].frame();
    frame.model.links = Links::Arbitrary;
    frame.model.nodes = Nodes::Byzantine;
    assert!(frame.spare > 0, "or nothing may be stopped, wiped or made to lie");
    let mut classes = std::collections::BTreeMap::<Class, u32>::new();
    for seed in 0..500 {
        let plan = Swarm::ALL.draw(Seed(seed), &frame);
        assert_eq!(plan.check(&frame), Ok(()), "seed {seed}");
        let own: std::collections::BTreeSet<_> =
            plan.entries.iter().map(|entry| entry.fault.class()).collect();
        own.into_iter().for_each(|class| *classes.entry(class).or_default() += 1);
    }
    assert_eq!(classes.len(), Class::ALL.len());
    // Half of them, less those that would fall on a node that is struck already.
    assert!(classes.values().all(|runs| (50..350).contains(runs)), "{classes:?}");
}

#[test]
fn a_sometimes_that_is_never_reached_makes_the_sweep_vacuous() {
    let meaning = |seeds| {
        let scenario = with(sometimes("never said"));
        let plan = Sweep { seeds: 0..seeds, ..Sweep::new(all_cores()) };
        sweep(&scenario, &plan, &|_, _| ()).meaning(&scenario)
    };
    assert_eq!(meaning(10), Meaning::Good, "too few seeds to say");
    let vacuous = Meaning::Vacuous("never reached: never said".to_owned());
    assert_eq!(meaning(COVERAGE_FROM), vacuous);
}

#[test]
fn a_negative_control_that_holds_is_vacuous() {
    let mut scenario = scenario(Habit::Correct);
    scenario.expect = Expect::Violation;
    let plan = Sweep { seeds: 0..20, ..Sweep::new(all_cores()) };
    let meaning = sweep(&scenario, &plan, &|_, _| ()).meaning(&scenario);
    assert!(matches!(meaning, Meaning::Vacuous(_)), "{meaning:?}");
}

#[test]
fn a_sweep_reports_the_lowest_failing_seed_whatever_the_number_of_threads() {
    let scenario = scenario(Habit::Liar);
    for jobs in [1, 2, 7] {
        let jobs = std::num::NonZeroUsize::new(jobs).expect("not zero");
        let plan = Sweep { seeds: 0..1_000, ..Sweep::new(jobs) };
        let summary = sweep(&scenario, &plan, &|_, _| ());
        let first = (0..1_000).find(|seed| {
            let report = scenario.run(&Trial::of(Seed(*seed)));
            matches!(report.conclusion, Conclusion::Failed(_))
        });
        assert_eq!(summary.failures.first().map(|failure| failure.seed.0), first);
    }
}
