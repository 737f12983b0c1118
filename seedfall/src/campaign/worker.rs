//! One process of a campaign: it runs the seeds that it was given, and leaves lines behind.

use super::{About, Entry, Runs, Shard, Start, encode, parse_spans, unit_for, units};
use crate::case::Case;
use crate::explain::Explanation;
use crate::faults::Class;
use crate::run::{Runnable, Trial};
use crate::save::save;
use crate::shrink::{DEFAULT_RUNS, Effort, shrink, story};
use crate::sweep::{FITS_INTO_MEMORY, Summary, Sweep, all_cores, sweep};
use crate::testing::{parse_seed, parse_seeds, parse_time};
use seedfall_sim::{Seed, StableHasher};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::hash::Hasher as _;
use std::io::Write as _;
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the seeds of one line take, about: what a kill costs at most, where runs are shorter.
const LINE: Duration = Duration::from_millis(100);

/// How long making one failure small may take.
const SMALL_TIME: Duration = Duration::from_secs(30);

/// Seeds that failed earlier and are remembered in a folder, of one scenario, at most.
const EARLIER_MOST: usize = 64;

/// How the environment is asked.
type Ask<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What a process is to run, of a campaign.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Where lines are left; nowhere, if only a part of the seeds is asked for.
    out: Option<PathBuf>,
    /// Who somebody else sees to, and so leaves judging to them.
    worker: Option<String>,
    /// The seeds of the campaign.
    seeds: Range<u64>,
    unit: NonZeroU64,
    /// Which of them this process runs.
    spans: Vec<Range<u64>>,
    /// Seeds to a line, at most.
    block: u64,
    jobs: NonZeroUsize,
    time: Option<Duration>,
    build: String,
    /// Whether it is one shard of several.
    is_part: bool,
}

impl Order {
    /// What the environment asks for of a scenario; `None`, if it asks for no part of a campaign.
    pub(crate) fn asked(scenario: &str, ask: Ask<'_>) -> Result<Option<Self>, String> {
        let of_campaigns = ["SEEDFALL_OUT", "SEEDFALL_SHARD", "SEEDFALL_BASE_SEED"];
        if of_campaigns.iter().all(|name| ask(name).is_none()) {
            return Ok(None);
        }
        fn read<T>(
            ask: Ask<'_>,
            name: &str,
            parse: impl Fn(&str) -> Result<T, String>,
        ) -> Result<Option<T>, String> {
            let said = ask(name).filter(|text| !text.is_empty());
            said.map(|text| parse(&text).map_err(|error| format!("{name}: {error}"))).transpose()
        }
        let number = |text: &str| -> Result<NonZeroU64, String> {
            text.parse().map_err(|_| format!("`{text}`: expected a whole number from 1 on"))
        };
        let time = read(ask, "SEEDFALL_TIME", parse_time)?;
        let spans = read(ask, "SEEDFALL_SEEDS", parse_spans)?;
        let some = if time.is_some() { u64::MAX >> 1 } else { super::DEFAULT_SEEDS };
        let spans = spans.unwrap_or_else(|| std::iter::once(0..some).collect());
        let base = read(ask, "SEEDFALL_BASE_SEED", parse_seed)?.unwrap_or(0);
        let shifted = spans.iter().map(|span| {
            let end = base.checked_add(span.end);
            end.map(|end| base + span.start..end).ok_or_else(|| {
                format!("SEEDFALL_BASE_SEED: {base} and {} is more than 2^64 - 1", span.end)
            })
        });
        let spans = shifted.collect::<Result<Vec<_>, _>>()?;
        let whole = match (spans.first(), spans.last()) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => 0..0,
        };
        let seeds = read(ask, "SEEDFALL_WHOLE", parse_seeds)?.unwrap_or(whole);
        let unit = read(ask, "SEEDFALL_UNIT", number)?;
        let usual = if time.is_some() { 256 } else { seeds.end - seeds.start };
        let unit = unit.unwrap_or_else(|| unit_for(usual));
        let shard = read(ask, "SEEDFALL_SHARD", Shard::parse)?;
        let spans = match shard {
            Some(shard) if spans.len() == 1 => {
                units(scenario, seeds.clone(), unit, shard).collect()
            }
            Some(_) => return Err("SEEDFALL_SHARD: a shard is of one range of seeds".to_owned()),
            None => spans,
        };
        let jobs = read(ask, "SEEDFALL_JOBS", number)?.map(|jobs| jobs.get() as usize);
        Ok(Some(Self {
            out: ask("SEEDFALL_OUT").filter(|out| !out.is_empty()).map(PathBuf::from),
            worker: ask("SEEDFALL_WORKER"),
            seeds,
            unit,
            spans,
            block: read(ask, "SEEDFALL_BLOCK", number)?.map_or(u64::MAX, NonZeroU64::get),
            jobs: jobs.and_then(NonZeroUsize::new).unwrap_or_else(all_cores),
            time,
            is_part: shard.is_some_and(|shard| shard.of.get() > 1),
            build: ask("SEEDFALL_BUILD").map_or_else(own_build, Ok)?,
        }))
    }

    /// Whether it is for whoever started the process to say what the runs mean.
    pub(crate) fn is_judged_elsewhere(&self) -> bool {
        self.worker.is_some()
    }

    /// Whether other processes have other seeds of it.
    pub(crate) fn is_part(&self) -> bool {
        self.is_part
    }

    /// Runs a scenario as it is asked for, by a test of this name; what came of it is also left in
    /// the folder.
    ///
    /// # Errors
    /// The folder or a file of it cannot be written.
    pub(crate) fn run(&self, scenario: &dyn Runnable, test: &str) -> Result<Summary, String> {
        let mut lines = match &self.out {
            Some(out) => Some(Lines::begin(out, scenario, test, self)?),
            None => None,
        };
        let summary = self.go(scenario, lines.as_mut())?;
        if let Some(lines) = lines {
            lines.finish()?;
        }
        if let (Some(out), None) = (&self.out, &self.worker) {
            let failed = summary.ways.values().map(|(_, failure)| failure.seed.0);
            remember(&out.join(EARLIER), scenario.name(), failed)?;
        }
        Ok(summary)
    }

    fn go(
        &self,
        scenario: &dyn Runnable,
        mut lines: Option<&mut Lines>,
    ) -> Result<Summary, String> {
        #[expect(
            clippy::disallowed_methods,
            clippy::disallowed_types,
            reason = "how many seeds go into a line is decided by the clock; runs never see it"
        )]
        let started = std::time::Instant::now();
        let parent = parent();
        let mut total = Summary::default();
        let mut block = 1;
        for span in &self.spans {
            let mut from = span.start;
            while from < span.end {
                let late = self.time.is_some_and(|time| time <= started.elapsed());
                // Whoever waited for it is gone; what it left behind is whole.
                let orphan = self.worker.is_some() && self::parent() != parent;
                if late || orphan {
                    return Ok(total);
                }
                let to = self.end_of_line(from, span.end, block.min(self.block));
                let summary = self.some(scenario, from..to);
                let took = summary.took;
                let glutted = glutted(&summary);
                if let Some(lines) = &mut lines {
                    match glutted {
                        // The others of the line are run anew, in a process of their own.
                        Some(seed) => lines.runs(scenario, seed..seed + 1, &only(&summary, seed)),
                        None => lines.runs(scenario, from..to, &summary),
                    }?;
                }
                total = total.and(summary);
                if glutted.is_some() {
                    return Ok(total);
                }
                from = to;
                block = match took {
                    _ if took < LINE / 2 => block.saturating_mul(2),
                    _ if LINE * 2 < took => (block / 2).max(1),
                    _ => block,
                };
            }
        }
        Ok(total)
    }

    /// Where a line ends: never beyond its unit.
    fn end_of_line(&self, from: u64, end: u64, block: u64) -> u64 {
        let place = from.saturating_sub(self.seeds.start) / self.unit * self.unit.get();
        let unit = (self.seeds.start + place).saturating_add(self.unit.get());
        from.saturating_add(block).min(unit).min(end)
    }

    fn some(&self, scenario: &dyn Runnable, seeds: Range<u64>) -> Summary {
        let part_of = Some(self.seeds.start);
        let jobs = self.jobs;
        let plan = Sweep { seeds, part_of, keep_going: true, ..Sweep::new(jobs) };
        sweep(scenario, &plan, &|_| ())
    }
}

/// The seed that ate up the memory: nothing can be run beside it.
fn glutted(summary: &Summary) -> Option<u64> {
    let glut = summary.failures.iter().find(|failure| failure.property == FITS_INTO_MEMORY);
    glut.map(|failure| failure.seed.0)
}

/// Nothing but the failure of this seed.
fn only(summary: &Summary, seed: u64) -> Summary {
    let mut one = Summary::default();
    let failure = summary.failures.iter().find(|failure| failure.seed.0 == seed);
    if let Some(failure) = failure {
        one.add_lost(failure.clone());
    }
    one
}

/// The process that started this one, where the machine says.
fn parent() -> u32 {
    #[cfg(unix)]
    return std::os::unix::process::parent_id();
    #[cfg(not(unix))]
    0
}

/// A hash of the test binary.
fn own_build() -> Result<String, String> {
    let own = std::env::current_exe().map_err(|error| format!("the test binary: {error}"))?;
    let bytes = fs::read(&own).map_err(|error| format!("{}: {error}", own.display()))?;
    let mut hasher = StableHasher::default();
    hasher.write(&bytes);
    Ok(format!("binary-{:016x}", hasher.finish()))
}

/// The file of one worker.
struct Lines {
    file: File,
    path: PathBuf,
    build: String,
}

impl Lines {
    fn begin(
        folder: &Path,
        scenario: &dyn Runnable,
        test: &str,
        order: &Order,
    ) -> Result<Self, String> {
        let worker = order.worker.clone().unwrap_or_else(nobody);
        let path = folder.join(format!("{}.{worker}.jsonl.part", scenario.name()));
        let problem = |error: std::io::Error| format!("{}: {error}", path.display());
        fs::create_dir_all(folder).map_err(problem)?;
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(problem)?;
        let mut lines = Self { file, path, build: order.build.clone() };
        lines.write(&Entry::Start(Box::new(Start {
            version: super::record::VERSION,
            about: About::of(scenario, test.to_owned()),
            build: order.build.clone(),
            seeds: order.seeds.clone(),
            unit: order.unit.get(),
        })))?;
        Ok(lines)
    }

    fn runs(
        &mut self,
        scenario: &dyn Runnable,
        seeds: Range<u64>,
        summary: &Summary,
    ) -> Result<(), String> {
        let runs = Runs::of(scenario.name(), &self.build, &seeds, summary);
        self.write(&Entry::Runs(Box::new(runs)))
    }

    /// A line, whole and at once: the machine may go down at any time, this process too.
    fn write(&mut self, entry: &Entry) -> Result<(), String> {
        self.file
            .write_all(encode(entry).as_bytes())
            .map_err(|error| format!("{}: {error}", self.path.display()))
    }

    fn finish(self) -> Result<(), String> {
        let done = self.file.sync_all();
        let done = done.and_then(|()| fs::rename(&self.path, self.path.with_extension("")));
        done.map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

/// A name for a worker that nobody gave one.
fn nobody() -> String {
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "a file needs a name that no other has; a run never sees it"
    )]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{:x}-{:x}", std::process::id(), now.unwrap_or_default().as_nanos())
}

/// The seeds that failed earlier, a line each.
const EARLIER: &str = "failing.txt";

/// The seeds of a scenario that a folder remembers to have failed.
pub(crate) fn earlier(folder: &Path, scenario: &str) -> BTreeSet<u64> {
    let text = fs::read_to_string(folder.join(EARLIER)).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.rsplit_once('@'));
    lines.filter(|(name, _)| *name == scenario).filter_map(|(_, seed)| seed.parse().ok()).collect()
}

/// Adds seeds to those that a file remembers, a few of each scenario at most.
fn remember(path: &Path, scenario: &str, failed: impl Iterator<Item = u64>) -> Result<(), String> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let known = earlier(folder, scenario);
    let new = failed.filter(|seed| !known.contains(seed));
    let new = new.take(EARLIER_MOST.saturating_sub(known.len()));
    let text: String = new.map(|seed| format!("{scenario}@{seed}\n")).collect();
    if text.is_empty() {
        return Ok(());
    }
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| format!("{}: {error}", path.display()))
}

impl Order {
    /// The seeds that failed earlier, as the folder remembers; none for whoever somebody else sees
    /// to, who knows them.
    pub(crate) fn earlier(&self, scenario: &str) -> BTreeSet<u64> {
        match (&self.out, &self.worker) {
            (Some(out), None) => earlier(out, scenario),
            _ => BTreeSet::new(),
        }
    }
}

/// Tells whoever asks which scenario a test has: a line of JSON, appended to a file, or on standard
/// output for `-`.
pub(crate) fn list(scenario: &dyn Runnable, test: String, to: &str) -> Result<(), String> {
    let about = About::of(scenario, test);
    let line = serde_json::to_string(&about).map_err(|error| error.to_string())? + "\n";
    let written = match to {
        "-" => std::io::stdout().write_all(line.as_bytes()),
        path => OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|mut file| file.write_all(line.as_bytes())),
    };
    written.map_err(|error| format!("SEEDFALL_LIST: {to}: {error}"))
}

/// A failing run, made small for the report of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Small {
    /// Which scenario.
    pub scenario: String,
    /// Which seed.
    pub seed: u64,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Which property.
    pub property: String,
    /// The cause, as far as faults are: the classes that are left in the small run.
    pub cause: Vec<String>,
    /// What is left of what there was.
    pub summary: String,
    /// What happens, step by step.
    pub story: Vec<String>,
    /// The case, in the folder of this file.
    pub case: String,
    /// Its page, likewise.
    pub page: String,
}

/// Does what a command is asked for by the environment, with one scenario: a part of a campaign,
/// or a failing seed made small.
///
/// # Errors
/// What the environment says makes no sense, or a file cannot be written.
pub fn work_alone(scenario: &dyn Runnable, ask: Ask<'_>) -> Result<(), String> {
    if let Some(seed) = ask("SEEDFALL_SMALL") {
        return small(scenario, &seed, ask);
    }
    let order = Order::asked(scenario.name(), ask)?.ok_or("SEEDFALL_OUT: expected a folder")?;
    order.run(scenario, "").map(drop)
}

/// Makes a failing seed small, and keeps it as a case, with its page, in the folder.
pub(crate) fn small(scenario: &dyn Runnable, seed: &str, ask: Ask<'_>) -> Result<(), String> {
    let seed = parse_seed(seed).map_err(|error| format!("SEEDFALL_SMALL: {error}"))?;
    let folder = ask("SEEDFALL_OUT").ok_or("SEEDFALL_OUT: expected a folder")?;
    let replay = ask("SEEDFALL_REPLAY").unwrap_or_else(|| "seedfall replay".to_owned());
    let effort = Effort { time: Some(SMALL_TIME), ..Effort::runs(DEFAULT_RUNS) };
    let name = scenario.name();
    let Some(small) = shrink(scenario, &Trial::of(Seed(seed)), &effort) else {
        return Err(format!("{name}: seed {seed} does not fail again"));
    };
    let Some(failure) = small.failure() else { return Ok(()) };
    let stem = format!("{name}-{seed}");
    let path = |ending: &str| Path::new(&folder).join(format!("{stem}{ending}"));
    let case = path(".json");
    let problem = |error: std::io::Error| format!("{folder}: {error}");
    Case::of(&small.trial, &small.report, &failure.fingerprint)
        .save(&case)
        .map_err(|error| error.to_string())?;
    let (line, whole) = (format!("{replay} {}", case.display()), format!("{replay} {name}@{seed}"));
    let explanation = Explanation::of(scenario, &small, line, Some(whole));
    explanation.save(&path(".html")).map_err(problem)?;
    let classes: BTreeSet<Class> =
        small.report.plan.entries.iter().map(|entry| entry.fault.class()).collect();
    let kept = Small {
        scenario: name.to_owned(),
        seed,
        fingerprint: failure.fingerprint.clone(),
        property: failure.property.clone(),
        cause: classes.into_iter().map(|class| class.name().to_owned()).collect(),
        summary: small.summary(),
        story: story(&small),
        case: format!("{stem}.json"),
        page: format!("{stem}.html"),
    };
    let text = serde_json::to_vec_pretty(&kept).map_err(|error| error.to_string())?;
    save(&path(".small"), &text).map_err(problem)
}
