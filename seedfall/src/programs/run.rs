//! One run of programs: from a trial to a report.

use super::asserted::Asserted;
use super::plan::deeds;
use super::session::{ANEW, CALLED, FAILED, OK, Operation, Planned};
use super::zygote::{self, Request};
use super::{Process, Programs, told};
use crate::clients::DRAWS;
use crate::faults::ActsOn;
use crate::faults::nemesis::redrawn;
use crate::plan::FaultPlan;
use crate::property::{Judgement, Kind, Property};
use crate::report::{Failure, FailureKind, Report, Unknown};
use crate::run::{self, Call, Doing, Futures, Runnable, Trial, panics};
use crate::scenario::{COMES_TO_ITS_END, Expect, NEVER_PANICS};
use crate::workload::{Invocation, OperationId, Phase};
use seedfall_checkers::{History, Outcome};
use seedfall_kernel::{self as kernel, Course, Ended, Failure as Wrong, Simulation};
use seedfall_sim::{
    Choices, ClientId, Counters, DrawAddress, Draws, NodeId, Recording, Seed, Site, Time,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

pub(super) fn run<I, O>(scenario: &Programs<I, O>, trial: &Trial) -> Report
where
    I: Clone + Debug + Send + Sync + 'static,
    O: Debug + Serialize + DeserializeOwned + 'static,
{
    let trial = &planned(scenario, trial);
    let setup = Setup::of(scenario, trial, trial.fork.as_slice());
    let outside = zygote::run(scenario, &setup.whole(), || request(trial));
    let report = setup.report(outside, 0);
    if let Some(pulse) = &trial.pulse {
        pulse.set(Doing::Idle);
    }
    report
}

/// What is asked for to run a trial.
pub(super) fn request(trial: &Trial) -> Request {
    Request { trial: trial.clone(), futures: Vec::new(), jobs: 1 }
}

/// The same trial with its plan, where it takes a run to draw that: whoever forks the run makes no
/// others.
fn planned<I, O>(scenario: &Programs<I, O>, trial: &Trial) -> Trial
where
    I: Clone + Debug + Send + Sync + 'static,
    O: Debug + Serialize + DeserializeOwned + 'static,
{
    let mut trial = trial.clone();
    if scenario.crash_at.is_some() && trial.plan.is_none() {
        let budget = scenario.fault_budget_of(&trial);
        trial.plan = Some(scenario.plan_within(trial.seed, &budget));
    }
    trial
}

/// How many of the futures of a run fail. The past is run once, and its process forked for each.
pub(super) fn futures<I, O>(scenario: &Programs<I, O>, trial: &Trial, of: &Futures<'_>) -> usize
where
    I: Clone + Debug + Send + Sync + 'static,
    O: Debug + Serialize + DeserializeOwned + 'static,
{
    let fork = |which| run::Fork { after: of.after, seed: (of.seed)(which) };
    let forks: Vec<run::Fork> = (0..of.count).map(fork).collect();
    let trial = Trial { recording: Recording::Hash, fork: None, ..planned(scenario, trial) };
    let setup = Setup::of(scenario, &trial, &forks);
    let simulation = setup.whole();
    let inside: Vec<kernel::Fork> = forks.iter().map(|fork| setup.fork(*fork)).collect();
    let request = Request { trial: trial.clone(), futures: forks, jobs: of.jobs.get() };
    let all = zygote::futures(scenario, &simulation, &request)
        .unwrap_or_else(|| simulation.futures(&inside, of.jobs.get()));
    let reports = all.into_iter().enumerate().map(|(which, one)| setup.report(one, which));
    reports.filter(|report| (of.fails)(report)).count()
}

/// The inputs of the operations of one client.
type Inputs<I> = Vec<(OperationId, I)>;

/// What is known of a run before it begins.
pub(super) struct Setup<'a, I, O> {
    scenario: &'a Programs<I, O>,
    trial: &'a Trial,
    plan: FaultPlan,
    /// What the plan does: by which of its entries, when, what.
    deeds: Vec<(usize, Time, kernel::Fault)>,
    planned: Vec<Arc<Planned<I>>>,
    /// The draws by which the operations were planned, if they are logged.
    draws: Vec<(DrawAddress, [u32; 4])>,
}

impl<'a, I, O> Setup<'a, I, O>
where
    I: Clone + Debug + Send + Sync + 'static,
    O: Debug + Serialize + DeserializeOwned + 'static,
{
    pub(super) fn of(scenario: &'a Programs<I, O>, trial: &'a Trial, forks: &[run::Fork]) -> Self {
        let budget = scenario.fault_budget_of(trial);
        let plan = trial.plan.clone().unwrap_or_else(|| scenario.plan_within(trial.seed, &budget));
        if let Err(error) = plan.check(&budget) {
            panic!("the plan does not fit scenario {}: {error}", scenario.name);
        }
        if let Some(pulse) = &trial.pulse {
            pulse.begin(trial.seed.0);
        }
        let every = scenario.crash_at.as_ref();
        let workload = every.map_or(trial.seed, |every| every.workload(trial.seed));
        let mut draws = Draws::new(workload, scenario.nodes.len(), scenario.clients);
        draws = draws.with_overrides(trial.overrides.clone());
        if let Some(random) = &trial.random {
            draws.nominal_except(random.clone());
        }
        if trial.log_draws {
            draws.keep_log();
        }
        let drawn = operations(scenario, trial, &mut draws, &trial.calls);
        let log = draws.log().to_vec();
        let again = forks.iter().map(|fork| {
            draws.reseed(fork.seed);
            operations(scenario, trial, &mut draws, &BTreeMap::new()).into_iter()
        });
        let mut again: Vec<_> = again.collect();
        let final_at = Time::ZERO + budget.faults;
        let must_complete =
            scenario.properties.iter().any(|one| matches!(one.kind, Kind::Complete));
        let planned = drawn.into_iter().map(|operations| {
            let anew = again.iter_mut().filter_map(Iterator::next).collect();
            Arc::new(Planned { operations, anew, final_at, must_complete })
        });
        let (planned, deeds) = (planned.collect(), all_deeds(&plan));
        Self { scenario, trial, plan, deeds, planned, draws: log }
    }

    pub(super) fn fork(&self, run::Fork { after, seed }: run::Fork) -> kernel::Fork {
        kernel::Fork { after, seed, faults: Some(self.other_faults(seed)) }
    }

    /// The run that is asked for.
    pub(super) fn whole(&self) -> Simulation {
        let trial = self.trial;
        let course = Course {
            seed: trial.seed,
            overrides: trial.overrides.clone(),
            random: trial.random.clone(),
            nominal: trial.nominal,
            only: trial.only.clone(),
            until: trial.until,
            open_until: trial.open_until,
            fork: trial.fork.map(|fork| self.fork(fork)),
            recording: trial.recording,
            log_draws: trial.log_draws,
        };
        let faults = self.deeds.iter().map(|(_, at, fault)| (at.since(Time::ZERO), fault.clone()));
        self.scenario.simulation(&self.planned).plan(faults).course(course)
    }

    /// What the plan does from an instant on, with the entries that have not begun drawn anew.
    fn other_faults(
        &self,
        seed: Seed,
    ) -> Arc<dyn Fn(Time) -> Vec<(Time, kernel::Fault)> + Send + Sync> {
        let (plan, budget) = (self.plan.clone(), self.scenario.fault_budget_of(self.trial));
        Arc::new(move |now| {
            let mut plan = plan.clone();
            for (index, entry) in plan.entries.iter_mut().enumerate() {
                if now < Time::ZERO + entry.at {
                    redrawn(entry, index, seed, now, &budget);
                }
            }
            let all = all_deeds(&plan).into_iter();
            all.map(|(_, at, fault)| (at, fault)).filter(|(at, _)| now < *at).collect()
        })
    }

    /// The inputs of all operations, as drawn first, or anew for a turn.
    fn inputs(&self, turn: Option<usize>) -> Vec<Inputs<I>> {
        let of = |planned: &Planned<I>| -> Inputs<I> {
            let anew = turn.and_then(|turn| planned.anew.get(turn));
            let operations = anew.unwrap_or(&planned.operations);
            operations.iter().map(|one| (one.id, one.input.clone())).collect()
        };
        self.planned.iter().map(|one| of(one)).collect()
    }

    /// What a run came to; if it took a turn, which.
    fn report(&self, mut outside: kernel::Report, turn: usize) -> Report {
        let inputs = [None, Some(turn)].map(|turn| self.inputs(turn));
        let record = Record::of(&outside, &inputs);
        told::in_words(&mut outside, &self.plan, &self.deeds, &inputs, |json| {
            let output = serde_json::from_str::<O>(json);
            output.map_or_else(|_| json.to_owned(), |output| format!("{output:?}"))
        });
        let Self { scenario, trial, plan, deeds, draws, .. } = self;
        let verdict = Verdict { scenario, trial, plan: plan.clone(), record, outside };
        let fired = verdict.fired(deeds);
        verdict.report(fired, draws.clone())
    }
}

/// Everything that a plan does, by entries.
fn all_deeds(plan: &FaultPlan) -> Vec<(usize, Time, kernel::Fault)> {
    let entries = plan.entries.iter().enumerate();
    entries
        .flat_map(|(index, entry)| deeds(entry).into_iter().map(move |(at, one)| (index, at, one)))
        .collect()
}

/// The operations of every client, drawn as those of simulated protocols are.
fn operations<I, O>(
    scenario: &Programs<I, O>,
    trial: &Trial,
    draws: &mut Draws,
    calls: &BTreeMap<OperationId, Call>,
) -> Vec<Vec<Operation<I>>> {
    let Programs { operations, final_operations, clients, .. } = scenario;
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
            let mut choices = Choices::new(draws, site, first + 1);
            let input = (scenario.generate)(invocation, &mut choices);
            let at = calls.get(&id).map(|call| call.at);
            own.push(Operation { id, think, is_final, input, at });
        }
        all.push(own);
    }
    all
}

/// The history of a run, with the names of its operations.
struct Record<I, O> {
    history: History<I, O>,
    names: Vec<OperationId>,
    /// When each was called first.
    calls: Vec<(OperationId, Call)>,
    /// A note that says what no session says.
    strange: Option<String>,
}

impl<I: Clone, O: DeserializeOwned> Record<I, O> {
    /// The inputs are those that were drawn first, and those that were drawn anew.
    fn of(outside: &kernel::Report, inputs: &[Vec<Inputs<I>>; 2]) -> Self {
        let clients = inputs[0].len();
        let servers = outside.nodes.len() - clients;
        let (names, calls) = (Vec::new(), Vec::new());
        let mut record = Self { history: History::new(), names, calls, strange: None };
        let mut open: Vec<Option<usize>> = vec![None; clients];
        for note in &outside.notes {
            let Some(client) = note.node.checked_sub(servers) else { continue };
            let text = String::from_utf8_lossy(&note.bytes).into_owned();
            let mut words = text.splitn(3, ' ');
            let (kind, number) = (words.next(), words.next().and_then(|one| one.parse().ok()));
            let inputs = &inputs[usize::from(text.ends_with(ANEW))][client];
            let known = |number: u32| inputs.iter().find(|(id, _)| id.number == number);
            let (Some(kind), Some((id, input))) = (kind, number.and_then(known)) else { continue };
            let at = note.at.as_nanos();
            match (kind, open[client]) {
                (CALLED, _) => {
                    let index = record.history.invoke(client as u32, at, input.clone());
                    if !record.names.contains(id) {
                        record.calls.push((*id, Call { at: note.at, asks: NodeId::new(0) }));
                    }
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

    fn report(
        self,
        fired: Vec<(crate::plan::Class, bool)>,
        mut draws: Vec<(DrawAddress, [u32; 4])>,
    ) -> Report {
        let mut failures: Vec<Failure> =
            self.outside.failures.iter().map(|wrong| self.wrong(wrong)).collect();
        let asserted = Asserted::of(&self.outside, &self.scenario.declared_in);
        failures.extend(asserted.broken.iter().map(|(message, at, why)| {
            let property = format!("always {message}");
            let failure = self.failure(FailureKind::Safety, &property, message, why.clone());
            Failure { at: *at, expected: self.expected(message), ..failure }
        }));
        let mut unknown = Vec::new();
        for (place, property) in self.scenario.properties.iter().enumerate() {
            if let Some(pulse) = &self.trial.pulse {
                pulse.set(Doing::Judge(place));
            }
            failures.extend(self.judge(property, &mut unknown));
        }
        let seen = self.seen();
        failures.extend(self.record.strange.as_ref().map(|text| {
            let why = format!("an answer cannot be read back: {text}");
            self.failure(FailureKind::Crash, "answers are written as JSON", "answer", why)
        }));
        failures.sort_by_key(|failure| failure.expected.is_some());
        let Self { scenario, trial, plan, record, mut outside } = self;
        draws.append(&mut outside.draws);
        let operations = &record.history.operations;
        let indeterminate =
            operations.iter().filter(|one| matches!(one.outcome, Outcome::Indeterminate)).count();
        let completed = record.history.completed() as u64;
        let without = without(&outside.nodes[..scenario.nodes.len()]);
        let nothing_to_break = scenario.properties.is_empty() && outside.records.is_empty();
        Report {
            scenario: scenario.name,
            seed: trial.seed,
            hash: outside.hash,
            events: outside.events,
            ended: outside.at,
            counters: Counters {
                sent: outside.sent,
                delivered: outside.deliveries,
                dropped: outside.lost,
                duplicated: outside.doubled,
                ..Counters::default()
            },
            without,
            completed,
            indeterminate: indeterminate as u64,
            marks: asserted.reached.into_iter().chain(seen).collect(),
            declared: asserted.declared,
            struck: plan.entries.iter().cloned().map(Some).collect(),
            plan,
            fired,
            failures,
            unknown,
            vacuous: match (nothing_to_break, completed) {
                (true, _) => Some("the scenario has no property that could be broken".to_owned()),
                (_, 0) => Some("no operation completed".to_owned()),
                _ => None,
            },
            printed: told::printed(&outside),
            observed: None,
            trace: outside.trace,
            calls: if trial.log_draws { record.calls } else { Vec::new() },
            draws,
        }
    }

    fn judge(
        &self,
        property: &Property<Process, I, O>,
        unknown: &mut Vec<Unknown>,
    ) -> Option<Failure> {
        let history = &self.record.history;
        let words = format!("{property:?}");
        match &property.kind {
            Kind::History(judge) => match panics::catch(|| judge(history)) {
                Ok(Judgement::Holds) => None,
                Ok(Judgement::Violated { reason, operation, core }) => {
                    let mut shown = core;
                    shown.extend(operation.filter(|one| !shown.contains(one)));
                    shown.sort_unstable();
                    let mark = |index| if Some(index) == operation { ">" } else { " " };
                    let operations = shown.into_iter().map(|index| {
                        let name = self.record.names[index];
                        run::told(&history.operations[index], name, mark(index))
                    });
                    let failure =
                        self.failure(FailureKind::Safety, &words, &reason, reason.clone());
                    let operations = operations.collect();
                    Some(Failure { operations, expected: self.expected(property.name), ..failure })
                }
                Ok(Judgement::Unknown(why)) => {
                    unknown.push(Unknown { property: words, why });
                    None
                }
                Err(panic) => Some(self.panicked(property.name, panic)),
            },
            Kind::Seen(sees) => {
                let panic = panics::catch(|| sees(history)).err()?;
                Some(self.panicked(property.name, panic))
            }
            // A run that was cut short owes nothing.
            Kind::Complete if self.outside.ended == Ended::Cut => None,
            Kind::Complete => {
                let owed = self.owed();
                let first = owed.first()?;
                let why = format!(
                    "{} after the last fault, {} final operations have no answer, {first} first",
                    self.scenario.horizon.settle,
                    owed.len()
                );
                let failure = self.failure(FailureKind::Liveness, &words, "operations", why);
                Some(Failure { expected: self.expected(property.name), ..failure })
            }
            Kind::Invariant(_)
            | Kind::Eventually(_)
            | Kind::Abstraction(_)
            | Kind::Sometimes(_) => None,
        }
    }

    fn panicked(&self, name: &str, panics::Panic { place, message }: panics::Panic) -> Failure {
        let why = format!("the property `{name}` panicked at {place}: {message}");
        let property = format!("the property `{name}` does not panic");
        self.failure(FailureKind::Crash, &property, &message, why)
    }

    /// What was sometimes to be seen in a history, and is in this one.
    fn seen(&self) -> Vec<(&'static str, u64)> {
        let history = &self.record.history;
        let is_seen = |kind: &Kind<Process, I, O>| match kind {
            Kind::Seen(sees) => panics::catch(|| sees(history)).is_ok_and(|seen| seen),
            _ => false,
        };
        let properties = self.scenario.properties.iter();
        properties.filter(|one| is_seen(&one.kind)).map(|one| (one.name, 1)).collect()
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
        match &self.scenario.expect {
            Expect::Violates { properties, because } if properties.contains(&property) => {
                Some((*because).to_owned())
            }
            _ => None,
        }
    }

    /// What went wrong with a program, or with the run.
    fn wrong(&self, wrong: &Wrong) -> Failure {
        let (kind, property) = match wrong {
            Wrong::Panic { .. } | Wrong::Exit { .. } | Wrong::Signal { .. } => {
                (FailureKind::Crash, NEVER_PANICS)
            }
            Wrong::Spin { .. } | Wrong::Time { .. } | Wrong::Storm { .. } => {
                (FailureKind::Hang, COMES_TO_ITS_END)
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
        let is_named = [NEVER_PANICS, COMES_TO_ITS_END].contains(&property);
        let expected = is_named.then(|| self.expected(property)).flatten();
        Failure { expected, ..self.failure(kind, property, &shape, why) }
    }

    fn failure(&self, kind: FailureKind, property: &str, shape: &str, why: String) -> Failure {
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
            property: property.to_owned(),
            explanation: why,
            expected: None,
            operations: Vec::new(),
            nodes: self.scenario.nodes.iter().map(|node| node.name).collect(),
            event: self.outside.events,
            at: self.outside.at,
            hash: self.outside.hash,
            fingerprint: format!("{}: {property}: {shape}", kind.name()),
            faults: self.plan.entries.iter().map(ToString::to_string).collect(),
            replay: crate::words::command(&format!("replay {name} --seed {}", seed.0)),
        }
    }
}

/// What none of these nodes used: faults of it cannot have an effect.
fn without(nodes: &[kernel::NodeReport]) -> Vec<ActsOn> {
    let sum = |of: fn(&kernel::NodeReport) -> u64| nodes.iter().map(of).sum::<u64>();
    let used = [
        (ActsOn::Peers, nodes.len() as u64 - 1),
        (ActsOn::Timers, sum(|node| node.timers)),
        (ActsOn::WallClock, sum(|node| node.looks)),
        (ActsOn::Disk, sum(|node| node.changes)),
        (ActsOn::Strategies, 0),
    ];
    used.into_iter().filter(|(_, used)| *used == 0).map(|(what, _)| what).collect()
}
