//! Each way in which a run can end, shown by a protocol that does nothing else.

use seedfall::checkers::models::{Register, RegisterInput as In, RegisterOutput as Out};
use seedfall::faults::classes;
use seedfall::sim::{
    Context, DiskFault, Duration, Links, NodeId, Nodes, Protocol, RequestId, Seed, SystemModel,
    Timing,
};
use seedfall::sweep::{COVERAGE_FROM, Meaning, Sweep, all_cores, sweep};
use seedfall::{
    Aim, COMES_TO_ITS_END, Class, Cluster, Conclusion, Entry, Expect, Failure, FailureKind, Fault,
    FaultPlan, Horizon, NEVER_PANICS, PlanError, Property, Reply, Report, Runnable, Scenario,
    Swarm, Trial, Workload, eventually, every_operation_completes, invariant, linearizable,
    sometimes, sometimes_in,
};

/// How the one node behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Habit {
    Correct,
    /// Panics as it starts.
    Stillborn,
    /// Answers the reads of some seeds with what nobody wrote, after some time.
    LiesLate,
    /// Answers the first read with what nobody wrote, and nothing after that.
    LiesThenMute,
    /// Keeps what this makes of a value.
    Writes(fn(u64) -> u64),
    /// Never ends the handler of the write of a number that this divides.
    Loops {
        on: u64,
    },
    /// Takes more and more memory in the handler of a write.
    Eats,
    /// Sets its timer by the machine's clock.
    ReadsTheClock,
    /// Sends its timers in the order of a map that is iterated.
    IteratesAMap,
    /// Sets its timer by which of two threads is first.
    Threads,
    /// Counts all runs of the process.
    Counts,
    /// Never answers, but its timer rings on.
    Mute,
    /// Answers reads with what nobody wrote.
    Liar,
    /// Panics at the first write.
    Fragile,
    /// Sets a timer of no length, over and over.
    Restless,
}

pub(crate) struct One {
    habit: Habit,
    value: u64,
    lied: bool,
}

impl One {
    pub(crate) fn value(&self) -> u64 {
        self.value
    }
}

/// A number that the seed does not decide.
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what it does is what a run must not do"
)]
fn outside(habit: Habit) -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let thread = || {
        let id = std::thread::spawn(|| format!("{:?}", std::thread::current().id())).join();
        id.map_or(0, |id| {
            id.bytes()
                .map(u64::from)
                .fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte))
        })
    };
    match habit {
        Habit::ReadsTheClock => {
            let now = std::time::SystemTime::now();
            now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
        }
        Habit::IteratesAMap => {
            let map: std::collections::HashMap<u64, ()> = (0..64).map(|key| (key, ())).collect();
            map.keys().fold(0, |sum, key| sum.wrapping_mul(31).wrapping_add(*key))
        }
        Habit::Threads => thread(),
        Habit::Counts => COUNTER.fetch_add(1, Ordering::Relaxed),
        _ => 0,
    }
}

impl Protocol for One {
    type Config = Habit;
    type Message = ();
    type Timer = ();
    type Record = u64;
    type Request = In<u64>;
    type Response = Out<u64>;

    fn start(_: NodeId, habit: &Habit, journal: &[u64], ctx: &mut Context<'_, Self>) -> Self {
        assert!(!matches!(habit, Habit::Stillborn), "not today");
        ctx.set_timer((), Duration::millis(20) + Duration::nanos(outside(*habit) % 1_000_003));
        Self { habit: *habit, value: journal.last().copied().unwrap_or(0), lied: false }
    }
    fn on_message(&mut self, _: NodeId, (): (), _: &mut Context<'_, Self>) {}
    fn on_timer(&mut self, (): (), ctx: &mut Context<'_, Self>) {
        let restless = matches!(self.habit, Habit::Restless);
        ctx.set_timer((), if restless { Duration::ZERO } else { Duration::millis(20) });
    }
    fn on_request(&mut self, id: RequestId, body: In<u64>, ctx: &mut Context<'_, Self>) {
        match (body, self.habit) {
            (_, Habit::Mute) => ctx.ignore("mute"),
            (_, Habit::LiesThenMute) if self.lied => ctx.ignore("mute"),
            (In::Write(value), habit) => {
                assert!(!matches!(habit, Habit::Fragile), "write {value} is too much for me");
                match habit {
                    Habit::Loops { on } if value % on == 0 => forever(),
                    Habit::Eats => eat(),
                    _ => {}
                }
                self.value = if let Habit::Writes(make) = habit { make(value) } else { value };
                ctx.append(value);
                ctx.sync();
                ctx.respond(id, Out::Done);
            }
            (_, Habit::Liar) => ctx.respond(id, Out::Value(u64::MAX)),
            (_, Habit::LiesThenMute) => {
                self.lied = true;
                ctx.respond(id, Out::Value(u64::MAX));
            }
            (_, Habit::LiesLate) if ctx.draw().below(1_000) == 0 => {
                ctx.respond(id, Out::Value(u64::MAX));
            }
            _ => ctx.respond(id, Out::Value(self.value)),
        }
    }
}

/// Never ends, and leaves the core to others.
pub(crate) fn forever() -> ! {
    loop {
        rest(50);
    }
}

#[expect(clippy::disallowed_methods, reason = "what it does is what a run must not do")]
fn rest(millis: u64) {
    std::thread::sleep(std::time::Duration::from_millis(millis));
}

/// Ends when the process does, which grows by 10 MB every few milliseconds until then.
fn eat() {
    let mut all = Vec::new();
    for _ in 0..40 {
        all.push(vec![1_u8; 10 << 20]);
        rest(5);
    }
    std::hint::black_box(&all);
    forever();
}

pub(crate) type OneScenario = Scenario<One, In<u64>, Out<u64>>;

pub(crate) fn scenario_of(habit: Habit) -> OneScenario {
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
        properties: vec![linearizable(Register { initial: 0 }), every_operation_completes()],
        expect: Expect::Holds,
    }
}

fn with(property: Property<One, In<u64>, Out<u64>>) -> OneScenario {
    let mut scenario = scenario_of(Habit::Correct);
    scenario.properties.push(property);
    scenario
}

fn report(scenario: &OneScenario) -> Report {
    scenario.run(&Trial::of(Seed(1)))
}

#[track_caller]
fn failure(scenario: &OneScenario) -> Failure {
    let report = report(scenario);
    let failure = report.failure().cloned();
    failure.unwrap_or_else(|| panic!("a property is broken, but: {:?}", report.conclusion()))
}

#[test]
fn a_correct_run_passes() {
    assert_eq!(report(&scenario_of(Habit::Correct)).conclusion(), Conclusion::Passed);
}

#[test]
fn a_wrong_answer_is_a_safety_failure_that_names_the_operation() {
    let failure = failure(&scenario_of(Habit::Liar));
    assert_eq!(failure.kind, FailureKind::Safety);
    assert_eq!(failure.property, "always linearizable");
    assert!(failure.operations.iter().any(|line| line.starts_with("> c")), "{failure}");
    let told = failure.to_string();
    assert!(told.trim_end().ends_with("cargo run --release -- replay one-node --seed 1"), "{told}");
    assert!(told.contains(&format!("{:#018x}", failure.hash)), "{told}");
}

#[test]
fn silence_is_a_liveness_failure_that_says_who_waits() {
    let failure = failure(&scenario_of(Habit::Mute));
    assert_eq!(failure.kind, FailureKind::Liveness);
    assert!(failure.explanation.contains("c1/10 waits for an answer"), "{failure}");
    assert!(failure.explanation.contains("; n1 waits for timer ()"), "{failure}");
}

#[test]
fn a_busy_loop_is_stuck() {
    let failure = failure(&scenario_of(Habit::Restless));
    assert_eq!(failure.kind, FailureKind::Stuck);
    assert!(failure.explanation.contains("runs in circles"), "{failure}");
    // Unless that is what is expected, by its name.
    let is_expected = |scenario: &_| {
        let failures = report(scenario).failures;
        failures.iter().all(|failure| failure.expected.is_some())
    };
    let mut scenario = scenario_of(Habit::Restless);
    let expecting = |properties| Expect::Violates { properties, because: "it is restless" };
    scenario.expect = expecting(&[COMES_TO_ITS_END]);
    assert!(is_expected(&scenario));
    scenario.expect = expecting(&[NEVER_PANICS]);
    assert!(!is_expected(&scenario));
}

#[test]
fn a_panic_is_a_verdict_and_its_fingerprint_has_no_numbers() {
    let failure = failure(&scenario_of(Habit::Fragile));
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
        (failure.kind, failure.property.as_str()),
        (FailureKind::Safety, "always small values")
    );
    let end = scenario_of(Habit::Correct).run(&Trial::of(Seed(1)));
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
    let mut scenario = scenario_of(Habit::Correct);
    (scenario.workload.operations, scenario.workload.final_operations) = (0, 0);
    assert_eq!(report(&scenario).conclusion(), Conclusion::Vacuous("no operation completed"));
}

fn crash(at: u64, lasts: u64) -> Entry {
    let fault =
        Fault::Crash(classes::Crash { node: NodeId::new(0), point: None, down: Duration::ZERO });
    let (at, lasts) = (Duration::millis(at), Duration::millis(lasts));
    Entry { at, lasts, fault, aim: Aim::Named, retargets: false }
}

#[test]
fn a_planned_fault_without_effect_is_counted_and_discards_no_run() {
    let run = |entries: Vec<Entry>| {
        let plan = Some(FaultPlan { entries });
        scenario_of(Habit::Correct).run(&Trial { plan, ..Trial::of(Seed(1)) })
    };
    let once = run(vec![crash(100, 500)]);
    assert_eq!((once.conclusion(), once.fired.len()), (Conclusion::Passed, 1));
    assert_eq!((once.counters.crashes, once.counters.restarts), (1, 1));
    // The second crash meets a node that is down already, and does nothing; but crashes there were.
    let twice = run(vec![crash(100, 500), crash(200, 100)]);
    assert_eq!(twice.fired, [(Class::Crash, true), (Class::Crash, false)]);
    assert_eq!(twice.conclusion(), Conclusion::Passed);
    let pause =
        Entry { fault: Fault::Pause(classes::Pause { node: NodeId::new(0) }), ..crash(200, 100) };
    let never = run(vec![crash(100, 500), pause]);
    assert_eq!(never.fired, [(Class::Crash, true), (Class::Pause, false)]);
    assert_eq!(never.conclusion(), Conclusion::Passed);
}

#[test]
fn a_class_that_never_has_an_effect_makes_the_sweep_vacuous() {
    // The only node never sends to another: there is nothing to lie about.
    let mut scenario = scenario_of(Habit::Correct);
    scenario.faults = Swarm { liars: 1, ..Swarm::NONE };
    scenario.model.nodes = Nodes::Byzantine;
    scenario.cluster.spare = 1;
    let plan = Sweep { seeds: 0..COVERAGE_FROM, ..Sweep::new(all_cores()) };
    let summary = sweep(&scenario, &plan, &|_| ());
    let (planned, fired) = summary.fired[&Class::Lie];
    assert!(planned > 0 && fired == 0, "{summary:?}");
    let why = "no lie ever had an effect: if the scenario gives it nothing to act on, leave it out \
               of `faults` (`liars: Swarm::NONE.liars`)";
    let vacuous = Meaning::Vacuous(why.to_owned());
    assert_eq!(summary.meaning(&scenario), vacuous);
}

#[test]
fn what_has_nothing_to_act_on_is_not_applicable_and_makes_no_sweep_vacuous() {
    // It sets no timer and writes nothing down; the other does both.
    let mut bare = seedfall_scenarios::copied_register::scenario();
    bare.faults = Swarm::ALL;
    bare.expect = Expect::Holds;
    let mut both = scenario_of(Habit::Correct);
    both.faults = Swarm::ALL;
    let plan = Sweep { seeds: 0..100, keep_going: true, ..Sweep::new(all_cores()) };
    let [bare, both] = [sweep(&bare, &plan, &|_| ()), sweep(&both, &plan, &|_| ())];
    for class in [Class::Timers, Class::Stall] {
        assert!(bare.fired[&class].0 > 0 && bare.fired[&class].1 == 0, "{class:?}");
        assert!(bare.is_not_applicable(class) && !both.is_not_applicable(class), "{class:?}");
    }
    assert!(!bare.is_not_applicable(Class::Loss) && !bare.is_not_applicable(Class::Lie));
    // The second has one node.
    assert!(both.is_not_applicable(Class::Partition) && !bare.is_not_applicable(Class::Partition));
}

#[test]
fn what_looks_for_work_strikes_when_there_is_some() {
    let fires = |at, lasts, fault: Fault, retargets| {
        let plan =
            Some(FaultPlan { entries: vec![Entry { fault, retargets, ..crash(at, lasts) }] });
        let report = scenario_of(Habit::Correct).run(&Trial { plan, ..Trial::of(Seed(1)) });
        assert_eq!(report.conclusion(), Conclusion::Passed);
        report.fired[0].1
    };
    // Nobody makes a thousand syncs here; after half of its time the next one fails, or the node is
    // crashed, so that it reads its disk.
    let wrong = DiskFault::SyncFails { after: 1_000 };
    let error = Fault::of_disk(NodeId::new(0), wrong);
    assert!(fires(20, 600, error.clone(), false) && fires(20, 600, error, true));
    // In the first millisecond nothing arrives; a timer rings after twenty.
    let pause = Fault::Pause(classes::Pause { node: NodeId::new(0) });
    assert!(!fires(0, 1, pause.clone(), false) && fires(0, 1, pause, true));
    // Nothing lasts past the horizon: work that never comes is not waited for.
    let mut idle = scenario_of(Habit::Correct);
    (idle.workload.operations, idle.workload.final_operations) = (0, 1);
    let wrong = DiskFault::WriteError { after: 0 };
    let fault = Fault::of_disk(NodeId::new(0), wrong);
    let entries = vec![Entry { fault, retargets: true, ..crash(20, 600) }];
    let report = idle.run(&Trial { plan: Some(FaultPlan { entries }), ..Trial::of(Seed(1)) });
    assert_eq!(report.fired, [(Class::DiskError, false)]);
}

#[test]
fn a_plan_that_exceeds_its_model_is_refused() {
    let mut budget = scenario_of(Habit::Correct).fault_budget();
    let plan = FaultPlan { entries: vec![crash(100, 500)] };
    assert_eq!(plan.check(&budget), Ok(()));
    let late = FaultPlan { entries: vec![crash(900, 500)] };
    assert!(matches!(late.check(&budget), Err(PlanError::TooLong { entry: 0, .. })));
    let fault = Fault::Pause(classes::Pause { node: NodeId::new(7) });
    let stranger = FaultPlan { entries: vec![Entry { fault, ..crash(100, 500) }] };
    assert!(matches!(stranger.check(&budget), Err(PlanError::Nobody { entry: 0, .. })));
    budget.model = SystemModel {
        links: Links::Reliable,
        nodes: Nodes::CrashStop,
        timing: Timing::Synchronous,
    };
    assert!(matches!(plan.check(&budget), Err(PlanError::ExceedsModel { .. })));
    let drawn = (0..200).map(|seed| Swarm::ALL.draw(Seed(seed), &budget));
    assert!(drawn.into_iter().all(|plan| plan.entries.is_empty()), "nothing is permitted");
}

#[test]
fn drawn_plans_fit_their_frame_and_use_every_class() {
    let mut budget = seedfall_scenarios::all()[0].fault_budget();
    budget.model.links = Links::Arbitrary;
    budget.model.nodes = Nodes::Byzantine;
    assert!(budget.spare > 0, "or nothing may be stopped, wiped or made to lie");
    // Of programs alone: whoever wants shutdowns asks for them.
    let every = Swarm { shutdowns: 3, ..Swarm::ALL };
    let mut classes = std::collections::BTreeMap::<Class, u32>::new();
    for seed in 0..500 {
        let plan = every.draw(Seed(seed), &budget);
        assert_eq!(plan.check(&budget), Ok(()), "seed {seed}");
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
        sweep(&scenario, &plan, &|_| ()).meaning(&scenario)
    };
    assert_eq!(meaning(10), Meaning::AsExpected, "too few seeds to say");
    let vacuous = Meaning::Vacuous("never reached: never said".to_owned());
    assert_eq!(meaning(COVERAGE_FROM), vacuous);
}

#[test]
fn what_no_history_shows_makes_the_sweep_vacuous() {
    let meaning = |least: usize| {
        let scenario = with(sometimes_in("so many operations", move |history| {
            history.operations.len() >= least
        }));
        let plan = Sweep { seeds: 0..COVERAGE_FROM, ..Sweep::new(all_cores()) };
        sweep(&scenario, &plan, &|_| ()).meaning(&scenario)
    };
    assert_eq!(meaning(1), Meaning::AsExpected);
    let vacuous = Meaning::Vacuous("never reached: so many operations".to_owned());
    assert_eq!(meaning(usize::MAX), vacuous);
    let panics = failure(&with(sometimes_in("looks", |_| panic!("out of bounds"))));
    assert!(panics.to_string().contains("looks"), "{panics}");
}
