//! The `cargo test` door: a test names a scenario, and many seeds are run.
//!
//! The environment says which: `SEEDFALL_SEED=17` replays one seed, `SEEDFALL_SEEDS=0..5000` (or a
//! count), `SEEDFALL_EVENTS=20000000` or `SEEDFALL_TIME=60s` sweep others, `SEEDFALL_HUNT=30s` (or
//! a count) hunts with the feature `search`,
//! `SEEDFALL_CASE=file.json` replays a case; [`campaign`] says how a test runs a part of one.

use crate::campaign;
use crate::case::{Case, Replayed};
use crate::explain::Explanation;
use crate::report::{Conclusion, Failure, Report};
use crate::run::{Runnable, Trial};
use crate::shrink::{DEFAULT_RUNS, Effort, Shrunk, shrink, shrink_once};
use crate::sweep::{
    FITS_INTO_MEMORY, Limits, Meaning, Progress, Summary, Sweep, all_cores, run_twice, sweep,
    watched,
};
use crate::words::{count, counted};
use place::Place;
use seedfall_sim::Seed;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
pub use words::{parse_seed, parse_seeds, parse_time};

mod place;
mod words;

/// How long a failing test works on making the failure small, at most; if that was too short, it
/// says so.
const SHRINK_TIME: Duration = Duration::from_secs(10);

/// How many seeds a test runs at least, if nothing says otherwise.
pub const DEFAULT_SEEDS: u64 = 500;

/// How many seeds a test runs at most, if nothing says otherwise.
const SEEDS_MOST: u64 = 50_000;

/// How many events a test runs, if nothing says otherwise: a few seconds on a slow core. With debug
/// assertions, so in a build that is not optimized, it is a tenth of what it is without.
pub const DEFAULT_EVENTS: u64 = if cfg!(debug_assertions) { 500_000 } else { 5_000_000 };

/// Runs a scenario as a test: first the cases that are kept for it, then as many seeds as
/// [`DEFAULT_EVENTS`] allow, at least [`DEFAULT_SEEDS`]; or as the environment says. To say
/// otherwise for one scenario, take [`Check`].
///
/// Cases are kept in `tests/regressions` beside the `Cargo.toml` of the crate that is tested.
///
/// # Panics
/// With the failure and the line that replays it if a property is violated, with the reason if the
/// runs prove nothing, and with what is wrong if the scenario itself makes no sense. What failed is
/// kept under `target/seedfall`: a case of the shrunk run, and its report.
#[track_caller]
pub fn check(scenario: impl Runnable + 'static) {
    Check::new(scenario).run();
}

/// A scenario as a test, and how much of it is run.
///
/// How many seeds there are is decided by a number of *events*, not by a clock: what an event costs
/// differs between protocols by little, so that a test takes a few seconds whatever its runs are
/// like, and the same setting is the same seeds on every machine.
///
/// ```no_run
/// # fn example(scenario: impl seedfall::run::Runnable + 'static) {
/// seedfall::testing::Check::new(scenario).events(20_000_000).run();
/// # }
/// ```
pub struct Check {
    scenarios: [Box<dyn Runnable>; 1],
    amount: Amount,
}

/// How much is run.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Amount {
    Seeds(Range<u64>),
    Events(u64),
    Time(Duration),
}

impl Check {
    /// As [`check`] does it.
    pub fn new(scenario: impl Runnable + 'static) -> Self {
        Self { scenarios: [Box::new(scenario)], amount: Amount::Events(DEFAULT_EVENTS) }
    }

    /// These seeds.
    #[must_use]
    pub fn seeds(self, seeds: Range<u64>) -> Self {
        Self { amount: Amount::Seeds(seeds), ..self }
    }

    /// As many seeds as have so many events, at least [`DEFAULT_SEEDS`].
    #[must_use]
    pub fn events(self, events: u64) -> Self {
        Self { amount: Amount::Events(events), ..self }
    }

    /// Runs it. The environment goes before what the test says: `SEEDFALL_CASE=FILE` replays a
    /// case, `SEEDFALL_SEED=7` a seed, `SEEDFALL_SEEDS=0..5000` (or a count) sweeps others,
    /// `SEEDFALL_EVENTS=20000000` more of them, and `SEEDFALL_TIME=60s` as many as fit.
    ///
    /// # Panics
    /// As [`check`].
    #[track_caller]
    pub fn run(self) {
        #[expect(
            clippy::disallowed_methods,
            reason = "which seeds to run is asked of the environment; a run never sees it"
        )]
        let ask = |name: &str| std::env::var(name).ok();
        let scenario = &self.scenarios[0];
        if ask("SEEDFALL_SCENARIO").is_some_and(|name| name != scenario.name()) {
            return;
        }
        if let Some(to) = ask("SEEDFALL_LIST") {
            if let Err(message) = campaign::list(&**scenario, Place::here().test(), &to) {
                fail(message);
            }
            return;
        }
        scenario.alone(&mut || {
            if let Err(message) = self.asked(&ask) {
                fail(message);
            }
        });
    }

    /// What the environment asks for, or else what the test says.
    fn asked(&self, ask: &dyn Fn(&str) -> Option<String>) -> Result<(), String> {
        let (scenario, place) = (self.scenarios[0].as_ref(), Place::here());
        if let Some(path) = ask("SEEDFALL_CASE") {
            return replay(&self.scenarios, Path::new(&path), Some(&place));
        }
        let said = |name: &str, error: String| format!("{name}: {error}");
        if let Some(seed) = ask("SEEDFALL_SEED") {
            let seed = parse_seed(&seed).map_err(|error| said("SEEDFALL_SEED", error))?;
            return run_seed(scenario, seed, Some(&place));
        }
        if let Some(seed) = ask("SEEDFALL_SMALL") {
            return campaign::small(scenario, &seed, ask);
        }
        if let Some(order) = campaign::Order::asked(scenario.name(), ask)? {
            return self.part_of_campaign(&order, &place);
        }
        if let Some(amount) = ask("SEEDFALL_HUNT") {
            replay_kept(&self.scenarios, false, &place)?;
            return hunted(scenario, &amount, &place);
        }
        let whole = "expected a whole number";
        let amount = match (ask("SEEDFALL_SEEDS"), ask("SEEDFALL_TIME"), ask("SEEDFALL_EVENTS")) {
            (Some(seeds), ..) => parse_seeds(&seeds)
                .map(Amount::Seeds)
                .map_err(|error| said("SEEDFALL_SEEDS", error)),
            (None, Some(time), _) => {
                parse_time(&time).map(Amount::Time).map_err(|error| said("SEEDFALL_TIME", error))
            }
            (None, None, Some(events)) => events
                .replace(['_', ','], "")
                .parse()
                .map(Amount::Events)
                .map_err(|_| said("SEEDFALL_EVENTS", format!("`{events}`: {whole}"))),
            (None, None, None) => Ok(self.amount.clone()),
        }?;
        let refresh = ask("SEEDFALL_REFRESH").is_some();
        let kept = replay_kept(&self.scenarios, refresh, &place)?;
        let summary = run_seeds(scenario, &amount, Some(&place))?;
        say_done(scenario, kept, &summary);
        Ok(())
    }
}

impl Check {
    /// A part of a campaign. Where nobody else judges it: the kept cases first, then the seeds
    /// that failed earlier.
    fn part_of_campaign(&self, order: &campaign::Order, place: &Place) -> Result<(), String> {
        let scenario = self.scenarios[0].as_ref();
        scenario.validate()?;
        if order.is_judged_elsewhere() {
            return order.run(scenario, &place.test()).map(drop);
        }
        let kept = replay_kept(&self.scenarios, false, place)?;
        for seed in order.earlier(scenario.name()) {
            run_seed(scenario, seed, Some(place))
                .map_err(|why| format!("seed {seed}, which failed earlier, fails\n{why}"))?;
        }
        let summary = order.run(scenario, &place.test())?;
        // What a part does not prove, all of them may.
        let summary = match summary.meaning(scenario) {
            Meaning::Vacuous(why) if order.is_part() => {
                say(&format!("{}: this part alone proves nothing: {why}", scenario.name()));
                summary
            }
            _ => judged(scenario, summary, Some(place))?,
        };
        say_done(scenario, kept, &summary);
        Ok(())
    }
}

/// What a test did, in a line.
fn say_done(scenario: &dyn Runnable, kept: u64, summary: &Summary) {
    say(&format!(
        "{}: {} replayed; {}, {} events, in {:.1} s",
        scenario.name(),
        counted(kept, "kept case"),
        counted(summary.seeds, "seed"),
        count(summary.events),
        summary.took.as_secs_f64(),
    ));
}

/// Fails the test with this message. It is a panic for the harness and whoever catches it, but it
/// tells of no bug in a program: so no place and no backtrace are printed, whatever
/// `RUST_BACKTRACE` says.
#[expect(clippy::print_stderr, reason = "a harness keeps what is printed, and nothing else")]
fn fail(message: String) -> ! {
    eprintln!("{message}\n");
    std::panic::resume_unwind(Box::new(message))
}

/// A line that a test harness shows if it is asked to, or if the test fails.
#[expect(clippy::print_stdout, reason = "a harness keeps what is printed, and nothing else")]
fn say(line: &str) {
    println!("{line}");
}

/// A run that eats up the memory cannot be stopped, and would take the process down before a test
/// harness tells anything: told at once, and the process ends.
fn end_if_glutted(failure: &Failure) {
    if failure.property == FITS_INTO_MEMORY {
        let _ = std::io::stderr().write_all(format!("\n{failure}\n").as_bytes());
        std::process::exit(101);
    }
}

/// Runs one seed, twice.
///
/// # Errors
/// What was broken, or why the run proves nothing.
pub fn check_seed(scenario: &dyn Runnable, seed: u64) -> Result<(), String> {
    run_seed(scenario, seed, None)
}

/// Runs one seed, twice; a failure is told, and kept where `place` says.
fn run_seed(scenario: &dyn Runnable, seed: u64, place: Option<&Place>) -> Result<(), String> {
    scenario.validate()?;
    let trial = Trial::of(Seed(seed));
    match watched(scenario, &trial, &Limits::DEFAULT) {
        Ok(_) => conclude(scenario, &trial, &run_twice(scenario, &trial), place),
        Err(failure) => {
            end_if_glutted(&failure);
            Err(failure.to_string())
        }
    }
}

/// Runs a range of seeds on all cores.
///
/// # Errors
/// The failure with the lowest seed, or why the runs prove nothing.
pub fn check_seeds(scenario: &dyn Runnable, seeds: Range<u64>) -> Result<(), String> {
    run_seeds(scenario, &Amount::Seeds(seeds), None).map(drop)
}

/// Runs so many seeds; a failure is told, and kept where `place` says.
fn run_seeds(
    scenario: &dyn Runnable,
    amount: &Amount,
    place: Option<&Place>,
) -> Result<Summary, String> {
    scenario.validate()?;
    let told = Mutex::new(Duration::ZERO);
    let run = |seeds: Range<u64>, time: Option<Duration>| {
        let plan = Sweep { seeds, time, ..Sweep::new(all_cores()) };
        sweep(scenario, &plan, &|progress| tell_if_slow(scenario.name(), progress, &told))
    };
    let summary = match amount {
        Amount::Seeds(seeds) => run(seeds.clone(), None),
        Amount::Time(time) => run(0..u64::MAX, Some(*time)),
        Amount::Events(events) => {
            let mut summary = run(0..DEFAULT_SEEDS, None);
            let seeds = seeds_within(*events, &summary).max(scenario.least_seeds());
            if summary.failures.is_empty() && DEFAULT_SEEDS < seeds {
                summary = summary.and(run(DEFAULT_SEEDS..seeds, None));
            }
            summary
        }
    };
    judged(scenario, summary, place)
}

/// What so many runs mean; a failure is told, and kept where `place` says.
fn judged(
    scenario: &dyn Runnable,
    summary: Summary,
    place: Option<&Place>,
) -> Result<Summary, String> {
    match summary.meaning(scenario) {
        Meaning::AsExpected => Ok(summary),
        Meaning::Vacuous(why) => {
            let undecided: String = summary
                .unknown_because
                .iter()
                .map(|(property, (runs, seed, why))| {
                    let runs = counted(*runs, "run");
                    format!("\n  undecided  {property} in {runs} (seed {seed}): {why}")
                })
                .collect();
            let (name, seeds) = (scenario.name(), counted(summary.seeds, "seed"));
            Err(format!("{name}: vacuous after {seeds}: {why}{undecided}"))
        }
        Meaning::Broken(_) => {
            summary.failures.iter().for_each(end_if_glutted);
            let failure = summary.failures.first();
            Err(failure.map_or_else(String::new, |failure| {
                tell(scenario, &Trial::of(failure.seed), failure, place)
            }))
        }
    }
}

/// How many seeds have about so many events, by those that were run: to two digits, so that it is a
/// number that one remembers.
fn seeds_within(events: u64, run: &Summary) -> u64 {
    let seeds = events.saturating_mul(run.seeds) / run.events.max(1);
    let unit = 10_u64.pow(seeds.max(1).ilog10().saturating_sub(1));
    (seeds / unit * unit).clamp(DEFAULT_SEEDS, SEEDS_MOST)
}

/// Hunts, for so long or so many runs.
#[cfg(feature = "search")]
fn hunted(scenario: &dyn Runnable, amount: &str, place: &Place) -> Result<(), String> {
    let hunt = crate::search::Hunt::asked(amount)?;
    let hunted = crate::search::hunt(scenario, &hunt, &|_, _| ())?;
    if let Some(found) = &hunted.found {
        let asks = format!("SEEDFALL_HUNT={amount}");
        let by = format!("found by {}, in {}", found.by, counted(hunted.summary.seeds, "run"));
        let told = tell_as(scenario, &found.trial, &found.failure, Some(place), &asks);
        return Err(format!("{told}\n  hunt       {by}"));
    }
    let states = count(hunted.archive.states());
    let summary = judged(scenario, hunted.summary, Some(place))?;
    let runs = counted(summary.seeds, "run");
    say(&format!("{}: hunted: {runs}, {states} states", scenario.name()));
    Ok(())
}

/// There is nothing to hunt with.
#[cfg(not(feature = "search"))]
fn hunted(_: &dyn Runnable, _: &str, _: &Place) -> Result<(), String> {
    Err("SEEDFALL_HUNT: expected `seedfall` with the feature `search`".to_owned())
}

/// A failure with the lines that replay it, made small if it can be, and kept where `place` says.
fn tell(
    scenario: &dyn Runnable,
    trial: &Trial,
    failure: &Failure,
    place: Option<&Place>,
) -> String {
    tell_as(scenario, trial, failure, place, &format!("SEEDFALL_SEED={}", failure.seed.0))
}

/// As [`tell`], where this, before the command of the test, runs the whole run again.
fn tell_as(
    scenario: &dyn Runnable,
    trial: &Trial,
    failure: &Failure,
    place: Option<&Place>,
    asks: &str,
) -> String {
    let replay = format!("{asks} {}", Place::here().command());
    let whole = || Failure { replay: replay.clone(), ..failure.clone() }.to_string();
    if !failure.kind.can_be_shrunk() {
        return whole();
    }
    let effort = Effort { time: Some(SHRINK_TIME), ..Effort::runs(DEFAULT_RUNS) };
    let told = shrink(scenario, trial, &effort).and_then(|small| match place {
        Some(place) => keep(scenario, &small, &replay, place),
        None => small.told(&format!("{replay}  (the run before it was shrunk)")),
    });
    told.unwrap_or_else(whole)
}

/// Tells the small run, leaves it as a case with its report beside it, and says where, and what to
/// do with them.
fn keep(scenario: &dyn Runnable, small: &Shrunk, whole: &str, place: &Place) -> Option<String> {
    let name = format!("{}-{}", scenario.name(), small.report.seed.0);
    let case = place.output().join(format!("{name}.json"));
    let report = case.with_extension("html");
    let line = format!("SEEDFALL_CASE={} {}", place.short(&case), place.command());
    let explanation = Explanation::of(scenario, small, line.clone(), Some(whole.to_owned()));
    let note = small.failure().map_or("", |failure| failure.fingerprint.as_str());
    let kept = Case::of(&small.trial, &small.report, note).save(&case);
    let kept = kept.map_err(|error| error.to_string()).and_then(|()| {
        explanation.save(&report).map_err(|error| format!("{}: {error}", report.display()))
    });
    Some(match kept {
        Ok(()) => {
            let kept = place.kept();
            let make = if kept.is_dir() { "" } else { "mkdir -p tests/regressions && " };
            format!(
                "{}\n  unshrunk   {whole}\n  report     {}\n  keep it    {make}cp {} {}/",
                small.told(&line)?,
                report.display(),
                place.short(&case),
                place.short(&kept),
            )
        }
        Err(why) => {
            let replay = format!("{whole}  (the run before it was shrunk)");
            format!("{}\n  not kept   {why}", small.told(&replay)?)
        }
    })
}

/// Replays the cases that are kept for a scenario; says how many there are. Those that are stale
/// are written anew if `refresh` says so.
fn replay_kept(
    scenarios: &[Box<dyn Runnable>; 1],
    refresh: bool,
    place: &Place,
) -> Result<u64, String> {
    let name = scenarios[0].name();
    let mut replayed = 0;
    for path in kept_cases(&place.kept())? {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let value: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| format!("{}: not a case: {error}", path.display()))?;
        // Others are replayed by the tests of their own scenarios; a retired one by nobody.
        if value["scenario"].as_str() != Some(name) || value["retired"].is_string() {
            continue;
        }
        if refresh {
            write_anew(scenarios, &path)?;
        }
        replay(scenarios, &path, Some(place))
            .map_err(|why| format!("a kept case fails: {}\n{why}", place.short(&path)))?;
        replayed += 1;
    }
    Ok(replayed)
}

/// Writes a stale case anew: the small run of its failure, if that is found again, else its run,
/// if that passes now.
fn write_anew(scenarios: &[Box<dyn Runnable>], path: &Path) -> Result<(), String> {
    let (case, scenario) = Case::load(path, scenarios).map_err(|error| error.to_string())?;
    let report = scenario.run(&case.trial());
    let judged_alike = report.failed() == case.expect.fingerprint.is_some();
    if case.compare(&report) == Replayed::Same && judged_alike {
        return Ok(());
    }
    let found = case.found_again(scenario, &Effort::runs(DEFAULT_RUNS));
    let (anew, became) = match found {
        Some(small) => (small, "its failure is found again"),
        None => {
            // What broke it at some instant breaks it no more: it goes on to its end.
            let whole = Trial { until: None, ..case.trial() };
            let report = scenario.run(&whole);
            conclude(scenario, &whole, &report, None)
                .map_err(|why| format!("{}: not written anew: {why}", path.display()))?;
            (Case::of(&whole, &report, &case.note), "its run passes now")
        }
    };
    anew.save(path).map_err(|error| error.to_string())?;
    say(&format!("{}: written anew: {became}", path.display()));
    Ok(())
}

/// The cases of a folder, by name; none if there is no such folder.
fn kept_cases(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let Ok(files) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut cases = Vec::new();
    for file in files {
        let path = file.map_err(|error| format!("{}: {error}", folder.display()))?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            cases.push(path);
        }
    }
    cases.sort();
    Ok(cases)
}

/// After every five seconds in which one seed is under way, a line on standard error: whoever waits
/// must know for what. Not `eprintln!`, which a test harness keeps until the test has ended.
fn tell_if_slow(name: &str, progress: &Progress, told: &Mutex<Duration>) {
    const EVERY: Duration = Duration::from_secs(5);
    let Some((seed, doing, since)) = &progress.slow else { return };
    let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if *since < *told {
        *told = Duration::ZERO; // Another run.
    }
    if *told + EVERY <= *since {
        *told = *since;
        let line = format!("{name}: seed {seed} has taken {} s so far: {doing}\n", since.as_secs());
        // Nobody may be there to read it.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// Replays a case file: the run must be the stored one, event for event, and break nothing.
///
/// # Errors
/// What keeps the case from being read, that it was retired, the event at which the replay diverges
/// from it, that a failure which it stored is no longer seen in it, or what was broken.
pub fn check_case(scenarios: &[Box<dyn Runnable>], path: &Path) -> Result<(), String> {
    replay(scenarios, path, None)
}

/// Replays a case file; a failure is told, with its story, if `place` says where it is told.
fn replay(
    scenarios: &[Box<dyn Runnable>],
    path: &Path,
    place: Option<&Place>,
) -> Result<(), String> {
    let (case, scenario) = Case::load(path, scenarios).map_err(|error| error.to_string())?;
    if let Some(why) = &case.retired {
        return Err(format!("{}: was retired: {why}", path.display()));
    }
    scenario.validate()?;
    let trial = case.trial();
    let report = scenario.run(&trial);
    let refresh = match place {
        Some(place) => format!("`SEEDFALL_REFRESH=1 {}`", place.command()),
        None => format!("`seedfall keep --refresh {}`", path.display()),
    };
    if let Replayed::Diverged { event, now } = case.compare(&report) {
        let now = now.unwrap_or_else(|| "the run is over".to_owned());
        return Err(format!(
            "{}: stale: the replay diverges at event {event}: {now}\n  {refresh} looks for the \
             failure again, or keeps the run if it passes now",
            path.display()
        ));
    }
    if let (Some(stored), false) = (&case.expect.fingerprint, report.failed()) {
        return Err(format!(
            "{}: stale: the very run that broke `{stored}` breaks nothing now, so what judges it \
             has changed\n  {refresh} looks for the failure again, or keeps the run if it passes \
             now",
            path.display()
        ));
    }
    match (report.conclusion(), place) {
        (Conclusion::Failed(failure), Some(place)) if failure.expected.is_none() => {
            let case = format!("SEEDFALL_CASE={} {}", place.short(path), place.command());
            let effort = Effort { time: Some(SHRINK_TIME), ..Effort::runs(DEFAULT_RUNS) };
            let told = shrink_once(scenario, &trial, &effort).and_then(|small| small.told(&case));
            Err(told.unwrap_or_else(|| Failure { replay: case, ..failure.clone() }.to_string()))
        }
        _ => conclude(scenario, &trial, &report, None),
    }
}

/// What a run means by itself.
fn conclude(
    scenario: &dyn Runnable,
    trial: &Trial,
    report: &Report,
    place: Option<&Place>,
) -> Result<(), String> {
    match report.conclusion() {
        Conclusion::Passed => Ok(()),
        Conclusion::Unknown(unknown) => Err(format!("{}: {}", unknown.property, unknown.why)),
        Conclusion::Vacuous(why) => Err(format!("vacuous: {why}")),
        Conclusion::Failed(failure) if failure.expected.is_some() => Ok(()),
        Conclusion::Failed(failure) if place.is_some() => {
            Err(tell(scenario, trial, failure, place))
        }
        Conclusion::Failed(failure) => Err(failure.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_seeds_as_events_allow_and_a_round_number_of_them() {
        let run = |events| Summary { seeds: 500, events, ..Summary::default() };
        assert_eq!(seeds_within(1_000_000, &run(123_456)), 4_000);
        assert_eq!(seeds_within(1_000_000, &run(41_234)), 12_000);
        assert_eq!(seeds_within(1_000_000, &run(5_000_000)), DEFAULT_SEEDS, "never fewer");
        assert_eq!(seeds_within(u64::MAX, &run(0)), SEEDS_MOST, "never more");
    }
}
