//! Who hands the seeds of a shard out to worker processes, and sees to it that none is lost.
//!
//! Whatever a worker has done stands in its file; whatever it has not done is handed out again.
//! So a worker may be killed at any time, and so may this process: the next one goes on.

use super::clock::{self, Watch};
use super::fate::{Blame, Death, Follows, died};
use super::manifest::{Manifest, Target};
use super::pace::Pace;
use super::queue::Queue;
use super::state::State;
use super::store::Book;
use super::{Problem, show};
use seedfall::campaign::{Entry, Runs, Shard, Start, decode, encode, spell};
use seedfall::save::save;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How often workers are looked at.
const EVERY: Duration = Duration::from_millis(20);

/// How often what is done is written as one file, and the files of workers removed.
const FOLD: Duration = Duration::from_secs(15);

/// Workers that may die of what is no run's fault, one after the other.
const TRIES: u32 = 3;

/// How a shard is run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) out: PathBuf,
    pub(super) shard: Shard,
    /// Worker processes at a time.
    pub(super) jobs: usize,
    /// When to stop handing out.
    pub(super) time: Option<Duration>,
    /// How long one run may take.
    pub(super) patience: Duration,
    /// Whether nobody wants to see how far it is.
    pub(super) quiet: bool,
}

/// Seeds that a worker is to run, and how.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// The place of the scenario.
    pub(super) target: usize,
    pub(super) spans: Vec<Range<u64>>,
    /// Seed by seed, so that a death has one seed.
    pub(super) careful: bool,
}

/// A worker process.
struct Worker {
    task: Task,
    child: Child,
    /// Its file, and how much of it was read.
    path: PathBuf,
    read: u64,
    /// What it has done.
    done: Vec<Runs>,
    /// The beginning of a line.
    rest: Vec<u8>,
    quiet_since: Watch,
    timed_out: bool,
}

/// The coordinator of a shard.
pub(super) struct Crew<'a> {
    manifest: &'a Manifest,
    plan: &'a Plan,
    queue: Queue,
    workers: Vec<Worker>,
    /// What this process had done.
    own: Book,
    /// Files that are in `own`.
    files: Vec<PathBuf>,
    state: State,
    pace: Pace,
    /// How many deaths a seed has seen.
    deaths: BTreeMap<(usize, u64), u32>,
    started: Watch,
    begun: u64,
}

impl<'a> Crew<'a> {
    /// Runs what is missing of a shard; says what else happened.
    pub(super) fn run(
        manifest: &'a Manifest,
        plan: &'a Plan,
        book: &Book,
        first: &BTreeMap<String, Vec<u64>>,
    ) -> Result<State, Problem> {
        let queue = Queue::new(manifest, plan.shard, book, first);
        let mut crew = Self {
            manifest,
            plan,
            pace: Pace::new(queue.left(), plan.time, plan.quiet),
            queue,
            workers: Vec::new(),
            own: Book::default(),
            files: Vec::new(),
            state: State::begin(plan),
            deaths: BTreeMap::new(),
            started: Watch::start(),
            begun: 0,
        };
        crew.state.save(&plan.out)?;
        let done = crew.go();
        crew.pace.finish();
        if done.is_err() {
            crew.workers.iter_mut().for_each(end);
        }
        // What was done is kept, whatever came after.
        let kept = crew.fold(true);
        done.and(kept)?;
        Ok(crew.state)
    }

    fn go(&mut self) -> Result<(), Problem> {
        let (mut folded, mut beaten) = (Watch::start(), Watch::start());
        loop {
            let late = self.plan.time.is_some_and(|time| time <= self.started.elapsed());
            while !late
                && self.workers.len() < self.plan.jobs
                && let Some(task) = self.queue.next()
            {
                self.hire(task)?;
            }
            if self.workers.is_empty() {
                return Ok(());
            }
            clock::sleep(EVERY);
            self.look()?;
            self.state.course.at(self.started.elapsed());
            self.pace.show();
            if FOLD <= folded.elapsed() {
                self.fold(false)?;
                folded = Watch::start();
            }
            if State::BEAT <= beaten.elapsed() {
                self.state.seconds = self.started.elapsed().as_secs_f64();
                self.state.save(&self.plan.out)?;
                beaten = Watch::start();
            }
        }
    }

    fn hire(&mut self, task: Task) -> Result<(), Problem> {
        let target = &self.manifest.scenarios[task.target];
        self.begun += 1;
        let id = format!("{}-{}", self.state.attempt, self.begun);
        let parts = self.plan.out.join("parts");
        fs::create_dir_all(&parts).map_err(|error| cannot(&parts, &error))?;
        let name = &target.about.scenario;
        let path = parts.join(format!("{name}.{id}.jsonl.part"));
        let log = path.with_extension("log");
        let output = File::create(&log).map_err(|error| cannot(&log, &error))?;
        let errors = output.try_clone().map_err(|error| cannot(&log, &error))?;
        let mut command = command(target, &self.manifest.build);
        command
            .env("SEEDFALL_OUT", &parts)
            .env("SEEDFALL_WORKER", &id)
            .env("SEEDFALL_SEEDS", spell(&task.spans))
            .env("SEEDFALL_WHOLE", spell(&[self.manifest.range()]))
            .env("SEEDFALL_UNIT", self.manifest.unit.to_string())
            .env("SEEDFALL_JOBS", "1")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        if task.careful {
            command.env("SEEDFALL_BLOCK", "1");
        }
        if let Some(time) = self.plan.time {
            let left = time.saturating_sub(self.started.elapsed()).as_millis().max(1);
            command.env("SEEDFALL_TIME", format!("{left}ms"));
        }
        let child = command.spawn().map_err(|error| cannot(&target.program, &error))?;
        self.workers.push(Worker {
            task,
            child,
            path,
            read: 0,
            done: Vec::new(),
            rest: Vec::new(),
            quiet_since: Watch::start(),
            timed_out: false,
        });
        Ok(())
    }

    /// Looks at every worker once.
    fn look(&mut self) -> Result<(), Problem> {
        let mut at = 0;
        while at < self.workers.len() {
            let worker = &mut self.workers[at];
            let ended = worker.child.try_wait()?;
            let before = worker.done.len();
            worker.listen()?;
            for runs in &worker.done[before..] {
                self.state.course.add(runs, self.started.elapsed());
                self.pace.add(runs);
                self.queue.heard(worker.task.target, runs);
            }
            if let Some(status) = ended {
                let worker = self.workers.swap_remove(at);
                self.ended(worker, status)?;
                continue;
            }
            if self.plan.patience <= worker.quiet_since.elapsed() && !worker.timed_out {
                worker.timed_out = true;
                end(worker);
            }
            at += 1;
        }
        Ok(())
    }

    /// Takes what a worker has done, and hands out again what it has not.
    fn ended(&mut self, worker: Worker, status: std::process::ExitStatus) -> Result<(), Problem> {
        let Worker { task, path, done, timed_out, .. } = worker;
        let mut left = task.spans.clone();
        done.iter().for_each(|runs| take_away(&mut left, &runs.seeds()));
        let whole = path.with_extension("");
        let finished = status.success() && whole.exists();
        let log = path.with_extension("log");
        let said = fate_of_log(&log);
        let late = self.plan.time.is_some_and(|time| time <= self.started.elapsed());
        let progress = !done.is_empty();
        self.files.extend([if whole.exists() { whole } else { path }, log]);
        if !done.is_empty() {
            self.own.add(self.manifest, done);
        }
        let Some(first) = left.first().map(|range| range.start) else {
            if !finished && !task.careful {
                self.state.incident(format!(
                    "{}: a worker ended badly after its last run: {}",
                    self.name(&task),
                    died(status, timed_out)
                ));
            }
            return Ok(());
        };
        if finished {
            // A run ate up the memory, or time was up.
            if !progress && !late {
                return Err(Problem(format!(
                    "{}: a worker ended and had run nothing: {said}",
                    self.name(&task)
                )));
            }
            self.queue.again(&task, left, false);
            return Ok(());
        }
        self.dead((task, left), first, &died(status, timed_out), &said)
    }

    fn name(&self, task: &Task) -> String {
        self.manifest.scenarios[task.target].about.scenario.clone()
    }

    /// A worker is dead, with these seeds undone, of which the first was under way, or one soon
    /// after it.
    fn dead(
        &mut self,
        (task, mut left): (Task, Vec<Range<u64>>),
        first: u64,
        death: &Death,
        said: &str,
    ) -> Result<(), Problem> {
        let name = self.name(&task);
        let deaths = self.deaths.entry((task.target, first)).or_default();
        *deaths += 1;
        let often = *deaths;
        match death.blame() {
            Blame::Worker => {
                return Err(Problem(format!("{name}: a worker failed ({death}): {said}")));
            }
            Blame::Machine if often < TRIES => {
                self.state.killed += 1;
                self.queue.again(&task, left, true);
                return Ok(());
            }
            Blame::Run if !task.careful => {
                self.queue.suspect(&task, left, death);
                return Ok(());
            }
            Blame::Machine if !death.is_kill() => {
                return Err(Problem(format!(
                    "{name}: seed {first}: its worker was ended {often} times: {death}"
                )));
            }
            Blame::Machine | Blame::Run => {}
        }
        let runs = death.runs(&name, &self.manifest.build, first, said);
        self.state.course.add(&runs, self.started.elapsed());
        self.pace.add(&runs);
        self.own.add(self.manifest, vec![runs]);
        self.queue.found(&task);
        take_away(&mut left, &(first..first + 1));
        self.queue.again(&task, left, true);
        Ok(())
    }

    /// Writes what was done as one file, whole or not at all; then the files of its workers are
    /// no longer needed.
    fn fold(&mut self, last: bool) -> Result<(), Problem> {
        if last {
            for (follows, what) in self.queue.unexplained(self.manifest) {
                match follows {
                    Follows::Incident => self.state.incidents.push(what),
                    Follows::Warning => show::warning(&what),
                }
            }
            self.state.seconds = self.started.elapsed().as_secs_f64();
            // Where time alone bounds a campaign, it is done when time is up.
            let by_time = self.manifest.seeds.is_none();
            self.state.done = self.workers.is_empty() && (by_time || self.queue.is_empty());
        }
        let mut text = String::new();
        for target in &self.manifest.scenarios {
            let cover = self.own.cover(&target.about.scenario);
            if cover.is_empty() {
                continue;
            }
            text += &encode(&Entry::Start(Box::new(Start {
                version: 1,
                about: target.about.clone(),
                build: self.manifest.build.clone(),
                seeds: self.manifest.range(),
                unit: self.manifest.unit.get(),
            })));
            for runs in cover {
                text += &encode(&Entry::Runs(Box::new(runs.clone())));
            }
        }
        if !text.is_empty() {
            let path = self.state.path(&self.plan.out, "jsonl");
            save(&path, text.as_bytes()).map_err(|error| cannot(&path, &error))?;
        }
        for file in self.files.drain(..) {
            // Somebody may have removed it: what it said is written.
            let _ = fs::remove_file(file);
        }
        if last {
            self.state.save(&self.plan.out)?;
        }
        Ok(())
    }
}

impl Worker {
    /// Reads the lines that are new.
    fn listen(&mut self) -> Result<(), Problem> {
        let whole = self.path.with_extension("");
        let opened = File::open(&self.path).or_else(|_| File::open(&whole));
        let Ok(mut file) = opened else { return Ok(()) };
        file.seek(SeekFrom::Start(self.read))?;
        let before = self.rest.len();
        let read = file.read_to_end(&mut self.rest)?;
        self.read += read as u64;
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        debug_assert!(before <= self.rest.len());
        let lines: Vec<u8> = self.rest.drain(..=end).collect();
        self.quiet_since = Watch::start();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let text = String::from_utf8_lossy(line);
            match decode(&text) {
                Ok(Entry::Runs(runs)) => self.done.push(*runs),
                Ok(Entry::Start(_)) => {}
                // Its seeds are run again.
                Err(why) => show::warning(&format!("{}: {why}", self.path.display())),
            }
        }
        Ok(())
    }
}

/// The command that runs a scenario as the environment says.
pub(super) fn command(target: &Target, build: &str) -> Command {
    let mut command = Command::new(&target.program);
    command
        .args(&target.arguments)
        .env("SEEDFALL_SCENARIO", &target.about.scenario)
        .env("SEEDFALL_BUILD", build)
        .env("RUST_BACKTRACE", "0");
    for unset in ["SEEDFALL_LIST", "SEEDFALL_SEED", "SEEDFALL_CASE", "SEEDFALL_SHARD"] {
        command.env_remove(unset);
    }
    command.env_remove("SEEDFALL_BASE_SEED").env_remove("SEEDFALL_TIME");
    if target.folder.is_dir() {
        command.current_dir(&target.folder).env("CARGO_MANIFEST_DIR", &target.folder);
    }
    // A group of its own: what hangs is ended with everything that it started.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

/// Ends a worker, and whatever it has started.
fn end(worker: &mut Worker) {
    #[cfg(unix)]
    if let Some(group) = rustix::process::Pid::from_raw(worker.child.id().cast_signed()) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = worker.child.kill();
}

/// What a worker printed, its end.
fn fate_of_log(path: &Path) -> String {
    const MOST: u64 = 4_096;
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MOST)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_default()
}

/// Takes a range away from others.
pub(super) fn take_away(from: &mut Vec<Range<u64>>, what: &Range<u64>) {
    let parts = std::mem::take(from).into_iter().flat_map(|range| {
        let before = range.start..range.end.min(what.start);
        let after = range.start.max(what.end)..range.end;
        [before, after]
    });
    *from = parts.filter(|range| !range.is_empty()).collect();
}

fn cannot(path: &Path, error: &std::io::Error) -> Problem {
    Problem(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_away_leaves_both_sides() {
        let mut left = vec![0..10, 20..30];
        take_away(&mut left, &(5..25));
        assert_eq!(left, [0..5, 25..30]);
        take_away(&mut left, &(0..5));
        take_away(&mut left, &(27..28));
        assert_eq!(left, [25..27, 28..30]);
    }
}
