//! Case files: a failing run, kept so that it can be replayed for ever.
//!
//! A case holds what decides the run (scenario, seed, plan, what was left out, what was overridden)
//! and what it came to (fingerprint, trace hash, and sixteen bits of the running hash after every
//! event). A replay that comes to something else says so, and names the first event at which the
//! two runs diverge.

use crate::plan::FaultPlan;
use crate::report::Report;
use crate::run::{Call, Runnable, Trial};
use crate::scenario::OperationId;
use crate::shrink::{Effort, shrink};
use seedfall_sim::{DrawAddress, Duration, NodeId, Nominal, Override, Recording, Seed, Time};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The version that this build writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// A stored run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The version of the format; also what tells a case from any other JSON.
    pub seedfall_case: u32,
    /// What was wrong, in a person's words; may be empty.
    #[serde(default)]
    pub note: String,
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The faults.
    pub plan: FaultPlan,
    /// Operations that are left out.
    #[serde(default)]
    pub skip: Vec<OperationId>,
    /// Operations that are called otherwise than their clients decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Called>,
    /// Draws decided otherwise than by the seed.
    #[serde(default)]
    pub overrides: Vec<Overridden>,
    /// The draws that stay random, all others of links, nodes and disks being nominal; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random: Option<Vec<DrawAddress>>,
    /// What nominal draws of nodes are; absent: all the middle of their ranges.
    #[serde(default, skip_serializing_if = "is_equal")]
    pub nominal: Nominal,
    /// Only so many nodes take part, the first ones; absent: as many as the scenario says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<usize>,
    /// When faults stop and the final operations begin, in nanoseconds; absent: when the scenario
    /// says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<Duration>,
    /// By how many events the run is over; absent: when nothing is left to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Why it is no longer replayed, if it was retired: its failure was not found again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<String>,
    /// What the run showed.
    pub expect: Expected,
}

/// One overridden draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overridden {
    /// Which draw.
    pub draw: DrawAddress,
    /// What it is decided to be.
    pub value: Override,
}

/// One operation that is called otherwise than its client decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Called {
    /// Which.
    pub operation: OperationId,
    /// When, since the start of the run, in nanoseconds.
    pub at: Duration,
    /// The node that it asks first.
    pub asks: NodeId,
}

/// What a stored run showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The fingerprint of the failure; `None` if the run passed.
    pub fingerprint: Option<String>,
    /// The trace hash, in hexadecimal.
    pub hash: String,
    /// How many events there were.
    pub events: u64,
    /// Four hexadecimal digits of the running hash for each event.
    pub chain: String,
}

/// Why a case cannot be read or written. Every message names the file, and what was expected.
#[derive(Debug)]
#[non_exhaustive]
pub enum CaseError {
    /// The file cannot be read or written.
    Io(PathBuf, std::io::Error),
    /// The file is empty.
    Empty(PathBuf),
    /// The file is not a case.
    Malformed(PathBuf, serde_json::Error),
    /// The file is a case of another version.
    Version(PathBuf, u64),
    /// No scenario has this name; the second one is near.
    Scenario(PathBuf, String, Option<String>),
    /// The plan does not fit the scenario.
    Plan(PathBuf, crate::plan::PlanError),
    /// More nodes than the scenario has, or too few for it to make sense; and what would do.
    Nodes(PathBuf, usize, RangeInclusive<usize>),
    /// The hash is not sixteen hexadecimal digits.
    Hash(PathBuf, String),
}

impl fmt::Display for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Empty(path) => write!(
                f,
                "{}: the file is empty; expected a case, as `seedfall replay --save` writes it",
                path.display()
            ),
            Self::Malformed(path, error) if error.is_eof() => {
                write!(f, "{}: the file is cut short ({error})", path.display())
            }
            Self::Malformed(path, error) => write!(f, "{}: not a case: {error}", path.display()),
            Self::Version(path, version) => write!(
                f,
                "{}: a case of version {version}; this build reads version {VERSION}",
                path.display()
            ),
            Self::Scenario(path, name, near) => {
                write!(f, "{}: unknown scenario `{name}`", path.display())?;
                match near {
                    Some(near) => write!(f, "; did you mean `{near}`?"),
                    None => f.write_str("; `list` shows those that there are"),
                }
            }
            Self::Plan(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Nodes(path, nodes, range) => write!(
                f,
                "{}: {nodes} nodes; the scenario makes sense with {} to {}",
                path.display(),
                range.start(),
                range.end()
            ),
            Self::Hash(path, hash) => write!(
                f,
                "{}: `{hash}` is not a trace hash; expected 0x and sixteen hexadecimal digits",
                path.display()
            ),
        }
    }
}

impl std::error::Error for CaseError {}

/// The result of replaying a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The same run, event for event.
    Same,
    /// Another run. Says at which event, counted from one, the two diverge, and what happened there
    /// now.
    Diverged {
        /// The first event that differs.
        event: u64,
        /// What this build does there; `None`: the run is over.
        now: Option<String>,
    },
}

impl Case {
    /// The case of a run that was recorded in full.
    pub fn of(trial: &Trial, report: &Report, note: &str) -> Self {
        let fingerprint = report.failure().map(|failure| failure.fingerprint.clone());
        let overrides = trial.overrides.iter();
        Self {
            seedfall_case: VERSION,
            note: note.to_owned(),
            scenario: report.scenario.to_owned(),
            seed: trial.seed.0,
            plan: report.plan.clone(),
            skip: trial.skip.iter().copied().collect(),
            calls: trial
                .calls
                .iter()
                .filter(|(operation, _)| !trial.skip.contains(operation))
                .map(|(operation, call)| {
                    let at = call.at.since(Time::ZERO);
                    Called { operation: *operation, at, asks: call.asks }
                })
                .collect(),
            overrides: overrides
                .map(|(draw, value)| Overridden { draw: *draw, value: *value })
                .collect(),
            random: trial.random.as_ref().map(|random| random.iter().copied().collect()),
            nominal: if trial.is_nominal() { trial.nominal } else { Nominal::Equal },
            nodes: trial.nodes,
            faults: trial.faults,
            until: trial.until,
            retired: None,
            expect: Expected {
                fingerprint,
                hash: format!("{:#018x}", report.hash),
                events: report.events,
                chain: chain(report),
            },
        }
    }

    /// What the case runs, recorded in full.
    pub fn trial(&self) -> Trial {
        let call = |Called { operation, at, asks }: &Called| {
            (*operation, Call { at: Time::ZERO + *at, asks: *asks })
        };
        Trial {
            plan: Some(self.plan.clone()),
            skip: self.skip.iter().copied().collect(),
            calls: self.calls.iter().map(call).collect(),
            overrides: self.overrides.iter().map(|one| (one.draw, one.value)).collect(),
            random: self.random.as_ref().map(|random| random.iter().copied().collect()),
            nominal: self.nominal,
            nodes: self.nodes,
            faults: self.faults,
            until: self.until,
            recording: Recording::Full,
            ..Trial::of(Seed(self.seed))
        }
    }

    /// The failure that the case stores, found again and made small: in its own run, in the run of
    /// its seed under its faults, or in the run of its seed alone. `None`: in none of them, or the
    /// case stores no failure.
    pub fn found_again(&self, scenario: &dyn Runnable, effort: &Effort) -> Option<Self> {
        let wanted = self.expect.fingerprint.as_deref()?;
        let own = self.trial();
        let seed = Trial { recording: Recording::Full, ..Trial::of(Seed(self.seed)) };
        let faults = Trial { plan: own.plan.clone(), ..seed.clone() };
        let first = |trial: &Trial| scenario.run(trial).failures.into_iter().next();
        let fails = |trial: &Trial| first(trial).is_some_and(|one| one.fingerprint == wanted);
        let trial = [own, faults, seed].into_iter().find(fails)?;
        let small = shrink(scenario, &trial, effort)?;
        Some(Self::of(&small.trial, &small.report, &self.note))
    }

    /// Compares a replay, recorded in full, with what the case says.
    pub fn compare(&self, report: &Report) -> Replayed {
        let now = chain(report);
        let (old, new) = (self.expect.chain.as_bytes(), now.as_bytes());
        let same = format!("{:#018x}", report.hash) == self.expect.hash && old == new;
        if same {
            return Replayed::Same;
        }
        let links = old.chunks(4).zip(new.chunks(4));
        let event = links.take_while(|(old, new)| old == new).count();
        let now = report.trace.get(event).map(ToString::to_string);
        Replayed::Diverged { event: event as u64 + 1, now }
    }

    /// Reads a case and the scenario that it names.
    ///
    /// # Errors
    /// Anything that keeps the case from being run; nothing is changed on the disk.
    pub fn load<'a>(
        path: &Path,
        scenarios: &'a [Box<dyn Runnable>],
    ) -> Result<(Self, &'a dyn Runnable), CaseError> {
        let text =
            fs::read_to_string(path).map_err(|error| CaseError::Io(path.to_owned(), error))?;
        Self::parse(path, &text, scenarios)
    }

    /// As [`Case::load`], from text that was read from `path`.
    ///
    /// # Errors
    /// Anything that keeps the case from being run.
    pub fn parse<'a>(
        path: &Path,
        text: &str,
        scenarios: &'a [Box<dyn Runnable>],
    ) -> Result<(Self, &'a dyn Runnable), CaseError> {
        let at = || path.to_owned();
        if text.trim().is_empty() {
            return Err(CaseError::Empty(at()));
        }
        // The version first: a newer case may have fields that this build does not know.
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| CaseError::Malformed(at(), error))?;
        if let Some(version) = value.get("seedfall_case").and_then(serde_json::Value::as_u64)
            && version != u64::from(VERSION)
        {
            return Err(CaseError::Version(at(), version));
        }
        let case: Self =
            serde_json::from_str(text).map_err(|error| CaseError::Malformed(at(), error))?;
        let scenario = find(scenarios, &case.scenario)
            .map_err(|near| CaseError::Scenario(at(), case.scenario.clone(), near))?;
        let (most, fewest) = (scenario.fault_budget().nodes, scenario.fewest());
        if let Some(nodes) = case.nodes.filter(|nodes| !(fewest..=most).contains(nodes)) {
            return Err(CaseError::Nodes(at(), nodes, fewest..=most));
        }
        let budget = scenario.fault_budget_of(&case.trial());
        case.plan.check(&budget).map_err(|error| CaseError::Plan(at(), error))?;
        let digits = case.expect.hash.strip_prefix("0x").unwrap_or_default();
        if digits.len() != 16 || u64::from_str_radix(digits, 16).is_err() {
            return Err(CaseError::Hash(at(), case.expect.hash));
        }
        Ok((case, scenario))
    }

    /// Writes the case, whole or not at all: to a temporary file beside it, which then takes its
    /// name.
    ///
    /// # Errors
    /// The file cannot be written; what stood there before is untouched.
    pub fn save(&self, path: &Path) -> Result<(), CaseError> {
        let fail = |error| CaseError::Io(path.to_owned(), error);
        let file = self.written(path).map_err(fail)?;
        file.persist(path).map_err(|error| fail(error.error))?;
        Ok(())
    }

    /// As [`Case::save`], to a name that is free.
    ///
    /// # Errors
    /// As for [`Case::save`], and if something has this name already.
    pub fn save_new(&self, path: &Path) -> Result<(), CaseError> {
        let fail = |error| CaseError::Io(path.to_owned(), error);
        let file = self.written(path).map_err(fail)?;
        file.persist_noclobber(path).map_err(|error| fail(error.error))?;
        Ok(())
    }

    /// The case as a temporary file beside `path`.
    fn written(&self, path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        let mut text = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
        text.push('\n');
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        Ok(file)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_equal(nominal: &Nominal) -> bool {
    *nominal == Nominal::Equal
}

fn chain(report: &Report) -> String {
    report.trace.iter().map(|entry| format!("{:04x}", entry.hash & 0xFFFF)).collect()
}

/// The scenario of this name.
///
/// # Errors
/// The nearest name that there is, if one is near.
pub fn find<'a>(
    scenarios: &'a [Box<dyn Runnable>],
    name: &str,
) -> Result<&'a dyn Runnable, Option<String>> {
    if let Some(scenario) = scenarios.iter().find(|scenario| scenario.name() == name) {
        return Ok(scenario.as_ref());
    }
    let names = scenarios.iter().map(|scenario| scenario.name());
    let near = names
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().max(name.len()) / 2)
        .map(|(_, known)| known.to_owned());
    Err(near)
}
