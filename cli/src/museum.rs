//! The museum: every planted bug, the smallest run that shows it, and what finding it took.
//!
//! Nothing on the page is typed: what a bug is and breaks says its patch, how many seeds and
//! seconds it took says the file that `seedfall planted --json` wrote, how small the run is says
//! its case.

mod page;

pub use page::{page, small_run};

use crate::patches::{PatchError, Planted};
use seedfall::case::Case;
use seedfall::point::Cause;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// One planted bug, and what is known of it.
#[derive(Clone, Debug)]
pub struct Exhibit {
    /// The patch.
    pub planted: Planted,
    /// What the last measurement says; `None`: not measured.
    pub measured: Option<Measured>,
    /// The smallest run that shows it; `None`: none is kept.
    pub case: Option<Case>,
}

/// What finding a bug took.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Whether it was found.
    pub found: bool,
    /// The property by which it showed; empty if it was not found.
    pub property: String,
    /// How many seeds were run until then.
    pub seeds: u64,
    /// How long that took.
    pub seconds: f64,
    /// Its smallest run, if that was measured.
    pub small: Option<Small>,
}

/// The smallest run of a bug, measured. Of two numbers the first is of the run as it was found;
/// both runs are measured up to the event by which they have failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Small {
    /// The seed of the run that was shrunk.
    pub seed: u64,
    /// Events, up to the one by which a property is violated.
    pub events: [u64; 2],
    /// Events of the run as it was found, to its end.
    pub whole: u64,
    /// Messages, requests and answers that arrived.
    pub delivered: [u64; 2],
    /// Entries of the fault plan.
    pub faults: [u64; 2],
    /// Operations.
    pub operations: [u64; 2],
    /// Random draws.
    pub draws: [u64; 2],
    /// How many of its arrivals matter; `None`: the bug shows by waiting.
    pub matter: Option<u64>,
    /// How many runs shrinking took.
    pub runs: u64,
    /// How long shrinking took.
    pub seconds: f64,
    /// Whether nothing was left to be tried.
    pub minimal: bool,
    /// Whether the kept case replays to the same run and fingerprint.
    pub replays: bool,
    /// The last decision that it cannot fail without, of those that come before the bug is mended
    /// too late: [`seedfall::point::cause`]. `None`: there is no single one.
    pub cause: Option<Cause>,
    /// The step from which on it is too late to mend the bug: [`seedfall::point::too_late`].
    /// `None`: the patch cannot be mended in the midst of a run.
    pub too_late: Option<Jump>,
    /// Whether the shares before and after the point differ beyond doubt.
    pub sure: bool,
    /// The point of no return: from there on the failure is more likely than not. `None`: it could
    /// not be told.
    pub jump: Option<Jump>,
    /// The event from which on the failure is all but certain.
    pub decided: Option<Jump>,
    /// The run, told.
    pub story: Vec<String>,
}

/// An event at which a failure becomes more likely.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Jump {
    /// Which event, counted from one.
    pub event: u64,
    /// The last event of its step.
    pub ends: u64,
    /// What happens there.
    pub text: String,
    /// When what arrives there left.
    pub left: Option<u64>,
    /// How likely the failure is before it.
    pub before: f64,
    /// How likely it is after it.
    pub after: f64,
}

impl Jump {
    /// Where it lies: its step, and, if a message begins that, where it left. What becomes of a
    /// message is decided there.
    fn places(&self) -> impl Iterator<Item = (u64, u64)> {
        let left = self.left.map(|left| (left, left));
        [(self.event, self.ends)].into_iter().chain(left)
    }

    /// How many events lie between it and those from the first to the last one.
    fn far(&self, (first, last): (u64, u64)) -> u64 {
        let far = |(begins, ends): (u64, u64)| {
            begins.saturating_sub(last).max(first.saturating_sub(ends))
        };
        self.places().map(far).min().unwrap_or(u64::MAX)
    }
}

/// Why the museum cannot be shown.
#[derive(Debug)]
#[non_exhaustive]
pub enum MuseumError {
    /// A patch cannot be read.
    Patch(PatchError),
    /// A file cannot be read.
    Io(PathBuf, std::io::Error),
    /// A line of the measurements, or a case, is not what it should be.
    Malformed(PathBuf, String),
}

impl fmt::Display for MuseumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Patch(error) => error.fmt(f),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Malformed(path, why) => write!(f, "{}: {why}", path.display()),
        }
    }
}

impl std::error::Error for MuseumError {}

/// Every bug of a folder of patches, in the order of their names, with what `measured`, a file of
/// JSON lines, says of it and its case from `cases`. Either of the two may be missing.
///
/// # Errors
/// Something is there and cannot be read.
pub fn exhibits(
    patches: &Path,
    cases: &Path,
    measured: &Path,
) -> Result<Vec<Exhibit>, MuseumError> {
    let figures = match text(measured)? {
        Some(text) => figures(measured, &text)?,
        None => Vec::new(),
    };
    let exhibit = |planted: Planted| {
        let last = figures.iter().rev().find(|(name, _)| *name == planted.name);
        let path = cases.join(format!("{}.json", planted.name));
        let case = match text(&path)? {
            Some(text) => Some(
                serde_json::from_str(&text)
                    .map_err(|error| MuseumError::Malformed(path, error.to_string()))?,
            ),
            None => None,
        };
        Ok(Exhibit { measured: last.map(|(_, figures)| figures.clone()), case, planted })
    };
    let patches = Planted::read_all(patches).map_err(MuseumError::Patch)?;
    patches.into_iter().map(exhibit).collect()
}

/// The text of a file; `None` if there is none.
fn text(path: &Path) -> Result<Option<String>, MuseumError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(MuseumError::Io(path.to_owned(), error)),
    }
}

/// The measurements, by the names of their patches.
fn figures(path: &Path, text: &str) -> Result<Vec<(String, Measured)>, MuseumError> {
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let fail = |why: &str| {
            MuseumError::Malformed(path.to_owned(), format!("line {}: {why}", index + 1))
        };
        let value: Value =
            serde_json::from_str(line).map_err(|error| fail(&format!("not JSON: {error}")))?;
        let figures = || {
            let measured = Measured {
                found: value["found"].as_bool()?,
                property: value["property"].as_str()?.to_owned(),
                seeds: value["seeds"].as_u64()?,
                seconds: value["seconds"].as_f64()?,
                small: match &value["small"] {
                    Value::Null => None,
                    small => Some(Small::deserialize(small).ok()?),
                },
            };
            Some((value["bug"].as_str()?.to_owned(), measured))
        };
        all.push(figures().ok_or_else(|| fail("not a line of `seedfall planted --json`"))?);
    }
    Ok(all)
}

impl Exhibit {
    /// What is known of its small run.
    pub fn small(&self) -> Option<&Small> {
        self.measured.as_ref()?.small.as_ref()
    }
}

impl Small {
    /// How many events lie between the point of no return and the last decision that the run cannot
    /// fail without, be it where that is made or where it shows.
    pub fn from_cause(&self) -> Option<u64> {
        let Cause { event, shows, .. } = self.cause.as_ref()?;
        let jump = self.jump.as_ref()?;
        Some(jump.far((*event, *event)).min(jump.far((*shows, *shows))))
    }

    /// How many events lie between the point of no return and the step from which on the bug is
    /// mended too late.
    pub fn from_harm(&self) -> Option<u64> {
        let jump = self.jump.as_ref()?;
        self.too_late.as_ref()?.places().map(|place| jump.far(place)).min()
    }

    /// How many events less it has than the run that was found has to its end, in percent.
    pub fn fewer_than_whole(&self) -> f64 {
        100.0 - 100.0 * self.events[1] as f64 / self.whole.max(1) as f64
    }

    /// By how much shrinking made the run shorter, in percent of its events up to the broken
    /// property.
    pub fn fewer(&self) -> f64 {
        100.0 - 100.0 * self.events[1] as f64 / self.events[0].max(1) as f64
    }
}
