//! One run of programs: from a trial to a report.

use super::plan::deeds;
use super::session::{CALLED, FAILED, OK, Operation, Planned};
use super::{Process, Programs};
use crate::clients::DRAWS;
use crate::plan::FaultPlan;
use crate::promise::{Judgement, Kind, Promise};
use crate::report::{Failure, FailureKind, Report, Unknown};
use crate::run::{Doing, Runnable, Trial, panics, told};
use crate::scenario::{Expect, NEVER_PANICS};
use crate::workload::{Invocation, OperationId, Phase};
use seedfall_checkers::{History, Outcome};
use seedfall_kernel::{self as kernel, Ended, Failure as Wrong};
use seedfall_sim::{Choices, ClientId, Counters, Draws, Site, Time};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

pub(super) fn run<I, O>(scenario: &Programs<I, O>, trial: &Trial) -> Report
where
    I: Clone + Debug + Send + Sync + 'static,
    O: Debug + Serialize + DeserializeOwned + 'static,
{
    let frame = scenario.frame_of(trial);
    let plan = trial.plan.clone().unwrap_or_else(|| scenario.plan_within(trial.seed, &frame));
    if let Err(error) = plan.check(&frame) {
        panic!("the plan does not fit scenario {}: {error}", scenario.name);
    }
    if let Some(pulse) = &trial.pulse {
        pulse.begin(trial.seed.0);
    }
    let planned = planned(scenario, trial, Time::ZERO + frame.faults);
    let inputs: Vec<Vec<(OperationId, I)>> = planned
        .iter()
        .map(|one| one.operations.iter().map(|each| (each.id, each.input.clone())).collect())
        .collect();
    let deeds: Vec<(usize, Time, kernel::Fault)> = (plan.entries.iter().enumerate())
        .flat_map(|(index, entry)| deeds(entry).into_iter().map(move |(at, one)| (index, at, one)))
        .collect();
    let faults = deeds.iter().map(|(_, at, fault)| (at.since(Time::ZERO), fault.clone()));
    let simulation = scenario.simulation(trial.seed, planned).plan(faults);
    let outside = simulation.overrides(trial.overrides.clone()).run();
    let verdict = Verdict { scenario, trial, plan, record: Record::of(&outside, &inputs), outside };
    let fired = verdict.fired(&deeds);
    let report = verdict.report(fired);
    if let Some(pulse) = &trial.pulse {
        pulse.set(Doing::Idle);
    }
    report
}

/// The operations of every client, drawn as those of simulated protocols are.
fn planned<I, O>(scenario: &Programs<I, O>, trial: &Trial, final_at: Time) -> Vec<Planned<I>> {
    let Programs { operations, final_operations, clients, nodes, .. } = scenario;
    let mut draws = Draws::new(trial.seed, nodes.len(), *clients);
    draws = draws.with_overrides(trial.overrides.clone());
    if let Some(random) = &trial.random {
        draws.calm(random.clone());
    }
    let must_complete = scenario.promises.iter().any(|one| matches!(one.kind, Kind::Complete));
    let mut all = Vec::new();
    for client in (0..*clients).map(|client| ClientId::new(client as u16)) {
        let mut own = Vec::new();
        for number in 0..operations + final_operations {
            let id = OperationId { client, number };
            if trial.skip.contains(&id) {
                continue;
            }
            let first = u64::from(number) * DRAWS;
            let site = Site::Client(client);
            let think = scenario.think.sample(&mut draws.at(site, first));
            let is_final = *operations <= number;
            let phase = if is_final {
                Phase::Final { nth: number - operations, of: *final_operations }
            } else {
                Phase::Faults
            };
            let invocation = Invocation { client, number, phase };
            let mut choices = Choices::new(&mut draws, site, first + 1);
            let input = (scenario.generate)(invocation, &mut choices);
            own.push(Operation { id, think, is_final, input });
        }
        all.push(Planned { operations: own, final_at, must_complete });
    }
    all
}

/// The history of a run, with the names of its operations.
struct Record<I, O> {
    history: History<I, O>,
    names: Vec<OperationId>,
    /// A note that says what no session says.
    strange: Option<String>,
}

impl<I: Clone, O: DeserializeOwned> Record<I, O> {
    fn of(outside: &kernel::Report, inputs: &[Vec<(OperationId, I)>]) -> Self {
        let servers = outside.nodes.len() - inputs.len();
        let mut record = Self { history: History::new(), names: Vec::new(), strange: None };
        let mut open: Vec<Option<usize>> = vec![None; inputs.len()];
        for note in &outside.notes {
            let Some(client) = note.node.checked_sub(servers) else { continue };
            let text = String::from_utf8_lossy(&note.bytes).into_owned();
            let mut words = text.splitn(3, ' ');
            let (kind, number) = (words.next(), words.next().and_then(|one| one.parse().ok()));
            let known = |number: u32| inputs[client].iter().find(|(id, _)| id.number == number);
            let (Some(kind), Some((id, input))) = (kind, number.and_then(known)) else { continue };
            let at = note.at.as_nanos();
            match (kind, open[client]) {
                (CALLED, _) => {
                    let index = record.history.invoke(client as u32, at, input.clone());
                    record.names.push(*id);
                    open[client] = Some(index);
                }
                (OK, Some(index)) => match serde_json::from_str(words.next().unwrap_or("null")) {
                    Ok(output) => record.history.complete(index, at, output),
                    Err(error) => record.strange = Some(format!("{text}: {error}")),
                },
                (FAILED, Some(index)) => record.history.fail(index, at),
                _ => {}
            }
        }
        record
    }
}

/// What the nodes printed, line by line, in the order of time, after what the machine does not
/// permit.
fn printed(outside: &kernel::Report) -> Vec<String> {
    let degraded = outside.isolation.degraded().into_iter();
    let mut lines: Vec<(Time, String)> =
        degraded.map(|why| (Time::ZERO, format!("this machine: {why}"))).collect();
    for hint in &outside.hints {
        let text = String::from_utf8_lossy(&hint.bytes);
        lines.push((hint.at, format!("{:>10}  (seedfall) {text}", hint.at.to_string())));
    }
    for node in &outside.nodes {
        for one in &node.printed {
            let text = String::from_utf8_lossy(&one.bytes).into_owned();
            let told =
                |line: &str| (one.at, format!("{:>10}  {}: {line}", one.at.to_string(), node.name));
            lines.extend(text.lines().map(told));
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect()
}

struct Verdict<'a, I, O> {
    scenario: &'a Programs<I, O>,
    trial: &'a Trial,
    plan: FaultPlan,
    record: Record<I, O>,
    outside: kernel::Report,
}

impl<I, O> Verdict<'_, I, O>
where
    I: Clone + Debug + Send + Sync + 'static,
    O: Debug + Serialize + DeserializeOwned + 'static,
{
    /// For each entry of the plan, its class and whether it had an effect.
    fn fired(&self, deeds: &[(usize, Time, kernel::Fault)]) -> Vec<(crate::plan::Class, bool)> {
        let had_effect = |entry: usize| {
            let effects = deeds.iter().zip(&self.outside.effects);
            effects.into_iter().any(|((index, _, fault), effects)| {
                *index == entry && fault.strikes() && *effects > 0
            })
        };
        let classes = self.plan.entries.iter().map(|entry| entry.fault.class());
        classes.enumerate().map(|(index, class)| (class, had_effect(index))).collect()
    }

    fn report(self, fired: Vec<(crate::plan::Class, bool)>) -> Report {
        let mut failures: Vec<Failure> =
            self.outside.failures.iter().map(|wrong| self.wrong(wrong)).collect();
        let mut unknown = Vec::new();
        for (place, promise) in self.scenario.promises.iter().enumerate() {
            if let Some(pulse) = &self.trial.pulse {
                pulse.set(Doing::Judge(place));
            }
            failures.extend(self.judge(promise, &mut unknown));
        }
        failures.extend(self.record.strange.as_ref().map(|text| {
            let why = format!("an answer cannot be read back: {text}");
            self.failure(FailureKind::Crash, "answers are written as JSON", "answer", why)
        }));
        failures.sort_by_key(|failure| failure.expected.is_some());
        let Self { scenario, trial, plan, record, outside } = self;
        let operations = &record.history.operations;
        let indeterminate =
            operations.iter().filter(|one| matches!(one.outcome, Outcome::Indeterminate)).count();
        let completed = record.history.completed() as u64;
        Report {
            scenario: scenario.name,
            seed: trial.seed,
            hash: outside.hash,
            events: outside.events,
            ended: outside.at,
            counters: Counters { delivered: outside.deliveries, ..Counters::default() },
            completed,
            indeterminate: indeterminate as u64,
            marks: Vec::new(),
            struck: plan.entries.iter().cloned().map(Some).collect(),
            plan,
            fired,
            failures,
            unknown,
            vacuous: match (scenario.promises.is_empty(), completed) {
                (true, _) => Some("the scenario has no property that could be broken".to_owned()),
                (_, 0) => Some("no operation completed".to_owned()),
                _ => None,
            },
            trace: Vec::new(),
            printed: printed(&outside),
            draws: Vec::new(),
            calls: Vec::new(),
        }
    }

    fn judge(
        &self,
        promise: &Promise<Process, I, O>,
        unknown: &mut Vec<Unknown>,
    ) -> Option<Failure> {
        let history = &self.record.history;
        let words = format!("{promise:?}");
        match &promise.kind {
            Kind::History(judge) => match panics::catch(|| judge(history)) {
                Ok(Judgement::Holds) => None,
                Ok(Judgement::Violated { reason, operation, core }) => {
                    let mut shown = core;
                    shown.extend(operation.filter(|one| !shown.contains(one)));
                    shown.sort_unstable();
                    let mark = |index| if Some(index) == operation { ">" } else { " " };
                    let operations = shown.into_iter().map(|index| {
                        let name = self.record.names[index];
                        told(&history.operations[index], name, mark(index))
                    });
                    let failure =
                        self.failure(FailureKind::Safety, &words, &reason, reason.clone());
                    let operations = operations.collect();
                    Some(Failure { operations, expected: self.expected(promise.name), ..failure })
                }
                Ok(Judgement::Unknown(why)) => {
                    unknown.push(Unknown { property: words, why });
                    None
                }
                Err(panic) => {
                    let name = promise.name;
                    let panics::Panic { place, message } = panic;
                    let why = format!("the property `{name}` panicked at {place}: {message}");
                    let promise = format!("the property `{name}` does not panic");
                    Some(self.failure(FailureKind::Crash, &promise, &message, why))
                }
            },
            Kind::Complete => {
                let owed = self.owed();
                let first = owed.first()?;
                let why = format!(
                    "{} after the last fault, {} final operations have no answer, {first} first",
                    self.scenario.horizon.settle,
                    owed.len()
                );
                let failure = self.failure(FailureKind::Liveness, &words, "operations", why);
                Some(Failure { expected: self.expected(promise.name), ..failure })
            }
            Kind::Invariant(_) | Kind::Eventually(_) | Kind::Sometimes(_) => None,
        }
    }

    /// The final operations that were never answered.
    fn owed(&self) -> Vec<OperationId> {
        let done = |id: &OperationId| {
            let operations = self.record.names.iter().zip(&self.record.history.operations);
            operations.into_iter().any(|(name, operation)| {
                name == id && matches!(operation.outcome, Outcome::Ok { .. })
            })
        };
        let all = self.scenario.operations().into_iter();
        let is_owed = |id: &OperationId| {
            self.scenario.operations <= id.number && !self.trial.skip.contains(id)
        };
        all.filter(is_owed).filter(|id| !done(id)).collect()
    }

    fn expected(&self, property: &str) -> Option<String> {
        match self.scenario.expect {
            Expect::Violates { properties, because } if properties.contains(&property) => {
                Some(because.to_owned())
            }
            _ => None,
        }
    }

    /// What went wrong with a program, or with the run.
    fn wrong(&self, wrong: &Wrong) -> Failure {
        let (kind, promise) = match wrong {
            Wrong::Panic { .. } | Wrong::Exit { .. } | Wrong::Signal { .. } => {
                (FailureKind::Crash, NEVER_PANICS)
            }
            Wrong::Spin { .. } | Wrong::Time { .. } | Wrong::Storm { .. } => {
                (FailureKind::Hang, "every run comes to its end")
            }
            Wrong::Memory { .. } => (FailureKind::Hang, crate::sweep::FITS_INTO_MEMORY),
            Wrong::Unsupported { .. } => {
                (FailureKind::Crash, "programs call only what is simulated")
            }
            Wrong::Setup(_) | Wrong::Bug(_) => (FailureKind::Internal, "Seedfall does not panic"),
        };
        let why = wrong.to_string();
        // Numbers differ from run to run; the words are the bug.
        let first = why.lines().next().unwrap_or_default();
        let shape: String = first.chars().filter(|c| !c.is_ascii_digit()).take(80).collect();
        let expected = (promise == NEVER_PANICS).then(|| self.expected(NEVER_PANICS)).flatten();
        Failure { expected, ..self.failure(kind, promise, &shape, why) }
    }

    fn failure(&self, kind: FailureKind, promise: &str, shape: &str, why: String) -> Failure {
        let (name, seed) = (self.scenario.name, self.trial.seed);
        let mut why = why;
        if self.outside.ended == Ended::Stuck {
            why += "; every thread waits for another";
            self.outside.waiting.iter().for_each(|waits| why += &format!("\n  {waits}"));
        }
        if kind == FailureKind::Liveness {
            let servers = self.outside.nodes.iter().take(self.scenario.nodes.len());
            for (node, (at, code)) in servers.filter_map(|node| Some((node, node.exits.last()?))) {
                why += &format!("; `{}` ended by itself at {at}, with code {code}", node.name);
            }
        }
        Failure {
            kind,
            scenario: name,
            seed,
            promise: promise.to_owned(),
            explanation: why,
            expected: None,
            operations: Vec::new(),
            event: self.outside.events,
            at: self.outside.at,
            hash: self.outside.hash,
            fingerprint: format!("{}: {promise}: {shape}", kind.name()),
            faults: self.plan.entries.iter().map(ToString::to_string).collect(),
            replay: format!("cargo run --release -- replay {name} --seed {}", seed.0),
        }
    }
}
