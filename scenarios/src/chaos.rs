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

use crate::plan::{Class, FaultPlan, PlanError};
use crate::promise::{JudgeHistory, Judgement, Kind};
use crate::run::told;
use crate::scenario::Scenario;
use crate::service::Service;
use clients::Record;
use nemesis::Nemesis;
use processes::Processes;
use proxy::Wires;
use seedfall_checkers::Outcome;
use seedfall_net::real::{Deployable, rerun};
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
    /// The promises about the history that were judged.
    pub judged: Vec<&'static str>,
    /// How it ended.
    pub verdict: ChaosVerdict,
    /// Files and logs of the nodes, the plan and the history, kept unless the verdict is that all
    /// holds.
    pub kept: Option<PathBuf>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChaosVerdict {
    /// Every promise about the history was kept, and every closing operation completed.
    Holds,
    /// A promise was broken.
    Violated {
        /// Which.
        promise: String,
        /// Why.
        reason: String,
        /// The operations that show it.
        operations: Vec<String>,
    },
    /// A closing operation did not complete.
    Late(String),
    /// A node ended by itself.
    Died(String),
    /// The replay of a node's recording parts from it, or cannot be done.
    Parted(String),
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

/// How long closing operations may take.
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
pub(crate) fn plan_of<P: Protocol, I, O>(
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
    I: Debug + Send + 'static,
    O: Debug + Send + 'static,
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
    let mut verdict = chaos.judge(&record, &effects, died);
    let mut replayed = None;
    if options.record && verdict != ChaosVerdict::Interrupted {
        match replay_all::<P>(place.path(), options.nodes) {
            Ok(totals) => replayed = Some(totals),
            // A broken promise is the greater news.
            Err(why) if !matches!(verdict, ChaosVerdict::Violated { .. }) => {
                verdict = ChaosVerdict::Parted(why);
            }
            Err(_) => {}
        }
    }
    let outcomes = |is: fn(&Outcome<O>) -> bool| {
        record.history.operations.iter().filter(|operation| is(&operation.outcome)).count() as u64
    };
    let kept = match verdict {
        ChaosVerdict::Holds | ChaosVerdict::Interrupted => None,
        _ => {
            let place = place.keep();
            std::fs::write(place.join("plan.json"), serde_json::to_vec_pretty(&plan)?)?;
            let told = record.names.iter().enumerate().map(|(index, name)| {
                let operation = &record.history.operations[index];
                format!("{}\n", told(operation, *name, " "))
            });
            std::fs::write(place.join("history.txt"), told.collect::<String>())?;
            Some(place)
        }
    };
    Ok(ChaosReport {
        effects,
        completed: record.history.completed() as u64,
        failed: outcomes(|outcome| matches!(outcome, Outcome::Failed { .. })),
        indeterminate: outcomes(|outcome| matches!(outcome, Outcome::Indeterminate)),
        took: chaos.began.elapsed(),
        replayed,
        judged: histories(&scenario).map(|(name, _)| name).collect(),
        verdict,
        kept,
        plan,
    })
}

/// Replays what the nodes recorded.
fn replay_all<P: Deployable>(place: &Path, nodes: usize) -> Result<(usize, u64, u64), String> {
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

/// The promises about the history, and who judges them.
fn histories<P: Protocol, I, O>(
    scenario: &Scenario<P, I, O>,
) -> impl Iterator<Item = (&'static str, &JudgeHistory<I, O>)> {
    scenario.promises.iter().filter_map(|promise| match &promise.kind {
        Kind::History(judge) => Some((promise.name, &**judge)),
        _ => None,
    })
}

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
    I: Debug + Send + 'static,
    O: Debug + Send + 'static,
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
        let crowd =
            clients::start::<P, I, O>(self.scenario.workload.clone(), self.options.seed, &wires);
        self.rest(WARM_UP, &crowd, "nothing yet").await;
        let mut nemesis = Nemesis::new(plan, &wires, self.options.seed);
        let begin = Instant::now();
        let mut died = None;
        while begin.elapsed() < self.options.time && died.is_none() && !self.is_stopped() {
            nemesis.act(begin.elapsed(), &mut processes).await?;
            died = processes.died();
            let (elapsed, in_force) = (begin.elapsed(), nemesis.in_force());
            (self.tick)(&Progress { elapsed, completed: crowd.completed(), in_force });
            sleep(Duration::from_millis(10)).await;
        }
        nemesis.end(&mut processes)?;
        crowd.close();
        let deadline = Instant::now() + SETTLE;
        while !crowd.is_over() && Instant::now() < deadline && died.is_none() && !self.is_stopped()
        {
            died = processes.died();
            self.rest(Duration::from_millis(100), &crowd, "none: closing operations").await;
        }
        Ok((nemesis.effects(), died, crowd.end()))
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    async fn rest(&self, time: Duration, crowd: &clients::Crowd<I, O>, what: &str) {
        let (completed, in_force) = (crowd.completed(), what.to_owned());
        (self.tick)(&Progress { elapsed: self.began.elapsed(), completed, in_force });
        sleep(time).await;
    }

    fn judge(
        &self,
        record: &Record<I, O>,
        effects: &Effects,
        died: Option<String>,
    ) -> ChaosVerdict {
        let Record { history, names, waiting } = record;
        if self.is_stopped() {
            return ChaosVerdict::Interrupted;
        }
        let mut unknown = None;
        for (name, judge) in histories(self.scenario) {
            match judge(history) {
                Judgement::Holds => {}
                Judgement::Unknown(why) => unknown = Some(format!("{name}: {why}")),
                Judgement::Violated { reason, operation, core } => {
                    let mut shown = core;
                    shown.extend(operation);
                    shown.sort_unstable();
                    shown.dedup();
                    let mark = |index| if Some(index) == operation { ">" } else { " " };
                    let told =
                        |index: usize| told(&history.operations[index], names[index], mark(index));
                    let promise = format!("always {name}");
                    let operations = shown.into_iter().map(told).collect();
                    return ChaosVerdict::Violated { promise, reason, operations };
                }
            }
        }
        let idle = effects.iter().find(|(_, (_, effects))| *effects == 0);
        match (died, unknown, idle) {
            (Some(died), ..) => ChaosVerdict::Died(died),
            (_, Some(unknown), _) => ChaosVerdict::Unknown(unknown),
            _ if !waiting.is_empty() => ChaosVerdict::Late(format!(
                "{SETTLE:?} after the last fault, {}",
                waiting.join("; ")
            )),
            _ if history.completed() == 0 => {
                ChaosVerdict::Vacuous("no operation completed".to_owned())
            }
            _ if histories(self.scenario).next().is_none() => {
                ChaosVerdict::Vacuous("nothing is promised about the history".to_owned())
            }
            (.., Some((class, _))) => {
                ChaosVerdict::Vacuous(format!("a planned {} had no effect", class.name()))
            }
            _ => ChaosVerdict::Holds,
        }
    }
}
