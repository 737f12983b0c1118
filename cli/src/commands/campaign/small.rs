//! The best case of each kind of failure, made small once, by a worker; and what is known of
//! those that were.

use super::crew::command;
use super::manifest::Manifest;
use super::outcome::Outcome;
use super::{Problem, clock, show};
use seedfall::campaign::Small;
use seedfall::words::counted;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Kinds of failures that are made small, at most: nobody reads more.
const MOST: usize = 20;

/// How long a worker may take for one; it gives up by itself earlier.
const PATIENCE: Duration = Duration::from_secs(120);

/// The folder of cases and pages, in that of the campaign.
pub(super) const FOLDER: &str = "failures";

/// What was made small: by scenario and fingerprint.
pub(super) type Kept = BTreeMap<(String, String), Small>;

/// What these folders have.
pub(super) fn kept(folders: &[PathBuf]) -> Kept {
    let mut kept = Kept::new();
    for folder in folders {
        let Ok(entries) = fs::read_dir(folder.join(FOLDER)) else { continue };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let is_small = path.extension().is_some_and(|ending| ending == "small");
            let text = if is_small { fs::read_to_string(&path).ok() } else { None };
            if let Some(small) = text.and_then(|text| serde_json::from_str::<Small>(&text).ok()) {
                let name = (small.scenario.clone(), small.fingerprint.clone());
                kept.entry(name).or_insert(small);
            }
        }
    }
    kept
}

/// Makes the best case of each kind of failure small that was not before.
pub(super) fn make(
    manifest: &Manifest,
    outcome: &Outcome,
    folder: &Path,
    replay: &str,
) -> Result<(), Problem> {
    let known = kept(&[folder.to_owned()]);
    let shrinkable = ["safety", "liveness", "stuck", "crash"];
    let died = "the process survives the run";
    let todo: Vec<_> = outcome
        .groups()
        .filter(|(scenario, print, group)| {
            let name = ((*scenario).to_owned(), (*print).to_owned());
            let can = shrinkable.contains(&group.kind.as_str()) && group.property != died;
            can && !known.contains_key(&name)
        })
        .collect();
    if MOST < todo.len() {
        let kinds = counted(todo.len() as u64, "kind");
        show::note(&format!("{kinds} of failures; {MOST} are made small"));
    }
    for (scenario, print, group) in todo.into_iter().take(MOST) {
        let target = manifest.scenarios.iter().find(|one| one.about.scenario == scenario);
        let Some(target) = target else { continue };
        let failures = folder.join(FOLDER);
        fs::create_dir_all(&failures)?;
        let log = failures.join("log");
        let output = File::create(&log)?;
        let mut child = command(target, &manifest.build)
            .env("SEEDFALL_SMALL", group.seed.to_string())
            .env("SEEDFALL_OUT", &failures)
            .env("SEEDFALL_WORKER", "small")
            .env("SEEDFALL_REPLAY", replay)
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output)
            .spawn()?;
        let started = clock::Watch::start();
        let ended = loop {
            match child.try_wait()? {
                Some(status) => break status.success(),
                None if PATIENCE <= started.elapsed() => {
                    child.kill()?;
                    child.wait()?;
                    break false;
                }
                None => clock::sleep(Duration::from_millis(20)),
            }
        };
        if !ended {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let seed = group.seed;
            let said = said.lines().rev().find(|line| !line.is_empty()).unwrap_or("").to_owned();
            show::warning(&format!("{scenario}: seed {seed} was not made small ({print}): {said}"));
        }
        fs::remove_file(&log)?;
    }
    Ok(())
}
