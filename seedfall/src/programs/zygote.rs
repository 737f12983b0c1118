//! Where the runs of a scenario of programs are forked from: a process that was made before there
//! were threads, and does nothing else. What a sweep does, on however many threads, is not in them.

use super::Programs;
use super::run::Setup;
use crate::run::{Fork, Trial};
use seedfall_kernel::{Asked, Simulation, Zygote};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

/// What a zygote is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) trial: Trial,
    /// Several futures of it, so many at a time; empty: the run itself.
    pub(super) futures: Vec<Fork>,
    pub(super) jobs: usize,
}

/// A scenario, and the process that forks its runs.
struct Settled<I, O> {
    scenario: Programs<I, O>,
    zygote: Zygote,
}

/// The zygotes of this process, a `Settled` each.
static ALL: Mutex<Vec<Arc<dyn Any + Send + Sync>>> = Mutex::new(Vec::new());

/// Makes a process from which the runs of this scenario are forked, and of no other of this name.
/// Where none can be made, they are forked from this process.
pub(super) fn settle<I, O>(scenario: &Programs<I, O>)
where
    I: Clone + Debug + Send + Sync + 'static,
    O: Debug + Serialize + DeserializeOwned + 'static,
{
    let inside = scenario.clone();
    let make = move |asked: &[u8]| {
        let asked = serde_json::from_slice::<Request>(asked);
        let Request { trial, futures, jobs } = asked.expect("what this program has written");
        let setup = Setup::of(&inside, &trial, &turns(&trial, &futures));
        let forks = futures.iter().map(|fork| setup.fork(*fork)).collect();
        Asked { simulation: setup.whole(), futures: forks, jobs }
    };
    let Ok(zygote) = Zygote::new(make) else { return };
    let settled = Settled { scenario: scenario.clone(), zygote };
    ALL.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(settled));
}

/// The turns that a trial may take.
fn turns<'a>(trial: &'a Trial, futures: &'a [Fork]) -> Vec<Fork> {
    if futures.is_empty() { trial.fork.into_iter().collect() } else { futures.to_vec() }
}

/// The zygote of this very scenario, not of one that it was made of by other fields.
fn of<I: 'static, O: 'static>(scenario: &Programs<I, O>) -> Option<Arc<Settled<I, O>>> {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let found = all.iter().filter_map(|one| one.clone().downcast::<Settled<I, O>>().ok());
    { found }.find(|one| one.scenario.is(scenario))
}

/// One run, in a fork of the zygote, or else of this process.
pub(super) fn run<I: 'static, O: 'static>(
    scenario: &Programs<I, O>,
    simulation: &Simulation,
    request: impl FnOnce() -> Request,
) -> seedfall_kernel::Report {
    match of(scenario) {
        Some(settled) => settled.zygote.run(simulation, &bytes(&request())),
        None => simulation.run(),
    }
}

/// Futures of a run, in forks of a fork of the zygote, if there is one.
pub(super) fn futures<I: 'static, O: 'static>(
    scenario: &Programs<I, O>,
    simulation: &Simulation,
    request: &Request,
) -> Option<Vec<seedfall_kernel::Report>> {
    let count = request.futures.len();
    Some(of(scenario)?.zygote.futures(simulation, &bytes(request), count))
}

fn bytes(request: &Request) -> Vec<u8> {
    serde_json::to_vec(request).expect("a trial can be written as JSON")
}
