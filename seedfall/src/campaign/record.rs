//! What a worker leaves behind: lines, each with its checksum, that add up.

use crate::faults::ActsOn;
use crate::report::Failure;
use crate::run::Runnable;
use crate::scenario::Expectation;
use crate::sweep::Summary;
use seedfall_sim::StableHasher;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::ops::Range;

/// The version of the lines that this build writes, and the only one that it reads.
pub(super) const VERSION: u32 = 1;

/// Kinds of failures that a sum tells apart, at most. Beyond it the first in the order of their
/// fingerprints are kept: so the same ones, however the runs were cut.
const GROUPS_MOST: usize = 16_384;

/// Reasons that a sum tells apart, at most, likewise.
const REASONS_MOST: usize = 64;

/// How much of an explanation is kept, in bytes.
const TOLD_MOST: usize = 400;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// The first of a file.
    Start(Box<Start>),
    /// What came of a range of seeds.
    Runs(Box<Runs>),
}

/// What a worker is about to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The version of the lines.
    pub version: u32,
    /// Of what.
    pub about: About,
    /// What is run, in a word: a commit, or a hash of the binary.
    pub build: String,
    /// The seeds of the campaign, of which a worker has a part.
    pub seeds: Range<u64>,
    /// How many seeds a unit has.
    pub unit: u64,
}

/// What a campaign knows of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its name.
    pub scenario: String,
    /// The test that runs it, as `--exact` takes it; empty, if no test does.
    #[serde(default)]
    pub test: String,
    /// What happens in it.
    pub story: String,
    /// What it assumes.
    pub model: String,
    /// What must hold.
    pub properties: Vec<String>,
    /// The coverage marks that many runs must reach.
    pub sometimes: Vec<String>,
    /// What is expected to break; empty: nothing.
    pub breaks: Vec<String>,
    /// Whether nothing but a wait is expected.
    #[serde(default)]
    pub blocks: bool,
}

impl About {
    /// Of a scenario, which a test of this name runs.
    pub fn of(scenario: &dyn Runnable, test: String) -> Self {
        let (breaks, blocks) = match scenario.expect() {
            Expectation::Holds => (Vec::new(), false),
            Expectation::Violates { properties, .. } => (properties.to_vec(), false),
            Expectation::Blocks { property, .. } => (vec![property], true),
        };
        let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
        Self {
            scenario: scenario.name().to_owned(),
            test,
            story: scenario.story().to_owned(),
            model: scenario.model().to_string(),
            properties: scenario.properties(),
            sometimes: owned(scenario.sometimes()),
            breaks: owned(breaks),
            blocks,
        }
    }
}

/// Runs that failed in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// In how many runs.
    pub runs: u64,
    /// The run to look at: the one that failed after the fewest events, then of the fewest faults,
    /// then of the lowest seed.
    pub seed: u64,
    /// After how many events.
    pub event: u64,
    /// How many faults.
    pub faults: u64,
    /// The kind, in a word.
    pub kind: String,
    /// Which property.
    pub property: String,
    /// What is wrong, clipped.
    pub told: String,
}

impl Group {
    fn of(runs: u64, failure: &Failure) -> Self {
        Self {
            runs,
            seed: failure.seed.0,
            event: failure.event,
            faults: failure.faults.len() as u64,
            kind: failure.kind.name().to_owned(),
            property: failure.property.clone(),
            told: clip(&failure.explanation).to_owned(),
        }
    }

    fn key(&self) -> (u64, u64, u64) {
        (self.event, self.faults, self.seed)
    }

    /// Adds other runs that failed so: the best stands for all.
    fn add(&mut self, other: Self) {
        let runs = self.runs + other.runs;
        if other.key() < self.key() {
            *self = other;
        }
        self.runs = runs;
    }
}

fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(TOLD_MOST)]
}

/// What came of the seeds of one scenario from `from` to `to` (excluded): a sum over them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runs {
    /// Which scenario.
    pub scenario: String,
    /// What was run, as in [`Start::build`].
    pub build: String,
    /// The first seed.
    pub from: u64,
    /// The seed after the last.
    pub to: u64,
    /// In which every property holds.
    pub passed: u64,
    /// That prove nothing.
    pub vacuous: u64,
    /// With a check that ran out of its budget.
    pub unknown: u64,
    /// With a failure that is not expected.
    pub failed: u64,
    /// That broke what is expected to break, and nothing else.
    pub as_expected: u64,
    /// Whose process was killed, as the machine does if memory runs short: neither passed nor
    /// failed.
    #[serde(skip_serializing_if = "is_zero")]
    pub killed: u64,
    /// That were run twice.
    pub twice: u64,
    /// Events.
    pub events: u64,
    /// Messages delivered.
    pub delivered: u64,
    /// Operations completed.
    pub completed: u64,
    /// Operations with an unknown outcome.
    pub indeterminate: u64,
    /// A hash over the trace hashes, whatever their order, in hexadecimal.
    pub hash: String,
    /// By class of faults: in how many runs it was planned, and in how many it had an effect.
    pub fired: BTreeMap<String, (u64, u64)>,
    /// Of the classes that act on something that a protocol may not have: in how many runs it had
    /// that. Of a class with zero nothing is owed.
    pub acted_on: BTreeMap<String, u64>,
    /// In how many runs each coverage mark was reached: none, if programs declare it and no run
    /// came there.
    pub marks: BTreeMap<String, u64>,
    /// Why runs prove nothing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub vacuous_because: BTreeMap<String, u64>,
    /// By property: how many checks ran out of their budget.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub undecided: BTreeMap<String, u64>,
    /// By fingerprint: failures that are not expected.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Group>,
    /// Runs whose fingerprints were too many to be kept.
    #[serde(skip_serializing_if = "is_zero")]
    pub beyond: u64,
    /// By property: failures that are expected; the first stands for all.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub expected: BTreeMap<String, Group>,
    /// How long it took, in microseconds of the machine's clock, all threads together. No part of
    /// the result.
    #[serde(skip_serializing_if = "is_zero")]
    pub busy: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Runs {
    /// Of a sweep over these seeds.
    pub fn of(scenario: &str, build: &str, seeds: &Range<u64>, summary: &Summary) -> Self {
        let text = |map: &BTreeMap<String, u64>| map.clone();
        let declared = summary.declared.iter().map(|mark| (*mark, 0));
        let mut runs = Self {
            scenario: scenario.to_owned(),
            build: build.to_owned(),
            from: seeds.start,
            to: seeds.end,
            passed: summary.passed,
            vacuous: summary.vacuous,
            unknown: summary.unknown,
            failed: summary.failed,
            as_expected: summary.as_expected,
            killed: 0,
            twice: summary.twice,
            events: summary.events,
            delivered: summary.delivered,
            completed: summary.completed,
            indeterminate: summary.indeterminate,
            hash: hex(summary.hash),
            fired: summary
                .fired
                .iter()
                .map(|(class, counts)| (class.name().to_owned(), *counts))
                .collect(),
            acted_on: summary
                .acted_on
                .iter()
                .filter(|(class, _)| class.acts_on() != ActsOn::Anything)
                .map(|(class, runs)| (class.name().to_owned(), *runs))
                .collect(),
            marks: declared
                .chain(summary.marks.iter().map(|(mark, runs)| (*mark, *runs)))
                .map(|(mark, runs)| (mark.to_owned(), runs))
                .collect(),
            vacuous_because: text(&summary.vacuous_because),
            undecided: summary
                .unknown_because
                .iter()
                .map(|(property, (runs, ..))| (property.clone(), *runs))
                .collect(),
            groups: summary
                .ways
                .iter()
                .map(|(print, (runs, failure))| (print.clone(), Group::of(*runs, failure)))
                .collect(),
            beyond: 0,
            expected: summary
                .expected
                .iter()
                .map(|(property, (runs, failure))| (property.clone(), Group::of(*runs, failure)))
                .collect(),
            busy: summary.took.as_micros() as u64,
        };
        runs.bound();
        runs
    }

    /// How many runs.
    pub fn runs(&self) -> u64 {
        self.passed + self.vacuous + self.unknown + self.failed + self.as_expected + self.killed
    }

    /// The range.
    pub fn seeds(&self) -> Range<u64> {
        self.from..self.to
    }

    /// Whether it counts a run for each seed, no more and no less.
    pub fn is_consistent(&self) -> bool {
        self.from < self.to && self.runs() == self.to - self.from && unhex(&self.hash).is_some()
    }

    /// Adds other runs of the scenario. The range is the least that has both; whoever cares for
    /// gaps has to look before.
    pub fn add(&mut self, other: Self) {
        if self.from == self.to {
            (self.from, self.to) = (other.from, other.to);
        }
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.passed += other.passed;
        self.vacuous += other.vacuous;
        self.unknown += other.unknown;
        self.failed += other.failed;
        self.as_expected += other.as_expected;
        self.killed += other.killed;
        self.twice += other.twice;
        self.events += other.events;
        self.delivered += other.delivered;
        self.completed += other.completed;
        self.indeterminate += other.indeterminate;
        self.beyond += other.beyond;
        self.busy += other.busy;
        let hash = |text: &str| unhex(text).unwrap_or_default();
        self.hash = hex(hash(&self.hash).wrapping_add(hash(&other.hash)));
        for (class, (planned, fired)) in other.fired {
            let counts = self.fired.entry(class).or_default();
            *counts = (counts.0 + planned, counts.1 + fired);
        }
        add_counts(&mut self.acted_on, other.acted_on);
        add_counts(&mut self.marks, other.marks);
        add_counts(&mut self.vacuous_because, other.vacuous_because);
        add_counts(&mut self.undecided, other.undecided);
        for (print, group) in other.groups {
            match self.groups.get_mut(&print) {
                Some(known) => known.add(group),
                None => drop(self.groups.insert(print, group)),
            }
        }
        for (property, group) in other.expected {
            match self.expected.get_mut(&property) {
                Some(known) => {
                    let runs = known.runs + group.runs;
                    if group.seed < known.seed {
                        *known = group;
                    }
                    known.runs = runs;
                }
                None => drop(self.expected.insert(property, group)),
            }
        }
        self.bound();
    }

    /// Keeps memory and files bounded, whatever the runs come to.
    fn bound(&mut self) {
        while GROUPS_MOST < self.groups.len()
            && let Some((_, group)) = self.groups.pop_last()
        {
            self.beyond += group.runs;
        }
        for reasons in [&mut self.vacuous_because, &mut self.undecided] {
            while REASONS_MOST < reasons.len() {
                reasons.pop_last();
            }
        }
    }
}

fn add_counts(to: &mut BTreeMap<String, u64>, from: BTreeMap<String, u64>) {
    for (name, count) in from {
        *to.entry(name).or_default() += count;
    }
}

fn hex(hash: u64) -> String {
    format!("{hash:#018x}")
}

fn unhex(text: &str) -> Option<u64> {
    if text.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

const HEAD: &str = r#"{"check":""#;
const MIDDLE: &str = r#"","line":"#;

fn checksum(body: &str) -> u64 {
    let mut hasher = StableHasher::default();
    hasher.write(body.as_bytes());
    hasher.finish()
}

/// A line, with its end: JSON that says its own checksum.
pub fn encode(entry: &Entry) -> String {
    // Strings, numbers and maps of strings can be written.
    let body = serde_json::to_string(entry).unwrap_or_default();
    format!("{HEAD}{:016x}{MIDDLE}{body}}}\n", checksum(&body))
}

/// Reads a line, without its end.
///
/// # Errors
/// What is wrong with it: it was cut, changed, or written by another version.
pub fn decode(line: &str) -> Result<Entry, String> {
    let rest = line.strip_prefix(HEAD).ok_or("not a line of a campaign")?;
    let (sum, rest) = rest.split_at_checked(16).ok_or("cut short")?;
    let body = rest.strip_prefix(MIDDLE).and_then(|body| body.strip_suffix('}'));
    let body = body.ok_or("cut short")?;
    if u64::from_str_radix(sum, 16).ok() != Some(checksum(body)) {
        return Err("its checksum is wrong: it was cut or changed".to_owned());
    }
    let entry: Entry = serde_json::from_str(body).map_err(|error| error.to_string())?;
    match &entry {
        Entry::Start(start) if start.version != VERSION => {
            Err(format!("lines of version {}; this build reads version {VERSION}", start.version))
        }
        Entry::Runs(runs) if !runs.is_consistent() => {
            let seeds = runs.seeds();
            Err(format!("{} runs of the seeds {seeds:?}: it does not add up", runs.runs()))
        }
        _ => Ok(entry),
    }
}
