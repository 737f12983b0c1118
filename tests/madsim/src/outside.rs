//! A subject as a scenario: each run is a process, and what it tells is judged here.

use crate::nemesis::within_reach;
use crate::subject::{Answer, INSIDE, Job, Life, Question, Subject, Told};
use seedfall::checkers::models::{Kv, KvInput, KvOutput};
use seedfall::checkers::{Budget, History, Operation, Outcome, Verdict, linearizable};
use seedfall::sim::{ClientId, Counters, Seed, Time};
use seedfall::{
    Expectation, Failure, FailureKind, FaultPlan, FaultBudget, OperationId, Report, Runnable, Trial,
    Unknown,
};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

/// Subjects as scenarios for the commands of `seedfall`.
pub fn runnables(subjects: Vec<Subject>) -> Vec<Box<dyn Runnable>> {
    let runnable = |subject| Box::new(Outside(subject)) as Box<dyn Runnable>;
    subjects.into_iter().map(runnable).collect()
}

/// A subject, seen from outside. It runs what a [`Trial`] says of seed, plan and skipped
/// operations; draws inside madsim have no addresses, so overrides and `random` mean nothing here,
/// and no trace is kept.
struct Outside(Subject);

const LINEARIZABLE: &str = "always linearizable";
const COMPLETE: &str = "eventually every operation completes";

impl Runnable for Outside {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn story(&self) -> &'static str {
        self.0.story
    }

    fn expect(&self) -> Expectation {
        self.0.expect
    }

    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    fn shared(&self) -> Arc<dyn Runnable> {
        Arc::new(Self(self.0.clone()))
    }

    fn properties(&self) -> Vec<String> {
        vec![LINEARIZABLE.to_owned(), COMPLETE.to_owned()]
    }

    fn sometimes(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn fault_budget(&self) -> FaultBudget {
        self.0.budget
    }

    fn operations(&self) -> Vec<OperationId> {
        let Subject { budget, clients: policy, .. } = self.0;
        let all = policy.operations.unwrap_or_default() + policy.final_operations;
        let clients = (0..budget.clients).map(|client| ClientId::new(client as u16));
        clients
            .flat_map(|client| (0..all).map(move |number| OperationId { client, number }))
            .collect()
    }

    fn plan_within(&self, seed: Seed, budget: &FaultBudget) -> FaultPlan {
        within_reach(self.0.faults.draw(seed, budget))
    }

    fn fewest(&self) -> usize {
        // Who the nodes are is written into the program.
        self.0.budget.nodes
    }

    fn run(&self, trial: &Trial) -> Report {
        let plan = trial.plan.clone().unwrap_or_else(|| self.plan(trial.seed));
        let job = Job {
            subject: self.0.name.to_owned(),
            seed: trial.seed.0,
            plan,
            faults: self.fault_budget_of(trial).faults,
            skip: trial.skip.iter().copied().collect(),
        };
        let output = process(&job);
        match serde_json::from_slice::<Life>(&output.stdout) {
            Ok(life) if output.status.success() => self.report(job, &life),
            _ => {
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                self.panicked(job, &errors)
            }
        }
    }
}

/// Runs a job in a process of its own.
fn process(job: &Job) -> Output {
    let this = std::env::current_exe().expect("a program knows where it is");
    let mut child = Command::new(this)
        .arg(INSIDE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program can be started again");
    let bytes = serde_json::to_vec(job).expect("plain data");
    let mut stdin = child.stdin.take().expect("it was piped");
    // A child that dies at once does not read: its end says so.
    let _ = stdin.write_all(&bytes);
    drop(stdin);
    child.wait_with_output().expect("a child can be waited for")
}

impl Outside {
    fn report(&self, job: Job, life: &Life) -> Report {
        let history = history(&life.operations);
        let open = |told: &&Told| told.returned.is_none();
        let indeterminate = life.operations.iter().filter(open).count() as u64;
        let fired: Vec<_> = job
            .plan
            .entries
            .iter()
            .zip(&life.fired)
            .map(|(entry, fired)| (entry.fault.class(), *fired))
            .collect();
        let (mut failures, mut unknown) = (Vec::new(), Vec::new());
        let verdict = linearizable(&Kv::new(), &history, Budget::DEFAULT);
        match verdict.expect("clients record an operation when they call it") {
            Verdict::Holds(_) => {}
            undecided @ Verdict::Unknown(_) => unknown
                .push(Unknown { property: LINEARIZABLE.to_owned(), why: undecided.to_string() }),
            Verdict::Violated(witness) => {
                let reason = witness.reason.sentence().to_owned();
                let blamed = witness.operation as usize;
                let core = witness.core.iter().map(|one| *one as usize);
                let mut shown: Vec<usize> = core.chain([blamed]).collect();
                shown.sort_unstable();
                shown.dedup();
                let failure = self.failure(&job, FailureKind::Safety, LINEARIZABLE, reason);
                let tell = |place: usize| tell(&life.operations[place], place == blamed);
                let operations = shown.into_iter().map(tell).collect();
                failures.push(self.failed(failure, operations, life));
            }
        }
        // A stall hides no broken history, nor the other way round.
        if let Some(told) = self.overdue(&life.operations) {
            let why = format!("{} had no answer", told.id);
            let failure = self.failure(&job, FailureKind::Liveness, COMPLETE, why);
            failures.push(self.failed(failure, vec![tell(told, true)], life));
        }
        failures.sort_by_key(|failure| failure.expected.is_some());
        let vacuous = (history.completed() == 0).then(|| "no operation completed".to_owned());
        Report {
            hash: life.hash,
            events: life.messages,
            ended: Time::from_nanos(life.ended),
            counters: Counters {
                sent: life.messages,
                delivered: life.messages,
                crashes: life.crashes,
                ..Counters::default()
            },
            completed: history.completed() as u64,
            indeterminate,
            struck: job.plan.entries.iter().cloned().map(Some).collect(),
            plan: job.plan,
            fired,
            failures,
            unknown,
            vacuous,
            ..Report::new(self.0.name, Seed(job.seed))
        }
    }

    /// The first operation that had to complete and did not.
    fn overdue<'a>(&self, operations: &'a [Told]) -> Option<&'a Told> {
        let first_final = self.0.clients.operations.unwrap_or_default();
        operations.iter().find(|told| first_final <= told.id.number && told.answer.is_none())
    }

    /// A run whose process did not come to its end.
    fn panicked(&self, job: Job, errors: &str) -> Report {
        let mut lines = errors.lines().skip_while(|line| !line.contains("panicked at"));
        let text = lines.nth(1).or_else(|| errors.lines().last()).unwrap_or("no word").to_owned();
        let mut failure = self.failure(&job, FailureKind::Crash, "never panics", text);
        // Numbers differ from run to run; the words are the bug.
        failure.fingerprint.retain(|c| !c.is_ascii_digit());
        Report {
            fired: job.plan.entries.iter().map(|entry| (entry.fault.class(), false)).collect(),
            plan: job.plan,
            failures: vec![failure],
            ..Report::new(self.0.name, Seed(job.seed))
        }
    }

    fn failure(&self, job: &Job, kind: FailureKind, property: &str, why: String) -> Failure {
        let (scenario, seed) = (self.0.name, Seed(job.seed));
        Failure {
            kind,
            scenario,
            seed,
            property: property.to_owned(),
            fingerprint: format!("{}: {property}: {why}", kind.name()),
            explanation: why,
            expected: self.expected(kind, property),
            operations: Vec::new(),
            nodes: Vec::new(),
            event: 0,
            at: Time::ZERO,
            hash: 0,
            faults: job.plan.entries.iter().map(ToString::to_string).collect(),
            replay: seedfall::words::command(&format!("replay {scenario} --seed {}", seed.0)),
        }
    }

    /// Why the subject expects this, if it does.
    fn expected(&self, kind: FailureKind, property: &str) -> Option<String> {
        let Expectation::Violates { properties, because } = self.0.expect else { return None };
        let named = properties.iter().any(|named| property.ends_with(named));
        (named && kind == FailureKind::Safety).then(|| because.to_owned())
    }

    fn failed(&self, failure: Failure, operations: Vec<String>, life: &Life) -> Failure {
        // Who is named differs from run to run; what is broken does not.
        let fingerprint = match failure.kind {
            FailureKind::Liveness => format!("{}: {}", failure.kind.name(), failure.property),
            _ => failure.fingerprint,
        };
        Failure {
            fingerprint,
            operations,
            event: life.messages,
            at: Time::from_nanos(life.ended),
            hash: life.hash,
            ..failure
        }
    }
}

fn history(operations: &[Told]) -> History<KvInput<String, String>, KvOutput<String>> {
    let operation = |told: &Told| Operation {
        client: told.id.client.index() as u32,
        call: told.call,
        input: match &told.question {
            Question::Get { key } => KvInput::Get { key: key.clone() },
            Question::Put { key, value } => KvInput::Put { key: key.clone(), value: value.clone() },
        },
        outcome: match (told.returned, &told.answer) {
            (None, _) => Outcome::Indeterminate,
            (Some(returned), None) => Outcome::Failed { returned },
            (Some(returned), Some(Answer::Done)) => {
                Outcome::Ok { returned, output: KvOutput::Done }
            }
            (Some(returned), Some(Answer::Value(value))) => {
                Outcome::Ok { returned, output: KvOutput::Value(value.clone()) }
            }
        },
    };
    History { operations: operations.iter().map(operation).collect() }
}

fn tell(told: &Told, blamed: bool) -> String {
    let mark = if blamed { ">" } else { " " };
    let Told { id, question, call, returned, answer } = told;
    let call = Time::from_nanos(*call);
    let end = match (returned.map(Time::from_nanos), answer) {
        (None, _) => "? = no answer".to_owned(),
        (Some(returned), None) => format!("{returned} = failed"),
        (Some(returned), Some(answer)) => format!("{returned} = {answer:?}"),
    };
    format!("{mark} {id} {question:?}   {call} .. {end}")
}
