//! What a campaign came to: one result, the same however its seeds were cut, and what it means.

use super::Problem;
use super::course::Discovery;
use super::earlier::Still;
use super::known::Known;
use super::manifest::Manifest;
use super::state::State;
use super::store::Book;
use seedfall::campaign::{About, Group, Runs, Shard};
use seedfall::faults::Class;
use seedfall::save::save;
use seedfall::sweep::COVERAGE_FROM;
use seedfall::words::{count, counted};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the file.
pub(super) const FILE: &str = "result.json";

/// Gaps that are told one by one, at most.
pub(super) const GAPS_TOLD: usize = 8;

/// What a campaign came to: nothing in it depends on who ran what, when, or how fast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) seedfall_result: u32,
    /// Which campaign.
    pub(super) id: String,
    pub(super) build: String,
    /// The seeds of each scenario; without an end, where time bounds it.
    pub(super) from: u64,
    pub(super) seeds: Option<u64>,
    /// By scenario.
    pub(super) scenarios: BTreeMap<String, One>,
}

/// What one scenario came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct One {
    pub(super) about: About,
    /// Whether it has a planted bug, which must be found.
    pub(super) canary: bool,
    /// What it means.
    pub(super) verdict: Verdict,
    /// The ranges of seeds that were run.
    pub(super) ran: Vec<(u64, u64)>,
    /// The sum.
    pub(super) runs: Runs,
}

/// What the runs of a scenario mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is", content = "why")]
pub(super) enum Verdict {
    /// Everything is as expected.
    Good,
    /// Something failed that is not expected.
    Failed,
    /// Nothing failed, and nothing is proved.
    Vacuous(String),
    /// It was not run.
    NotRun,
}

impl Outcome {
    pub(super) fn of(manifest: &Manifest, book: &Book) -> Self {
        let scenarios = manifest.scenarios.iter().map(|target| {
            let about = target.about.clone();
            let runs = Runs { busy: 0, ..book.total(manifest, &about.scenario) };
            let canary = manifest.canaries.contains(&about.scenario);
            let verdict = verdict(&about, canary, &runs);
            let ranges = book.ranges(&about.scenario);
            let ran = ranges.into_iter().map(|range| (range.start, range.end)).collect();
            (about.scenario.clone(), One { about, canary, verdict, ran, runs })
        });
        Self {
            seedfall_result: 1,
            id: manifest.id.clone(),
            build: manifest.build.clone(),
            from: manifest.from,
            seeds: manifest.seeds,
            scenarios: scenarios.collect(),
        }
    }

    pub(super) fn read(folder: &Path) -> Result<Self, Problem> {
        let path = folder.join(FILE);
        let problem = |why: String| Problem(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| problem(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| problem(format!("not a result: {error}")))
    }

    pub(super) fn save(&self, folder: &Path) -> Result<(), Problem> {
        let path = folder.join(FILE);
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        save(&path, &text).map_err(|error| Problem(format!("{}: {error}", path.display())))
    }

    /// The sum over all scenarios of a number of each.
    pub(super) fn sum(&self, of: impl Fn(&Runs) -> u64) -> u64 {
        self.scenarios.values().map(|one| of(&one.runs)).sum()
    }

    /// Failures that nobody expects, a kind each: the scenario, the fingerprint, the group.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&str, &str, &Group)> {
        let others = self.scenarios.iter().filter(|(_, one)| !one.canary);
        others.flat_map(|(name, one)| {
            let groups = one.runs.groups.iter();
            groups.map(move |(print, group)| (name.as_str(), print.as_str(), group))
        })
    }

    /// Classes of faults that had an effect, and those that were planned.
    pub(super) fn classes(&self) -> (BTreeSet<&str>, BTreeSet<&str>) {
        let all = || self.scenarios.values().flat_map(|one| &one.runs.fired);
        let planned = all().map(|(class, _)| class.as_str()).collect();
        let fired = all().filter(|(_, (_, fired))| *fired > 0);
        (fired.map(|(class, _)| class.as_str()).collect(), planned)
    }

    /// The canaries that were found, and those that were not. A scenario that expects something to
    /// break is one, without being named.
    pub(super) fn canaries(&self) -> (Vec<&str>, Vec<&str>) {
        let all = self
            .scenarios
            .iter()
            .filter(|(_, one)| one.canary || (!one.about.breaks.is_empty() && !one.about.blocks));
        let names = all.map(|(name, one)| (name.as_str(), broke(one)));
        let (found, missed): (Vec<_>, Vec<_>) = names.partition(|(_, broke)| *broke);
        let name = |(name, _)| name;
        (found.into_iter().map(name).collect(), missed.into_iter().map(name).collect())
    }

    /// Seeds that every scenario has run.
    pub(super) fn seeds_each(&self) -> (u64, u64) {
        let each = || self.scenarios.values().map(|one| one.runs.runs());
        (each().min().unwrap_or(0), each().max().unwrap_or(0))
    }
}

fn broke(one: &One) -> bool {
    !one.runs.expected.is_empty() || (one.canary && !one.runs.groups.is_empty())
}

pub(super) fn verdict(about: &About, canary: bool, runs: &Runs) -> Verdict {
    let vacuous = |why: String| Verdict::Vacuous(why);
    if runs.runs() == 0 {
        return Verdict::NotRun;
    }
    if canary {
        let found = !runs.groups.is_empty() || !runs.expected.is_empty();
        let why = "its planted bug was not found";
        return if found { Verdict::Good } else { vacuous(why.to_owned()) };
    }
    if runs.failed > 0 {
        return Verdict::Failed;
    }
    if let Some(name) = about.breaks.first() {
        let is = |property: &String| {
            property == name || property.split_once(' ').is_some_and(|(_, words)| words == name)
        };
        return match runs.expected.keys().any(is) {
            true => Verdict::Good,
            false => vacuous(format!("`{name}` should break and never did")),
        };
    }
    if runs.passed + runs.as_expected == 0 {
        let why = runs.vacuous_because.keys().next().or(runs.undecided.keys().next());
        return vacuous(format!("no run proves anything ({})", why.map_or("", String::as_str)));
    }
    if runs.runs() < COVERAGE_FROM {
        return Verdict::Good;
    }
    // Nothing is owed where there is nothing to act on: a disk that the protocol never writes to.
    let owed = |class: &String| runs.acted_on.get(class) != Some(&0);
    let mut idle = runs.fired.iter().filter(|(class, (_, fired))| *fired == 0 && owed(class));
    if let Some((class, _)) = idle.next() {
        return vacuous(format!("no {class} ever had an effect"));
    }
    let reached = |mark: &&String| runs.marks.get(*mark).is_some_and(|runs| *runs > 0);
    match about.sometimes.iter().chain(runs.marks.keys()).find(|mark| !reached(mark)) {
        Some(mark) => vacuous(format!("never reached: {mark}")),
        None => Verdict::Good,
    }
}

/// Everything that a campaign is judged by.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) outcome: Outcome,
    pub(super) manifest: Manifest,
    /// The attempts, and how long ago each gave its last sign.
    pub(super) states: Vec<(State, Duration)>,
    pub(super) gaps: Vec<(String, Range<u64>)>,
    pub(super) disagree: Vec<String>,
    pub(super) incidents: Vec<String>,
    /// Kinds of failures that are known, and those that are new.
    pub(super) known: usize,
    pub(super) new: Vec<(String, String)>,
    /// Seeds of earlier campaigns that fail still, and not in a way that is known.
    pub(super) still: Vec<Still>,
    /// What was first seen when: to be shown, and judged by nobody.
    pub(super) discovery: Discovery,
}

impl Judged {
    pub(super) fn new(
        manifest: Manifest,
        book: Book,
        shard: Shard,
        folders: &[PathBuf],
        known: &Known,
    ) -> Self {
        let states = State::all(folders);
        let outcome = Outcome::of(&manifest, &book);
        let gaps = book.gaps(&manifest, shard);
        let discovery = Discovery::of(&manifest, &book, &states);
        let all: Vec<(String, String)> = outcome
            .groups()
            .map(|(scenario, print, _)| (scenario.to_owned(), print.to_owned()))
            .collect();
        let (old, new): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(scenario, print)| known.has(scenario, print));
        let of_states = states.iter().flat_map(|(state, _)| state.incidents.clone());
        let incidents = of_states.collect();
        let disagree = book.disagree;
        let mut still = super::earlier::still(folders);
        still.retain(|one| !known.has(&one.scenario, &one.print));
        let known = old.len();
        Self { outcome, manifest, states, gaps, disagree, incidents, known, new, still, discovery }
    }

    /// The exit code: 0 green, 1 a new kind of failure, 4 incomplete or nothing proved, 7 two runs
    /// of one seed differ.
    pub(super) fn code(&self) -> u8 {
        if !self.disagree.is_empty() || !self.incidents.is_empty() {
            return 7;
        }
        let still = !self.still.is_empty();
        if still || !self.new.is_empty() || self.outcome.sum(|runs| runs.beyond) > 0 {
            return 1;
        }
        let missed = !self.outcome.canaries().1.is_empty();
        if missed || !self.gaps.is_empty() || !self.vacuous().is_empty() {
            return 4;
        }
        0
    }

    /// Scenarios that prove nothing, and why.
    pub(super) fn vacuous(&self) -> Vec<(&str, &str)> {
        let each = self.outcome.scenarios.iter();
        let vacuous = each.filter_map(|(name, one)| match &one.verdict {
            Verdict::Vacuous(why) => Some((name.as_str(), why.as_str())),
            Verdict::NotRun => Some((name.as_str(), "it was not run")),
            Verdict::Good | Verdict::Failed => None,
        });
        vacuous.collect()
    }

    /// The word for it, and why if it is not green.
    pub(super) fn word(&self) -> (&'static str, Option<String>) {
        let outcome = &self.outcome;
        let canaries = outcome.canaries().1;
        if let Some(what) = self.disagree.first().or(self.incidents.first()) {
            return ("two runs of one seed differ", Some(what.clone()));
        }
        if let Some((scenario, print)) = self.new.first() {
            let kinds = self.new.len() as u64;
            return ("failed", Some(format!("{}, first {scenario}: {print}", counted_new(kinds))));
        }
        if let Some(Still { scenario, seed, print }) = self.still.first() {
            let what = format!("{scenario}@{seed} failed earlier, and does still: {print}");
            return ("failed", Some(what));
        }
        if let Some(name) = canaries.first() {
            return ("not to be trusted", Some(format!("the planted bug of {name} was not found")));
        }
        if let Some((scenario, range)) = self.gaps.first() {
            let seeds: u64 = self.gaps.iter().map(|(_, range)| range.end - range.start).sum();
            let first = format!("first {scenario} {range:?}");
            return ("incomplete", Some(format!("{} missing, {first}", counted(seeds, "run"))));
        }
        if let Some((name, why)) = self.vacuous().first() {
            return ("proves nothing", Some(format!("{name}: {why}")));
        }
        ("green", None)
    }

    /// One line to paste into a pull request.
    pub(super) fn proof(&self) -> String {
        let outcome = &self.outcome;
        let (least, most) = outcome.seeds_each();
        let seeds = if least == most {
            counted(least, "seed")
        } else {
            format!("{} to {} seeds", count(least), count(most))
        };
        let failures: u64 = outcome.groups().map(|(.., group)| group.runs).sum::<u64>()
            + outcome.sum(|runs| runs.beyond);
        let failures = match (failures, self.known) {
            (0, _) => "0 failures".to_owned(),
            (failures, 0) => {
                format!("{} ({})", counted(failures, "failure"), kinds(self.new.len()))
            }
            (failures, known) => format!(
                "{} ({} known, {} new)",
                counted(failures, "failure"),
                kinds(known),
                self.new.len()
            ),
        };
        let killed = match outcome.sum(|runs| runs.killed) {
            0 => String::new(),
            runs => format!(", {} neither passed nor failed (killed)", count(runs)),
        };
        let (fired, planned) = outcome.classes();
        let (found, missed) = outcome.canaries();
        let canary = match (found.len(), missed.len()) {
            (0, 0) => "no canary".to_owned(),
            (1, 0) => "canary found".to_owned(),
            (all, 0) => format!("{all} of {all} canaries found"),
            (found, missed) => format!("{found} of {} CANARIES found", found + missed),
        };
        let word = match self.word() {
            ("green", _) => String::new(),
            (word, _) => format!(", {}", word.to_uppercase()),
        };
        let commit = if self.manifest.commit.is_empty() {
            self.manifest.build.clone()
        } else {
            format!("commit {}", self.manifest.commit)
        };
        format!(
            "seedfall: {seeds} x {}, {failures}{killed}, {} of {} fault classes, {canary}, from \
             seed {}, {commit}{word}",
            counted(outcome.scenarios.len() as u64, "scenario"),
            fired.len(),
            planned.len().min(Class::ALL.len()),
            self.manifest.from,
        )
    }
}

fn kinds(number: usize) -> String {
    counted(number as u64, "kind")
}

fn counted_new(kinds: u64) -> String {
    format!(
        "{} of failure that {} not known",
        counted(kinds, "kind"),
        if kinds == 1 { "is" } else { "are" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_never_had_an_effect_is_owed_where_it_had_something_to_act_on() {
        let about = About {
            scenario: "one".to_owned(),
            test: String::new(),
            story: String::new(),
            model: String::new(),
            properties: Vec::new(),
            sometimes: Vec::new(),
            breaks: Vec::new(),
            blocks: false,
        };
        let runs = |acted_on: &[(&str, u64)]| Runs {
            passed: COVERAGE_FROM,
            fired: BTreeMap::from([("stall".to_owned(), (9, 0))]),
            acted_on: acted_on.iter().map(|(name, runs)| ((*name).to_owned(), *runs)).collect(),
            ..Runs::default()
        };
        let why = Verdict::Vacuous("no stall ever had an effect".to_owned());
        assert_eq!(verdict(&about, false, &runs(&[("stall", 3)])), why);
        assert_eq!(verdict(&about, false, &runs(&[])), why);
        assert_eq!(verdict(&about, false, &runs(&[("stall", 0)])), Verdict::Good);
    }
}
