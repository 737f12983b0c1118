//! Chaos: real processes with real files over real TCP, under a fault plan, judged by the same
//! checkers.
//!
//! What a simulated run is by draws, this is by the machine: a seed draws the plan and what clients
//! ask, and decides nothing else. So a verdict is evidence and no replay; the plan can be run
//! again. Nodes are processes of a program that serves (this one, unless another is named), killed,
//! frozen and started again; between each two of them, and between each client and each of them,
//! stands a proxy that cuts, holds, delays and breaks connections.

mod clients;
mod nemesis;
mod plan;
mod processes;
mod proxy;

use crate::driver::{Deployable, rerun};
use crate::service::Service;
use clients::Record;
use nemesis::Nemesis;
use processes::Processes;
use proxy::Wires;
use seedfall::plan::{Class, FaultPlan, PlanError};
use seedfall::property::{JudgeHistory, Judgement, Property};
use seedfall::scenario::Scenario;
use seedfall_checkers::{History, Outcome};
use seedfall_sim::{NodeId, Protocol, Seed};
use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal;
use tokio::time::{Instant, sleep};

pub use clients::policy;
pub use plan::{ROUND, supports};

/// Everything that decides how chaos is run.
#[derive(Clone, Debug)]
pub struct ChaosOptions {
    /// How many nodes; at least one.
    pub nodes: usize,
    /// How long faults last.
    pub time: Duration,
    /// What decides the plan and what clients ask.
    pub seed: Seed,
    /// The faults; `None`: those that the seed draws.
    pub plan: Option<FaultPlan>,
    /// The program whose `serve` is a node.
    pub program: PathBuf,
    /// Whether writes of nodes reach the machine at once: then a kill loses nothing of them.
    pub direct: bool,
    /// Whether nodes record their lives, which are then replayed offline.
    pub record: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct ChaosReport {
    /// What was planned.
    pub plan: FaultPlan,
    /// For each class of the plan, how many entries it has and how often it had an effect.
    pub effects: BTreeMap<Class, (u64, u64)>,
    /// Operations that completed.
    pub completed: u64,
    /// Operations that certainly did not happen.
    pub failed: u64,
    /// Operations whose outcome nobody knows.
    pub indeterminate: u64,
    /// How long all of it took.
    pub took: Duration,
    /// What was replayed of the recordings: lives, inputs and effects, all of them the same.
    pub replayed: Option<(usize, u64, u64)>,
    /// The properties that were judged.
    pub judged: Vec<String>,
    /// Every operation in the order of the calls, as failures tell them.
    pub history: Vec<String>,
    /// How it ended.
    pub verdict: ChaosVerdict,
    /// Files, logs and recordings of the nodes, the plan and the history. They are kept unless all
    /// holds; of a run that was broken off, if it had come to be judged or was recorded.
    pub kept: Option<PathBuf>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChaosVerdict {
    /// Every property holds.
    Holds,
    /// A property was broken.
    Violated {
        /// Which.
        property: String,
        /// Why.
        reason: String,
        /// The operations that show it.
        operations: Vec<String>,
    },
    /// Every operation must complete, and a final one did not.
    Late(String),
    /// A node ended by itself.
    Died(String),
    /// The workload or a property panicked; says which, and what it said.
    Panicked(String),
    /// The replay of a node's recording diverges from it, or cannot be done.
    Diverged(String),
    /// It proves little.
    Vacuous(String),
    /// The checker ran out of its budget.
    Unknown(String),
    /// It was broken off.
    Interrupted,
}

/// Why chaos cannot be run.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChaosError {
    /// The machine says no.
    Io(io::Error),
    /// The plan does not fit.
    Plan(PlanError),
    /// A fault of the plan cannot be done to a real process.
    Unsupported(Class),
}

impl fmt::Display for ChaosError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Plan(error) => write!(f, "{error}"),
            Self::Unsupported(class) => {
                write!(f, "a {} cannot be done to a real process or wire", class.name())
            }
        }
    }
}

impl std::error::Error for ChaosError {}

impl From<io::Error> for ChaosError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// How long final operations may take.
const SETTLE: Duration = Duration::from_secs(30);

/// How long a cluster has before the faults begin.
const WARM_UP: Duration = Duration::from_secs(1);

/// How far it has come.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Since the faults began.
    pub elapsed: Duration,
    /// Operations that completed.
    pub completed: u64,
    /// What is in force.
    pub in_force: String,
}

/// The plan of the options, or that of their seed.
pub fn plan_of<P: Protocol, I, O>(
    scenario: &Scenario<P, I, O>,
    options: &ChaosOptions,
) -> Result<FaultPlan, ChaosError> {
    let plan = match &options.plan {
        Some(plan) => plan.clone(),
        None => plan::draw(scenario, options),
    };
    plan::check(&plan, scenario, options)?;
    Ok(plan)
}

/// Runs it.
pub(crate) fn run<P, I, O>(
    service: &Service<P, I, O>,
    options: &ChaosOptions,
    tick: &dyn Fn(&Progress),
) -> Result<ChaosReport, ChaosError>
where
    P: Deployable,
    P::Request: Sync,
    I: Debug + Send + Sync + 'static,
    O: Debug + Send + Sync + 'static,
{
    let scenario = (service.scenario)();
    let plan = plan_of(&scenario, options)?;
    let place = tempfile::Builder::new().prefix("seedfall-chaos-").tempdir()?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let stopped = Arc::new(AtomicBool::new(false));
    listen_for_signals(&runtime, &stopped)?;
    let mut chaos = Chaos {
        protocol: service.name,
        options,
        scenario: &scenario,
        stopped,
        tick,
        began: Instant::now(),
    };
    let (effects, died, record) = runtime.block_on(chaos.go(&plan, place.path()))?;
    // No process is left. What was seen is written down first: judging it may take its time.
    let history = record.told();
    std::fs::write(place.path().join("plan.json"), serde_json::to_vec_pretty(&plan)?)?;
    std::fs::write(place.path().join("history.txt"), history.join("\n") + "\n")?;
    let was_complete = !chaos.is_stopped();
    let record = Arc::new(record);
    let (verdict, replayed) =
        runtime.block_on(chaos.verdict(&record, &history, &effects, died, place.path()));
    let outcomes = |is: fn(&Outcome<O>) -> bool| {
        record.history.operations.iter().filter(|operation| is(&operation.outcome)).count() as u64
    };
    let is_kept = match verdict {
        ChaosVerdict::Holds => false,
        ChaosVerdict::Interrupted => was_complete || options.record,
        _ => true,
    };
    // What still judges, as it was broken off, is not waited for.
    runtime.shutdown_background();
    Ok(ChaosReport {
        effects,
        completed: record.history.completed() as u64,
        failed: outcomes(|outcome| matches!(outcome, Outcome::Failed { .. })),
        indeterminate: outcomes(|outcome| matches!(outcome, Outcome::Indeterminate)),
        took: chaos.began.elapsed(),
        replayed,
        judged: chaos.judged(),
        history,
        verdict,
        kept: is_kept.then(|| place.keep()),
        plan,
    })
}

/// What was replayed: lives, inputs, effects.
type Totals = (usize, u64, u64);

/// Replays what the nodes recorded.
fn replay_all<P: Deployable>(place: &Path, nodes: usize) -> Result<Totals, String> {
    let mut totals = (0, 0, 0);
    for node in NodeId::all(nodes) {
        let text = std::fs::read_to_string(processes::recording(place, node));
        let text = text.map_err(|error| format!("{node}'s recording: {error}"))?;
        let done = rerun::<P>(&text).map_err(|error| format!("{node}'s recording: {error}"))?;
        if let Some(one) = done.difference {
            return Err(format!(
                "{node} in life {} at input {} ({}): recorded {}, replayed {}",
                one.life, one.input, one.happened, one.expected, one.got
            ));
        }
        let (inputs, effects) = done.totals();
        totals = (totals.0 + done.lives.len(), totals.1 + inputs, totals.2 + effects);
    }
    Ok(totals)
}

impl From<serde_json::Error> for ChaosError {
    fn from(error: serde_json::Error) -> Self {
        Self::Io(error.into())
    }
}

/// Ctrl-C and a polite kill break it off: everything is cleaned up.
fn listen_for_signals(
    runtime: &tokio::runtime::Runtime,
    stopped: &Arc<AtomicBool>,
) -> io::Result<()> {
    let _inside = runtime.enter();
    let (flag, interrupted) = (Arc::clone(stopped), signal::ctrl_c());
    runtime.spawn(async move {
        if interrupted.await.is_ok() {
            flag.store(true, Ordering::Relaxed);
        }
    });
    #[cfg(unix)]
    {
        let mut polite = signal::unix::signal(signal::unix::SignalKind::terminate())?;
        let flag = Arc::clone(stopped);
        runtime.spawn(async move {
            polite.recv().await;
            flag.store(true, Ordering::Relaxed);
        });
    }
    Ok(())
}

/// The properties about the history, and who judges them.
fn histories<P: Protocol, I, O>(scenario: &Scenario<P, I, O>) -> Vec<Judge<I, O>> {
    let judge = |property: &Property<P, I, O>| Some((property.name, property.history_judge()?));
    scenario.properties.iter().filter_map(judge).collect()
}

/// A property about the history, and who judges it.
type Judge<I, O> = (&'static str, Arc<JudgeHistory<I, O>>);

struct Chaos<'a, P: Deployable, I, O> {
    protocol: &'static str,
    options: &'a ChaosOptions,
    scenario: &'a Scenario<P, I, O>,
    stopped: Arc<AtomicBool>,
    tick: &'a dyn Fn(&Progress),
    began: Instant,
}

type Effects = BTreeMap<Class, (u64, u64)>;

impl<P, I, O> Chaos<'_, P, I, O>
where
    P: Deployable,
    P::Request: Sync,
    I: Debug + Send + Sync + 'static,
    O: Debug + Send + Sync + 'static,
{
    /// Everything between the first process and the last; whatever it returns, no process is left.
    async fn go(
        &mut self,
        plan: &FaultPlan,
        place: &Path,
    ) -> Result<(Effects, Option<String>, Record<I, O>), ChaosError> {
        let (nodes, clients) = (self.options.nodes, self.scenario.cluster.clients);
        let ports = processes::ports(nodes)?;
        let wires = Wires::new(&ports, clients, self.options.seed).await?;
        let mut processes = Processes::new(self.protocol, self.options, &ports, &wires, place);
        for node in 0..nodes {
            processes.start(node)?;
        }
        let Scenario { workload, .. } = self.scenario;
        let must_complete = self.scenario.must_complete();
        let clients = clients::start(workload, must_complete, self.options.seed, &wires);
        self.rest(WARM_UP, &clients, "nothing yet").await;
        let mut nemesis = Nemesis::new(plan, &wires, self.options.seed);
        let begin = Instant::now();
        let mut died = None;
        while begin.elapsed() < self.options.time && died.is_none() && !self.is_stopped() {
            nemesis.act(begin.elapsed(), &mut processes).await?;
            died = processes.died();
            let (elapsed, in_force) = (begin.elapsed(), nemesis.in_force());
            (self.tick)(&Progress { elapsed, completed: clients.completed(), in_force });
            sleep(Duration::from_millis(10)).await;
        }
        nemesis.end(&mut processes)?;
        clients.end_faults();
        let deadline = Instant::now() + SETTLE;
        while !clients.is_over()
            && Instant::now() < deadline
            && died.is_none()
            && !self.is_stopped()
        {
            died = processes.died();
            self.rest(Duration::from_millis(100), &clients, "none: final operations").await;
        }
        Ok((nemesis.effects(), died, clients.end().await))
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    async fn rest(&self, time: Duration, clients: &clients::RunningClients<I, O>, what: &str) {
        let (completed, in_force) = (clients.completed(), what.to_owned());
        (self.tick)(&Progress { elapsed: self.began.elapsed(), completed, in_force });
        sleep(time).await;
    }

    /// The properties that are judged, in words.
    fn judged(&self) -> Vec<String> {
        let complete = self.scenario.properties.iter().filter(|one| one.is_completion());
        let names = histories(self.scenario).into_iter().map(|(name, _)| name);
        names.chain(complete.map(|one| one.name)).map(str::to_owned).collect()
    }

    /// What is to be said of the record, and what was replayed.
    async fn verdict(
        &self,
        record: &Arc<Record<I, O>>,
        history: &[String],
        effects: &Effects,
        died: Option<String>,
        place: &Path,
    ) -> (ChaosVerdict, Option<Totals>) {
        let (judges, judging) = (histories(self.scenario), Arc::clone(record));
        let completed = record.history.completed() as u64;
        let judged =
            self.beside(("judging", completed), move || judge(&judges, &judging.history)).await;
        let verdict = match judged {
            None => return (ChaosVerdict::Interrupted, None),
            Some(judged) => self.meaning(judged, record, history, effects, died),
        };
        if !self.options.record {
            return (verdict, None);
        }
        let (place, nodes) = (place.to_owned(), self.options.nodes);
        match self.beside(("replaying", completed), move || replay_all::<P>(&place, nodes)).await {
            Some(Ok(Ok(totals))) => (verdict, Some(totals)),
            // A broken property is the greater news.
            _ if matches!(verdict, ChaosVerdict::Violated { .. }) => (verdict, None),
            None => (ChaosVerdict::Interrupted, None),
            Some(Ok(Err(why))) => (ChaosVerdict::Diverged(why), None),
            Some(Err(words)) => {
                (ChaosVerdict::Diverged(format!("the protocol panicked: {words}")), None)
            }
        }
    }

    /// Does something long, that may panic. `None`: chaos was broken off meanwhile.
    async fn beside<T: Send + 'static>(
        &self,
        (what, completed): (&str, u64),
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<Result<T, String>> {
        if self.is_stopped() {
            return None;
        }
        let working = tokio::task::spawn_blocking(work);
        while !working.is_finished() {
            if self.is_stopped() {
                return None;
            }
            let (elapsed, in_force) = (self.options.time, format!("none: {what}"));
            (self.tick)(&Progress { elapsed, completed, in_force });
            sleep(Duration::from_millis(10)).await;
        }
        if self.is_stopped() {
            return None;
        }
        Some(working.await.map_err(clients::words))
    }

    fn meaning(
        &self,
        judged: Result<Judged, String>,
        record: &Record<I, O>,
        told: &[String],
        effects: &Effects,
        died: Option<String>,
    ) -> ChaosVerdict {
        let unknown = match judged {
            Ok(Judged::Violated { name, reason, operation, core }) => {
                let mut shown = core;
                shown.extend(operation);
                shown.sort_unstable();
                shown.dedup();
                let marked = |index: usize| match operation == Some(index) {
                    true => format!(">{}", &told[index][1..]),
                    false => told[index].clone(),
                };
                let operations = shown.into_iter().map(marked).collect();
                return ChaosVerdict::Violated {
                    property: format!("always {name}"),
                    reason,
                    operations,
                };
            }
            Ok(Judged::Unknown(why)) => Some(why),
            Ok(Judged::Holds) => None,
            Err(words) => return ChaosVerdict::Panicked(format!("a property: {words}")),
        };
        let idle = effects.iter().find(|(_, (_, effects))| *effects == 0);
        match (died, unknown, idle) {
            (Some(died), ..) => ChaosVerdict::Died(died),
            _ if record.panicked.is_some() => {
                let words = record.panicked.as_deref().unwrap_or_default();
                ChaosVerdict::Panicked(format!("the workload: {words}"))
            }
            (_, Some(unknown), _) => ChaosVerdict::Unknown(unknown),
            _ if self.scenario.must_complete() && !record.waiting.is_empty() => ChaosVerdict::Late(
                format!("{SETTLE:?} after the last fault, {}", record.waiting.join("; ")),
            ),
            _ if record.history.completed() == 0 => {
                ChaosVerdict::Vacuous("no operation completed".to_owned())
            }
            _ if histories(self.scenario).is_empty() => {
                ChaosVerdict::Vacuous("there is no property of the history".to_owned())
            }
            (.., Some((class, _))) => {
                ChaosVerdict::Vacuous(format!("a planned {} had no effect", class.name()))
            }
            _ => ChaosVerdict::Holds,
        }
    }
}

/// What the properties about the history say of one.
enum Judged {
    Holds,
    Violated { name: &'static str, reason: String, operation: Option<usize>, core: Vec<usize> },
    Unknown(String),
}

fn judge<I, O>(judges: &[Judge<I, O>], history: &History<I, O>) -> Judged {
    let mut all = Judged::Holds;
    for (name, judge) in judges {
        match judge(history) {
            Judgement::Holds => {}
            Judgement::Unknown(why) => all = Judged::Unknown(format!("{name}: {why}")),
            Judgement::Violated { reason, operation, core } => {
                return Judged::Violated { name, reason, operation, core };
            }
        }
    }
    all
}
