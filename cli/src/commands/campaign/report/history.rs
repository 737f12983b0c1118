//! Campaigns over time: a folder with a small JSON file for each, which a repository or a CI's
//! cache keeps.

use super::super::Problem;
use super::super::outcome::Judged;
use seedfall::campaign::Runs;
use seedfall::save::save;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// Campaigns that are plotted, at most: the last ones.
const MOST: usize = 200;

/// A campaign, in a few numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct Past {
    pub(super) begun: u64,
    pub(super) id: String,
    pub(super) commit: String,
    pub(super) word: String,
    pub(super) scenarios: u64,
    pub(super) runs: u64,
    pub(super) events: u64,
    pub(super) seconds: f64,
    /// Kinds of failures, and those of them that are new.
    pub(super) kinds: u64,
    pub(super) new: u64,
    /// Coverage marks that were reached, and those that there are.
    pub(super) reached: u64,
    pub(super) marks: u64,
    pub(super) classes: u64,
}

impl Past {
    pub(super) fn of(judged: &Judged, seconds: f64) -> Self {
        let outcome = &judged.outcome;
        let each = || outcome.scenarios.values();
        let reached = each().flat_map(|one| {
            one.about.sometimes.iter().filter(|mark| one.runs.marks.contains_key(*mark))
        });
        Self {
            begun: judged.manifest.begun,
            id: judged.manifest.id.clone(),
            commit: judged.manifest.commit.clone(),
            word: judged.word().0.to_owned(),
            scenarios: outcome.scenarios.len() as u64,
            runs: outcome.sum(Runs::runs),
            events: outcome.sum(|runs| runs.events),
            seconds,
            kinds: (judged.known + judged.new.len()) as u64,
            new: judged.new.len() as u64,
            reached: reached.count() as u64,
            marks: each().map(|one| one.about.sometimes.len() as u64).sum(),
            classes: outcome.classes().0.len() as u64,
        }
    }
}

/// Adds a campaign to a folder; says all that it has, this one the last.
pub(super) fn with(folder: &Path, now: &Past) -> Result<Vec<Past>, Problem> {
    let problem = |path: &Path, why: String| Problem(format!("{}: {why}", path.display()));
    let path = folder.join(format!("{}-{}.json", now.begun, now.id));
    let text = serde_json::to_vec_pretty(now)?;
    save(&path, &text).map_err(|error| problem(&path, error.to_string()))?;
    let mut past = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| problem(&path, error.to_string()))?;
        let one: Past = serde_json::from_str(&text)
            .map_err(|error| problem(&path, format!("not a campaign: {error}")))?;
        past.push(one);
    }
    past.retain(|one| one.begun <= now.begun);
    past.sort_by(|one, other| (one.begun, &one.id).cmp(&(other.begun, &other.id)));
    let beyond = past.len().saturating_sub(MOST);
    past.drain(..beyond);
    Ok(past)
}
