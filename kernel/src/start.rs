//! How runs are started: each in a process of its own, forked from the one that asks for it, or
//! from one that was made early and does nothing else.

use crate::course::{Course, Fork};
use crate::faults::{Nemesis, Plan};
use crate::machine;
use crate::remains::{empty_report, read, read_futures};
use crate::report::{Failure, Report};
use crate::run::{child, watch_panics};
use crate::world::{Simulation, World};
use std::sync::OnceLock;

/// So many threads are made before a run is forked; more are made as they are needed.
const POOL: usize = 32;

/// Where this program's file is.
static EXECUTABLE: OnceLock<Option<String>> = OnceLock::new();

/// Where this program's file is: a backtrace reads it.
pub(crate) fn executable() -> Option<&'static str> {
    EXECUTABLE.get().and_then(|path| path.as_deref())
}

/// One run of a world under somebody who strikes: a function of the world, the course and what the
/// nemesis does. The nemesis strikes in the run's process: what it learns there stays there, but
/// for the effects that it counts.
pub fn run(world: &World, course: &Course, nemesis: &mut dyn Nemesis) -> Report {
    let mut report = empty_report(world, course.seed);
    if let Some(wrong) = prepare(world) {
        report.failures.push(Failure::Setup(wrong));
        return report;
    }
    let forks = course.fork.as_slice();
    match machine::fork(POOL, || child(world, course, nemesis, forks, 1)) {
        Ok(child) => read(&mut report, world, &child.wait()),
        Err(error) => report.failures.push(Failure::Setup(format!("cannot fork: {error}"))),
    }
    if !report.waiting.is_empty() {
        crate::waits::prepare();
    }
    report
}

/// Several futures of one run, which take another turn at the same event: the past is run once, in
/// a process that is forked there for each of them, so many at a time. Each is what [`run`] makes
/// of a course with that fork.
pub fn futures(
    world: &World,
    course: &Course,
    nemesis: &mut dyn Nemesis,
    forks: &[Fork],
    jobs: usize,
) -> Vec<Report> {
    let failed = |wrong: String| {
        let mut report = empty_report(world, course.seed);
        report.failures.push(Failure::Setup(wrong));
        vec![report; forks.len()]
    };
    if let Some(wrong) = prepare(world) {
        return failed(wrong);
    }
    match machine::fork(POOL, || child(world, course, nemesis, forks, jobs.max(1))) {
        Ok(child) => read_futures(world, course.seed, &child.wait(), forks.len()),
        Err(error) => failed(format!("cannot fork: {error}")),
    }
}

/// What is wrong with the world or the machine; if nothing is, the process can be forked.
fn prepare(world: &World) -> Option<String> {
    if let Some(wrong) = check(world) {
        return Some(wrong);
    }
    watch();
    None
}

/// What is made once, before the first fork.
fn watch() {
    EXECUTABLE.get_or_init(|| {
        let path = std::env::current_exe().ok()?;
        Some(path.to_string_lossy().into_owned())
    });
    machine::note_statics();
    machine::find_statics();
    watch_panics();
}

/// What is wrong with a world, or with the machine under it.
fn check(world: &World) -> Option<String> {
    if world.nodes().next().is_none() {
        return Some("a world needs a node: `node`, `node_async` or `client`".to_owned());
    }
    let mut names: Vec<&str> = world.nodes().map(|node| node.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Some(format!("two nodes are called `{}`", twice[0]));
    }
    if !machine::can_switch() {
        let wants =
            "this machine lets no program change its segment register (FSGSBASE, Linux 5.9)";
        return Some(wants.to_owned());
    }
    None
}

/// What a process is made to run.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which run.
    pub simulation: Simulation,
    /// Its futures, if these are asked for ([`Simulation::futures`]).
    pub futures: Vec<Fork>,
    /// So many of them at a time.
    pub jobs: usize,
}

impl From<Simulation> for Asked {
    fn from(simulation: Simulation) -> Self {
        Self { simulation, futures: Vec::new(), jobs: 1 }
    }
}

/// A process that forks runs, and does nothing else. What a run finds in its process is what was
/// there when the zygote was made: statics, the heap of the process and where it has put things. A
/// run that is forked from the process that asks for it finds what that process has done until
/// then, which is another thing in each sweep.
///
/// Make it first, before there are other threads. It ends with the process that made it.
#[derive(Debug)]
pub struct Zygote {
    process: machine::Zygote,
}

impl Zygote {
    /// Forks it as this process is now. `make` is called in the process of each run: it makes of
    /// the bytes that are asked for what is to be run.
    ///
    /// # Errors
    /// If the machine permits no further process.
    pub fn new<A: Into<Asked>>(make: impl Fn(&[u8]) -> A) -> std::io::Result<Self> {
        watch();
        let work = |asked: &[u8]| {
            let Asked { simulation, futures, jobs } = make(asked).into();
            let (world, course, faults) = simulation.parts();
            let forks = if futures.is_empty() { course.fork.as_slice() } else { &futures };
            child(world, course, &mut Plan::new(faults), forks, jobs.max(1));
        };
        Ok(Self { process: machine::Zygote::new(POOL, work)? })
    }

    fn fork(&self, world: &World, asked: &[u8]) -> Result<machine::Child, String> {
        match prepare(world) {
            Some(wrong) => Err(wrong),
            None => self.process.fork(asked).map_err(|error| format!("cannot fork: {error}")),
        }
    }

    /// One run: `simulation` is what the zygote makes of `asked`.
    pub fn run(&self, simulation: &Simulation, asked: &[u8]) -> Report {
        let (world, course, _) = simulation.parts();
        let mut report = empty_report(world, course.seed);
        match self.fork(world, asked) {
            Ok(child) => read(&mut report, world, &child.wait()),
            Err(wrong) => report.failures.push(Failure::Setup(wrong)),
        }
        report
    }

    /// Several futures of one run: `simulation` is what the zygote makes of `asked`, which asks for
    /// so many.
    pub fn futures(&self, simulation: &Simulation, asked: &[u8], count: usize) -> Vec<Report> {
        let (world, course, _) = simulation.parts();
        match self.fork(world, asked) {
            Ok(child) => read_futures(world, course.seed, &child.wait(), count),
            Err(wrong) => {
                let mut report = empty_report(world, course.seed);
                report.failures.push(Failure::Setup(wrong));
                vec![report; count]
            }
        }
    }
}
