//! Runs that showed something, in a file: what one hunt found, another begins with.
//!
//! A line of JSON each. Files of several hunts are merged by putting their lines together; a hunt
//! that begins with them leaves the fewest runs that show the same states.

use super::Archive;
use crate::run::{Runnable, Trial};
use crate::save::save;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

/// The version that this build writes, and the only one that it reads.
const VERSION: u32 = 1;

/// How many runs a corpus has, at most.
const MOST: usize = 512;

#[derive(Serialize, Deserialize)]
struct Line {
    seedfall_corpus: u32,
    scenario: String,
    trial: Trial,
}

/// The trials of a corpus, those of this scenario; none if there is no such file.
///
/// # Errors
/// What keeps the file from being read, with the line, and what was expected.
pub fn load(path: &Path, scenario: &dyn Runnable) -> Result<Vec<Trial>, String> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| format!("{}: {error}", path.display()))?,
    };
    let mut trials = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = |why: String| format!("{}:{}: {why}", path.display(), number + 1);
        let line: Line = serde_json::from_str(line)
            .map_err(|error| at(format!("not a run of a corpus, as `hunt` writes it: {error}")))?;
        if line.seedfall_corpus != VERSION {
            let version = line.seedfall_corpus;
            return Err(at(format!("version {version}; this build reads version {VERSION}")));
        }
        if line.scenario != scenario.name() {
            continue;
        }
        let budget = scenario.fault_budget_of(&line.trial);
        let plan = line.trial.plan.as_ref();
        plan.map_or(Ok(()), |plan| plan.check(&budget)).map_err(|error| at(error.to_string()))?;
        trials.push(line.trial);
    }
    Ok(trials)
}

/// Writes the fewest runs that show what an archive has seen, as far as they are kept, chosen one
/// after the other by how much each adds. Says how many there are.
///
/// # Errors
/// What keeps the file from being written.
pub fn store(path: &Path, scenario: &dyn Runnable, archive: &Archive) -> Result<usize, String> {
    let name = scenario.name();
    let mut text = String::new();
    let fewest = fewest(scenario, archive);
    for trial in &fewest {
        let trial = Trial { observe: false, pulse: None, ..trial.clone() };
        let line = Line { seedfall_corpus: VERSION, scenario: name.to_owned(), trial };
        let line = serde_json::to_string(&line).map_err(|error| error.to_string())?;
        text += &(line + "\n");
    }
    save(path, text.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(fewest.len())
}

/// The fewest trials that show all states of all exemplars, as far as a greedy choice finds them.
fn fewest(scenario: &dyn Runnable, archive: &Archive) -> Vec<Trial> {
    let shows = |trial: &Trial| -> BTreeSet<u64> {
        let report = scenario.run(&Trial { observe: true, ..trial.clone() });
        let sights = report.observed.map(|observed| observed.sights).unwrap_or_default();
        sights.iter().map(|sight| sight.state).collect()
    };
    let trials = archive.exemplars().iter().map(|exemplar| &exemplar.trial);
    let mut left: Vec<(BTreeSet<u64>, &Trial)> =
        trials.map(|trial| (shows(trial), trial)).collect();
    let mut chosen = Vec::new();
    while chosen.len() < MOST {
        let best = (0..left.len()).max_by_key(|index| (left[*index].0.len(), usize::MAX - index));
        let Some(best) = best.filter(|best| !left[*best].0.is_empty()) else { break };
        let (covered, trial) = left.swap_remove(best);
        left.iter_mut().for_each(|(states, _)| states.retain(|state| !covered.contains(state)));
        chosen.push(trial.clone());
    }
    chosen
}
