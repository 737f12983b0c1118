//! What stories promise: they hold the cause, and they are of one failure.

use seedfall::builtin::copied_register;
use seedfall::checkers::models::{Register, RegisterInput, RegisterOutput};
use seedfall::explain::{End, Explanation, examine};
use seedfall::net::Disturbance;
use seedfall::plan::{Aim, Entry, Fault, FaultPlan};
use seedfall::shrink::{DEFAULT_RUNS, Effort, Shrunk, shrink, shrink_best, story};
use seedfall::sim::{
    Context, DiskFault, Duration, NodeId, Nominal, Protocol, Recording, RequestId, Seed,
    SystemModel,
};
use seedfall::{
    Cluster, Expect, Horizon, Promise, Reply, Runnable, Scenario, Swarm, Trial, Workload,
};

type Ask = RegisterInput<u64>;
type Answer = RegisterOutput<u64>;

/// A scenario of one register, whose right promise is that it is linearizable.
fn scenario<P>(
    name: &'static str,
    nodes: usize,
    more: Vec<Promise<P, Ask, Answer>>,
) -> Scenario<P, Ask, Answer>
where
    P: Protocol<Config = (), Request = Ask, Response = Answer> + 'static,
{
    let mut promises = vec![seedfall::linearizable(Register { initial: 0 })];
    promises.extend(more);
    Scenario {
        name,
        story: "A register.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(nodes, 2),
        config: (),
        workload: Workload::short(
            |operation, draw| match draw.below(2) {
                0 => RegisterInput::Read,
                _ => RegisterInput::Write(operation.unique()),
            },
            |_, input| input.clone(),
            Reply::Done,
        ),
        faults: Swarm::NONE,
        horizon: Horizon::SHORT,
        promises,
        expect: Expect::Holds,
    }
}

fn small(scenario: &dyn Runnable, fails: impl Fn(&Trial) -> bool) -> Shrunk {
    let failing = (0..500).map(|seed| Trial::of(Seed(seed))).find(fails);
    let failing = failing.expect("the bug shows");
    shrink(scenario, &failing, &Effort::runs(DEFAULT_RUNS)).expect("it fails")
}

/// A register that forgets: nobody says so, a timer rings.
struct Forgets(u64);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Line {
    Wrote(u64),
    Forgot,
}

impl Protocol for Forgets {
    type Config = ();
    type Message = ();
    type Timer = &'static str;
    type Record = Line;
    type Request = Ask;
    type Response = Answer;

    fn start(_: NodeId, (): &(), _: &[Line], _: &mut Context<'_, Self>) -> Self {
        Self(0)
    }

    fn on_request(&mut self, id: RequestId, body: Ask, ctx: &mut Context<'_, Self>) {
        if let RegisterInput::Write(value) = body {
            self.0 = value;
            ctx.append(Line::Wrote(value));
            ctx.sync();
            ctx.set_timer("Expiry", Duration::millis(3));
            ctx.respond(id, RegisterOutput::Done);
        } else {
            ctx.respond(id, RegisterOutput::Value(self.0));
        }
    }

    fn on_message(&mut self, _: NodeId, (): (), _: &mut Context<'_, Self>) {}

    fn on_timer(&mut self, _: &'static str, ctx: &mut Context<'_, Self>) {
        self.0 = 0;
        ctx.append(Line::Forgot);
    }
}

#[test]
fn what_comes_of_a_timer_has_a_line() {
    let scenario = scenario::<Forgets>("forgets", 1, Vec::new());
    let small = small(&scenario, |trial| scenario.run(trial).failed());
    let told = story(&small);
    let place = |words: &str| told.iter().position(|line| line.contains(words));
    let rings = place("n1: its timer \"Expiry\" rings").expect("the timer");
    let forgot = place("n1 writes down Forgot").expect("what it decides");
    let wrote = place("n1 writes down Wrote").expect("what was there before");
    assert!(wrote < rings && rings < forgot, "{told:#?}");
}

/// A node that asks the other one a single time, and does nothing else until it is answered.
struct Once {
    id: NodeId,
    value: u64,
    asked: Option<(RequestId, Ask)>,
}

impl Protocol for Once {
    type Config = ();
    type Message = &'static str;
    type Timer = ();
    type Record = ();
    type Request = Ask;
    type Response = Answer;

    fn start(id: NodeId, (): &(), _: &[()], _: &mut Context<'_, Self>) -> Self {
        Self { id, value: 0, asked: None }
    }

    fn on_request(&mut self, id: RequestId, body: Ask, ctx: &mut Context<'_, Self>) {
        if self.id == NodeId::new(1) || self.asked.is_some() {
            return ctx.ignore("request: busy, or not mine");
        }
        self.asked = Some((id, body));
        ctx.send(NodeId::new(1), "May I?");
    }

    fn on_message(&mut self, from: NodeId, message: &'static str, ctx: &mut Context<'_, Self>) {
        match (message, self.asked.take()) {
            ("May I?", _) => ctx.send(from, "You may."),
            (_, Some((id, RegisterInput::Write(value)))) => {
                self.value = value;
                ctx.respond(id, RegisterOutput::Done);
            }
            (_, Some((id, _))) => {
                ctx.respond(id, RegisterOutput::Value(self.value));
            }
            (_, None) => {}
        }
    }

    fn on_timer(&mut self, (): (), _: &mut Context<'_, Self>) {}

    fn waits(&self) -> String {
        let to = self.asked.as_ref().map(|(id, _)| format!("{id}: for permission of n2"));
        to.unwrap_or_default()
    }
}

/// A node that breaks when it hears of a write, and the one that told it later, by a timer.
struct Fragile {
    id: NodeId,
    broken: bool,
}

impl Protocol for Fragile {
    type Config = ();
    type Message = &'static str;
    type Timer = ();
    type Record = ();
    type Request = Ask;
    type Response = Answer;

    fn start(id: NodeId, (): &(), _: &[()], _: &mut Context<'_, Self>) -> Self {
        Self { id, broken: false }
    }

    fn on_request(&mut self, _: RequestId, _: Ask, ctx: &mut Context<'_, Self>) {
        if self.id == NodeId::new(0) {
            ctx.send(NodeId::new(1), "Break");
            ctx.set_timer((), Duration::millis(30));
        }
    }

    fn on_message(&mut self, _: NodeId, _: &'static str, _: &mut Context<'_, Self>) {
        self.broken = true;
    }

    fn on_timer(&mut self, (): (), _: &mut Context<'_, Self>) {
        self.broken = true;
    }
}

/// Without the message the promise is broken all the same, later and by another node: that is
/// another failure.
#[test]
fn the_message_by_which_a_run_breaks_its_promise_is_told() {
    let whole = |_, node: &Fragile| if node.broken { Err("broken".to_owned()) } else { Ok(()) };
    let scenario = scenario("fragile", 2, vec![seedfall::invariant("nobody breaks", whole)]);
    let small = small(&scenario, |trial| scenario.run(trial).failed());
    let told = story(&small);
    assert!(told.iter().any(|line| line.contains("n1 sends n2 \"Break\"")), "{told:#?}");
}

/// A register that keeps nothing.
struct Volatile(u64);

impl Protocol for Volatile {
    type Config = ();
    type Message = ();
    type Timer = ();
    type Record = ();
    type Request = Ask;
    type Response = Answer;

    fn start(_: NodeId, (): &(), _: &[()], _: &mut Context<'_, Self>) -> Self {
        Self(0)
    }

    fn on_request(&mut self, id: RequestId, body: Ask, ctx: &mut Context<'_, Self>) {
        if let RegisterInput::Write(value) = body {
            self.0 = value;
            ctx.respond(id, RegisterOutput::Done);
        } else {
            ctx.respond(id, RegisterOutput::Value(self.0));
        }
    }

    fn on_message(&mut self, _: NodeId, (): (), _: &mut Context<'_, Self>) {}

    fn on_timer(&mut self, (): (), _: &mut Context<'_, Self>) {}
}

/// A disk with room enough does nothing but have its node restarted, so that it is read: a crash is
/// less than that.
#[test]
fn a_disk_that_only_restarts_its_node_shrinks_to_a_crash() {
    let scenario = scenario::<Volatile>("volatile", 1, Vec::new());
    let fault = Fault::Disk { node: NodeId::new(0), wrong: DiskFault::NoSpace { left: 1 << 30 } };
    let (at, lasts) = (Duration::millis(100), Duration::millis(100));
    let entry = Entry { at, lasts, fault, aim: Aim::Named, insists: false };
    let plan = Some(FaultPlan { entries: vec![entry] });
    let trial = |seed| Trial { plan: plan.clone(), ..Trial::of(Seed(seed)) };
    let failing = (0..500).map(trial).find(|trial| scenario.run(trial).failed());
    let failing = failing.expect("what was written is lost");
    assert!(scenario.run(&failing).fired[0].1, "it had an effect");
    let small = shrink(&scenario, &failing, &Effort::runs(2_000)).expect("it fails");
    let left = small.trial.plan.expect("a plan").entries;
    assert!(matches!(left[..], [Entry { fault: Fault::Crash { .. }, .. }]), "{left:?}");
}

fn loss(ppm: u32, lasts: Duration) -> FaultPlan {
    let fault = Fault::Wire(Disturbance::Loss { ppm });
    let entry = Entry { at: Duration::ZERO, lasts, fault, aim: Aim::Named, insists: false };
    FaultPlan { entries: vec![entry] }
}

#[test]
fn a_failure_by_waiting_tells_what_was_lost_and_who_waits_in_few_lines() {
    let complete = vec![seedfall::every_operation_completes()];
    let scenario = scenario::<Once>("once", 2, complete);
    let plan = Some(loss(300_000, Duration::millis(60)));
    let trial = |seed| Trial { plan: plan.clone(), ..Trial::of(Seed(seed)) };
    let late =
        |trial: &Trial| scenario.run(trial).failure().is_some_and(|failure| failure.kind.is_late());
    let failing = (0..500).map(trial).find(late).expect("a message is lost");
    let small = shrink(&scenario, &failing, &Effort::runs(2_000)).expect("it fails");
    let told = story(&small);
    let text = told.join("\n");
    assert!(told.len() < 40, "{} lines\n{text}", told.len());
    assert!(text.contains("May") && text.contains(": it is lost"), "{text}");
    assert!(text.contains("times more, until"), "{text}");
    let waits = told.iter().rposition(|line| line.contains("broken: ")).expect("the end");
    assert!(told[waits..].iter().any(|line| line.contains("for permission of n2")), "{text}");
    let fingerprint = &small.failure().expect("it fails").fingerprint;
    assert!(fingerprint.contains("for of permission"), "the shape of the wait: {fingerprint}");
}

/// A register with a bug that has a fix, and with another one that has none: its third answer is
/// wrong, and so is its first if that is to a read.
struct TwoWays {
    value: u64,
    answers: u32,
}

impl Protocol for TwoWays {
    type Config = ();
    type Message = ();
    type Timer = ();
    type Record = ();
    type Request = Ask;
    type Response = Answer;

    fn start(_: NodeId, (): &(), _: &[()], _: &mut Context<'_, Self>) -> Self {
        Self { value: 0, answers: 0 }
    }

    fn on_request(&mut self, id: RequestId, body: Ask, ctx: &mut Context<'_, Self>) {
        self.answers += 1;
        match body {
            RegisterInput::Write(value) => {
                self.value = value;
                ctx.respond(id, RegisterOutput::Done);
            }
            _ => {
                let wrong = self.answers == 1 || 3 <= self.answers && !ctx.has_fix();
                let value = if wrong { 7 } else { self.value };
                ctx.respond(id, RegisterOutput::Value(value));
            }
        }
    }

    fn on_message(&mut self, _: NodeId, (): (), _: &mut Context<'_, Self>) {}

    fn on_timer(&mut self, (): (), _: &mut Context<'_, Self>) {}
}

#[test]
fn a_small_run_of_a_bug_with_a_fix_does_not_fail_with_it() {
    let scenario = scenario::<TwoWays>("two-ways", 1, Vec::new());
    let mended = |trial: &Trial| Trial { fix: Some(0), until: None, ..trial.clone() };
    let fails = |trial: &Trial| scenario.run(trial).failed();
    let small = small(&scenario, |trial| fails(trial) && !fails(&mended(trial)));
    assert!(fails(&small.trial) && !fails(&mended(&small.trial)), "{}", small.summary());
    assert!(small.after.operations >= 3, "{}", small.summary());
}

/// A run may be over before its faults are: what they have done by then, they have done.
#[test]
fn a_fault_that_outlasts_the_run_had_its_effect() {
    let scenario = copied_register::scenario();
    let plan = loss(500_000, Duration::millis(400));
    let trial = |until| Trial { plan: Some(plan.clone()), until, ..Trial::of(Seed(1)) };
    let whole = scenario.run(&trial(None));
    let cut = scenario.run(&trial(Some(whole.events / 2)));
    assert!(cut.counters.dropped > 0 && cut.fired[0].1, "{:?}", cut.fired);
    let nothing = scenario.run(&trial(Some(1)));
    assert!(!nothing.fired[0].1, "{:?}", nothing.fired);
    let struck = cut.struck[0].clone().expect("it has begun");
    assert_eq!((struck.at, struck.fault), (Duration::ZERO, plan.entries[0].fault.clone()));
}

#[test]
fn what_is_under_way_when_the_run_is_over_comes_nowhere() {
    let scenario = copied_register::scenario();
    let cut = |until| Trial { until: Some(until), ..Trial::of(Seed(1)) };
    let mut under_way = 0;
    for until in 10..40 {
        let examined = examine(&scenario, &cut(until), true, &Effort::runs(0));
        let explanation = Explanation::of(&scenario, &examined, String::new(), None);
        for message in &explanation.messages {
            let event = &explanation.events[message.sent];
            let is_open = message.arrivals.is_empty() && message.drops.is_empty();
            assert_eq!(explanation.end_of(event) == End::Nowhere, is_open, "{event:?}");
            under_way += usize::from(is_open);
        }
        assert!(!story(&examined).join("\n").contains("never arrives"));
    }
    assert!(under_way > 0);
}

#[test]
fn the_smallest_of_several_failing_runs_is_kept() {
    let mut scenario = copied_register::scenario();
    scenario.faults = Swarm::ALL;
    let fails = |trial: &Trial| scenario.run(trial).failed();
    let shows = |trial: &Trial| {
        let report = scenario.run(trial);
        report.failure().map(|failure| failure.fingerprint.clone())
    };
    let all = || (0..100).map(|seed| Trial::of(Seed(seed)));
    let first = all().find_map(|trial| shows(&trial)).expect("the bug shows");
    let failing: Vec<Trial> =
        all().filter(|trial| shows(trial).as_ref() == Some(&first)).take(2).collect();
    let hasty = Effort::runs(30);
    // To a reader a fault is as much as some events.
    let size = |small: &Shrunk| small.after.events + 30 * small.after.faults as u64;
    let alone = failing.iter().map(|trial| shrink(&scenario, trial, &hasty).expect("it fails"));
    let least = alone.map(|small| size(&small)).min();
    let best = shrink_best(&scenario, failing, &hasty).expect("they fail");
    assert_eq!(Some(size(&best)), least);
    let passing = (0..100).map(|seed| Trial::of(Seed(seed))).find(|trial| !fails(trial));
    assert!(shrink_best(&scenario, passing, &hasty).is_none());
}

#[test]
fn a_small_run_has_time_outs_of_their_own_and_its_case_says_so() {
    let scenario = copied_register::scenario();
    let small = small(&scenario, |trial| scenario.run(trial).failed());
    assert_eq!(small.trial.nominal, Nominal::PerNode);
    let case = seedfall::case::Case::of(&small.trial, &small.report, "");
    let text = serde_json::to_string(&case).expect("a case is JSON");
    assert!(text.contains("\"nominal\":\"per-node\""), "{text}");
    assert_eq!(case.trial().nominal, Nominal::PerNode);
    let old = text.replace("\"nominal\":\"per-node\",", "");
    let old: seedfall::case::Case = serde_json::from_str(&old).expect("an older case");
    assert_eq!(old.trial().nominal, Nominal::Equal);
    let full = Trial { recording: Recording::Full, ..small.trial.clone() };
    assert_eq!(scenario.run(&full).hash, small.report.hash);
}
