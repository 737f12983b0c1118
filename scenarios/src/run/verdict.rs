//! Everything that is judged of a run, whatever its end: a stall does not hide a broken history,
//! and a first failure does not hide a second.

use super::Run;
use super::broken::Broken;
use super::course::End;
use super::panics::{Panic, catch};
use super::pulse::Doing;
use crate::plan::{Class, FaultPlan};
use crate::promise::{Judgement, Kind};
use crate::report::{Failure, FailureKind, Report, Unknown};
use crate::scenario::{Expect, NEVER_PANICS, OperationId};
use seedfall_checkers::{Operation, Outcome};
use seedfall_sim::{NodeId, Protocol, Time, World};
use std::fmt::Debug;
use std::mem::take;

/// What was found of all properties.
#[derive(Default)]
struct Findings {
    broken: Vec<Broken>,
    unknown: Vec<Unknown>,
}

impl<P: Protocol, I: Debug, O: Debug> Run<'_, P, I, O> {
    /// What the run came to, by how it went.
    pub(super) fn report(mut self, plan: FaultPlan, course: Result<End, Panic>) -> Report {
        let mut found = Findings { broken: take(&mut self.broken), ..Findings::default() };
        let end = course.unwrap_or_else(|panic| {
            found.broken.push(self.panicked(&panic));
            End::Broken
        });
        self.judge_history(&mut found);
        if end != End::Broken {
            let late = catch(|| self.late(end)).unwrap_or_else(|panic| vec![self.panicked(&panic)]);
            found.broken.extend(late);
        }
        self.assert_no_fault_outlives_its_plan(&mut found);
        if let Some(pulse) = &self.trial.pulse {
            pulse.set(Doing::Idle);
        }
        self.written(plan, found)
    }

    /// What had to happen, and has not, or never will.
    fn late(&mut self, end: End) -> Vec<Broken> {
        let settle = self.scenario.horizon.settle;
        let mut late = Vec::new();
        if end == End::Over {
            return late;
        }
        let complete = self.scenario.promises.iter().find_map(|promise| match promise.kind {
            Kind::Complete => Some(promise.name),
            _ => None,
        });
        if let Some(name) = complete.filter(|_| !self.world().clients().is_done()) {
            late.push(if end == End::Quiet {
                self.stuck("nothing will ever happen again").of(name)
            } else {
                let why = format!("{settle} after the last fault, {}", self.waiting());
                let promise = format!("eventually {name}");
                let shape = format!("operations: {}", self.shape_of_wait());
                Broken::new(FailureKind::Liveness, promise, &shape, why).of(name)
            });
        }
        for (name, why) in self.unsettled() {
            let why =
                format!("{settle} after the last fault, {why}; {}", self.nodes_wait().join("; "));
            let promise = format!("eventually {name}");
            let shape = format!("{name}: {}", self.shape_of_wait());
            late.push(Broken::new(FailureKind::Liveness, promise, &shape, why).of(name));
        }
        late
    }

    /// Who waits for what: the clients, then the nodes.
    fn waiting(&self) -> String {
        let clients = self.world().clients().waiting();
        clients.into_iter().chain(self.nodes_wait()).collect::<Vec<_>>().join("; ")
    }

    /// For each node, whether it is there, its timers, and what it says that it waits for.
    fn nodes_wait(&self) -> Vec<String> {
        let world = self.world();
        let wait = |node: NodeId| match world.node(node) {
            None => format!("{node} is down"),
            Some(_) if world.is_paused(node) => format!("{node} is paused"),
            Some(state) => {
                let timers = match &world.timers(node)[..] {
                    [] => "for no timer".to_owned(),
                    timers => format!("for timer {}", timers.join(", ")),
                };
                match state.waits() {
                    says if says.is_empty() => format!("{node} waits {timers}"),
                    says => format!("{node} waits {timers} ({says})"),
                }
            }
        };
        NodeId::all(world.node_count()).map(wait).collect()
    }

    pub(super) fn stuck(&self, why: &str) -> Broken {
        let waiting = self.waiting();
        let promise = "the run comes to its end".to_owned();
        let shape = format!("{why}: {}", self.shape_of_wait());
        Broken::new(FailureKind::Stuck, promise, &shape, format!("it {why}, while {waiting}"))
    }

    /// Who panicked: the property that was being judged, whoever's handler was running, or else
    /// Seedfall itself.
    fn panicked(&mut self, panic: &Panic) -> Broken {
        let running = self.world.as_ref().and_then(World::running);
        let mut property = None;
        let (kind, promise, who) = match (self.judging.take(), running) {
            (Some(name), _) => {
                let promise = format!("the property `{name}` does not panic");
                (FailureKind::Crash, promise, format!("the property `{name}` panicked"))
            }
            (None, Some((actor, handler))) if actor.node().is_some() => {
                let who = format!("{actor} panicked in `{handler}`");
                property = Some(NEVER_PANICS);
                (FailureKind::Crash, NEVER_PANICS.to_owned(), who)
            }
            (None, Some((actor, _))) => {
                let promise = "the workload does not panic".to_owned();
                (FailureKind::Crash, promise, format!("the workload panicked for {actor}"))
            }
            (None, None) => {
                let promise = "Seedfall does not panic".to_owned();
                (FailureKind::Internal, promise, "this is a bug of Seedfall: it panicked".into())
            }
        };
        let Panic { message, place } = panic;
        let event = self.world.as_ref().map_or(0, |world| world.trace().count());
        let why = format!("{who} at {place}, event {event}: {message}");
        // Numbers differ from run to run; the words are the bug.
        let shape: String = message.chars().filter(|c| !c.is_ascii_digit()).take(80).collect();
        Broken { property, ..Broken::new(kind, promise, &shape, why) }
    }

    /// How often faults had an effect, by class, and how often a node crashed for whatever reason.
    pub(super) fn fault_effects(&self) -> ([u64; Class::ALL.len()], u64) {
        let world = self.world();
        (self.nemesis.all_effects(world), world.counters().crashes)
    }

    /// A fault that had an effect after its plan was over is a bug of the nemesis.
    fn assert_no_fault_outlives_its_plan(&mut self, found: &mut Findings) {
        let Some(before) = self.when_over.filter(|_| self.world.is_some()) else { return };
        let after = self.fault_effects();
        if before != after {
            let why = format!("a fault took effect after its plan was over: {before:?}, {after:?}");
            let promise = "faults end with their plan".to_owned();
            found.broken.push(Broken::new(FailureKind::Internal, promise, "late fault", why));
        }
    }

    /// Every property of the history.
    fn judge_history(&mut self, found: &mut Findings) {
        let Some(world) = &self.world else { return };
        let history = world.clients().history();
        let mut panics = Vec::new();
        for (place, promise) in self.scenario.promises.iter().enumerate() {
            let Kind::History(judge) = &promise.kind else { continue };
            if let Some(pulse) = &self.trial.pulse {
                pulse.set(Doing::Judge(place));
            }
            let name = format!("always {}", promise.name);
            match catch(|| judge(history)) {
                Ok(Judgement::Holds) => {}
                Ok(Judgement::Violated { reason, operation, core }) => {
                    let broken = Broken::new(FailureKind::Safety, name, &reason, reason.clone());
                    found.broken.push(Broken { operation, core, ..broken.of(promise.name) });
                }
                Ok(Judgement::Unknown(why)) => found.unknown.push(Unknown { property: name, why }),
                Err(panic) => panics.push((promise.name, panic)),
            }
        }
        for (name, panic) in panics {
            self.judging = Some(name);
            let broken = self.panicked(&panic);
            found.broken.push(broken);
        }
    }

    /// Why the scenario expects what is broken, if it does.
    fn expected(&self, broken: &Broken) -> Result<Option<String>, String> {
        let named = |property: &str| broken.property == Some(property);
        match self.scenario.expect {
            Expect::Violates { properties, because }
                if properties.iter().any(|property| named(property))
                    && matches!(broken.kind, FailureKind::Safety | FailureKind::Crash) =>
            {
                Ok(Some(because.to_owned()))
            }
            Expect::Blocks { property, because, judge }
                if named(property) && broken.kind.is_late() =>
            {
                let world = self.world();
                let nodes: Vec<Option<&P>> =
                    NodeId::all(world.node_count()).map(|node| world.node(node)).collect();
                judge(&nodes).map(|who| Some(format!("{who}: {because}")))
            }
            _ => Ok(None),
        }
    }

    /// The report, and the history's failures in words.
    fn written(self, plan: FaultPlan, found: Findings) -> Report {
        let Some(world) = &self.world else {
            unreachable!("a world is made before anything of the user's runs in it")
        };
        let history = world.clients().history();
        let completed = history.completed() as u64;
        let unanswered =
            |operation: &&Operation<I, O>| matches!(operation.outcome, Outcome::Indeterminate);
        let indeterminate = history.operations.iter().filter(unanswered).count() as u64;
        let mut failures: Vec<Failure> =
            found.broken.into_iter().map(|broken| self.failure(&plan, broken)).collect();
        failures.sort_by_key(|failure| failure.expected.is_some());
        let judged = self.scenario.promises.iter().any(|promise| !promise.is_sometimes());
        let vacuous = match (judged, completed) {
            (false, _) => Some("the scenario has no property that could be broken".to_owned()),
            (true, 0) => Some("no operation completed".to_owned()),
            _ => None,
        };
        Report {
            scenario: self.scenario.name,
            seed: self.trial.seed,
            hash: world.hash(),
            events: world.trace().count(),
            ended: world.now(),
            counters: *world.counters(),
            completed,
            indeterminate,
            marks: world.marks().to_vec(),
            plan,
            fired: self.nemesis.fired(world),
            struck: self.nemesis.struck(),
            failures,
            unknown: found.unknown,
            vacuous,
            trace: world.trace().events().cloned().collect(),
            printed: Vec::new(),
            draws: world.draws().log().to_vec(),
            calls: if self.trial.log_draws {
                world.clients().calls().collect()
            } else {
                Vec::new()
            },
        }
    }

    fn failure(&self, plan: &FaultPlan, broken: Broken) -> Failure {
        let (expected, need_not) = match self.expected(&broken) {
            Ok(expected) => (expected, String::new()),
            Err(why) => (None, format!("; it need not wait: {why}")),
        };
        let world = self.world();
        let crowd = world.clients();
        let mut shown = broken.core.clone();
        shown.extend(broken.operation.filter(|one| !shown.contains(one)));
        shown.sort_unstable();
        let operations = shown
            .iter()
            .map(|index| {
                let operation = &crowd.history().operations[*index];
                let mark = if Some(*index) == broken.operation { ">" } else { " " };
                told(operation, crowd.name(*index), mark)
            })
            .collect();
        let name = self.scenario.name;
        let seed = self.trial.seed;
        let kind = broken.kind;
        Failure {
            kind,
            scenario: name,
            seed,
            fingerprint: format!("{}: {}: {}", kind.name(), broken.promise, broken.shape),
            promise: broken.promise,
            explanation: broken.explanation + &need_not,
            expected,
            operations,
            event: world.trace().count(),
            at: world.now(),
            hash: world.hash(),
            faults: plan.entries.iter().map(ToString::to_string).collect(),
            replay: format!("cargo run --release -- replay {name} --seed {}", seed.0),
        }
    }
}

/// An operation as failures tell it.
pub(crate) fn told<I: Debug, O: Debug>(
    operation: &Operation<I, O>,
    name: OperationId,
    mark: &str,
) -> String {
    let call = Time::from_nanos(operation.call);
    let end = match &operation.outcome {
        Outcome::Ok { returned, output } => format!("{} = {output:?}", Time::from_nanos(*returned)),
        Outcome::Failed { returned } => format!("{} = failed", Time::from_nanos(*returned)),
        Outcome::Indeterminate => "? = no answer".to_owned(),
    };
    format!("{mark} {name} {:?}   {call} .. {end}", operation.input)
}
