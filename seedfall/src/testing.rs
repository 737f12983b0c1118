//! The `cargo test` door: a test names a scenario, and many seeds are run.
//!
//! The environment says which: `SEEDFALL_SEED=17` replays one seed, `SEEDFALL_SEEDS=0..5000` (or a
//! count) sweeps others, `SEEDFALL_CASE=file.json` replays a case.

use crate::case::{Case, Replayed};
use crate::report::{Conclusion, Failure, Report};
use crate::run::{Runnable, Trial};
use crate::shrink::{DEFAULT_RUNS, Effort, shrink, story};
use crate::sweep::{
    FITS_INTO_MEMORY, Limits, Meaning, Progress, Sweep, all_cores, run_twice, sweep, watched,
};
use crate::words::counted;
use seedfall_sim::Seed;
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

/// How long a failing test works on making the failure small, at most; if that was too short, it
/// says so.
const SHRINK_TIME: Duration = Duration::from_secs(10);

/// How many seeds a test runs if the environment does not say otherwise.
pub const DEFAULT_SEEDS: u64 = 500;

/// Runs a scenario as a test: over [`DEFAULT_SEEDS`] seeds, or as the environment says.
///
/// # Panics
/// With the failure and the line that replays it if a property is broken, with the reason if the
/// runs prove nothing, and with what is wrong if the scenario itself makes no sense.
#[track_caller]
pub fn check(scenario: impl Runnable + 'static) {
    #[expect(
        clippy::disallowed_methods,
        reason = "which seeds to run is asked of the environment; a run never sees it"
    )]
    let ask = |name: &str| std::env::var(name).ok();
    let scenarios: [Box<dyn Runnable>; 1] = [Box::new(scenario)];
    let work = || match (ask("SEEDFALL_CASE"), ask("SEEDFALL_SEED"), ask("SEEDFALL_SEEDS")) {
        (Some(path), ..) => check_case(&scenarios, Path::new(&path)),
        (None, Some(seed), _) => parse_seed(&seed)
            .map_err(|error| format!("SEEDFALL_SEED: {error}"))
            .and_then(|seed| check_seed(scenarios[0].as_ref(), seed)),
        (None, None, seeds) => seeds
            .map_or(Ok(0..DEFAULT_SEEDS), |seeds| parse_seeds(&seeds))
            .map_err(|error| format!("SEEDFALL_SEEDS: {error}"))
            .and_then(|seeds| check_seeds(scenarios[0].as_ref(), seeds)),
    };
    scenarios[0].alone(&mut || {
        if let Err(message) = work() {
            panic!("{message}\n");
        }
    });
}

/// The name of the running test, to be pasted.
fn test_name() -> String {
    // The test harness names its threads after the tests; a test that is alone in its process was
    // named on its command line.
    let thread = std::thread::current();
    match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => std::env::args().nth(1).unwrap_or_default(),
    }
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
    scenario.validate()?;
    let trial = Trial::of(Seed(seed));
    match watched(scenario, &trial, &Limits::DEFAULT) {
        Ok(_) => conclude(&run_twice(scenario, &trial)),
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
    scenario.validate()?;
    let plan = Sweep { seeds, ..Sweep::new(all_cores()) };
    let told = Mutex::new(Duration::ZERO);
    let summary =
        sweep(scenario, &plan, &|progress| tell_if_slow(scenario.name(), progress, &told));
    match summary.meaning(scenario) {
        Meaning::AsExpected => Ok(()),
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
            Err(failure.map_or_else(String::new, |failure| tell(scenario, failure)))
        }
    }
}

/// A failure with the line that replays it, made small if it can be.
fn tell(scenario: &dyn Runnable, failure: &Failure) -> String {
    let replay = format!("SEEDFALL_SEED={} cargo test {}", failure.seed.0, test_name());
    let told = Failure { replay, ..failure.clone() }.to_string();
    if !failure.kind.can_be_shrunk() {
        return told;
    }
    let effort = Effort { time: Some(SHRINK_TIME), ..Effort::runs(DEFAULT_RUNS) };
    match shrink(scenario, &Trial::of(failure.seed), &effort) {
        Some(small) => {
            let story = story(&small).join("\n");
            format!("{told}\n  shrunk to  {}\n{story}", small.summary())
        }
        None => told,
    }
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
/// What keeps the case from being read, that it was retired, the event at which the replay parts
/// from it, that a failure which it stored is no longer seen in it, or what was broken.
pub fn check_case(scenarios: &[Box<dyn Runnable>], path: &Path) -> Result<(), String> {
    let (case, scenario) = Case::load(path, scenarios).map_err(|error| error.to_string())?;
    if let Some(why) = &case.retired {
        return Err(format!("{}: was retired: {why}", path.display()));
    }
    scenario.validate()?;
    let report = scenario.run(&case.trial());
    let refresh = format!("`seedfall keep --refresh {}`", path.display());
    if let Replayed::Parted { event, now } = case.compare(&report) {
        let now = now.unwrap_or_else(|| "the run is over".to_owned());
        return Err(format!(
            "{}: stale: the replay parts at event {event}: {now}\n  {refresh} looks for it again",
            path.display()
        ));
    }
    if let (Some(stored), false) = (&case.expect.fingerprint, report.failed()) {
        return Err(format!(
            "{}: stale: the very run that broke `{stored}` breaks nothing now, so what judges it \
             has changed\n  {refresh} looks for it again",
            path.display()
        ));
    }
    conclude(&report)
}

/// What a run means by itself.
fn conclude(report: &Report) -> Result<(), String> {
    match report.conclusion() {
        Conclusion::Passed => Ok(()),
        Conclusion::Unknown(unknown) => Err(format!("{}: {}", unknown.property, unknown.why)),
        Conclusion::Vacuous(why) => Err(format!("vacuous: {why}")),
        Conclusion::Failed(failure) if failure.expected.is_some() => Ok(()),
        Conclusion::Failed(failure) => Err(failure.to_string()),
    }
}

/// Reads a seed.
///
/// # Errors
/// Says what a seed looks like.
pub fn parse_seed(text: &str) -> Result<u64, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` is not a seed; expected a whole number from 0 to 2^64 - 1"))
}

/// Reads a range of seeds: `A..B` (B excluded), or a count.
///
/// # Errors
/// Says what a range looks like, or that this one is empty or backwards.
pub fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let expected = "expected A..B, such as 0..1000, or a count";
    let range = match text.split_once("..") {
        None => 0..parse_seed(text).map_err(|_| format!("`{text}` is not a range; {expected}"))?,
        Some((start, end)) => {
            let read =
                |part| parse_seed(part).map_err(|_| format!("`{text}` is not a range; {expected}"));
            read(start)?..read(end)?
        }
    };
    if range.end < range.start {
        return Err(format!("`{text}` runs backwards; {expected}"));
    }
    if range.is_empty() {
        return Err(format!("`{text}` holds no seed; {expected}"));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_seeds_are_read_or_refused_with_a_reason() {
        assert_eq!(parse_seeds("3..9"), Ok(3..9));
        assert_eq!(parse_seeds("100"), Ok(0..100));
        let refused = |text| parse_seeds(text).expect_err("not a range");
        assert!(refused("9..3").contains("backwards"));
        assert!(refused("3..3").contains("no seed"));
        assert!(refused("a..b").contains("expected A..B"));
        assert!(refused("").contains("expected A..B"));
        assert!(parse_seed("-1").is_err());
    }
}
