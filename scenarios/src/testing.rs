//! The `cargo test` door: a test names a scenario, and many seeds are run.
//!
//! The environment says which: `SEEDFALL_SEED=17` replays one seed, `SEEDFALL_SEEDS=0..5000` (or a
//! count) sweeps others, `SEEDFALL_CASE=file.json` replays a case.

use crate::case::{Case, Replayed};
use crate::report::{Conclusion, Failure};
use crate::run::{Runnable, Trial};
use crate::shrink::{DEFAULT_RUNS, Effort, shrink, story};
use crate::sweep::{Meaning, Sweep, all_cores, sweep};
use seedfall_sim::Seed;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// How long a failing test works on making the failure small, at most; if that was too short, it
/// says so.
const SHRINK_TIME: Duration = Duration::from_secs(10);

/// How many seeds a test runs if the environment does not say otherwise.
pub const DEFAULT_SEEDS: u64 = 500;

/// Runs a scenario as a test: over [`DEFAULT_SEEDS`] seeds, or as the environment says.
///
/// # Panics
/// With the failure and the line that replays it if a promise is broken, and with the reason if the
/// runs prove nothing.
#[track_caller]
pub fn check(scenario: impl Runnable + 'static) {
    #[expect(
        clippy::disallowed_methods,
        reason = "which seeds to run is asked of the environment; a run never sees it"
    )]
    let ask = |name: &str| std::env::var(name).ok();
    let scenarios: [Box<dyn Runnable>; 1] = [Box::new(scenario)];
    let outcome = match (ask("SEEDFALL_CASE"), ask("SEEDFALL_SEED"), ask("SEEDFALL_SEEDS")) {
        (Some(path), ..) => check_case(&scenarios, Path::new(&path)),
        (None, Some(seed), _) => parse_seed(&seed)
            .map_err(|error| format!("SEEDFALL_SEED: {error}"))
            .and_then(|seed| check_seed(scenarios[0].as_ref(), seed)),
        (None, None, seeds) => seeds
            .map_or(Ok(0..DEFAULT_SEEDS), |seeds| parse_seeds(&seeds))
            .map_err(|error| format!("SEEDFALL_SEEDS: {error}"))
            .and_then(|seeds| check_seeds(scenarios[0].as_ref(), seeds)),
    };
    if let Err(message) = outcome {
        panic!("{message}\n");
    }
}

/// Runs one seed.
///
/// # Errors
/// What was broken, or why the run proves nothing.
pub fn check_seed(scenario: &dyn Runnable, seed: u64) -> Result<(), String> {
    conclude(scenario.run(&Trial::of(Seed(seed))).conclusion)
}

/// Runs a range of seeds on all cores.
///
/// # Errors
/// The failure with the lowest seed, or why the runs prove nothing.
pub fn check_seeds(scenario: &dyn Runnable, seeds: Range<u64>) -> Result<(), String> {
    let plan = Sweep { seeds, ..Sweep::new(all_cores()) };
    let summary = sweep(scenario, &plan, &|_, _| ());
    match summary.meaning(scenario) {
        Meaning::Good => Ok(()),
        Meaning::Vacuous(why) => {
            Err(format!("{}: vacuous after {} seeds: {why}", scenario.name(), summary.seeds))
        }
        Meaning::Broken(_) => Err(summary.failures.first().map_or_else(String::new, |failure| {
            // The test harness names its threads after the tests.
            let thread = std::thread::current();
            let test = thread.name().unwrap_or_default();
            let replay = format!("SEEDFALL_SEED={} cargo test {test}", failure.seed.0);
            let told = Failure { replay, ..failure.clone() }.to_string();
            let effort = Effort { time: Some(SHRINK_TIME), ..Effort::runs(DEFAULT_RUNS) };
            match shrink(scenario, &Trial::of(failure.seed), &effort) {
                Some(small) => {
                    let story = story(&small).join("\n");
                    format!("{told}\n  shrunk to  {}\n{story}", small.summary())
                }
                None => format!("{told}\nand two runs of this seed differ: the run is not a value"),
            }
        })),
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
    let report = scenario.run(&case.trial());
    let refresh = format!("`seedfall keep --refresh {}`", path.display());
    if let Replayed::Parted { event, now } = case.compare(&report) {
        let now = now.unwrap_or_else(|| "the run is over".to_owned());
        return Err(format!(
            "{}: stale: the replay parts at event {event}: {now}\n  {refresh} looks for it again",
            path.display()
        ));
    }
    if let (Some(stored), Conclusion::Passed | Conclusion::Vacuous(_)) =
        (&case.expect.fingerprint, &report.conclusion)
    {
        return Err(format!(
            "{}: stale: the very run that broke `{stored}` breaks nothing now, so what judges it \
             has changed\n  {refresh} looks for it again",
            path.display()
        ));
    }
    conclude(report.conclusion)
}

fn conclude(conclusion: Conclusion) -> Result<(), String> {
    match conclusion {
        Conclusion::Passed => Ok(()),
        Conclusion::Vacuous(why) => Err(format!("vacuous: {why}")),
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
