//! `cargo seedfall mutants`: which small changes to the code the scenarios notice.
//!
//! All changes are built at once (`schema`, in a copy: `project`), and each is one run of every
//! scenario whose runs come by it, of few seeds at first.

mod project;
mod schema;

use super::clock::{self, Watch};
use super::crew::command;
use super::manifest::Target;
use super::outcome::{Verdict, verdict};
use super::source::CargoArgs;
use super::{MutantsArgs, Problem, show};
use indicatif::{ProgressBar, ProgressStyle};
use project::Project;
use schema::Site;
use seedfall::campaign::{Entry, Runs, decode};
use seedfall::words::counted;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The seeds are run in parts that grow: what is noticed at all is mostly noticed soon.
const FIRST_SEEDS: u64 = 16;
const GROWS: u64 = 16;

/// How long a scenario may take, if it takes less without a change: a change may make it hang.
const LEAST_PATIENCE: Duration = Duration::from_secs(20);

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// A property was broken: the scenario, the property, and after how many runs.
    Caught(String, String, u64),
    /// The runs proved nothing any more: the scenario, and why.
    Vacuous(String, String),
    /// A process of this scenario died, or did not end.
    Died(String),
    /// Nothing was noticed.
    Missed,
    /// No run comes by it.
    Unreached,
    /// It does not build.
    Unviable,
}

impl Fate {
    fn word(&self) -> &'static str {
        match self {
            Self::Caught(..) => "caught",
            Self::Vacuous(..) => "vacuous",
            Self::Died(_) => "died",
            Self::Missed => "missed",
            Self::Unreached => "unreached",
            Self::Unviable => "unviable",
        }
    }
}

/// What one scenario's process came to.
enum Ended {
    Runs(Box<Runs>),
    Died,
}

/// A scenario that judges, and what is known of it as it is, without any change.
struct Asked {
    target: Target,
    /// Which mutants its runs come by.
    reached: BTreeSet<usize>,
    patience: Duration,
    /// Its runs prove something; else nothing follows if they do not with a change either.
    proves: bool,
}

/// What judges mutants.
struct Judge {
    asked: Vec<Asked>,
    seeds: u64,
}

/// `mutants`.
pub(super) fn mutants(cargo: &CargoArgs, args: &MutantsArgs) -> Result<u8, Problem> {
    let mut project = Project::find(cargo, args)?;
    let chosen = sample(project.builds.len(), args.sample);
    if args.list {
        let all: Vec<_> = project.mutants().collect();
        for (path, site) in chosen.iter().map(|number| all[*number]) {
            let place = format!("{}:{}", path.display(), site.line);
            show::line(&format!("{place} {}: {}", site.function, site.change));
        }
        show::line(&counted(chosen.len() as u64, "mutant"));
        return Ok(0);
    }
    show::note(&format!("{}: built at once", counted(project.builds.len() as u64, "mutant")));
    project.write(cargo)?;
    let within = project.cargo(cargo);
    let all = match &args.bin {
        Some(name) => within.program(name)?,
        None => within.targets()?,
    };
    let asked = |target: &Target| {
        let name = &target.about.scenario;
        let is_named = args.scenario.is_empty() || args.scenario.iter().any(|one| name == one);
        is_named && target.about.breaks.is_empty()
    };
    let targets: Vec<Target> = all.into_iter().filter(asked).collect();
    if targets.is_empty() {
        let expected = "expected scenarios that should hold, in the tests or, by --bin, in a \
                        program";
        return Err(Problem(format!("{}: {expected}", project.folder().display())));
    }
    let judge = Judge::of(targets, args.seeds, project.builds.len())?;
    let all: Vec<(&Path, &Site)> = project.mutants().collect();
    // A line each as it is known: what was judged stands there, however it ends.
    let at_once = |number: usize, fate: &Fate| {
        if args.json {
            show::line(&as_json((all[number].0, all[number].1, fate)).to_string());
        }
    };
    let fates = judge.all(&chosen, &project.builds, args.jobs, &at_once)?;
    let told: Vec<Told<'_>> =
        fates.iter().map(|(number, fate)| (all[*number].0, all[*number].1, fate)).collect();
    if args.json {
        let (noticed, of) = score(&told);
        show::line(&json!({ "noticed": noticed, "of": of }).to_string());
    } else {
        tell(&told);
    }
    Ok(if told.iter().any(|(.., fate)| **fate == Fate::Missed) { 4 } else { 0 })
}

/// Of so many, so many, spread evenly.
fn sample(all: usize, most: Option<NonZeroUsize>) -> Vec<usize> {
    let most = most.map_or(all, NonZeroUsize::get).min(all);
    (0..most).map(|one| one * all / most).collect()
}

impl Judge {
    /// Runs every scenario as it is: it must hold; and what its runs come by is noted.
    fn of(targets: Vec<Target>, seeds: u64, mutants: usize) -> Result<Self, Problem> {
        let mut asked = Vec::new();
        for target in targets {
            let folder = tempfile::tempdir()?;
            let note = folder.path().join("reached");
            let watch = Watch::start();
            let name = &target.about.scenario;
            let ended = run(&target, None, 0..seeds, (Some(&note), Duration::MAX))?;
            let held = match &ended {
                Ended::Runs(runs) => verdict(&target.about, false, runs),
                Ended::Died => Verdict::NotRun,
            };
            let proves = match held {
                Verdict::Good => true,
                Verdict::Vacuous(why) => {
                    show::warning(&format!("{name}: vacuous without any change: {why}"));
                    false
                }
                Verdict::Failed | Verdict::NotRun => {
                    return Err(Problem(format!(
                        "{name}: it does not hold as it is, without any change, in {}; expected \
                         scenarios that hold: name them by --scenario",
                        counted(seeds, "seed")
                    )));
                }
            };
            let text = fs::read_to_string(&note).unwrap_or_default();
            let numbers = text.lines().filter_map(|line| line.parse().ok());
            let reached = numbers.filter(|number| *number < mutants).collect();
            let patience = LEAST_PATIENCE.max(watch.elapsed() * 10);
            asked.push(Asked { target, reached, patience, proves });
        }
        Ok(Self { asked, seeds })
    }

    /// Judges these, on all cores.
    fn all(
        &self,
        chosen: &[usize],
        builds: &[bool],
        jobs: Option<NonZeroUsize>,
        told: &(dyn Fn(usize, &Fate) + Sync),
    ) -> Result<BTreeMap<usize, Fate>, Problem> {
        let bar = ProgressBar::new(chosen.len() as u64);
        let paced = Mutex::new(Watch::start());
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len}, {eta} left") {
            bar.set_style(style);
        }
        let jobs = jobs.unwrap_or_else(seedfall::sweep::all_cores).get();
        let (next, fates) = (AtomicUsize::new(0), Mutex::new(Ok(BTreeMap::new())));
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some(number) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let fate =
                            if builds[*number] { self.one(*number) } else { Ok(Fate::Unviable) };
                        bar.inc(1);
                        tell_if_hidden(&bar, &paced);
                        let mut fates = fates.lock().unwrap_or_else(PoisonError::into_inner);
                        match (&mut *fates, fate) {
                            (Ok(fates), Ok(fate)) => {
                                told(*number, &fate);
                                fates.insert(*number, fate);
                            }
                            (fates, Err(problem)) => *fates = Err(problem),
                            (Err(_), Ok(_)) => return,
                        }
                    }
                });
            }
        });
        bar.finish_and_clear();
        fates.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges one mutant.
    fn one(&self, number: usize) -> Result<Fate, Problem> {
        let come_by = self.asked.iter().filter(|one| one.reached.contains(&number));
        let mut asked: Vec<(&Asked, Option<Runs>)> = come_by.map(|one| (one, None)).collect();
        if asked.is_empty() {
            return Ok(Fate::Unreached);
        }
        let (mut from, mut to) = (0, FIRST_SEEDS.min(self.seeds));
        while from < to {
            for (Asked { target, patience, .. }, sum) in &mut asked {
                let name = &target.about.scenario;
                let within = (None, *patience);
                let Ended::Runs(runs) = run(target, Some(number), from..to, within)? else {
                    return Ok(Fate::Died(name.clone()));
                };
                if let Some(group) = runs.groups.values().min_by_key(|group| group.seed) {
                    let (name, property) = (name.clone(), group.property.clone());
                    return Ok(Fate::Caught(name, property, group.seed + 1));
                }
                add(sum, *runs);
            }
            (from, to) = (to, to.saturating_mul(GROWS).min(self.seeds));
        }
        for (one, sum) in &asked {
            let about = &one.target.about;
            if let Some(sum) = sum.as_ref().filter(|_| one.proves)
                && let Verdict::Vacuous(why) = verdict(about, false, sum)
            {
                return Ok(Fate::Vacuous(about.scenario.clone(), why));
            }
        }
        Ok(Fate::Missed)
    }
}

/// A line now and then, where there is no terminal.
fn tell_if_hidden(bar: &ProgressBar, told: &Mutex<Watch>) {
    const EVERY: Duration = Duration::from_secs(10);
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    if bar.is_hidden() && EVERY <= told.elapsed() {
        *told = Watch::start();
        let (position, of) = (bar.position(), bar.length().unwrap_or_default());
        show::note(&format!("{} of {}", show::count(position), counted(of, "mutant")));
    }
}

/// Runs a scenario with this change.
fn run(
    target: &Target,
    mutant: Option<usize>,
    seeds: Range<u64>,
    (note, patience): (Option<&Path>, Duration),
) -> Result<Ended, Problem> {
    let folder = tempfile::tempdir()?;
    let mut command = command(target, "mutants");
    command
        .env("SEEDFALL_OUT", folder.path())
        .env("SEEDFALL_WORKER", "mutant")
        .env("SEEDFALL_SEEDS", format!("{}..{}", seeds.start, seeds.end))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(mutant) = mutant {
        // Others are judged beside it.
        command.env("SEEDFALL_MUTANT", mutant.to_string()).env("SEEDFALL_JOBS", "1");
    }
    if let Some(note) = note {
        command.env("SEEDFALL_MUTANTS_REACHED", note);
    }
    let mut child = command.spawn()?;
    let (status, _) = clock::wait(&mut child, patience)?;
    let mut sum = None;
    for entry in fs::read_dir(folder.path())? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        for line in text.lines() {
            if let Ok(Entry::Runs(runs)) = decode(line) {
                add(&mut sum, *runs);
            }
        }
    }
    Ok(match sum {
        Some(runs) if status.success() => Ended::Runs(Box::new(runs)),
        _ => Ended::Died,
    })
}

fn add(sum: &mut Option<Runs>, runs: Runs) {
    match sum {
        Some(sum) => sum.add(runs),
        None => *sum = Some(runs),
    }
}

/// A mutant as it is told: its file, what it changes, what became of it.
type Told<'a> = (&'a Path, &'a Site, &'a Fate);

/// How many are of a kind.
fn of_word<'a>(told: impl IntoIterator<Item = &'a Told<'a>>, word: &str) -> u64 {
    told.into_iter().filter(|(.., fate)| fate.word() == word).count() as u64
}

/// Of those that some run comes by: how many were noticed, and of how many.
fn score(told: &[Told<'_>]) -> (u64, u64) {
    let noticed = ["caught", "vacuous", "died"].map(|word| of_word(told, word)).iter().sum();
    (noticed, noticed + of_word(told, "missed"))
}

/// After how many runs those that broke a property were caught: the median, and the most.
fn runs(told: &[Told<'_>]) -> Option<(u64, u64)> {
    let of = |(.., fate): &Told<'_>| match fate {
        Fate::Caught(.., runs) => Some(*runs),
        _ => None,
    };
    let mut runs: Vec<u64> = told.iter().filter_map(of).collect();
    runs.sort_unstable();
    Some((*runs.get(runs.len() / 2)?, *runs.last()?))
}

fn tell(told: &[Told<'_>]) {
    let (noticed, of) = score(told);
    let share = noticed * 100 / of.max(1);
    let of = counted(of, "mutant");
    show::line(&format!("{} of {of} noticed: {share} %", show::count(noticed)));
    let row = |word: &str, what: &str| {
        let number = of_word(told, word);
        if number > 0 {
            show::line(&format!("  {word:<10} {:>6}  {what}", show::count(number)));
        }
    };
    row("caught", "a property was broken");
    row("died", "a process died or did not end");
    row("vacuous", "a fault or a coverage mark was not seen any more");
    row("missed", "nothing was noticed");
    row("unreached", "no run of a scenario comes by it: not counted above");
    row("unviable", "it does not build: not counted above");
    if let Some((median, most)) = runs(told) {
        let (median, most) = (show::count(median), show::count(most));
        show::line(&format!("  caught after {median} runs in the median, at most {most}"));
    }
    let files: BTreeSet<&Path> = told.iter().map(|(path, ..)| *path).collect();
    for path in files {
        let of_file: Vec<Told<'_>> =
            told.iter().filter(|(file, ..)| *file == path).copied().collect();
        let (noticed, of) = score(&of_file);
        let counts = format!("{}/{}", show::count(noticed), show::count(of));
        show::line(&format!("\n{} {counts}", path.display()));
        for (_, site, fate) in &of_file {
            if matches!(fate, Fate::Missed | Fate::Unreached) {
                let (word, line) = (fate.word(), site.line);
                show::line(&format!("  {word:<9} {line:>4} {}: {}", site.function, site.change));
            }
        }
    }
}

fn as_json((path, site, fate): Told<'_>) -> Value {
    let (scenario, why, runs) = match fate {
        Fate::Caught(scenario, property, runs) => (Some(scenario), Some(property), Some(runs)),
        Fate::Vacuous(scenario, why) => (Some(scenario), Some(why), None),
        Fate::Died(scenario) => (Some(scenario), None, None),
        Fate::Missed | Fate::Unreached | Fate::Unviable => (None, None, None),
    };
    json!({
        "file": path, "line": site.line, "function": site.function, "change": site.change,
        "fate": fate.word(), "scenario": scenario, "why": why, "runs": runs,
    })
}

#[cfg(test)]
mod tests {
    use super::sample;
    use std::num::NonZeroUsize;

    #[test]
    fn a_sample_is_spread_evenly() {
        assert_eq!(sample(10, NonZeroUsize::new(4)), [0, 2, 5, 7]);
        assert_eq!(sample(3, NonZeroUsize::new(9)), [0, 1, 2]);
        assert_eq!(sample(3, None), [0, 1, 2]);
    }
}
