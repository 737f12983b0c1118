//! `cargo seedfall mutants`: which small changes to the code the scenarios notice.
//!
//! `cargo-mutants` makes the mutants, builds each and runs the tests; what is added here is how
//! much the tests run, and how many runs it took. Its folder is read, not its output.

use super::{Problem, show};
use clap::Args;
use seedfall::words::counted;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug, Args)]
#[command(after_help = "\
Needs `cargo install cargo-mutants`. It makes one small change at a time, and a change that no test
notices is missed: the scenarios do not reach it, or no property is about it.

Exit codes: 0 every mutant that builds was caught, 2 bad usage or input, 4 some were missed.

Examples:
  cargo seedfall mutants -- --package my-protocol --file src/raft.rs
  cargo seedfall mutants --hunt 5000 -- --in-diff change.diff
  cargo seedfall mutants --read mutants.out")]
pub(super) struct MutantsArgs {
    /// Only tell what is in this folder, which an earlier run of `cargo mutants` left.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["hunt", "events"])]
    read: Option<PathBuf>,
    /// Hunt in every test, for so many runs or so long (feature `search` of `seedfall`).
    #[arg(long, value_name = "RUNS", conflicts_with = "events")]
    hunt: Option<String>,
    /// Run so many events in every test; without it, as many as the tests say.
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// Print JSON, for machines.
    #[arg(long)]
    json: bool,
    /// What `cargo mutants` is told.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// One mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mutant {
    name: String,
    fate: Fate,
    /// How many runs it took to catch it, if a scenario did, and which.
    by: Option<(String, u64)>,
}

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Caught,
    Missed,
    TimedOut,
    Unviable,
}

/// `mutants`.
pub(super) fn mutants(args: &MutantsArgs) -> Result<u8, Problem> {
    let folder = match &args.read {
        Some(folder) => folder.clone(),
        None => make(args)?,
    };
    let mutants = read(&folder)?;
    if mutants.is_empty() {
        return Err(Problem(format!("{}: there is no mutant", folder.display())));
    }
    if args.json {
        show::json(&as_json(&mutants));
    } else {
        tell(&mutants);
    }
    Ok(if mutants.iter().any(|mutant| mutant.fate == Fate::Missed) { 4 } else { 0 })
}

/// Has `cargo mutants` make and test them; where it leaves what became of them.
fn make(args: &MutantsArgs) -> Result<PathBuf, Problem> {
    let mut cargo = Command::new("cargo");
    cargo.arg("mutants").args(&args.rest);
    if let Some(hunt) = &args.hunt {
        cargo.env("SEEDFALL_HUNT", hunt);
    }
    if let Some(events) = args.events {
        cargo.env("SEEDFALL_EVENTS", events.to_string());
    }
    let output = args.rest.windows(2).find(|pair| pair[0] == "--output" || pair[0] == "-o");
    let folder = output.map_or_else(PathBuf::new, |pair| PathBuf::from(&pair[1]));
    let missing = "expected `cargo mutants`: `cargo install cargo-mutants`";
    let done = cargo.status().map_err(|error| Problem(format!("cargo: {error}; {missing}")))?;
    // Two and three: some were missed, or took too long.
    match done.code() {
        Some(0 | 2 | 3) => Ok(folder.join("mutants.out")),
        Some(101) => Err(Problem(missing.to_owned())),
        _ => Err(Problem(format!("`cargo mutants` came to no end ({done}); see above"))),
    }
}

/// What became of the mutants of a folder.
fn read(folder: &Path) -> Result<Vec<Mutant>, Problem> {
    let path = folder.join("outcomes.json");
    let at = |why: String| Problem(format!("{}: {why}", path.display()));
    let expected = "expected what `cargo mutants` writes into mutants.out";
    let text = fs::read_to_string(&path).map_err(|error| at(format!("{error}; {expected}")))?;
    let value: Value =
        serde_json::from_str(&text).map_err(|error| at(format!("{error}; {expected}")))?;
    let outcomes = value["outcomes"].as_array().ok_or_else(|| at(expected.to_owned()))?;
    let mut mutants = Vec::new();
    for outcome in outcomes {
        let Some(name) = outcome["scenario"]["Mutant"]["name"].as_str() else { continue };
        let fate = match outcome["summary"].as_str() {
            Some("CaughtMutant") => Fate::Caught,
            Some("MissedMutant") => Fate::Missed,
            Some("Timeout") => Fate::TimedOut,
            Some("Unviable") => Fate::Unviable,
            other => return Err(at(format!("`{}`; {expected}", other.unwrap_or("no summary")))),
        };
        let log = outcome["log_path"].as_str().map(|log| folder.join(log));
        let log = log.and_then(|log| fs::read_to_string(log).ok()).unwrap_or_default();
        let by = if fate == Fate::Caught { caught_by(&log) } else { None };
        mutants.push(Mutant { name: name.to_owned(), fate, by });
    }
    Ok(mutants)
}

/// Which scenario failed first in the output of tests, and after how many runs.
fn caught_by(log: &str) -> Option<(String, u64)> {
    let violated = log.lines().find_map(|line| line.split_once(": a property is violated"))?;
    let hunted = log.lines().find_map(|line| {
        let words = line.trim_start().strip_prefix("hunt ")?.rsplit_once(" in ")?.1;
        words.split(' ').next()?.replace(',', "").parse().ok()
    });
    // Seeds are run from zero on.
    let swept = log.split_once("SEEDFALL_SEED=").and_then(|(_, rest)| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(digits.parse::<u64>().ok()? + 1)
    });
    Some((violated.0.trim().to_owned(), hunted.or(swept)?))
}

fn count(mutants: &[Mutant], fate: Fate) -> u64 {
    mutants.iter().filter(|mutant| mutant.fate == fate).count() as u64
}

/// How many runs it took in the median, and at most.
fn runs(mutants: &[Mutant]) -> Option<(u64, u64)> {
    let mut runs: Vec<u64> = mutants.iter().filter_map(|one| Some(one.by.as_ref()?.1)).collect();
    runs.sort_unstable();
    Some((*runs.get(runs.len() / 2)?, *runs.last()?))
}

fn tell(mutants: &[Mutant]) {
    let [caught, missed, late, unviable] =
        [Fate::Caught, Fate::Missed, Fate::TimedOut, Fate::Unviable].map(|one| count(mutants, one));
    let viable = caught + missed + late;
    let share = (caught + late) * 100 / viable.max(1);
    let of = counted(viable, "mutant");
    show::line(&format!("{} of {of} caught: {share} %", show::count(caught + late)));
    if late > 0 {
        show::line(&format!("  timed out  {}, which counts as caught", show::count(late)));
    }
    show::line(&format!("  unviable   {} do not build", show::count(unviable)));
    if let Some((median, most)) = runs(mutants) {
        let by = mutants.iter().filter(|mutant| mutant.by.is_some()).count() as u64;
        let by = counted(by, "mutant");
        show::line(&format!(
            "  scenarios  caught {by}, after {} runs in the median, at most {}",
            show::count(median),
            show::count(most)
        ));
    }
    for mutant in mutants.iter().filter(|mutant| mutant.fate == Fate::Missed) {
        show::line(&format!("  missed     {}", mutant.name));
    }
}

fn as_json(mutants: &[Mutant]) -> Value {
    let one = |mutant: &Mutant| {
        let fate = match mutant.fate {
            Fate::Caught => "caught",
            Fate::Missed => "missed",
            Fate::TimedOut => "timed-out",
            Fate::Unviable => "unviable",
        };
        let (scenario, runs) = mutant.by.clone().unzip();
        json!({ "mutant": mutant.name, "fate": fate, "scenario": scenario, "runs": runs })
    };
    json!({
        "caught": count(mutants, Fate::Caught), "missed": count(mutants, Fate::Missed),
        "timed_out": count(mutants, Fate::TimedOut), "unviable": count(mutants, Fate::Unviable),
        "mutants": mutants.iter().map(one).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Fate, caught_by, read, runs};
    use std::fs;

    const OUTCOMES: &str = r#"{ "outcomes": [
        { "scenario": "Baseline", "summary": "Success", "log_path": "log/baseline.log" },
        { "scenario": { "Mutant": { "name": "src/lib.rs:12:5: replace vote -> bool with true" } },
          "summary": "CaughtMutant", "log_path": "log/one.log" },
        { "scenario": { "Mutant": { "name": "src/lib.rs:18:5: replace == with !=" } },
          "summary": "MissedMutant", "log_path": "log/two.log" },
        { "scenario": { "Mutant": { "name": "src/lib.rs:20:5: replace f with ()" } },
          "summary": "Unviable", "log_path": "log/three.log" } ],
      "total_mutants": 3 }"#;

    #[test]
    fn what_became_of_mutants_is_read_with_the_runs_that_it_took() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("log")).expect("made");
        fs::write(folder.path().join("outcomes.json"), OUTCOMES).expect("written");
        let log =
            "lease: a property is violated (safety)\n  unshrunk   SEEDFALL_SEED=41 cargo test";
        fs::write(folder.path().join("log/one.log"), log).expect("written");
        let read = read(folder.path()).unwrap_or_else(|problem| panic!("{}", problem.0));
        let fates: Vec<Fate> = read.iter().map(|mutant| mutant.fate).collect();
        assert_eq!(fates, [Fate::Caught, Fate::Missed, Fate::Unviable]);
        assert_eq!(read[0].by, Some(("lease".to_owned(), 42)));
        assert_eq!(runs(&read), Some((42, 42)));
    }

    #[test]
    fn a_hunt_says_how_many_runs_it_took() {
        let log = "lock: a property is violated (safety)\n  SEEDFALL_SEED=3\n  \
                   hunt       found by guided, in 1,234 runs\n";
        assert_eq!(caught_by(log), Some(("lock".to_owned(), 1_234)));
        assert_eq!(caught_by("assertion failed"), None, "a test that is no scenario's");
    }
}
