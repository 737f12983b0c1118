//! Seeds that failed in earlier campaigns of a folder: those of this campaign come first, others,
//! of another night, are run once more beside it. They count for no sum; that one fails still is
//! told, and red.

use super::clock;
use super::crew::command;
use super::manifest::{Manifest, Target};
use super::outcome::Outcome;
use super::{Problem, show};
use seedfall::campaign::{Entry, decode, spell};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// The seeds, a line each: `scenario@seed`.
const FILE: &str = "failing.txt";

/// Seeds that are remembered, at most.
const MOST: usize = 1_000;

/// The folder of what came of those that are no part of the campaign.
pub(super) const FOLDER: &str = "earlier";

/// By scenario, the seeds that failed.
pub(super) type Failing = BTreeMap<String, Vec<u64>>;

/// A seed that failed in an earlier campaign, and fails still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Still {
    pub(super) scenario: String,
    pub(super) seed: u64,
    pub(super) print: String,
}

/// What a folder remembers.
pub(super) fn failing(out: &Path) -> Failing {
    let text = fs::read_to_string(out.join(FILE)).unwrap_or_default();
    let mut failing = Failing::new();
    for (name, seed) in text.lines().filter_map(|line| line.rsplit_once('@')) {
        if let Ok(seed) = seed.parse() {
            failing.entry(name.to_owned()).or_default().push(seed);
        }
    }
    failing
}

/// Remembers the best seed of each kind of failure.
pub(super) fn remember(outcome: &Outcome, out: &Path) -> Result<(), Problem> {
    let mut failing = failing(out);
    for (scenario, _, group) in outcome.groups() {
        let seeds = failing.entry(scenario.to_owned()).or_default();
        if !seeds.contains(&group.seed) {
            seeds.push(group.seed);
        }
    }
    let of = |(name, seeds): (&String, &Vec<u64>)| {
        seeds.iter().map(|seed| format!("{name}@{seed}\n")).collect::<Vec<_>>()
    };
    let text: String = failing.iter().flat_map(of).take(MOST).collect();
    if !text.is_empty() {
        seedfall::save::save(&out.join(FILE), text.as_bytes())?;
    }
    Ok(())
}

/// Runs the seeds that failed earlier and are no part of this campaign.
pub(super) fn again(
    manifest: &Manifest,
    failing: &Failing,
    out: &Path,
    patience: Duration,
) -> Result<(), Problem> {
    let folder = out.join(FOLDER);
    if folder.is_dir() {
        fs::remove_dir_all(&folder)?;
    }
    let range = manifest.range();
    for target in &manifest.scenarios {
        let seeds = failing.get(&target.about.scenario).map(Vec::as_slice).unwrap_or_default();
        let outside = seeds.iter().filter(|seed| !range.contains(seed));
        let mut spans: Vec<_> = outside.map(|seed| *seed..seed.saturating_add(1)).collect();
        spans.sort_by_key(|span| span.start);
        spans.dedup();
        if !spans.is_empty() {
            one(target, manifest, &spell(&spans), (&folder, patience))?;
        }
    }
    Ok(())
}

fn one(
    target: &Target,
    manifest: &Manifest,
    seeds: &str,
    (folder, patience): (&Path, Duration),
) -> Result<(), Problem> {
    let mut child = command(target, &manifest.build)
        .env("SEEDFALL_OUT", folder)
        .env("SEEDFALL_WORKER", "earlier")
        .env("SEEDFALL_SEEDS", seeds)
        .env("SEEDFALL_BLOCK", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let (status, _) = clock::wait(&mut child, patience)?;
    if !status.success() {
        let name = &target.about.scenario;
        show::warning(&format!("{name}: not all seeds that failed earlier were run again"));
    }
    Ok(())
}

/// Which of them fail still, as the folders say.
pub(super) fn still(folders: &[PathBuf]) -> Vec<Still> {
    let mut still = Vec::new();
    for folder in folders {
        let Ok(entries) = fs::read_dir(folder.join(FOLDER)) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            for line in text.lines() {
                let Ok(Entry::Runs(runs)) = decode(line) else { continue };
                let of = |(print, group): (&String, &seedfall::campaign::Group)| Still {
                    scenario: runs.scenario.clone(),
                    seed: group.seed,
                    print: print.clone(),
                };
                still.extend(runs.groups.iter().map(of));
            }
        }
    }
    still.sort_by(|one, other| (&one.scenario, one.seed).cmp(&(&other.scenario, other.seed)));
    still
}
