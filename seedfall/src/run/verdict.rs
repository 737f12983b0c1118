//! Everything that is judged of a run, whatever its end: a stall does not hide a broken history,
//! and a first failure does not hide a second.

use super::Running;
use super::broken::Broken;
use super::course::End;
use super::panics::{Panic, catch};
use super::prefix;
use super::pulse::Doing;
use super::wording;
use crate::plan::{Class, FaultPlan};
use crate::property::{JudgeHistory, Judgement, Kind};
use crate::report::{Failure, FailureKind, Report, Unknown, faults};
use crate::scenario::{Expect, OperationId};
use seedfall_checkers::{Operation, Outcome};
use seedfall_sim::{NodeId, Protocol, Time, World};
use std::fmt::Debug;
use std::mem::take;
use std::sync::Arc;

/// What was found of all properties.
#[derive(Default)]
struct Findings {
    broken: Vec<Broken>,
    unknown: Vec<Unknown>,
    /// What was sometimes to be seen in a history, and was.
    seen: Vec<&'static str>,
}

impl<P: Protocol, I: Debug, O: Debug> Running<'_, P, I, O> {
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
        let complete = self.scenario.properties.iter().find_map(|property| match property.kind {
            Kind::Complete => Some(property.name),
            _ => None,
        });
        if let Some(name) = complete.filter(|_| !self.world().clients().is_done()) {
            late.push(if end == End::Quiet {
                self.stuck("nothing will ever happen again").of(name)
            } else {
                wording::incomplete(name, settle, &self.waiting(), &self.shape_of_wait())
            });
        }
        for (name, why) in self.unsettled() {
            let shape = self.shape_of_wait();
            late.push(wording::unsettled(name, settle, &why, &self.nodes_wait(), &shape));
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
        wording::stuck(why, &self.waiting(), &self.shape_of_wait())
    }

    /// Who panicked: the property that was being judged, whoever's handler was running, or else
    /// Seedfall itself.
    fn panicked(&mut self, panic: &Panic) -> Broken {
        let running = self.world.as_ref().and_then(World::running);
        let event = self.world.as_ref().map_or(0, |world| world.trace().count());
        wording::blame(panic, self.judging.take(), running, event)
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
            found.broken.push(wording::outlived(&before, &after));
        }
    }

    /// Every property of the history.
    fn judge_history(&mut self, found: &mut Findings) {
        let Some(world) = &self.world else { return };
        let history = world.clients().history();
        let (mut panics, mut held) = (Vec::new(), Vec::new());
        for (place, property) in self.scenario.properties.iter().enumerate() {
            if let Kind::Seen(sees) = &property.kind {
                match catch(|| sees(history)) {
                    Ok(true) => found.seen.push(property.name),
                    Ok(false) => {}
                    Err(panic) => panics.push((property.name, panic)),
                }
            }
            let Kind::History(judge) = &property.kind else { continue };
            if let Some(pulse) = &self.trial.pulse {
                pulse.set(Doing::Judge(place));
            }
            let name = format!("always {}", property.name);
            match catch(|| judge(history)) {
                Ok(Judgement::Holds) => held.push((property.name, Arc::clone(judge))),
                Ok(Judgement::Violated { reason, operation, core }) => {
                    let broken = Broken::new(FailureKind::Safety, name, &reason, reason.clone());
                    found.broken.push(Broken { operation, core, ..broken.of(property.name) });
                }
                Ok(Judgement::Unknown(why)) => found.unknown.push(Unknown { property: name, why }),
                Err(panic) => panics.push((property.name, panic)),
            }
        }
        for (name, panic) in panics {
            self.judging = Some(name);
            let broken = self.panicked(&panic);
            found.broken.push(broken);
        }
        if prefix::is_due(self.trial.seed) {
            held.into_iter().for_each(|(name, judge)| self.judge_prefixes(name, &*judge, found));
        }
    }

    /// What holds of a history must hold of each prefix of it: a few are judged.
    fn judge_prefixes(
        &mut self,
        name: &'static str,
        judge: &JudgeHistory<I, O>,
        found: &mut Findings,
    ) {
        let Some(world) = &mut self.world else { return };
        let history = world.clients_mut().history_mut();
        if let Some((until, reason)) = prefix::refused(judge, history) {
            found.broken.push(wording::not_prefix_closed(name, until, &reason));
        }
    }

    /// Why the scenario expects what is broken, if it does.
    fn expected(&self, broken: &Broken) -> Result<Option<String>, String> {
        let named = |property: &str| broken.declared == Some(property);
        match &self.scenario.expect {
            Expect::Violates { properties, because }
                if properties.iter().any(|property| named(property))
                    && (matches!(broken.kind, FailureKind::Safety | FailureKind::Crash)
                        || broken.kind.is_late()) =>
            {
                Ok(Some((*because).to_owned()))
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
        let seen = found.seen.iter().map(|name| (*name, 1));
        let mut failures: Vec<Failure> =
            found.broken.into_iter().map(|broken| self.failure(&plan, broken)).collect();
        wording::expected_last(&mut failures);
        let judged = {
            let mut properties = self.scenario.properties.iter();
            properties.any(|property| !property.is_sometimes() && !property.is_abstraction())
        };
        Report {
            scenario: self.scenario.name,
            seed: self.trial.seed,
            hash: world.hash(),
            events: world.trace().count(),
            ended: world.now(),
            counters: *world.counters(),
            without: wording::without(world.node_count(), P::strategies().len(), world.counters()),
            completed,
            indeterminate,
            marks: world.marks().iter().copied().chain(seen).collect(),
            declared: Vec::new(),
            plan,
            fired: self.nemesis.fired(world),
            struck: self.nemesis.struck(),
            failures,
            unknown: found.unknown,
            vacuous: wording::vacuous(judged, completed),
            trace: world.trace().events().cloned().collect(),
            printed: Vec::new(),
            observed: self.observer.map(|one| one.into_observation(world.draws().chains())),
            draws: world.draws().log().to_vec(),
            calls: if self.trial.log_draws {
                world.clients().calls().collect()
            } else {
                Vec::new()
            },
        }
    }

    fn failure(&self, plan: &FaultPlan, broken: Broken) -> Failure {
        let expected = self.expected(&broken);
        let world = self.world();
        let clients = world.clients();
        let (shown, strange) = wording::shown(&broken, clients.history().len());
        let operations = shown.into_iter().map(|index| {
            let operation = &clients.history().operations[index];
            let mark = if Some(index) == broken.operation { ">" } else { " " };
            told(operation, clients.name(index), mark)
        });
        let operations = operations.collect();
        let of = wording::Of {
            scenario: self.scenario.name,
            seed: self.trial.seed,
            event: world.trace().count(),
            at: world.now(),
            hash: world.hash(),
            faults: faults(plan, &self.nemesis.struck()),
        };
        wording::failure(broken, expected, &strange, operations, of)
    }
}

/// An operation as failures tell it: its name after `mark`, its input, its interval and its answer.
pub fn told<I: Debug, O: Debug>(
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
