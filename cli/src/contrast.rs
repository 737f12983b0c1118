//! Contrasts: that a planted bug needs a class of faults, as it was measured.
//!
//! `seedfall planted --contrast --json` writes a line for each bug and class that it is said to
//! need; `seedfall faults` and the documentation show them. No figure is typed.

use seedfall::faults::Class;
use serde::Deserialize;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// One bug, swept with a class of faults and without it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The name of the patch.
    pub bug: String,
    /// The class that it needs.
    pub fault: Class,
    /// The classes that both sweeps left out.
    pub beside: Vec<Class>,
    /// What the sweeps with the class came to.
    pub with: Figures,
    /// What those without it came to.
    pub without: Figures,
}

/// The median over ranges of seeds, and each of them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Whether the bug was found.
    pub found: bool,
    /// After how many seeds, or in how many it was not.
    pub seeds: u64,
    /// How long that took.
    pub seconds: f64,
    /// Each range; for these there are no more ranges.
    #[serde(default)]
    pub ranges: Vec<Figures>,
}

impl Measured {
    /// It was found with the fault, and in no range without it.
    pub fn is_proof(&self) -> bool {
        let missed = self.without.ranges.iter().all(|range| !range.found);
        self.with.found && !self.without.found && missed
    }

    /// The bug, with the classes that both sweeps left out.
    pub fn name(&self) -> String {
        let beside: Vec<&str> = self.beside.iter().map(|class| class.name()).collect();
        match beside[..] {
            [] => self.bug.clone(),
            _ if self.beside.len() + 1 == Class::ALL.len() => {
                format!("{} (both sweeps without any other)", self.bug)
            }
            _ => format!("{} (neither sweep has {})", self.bug, beside.join(", ")),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.found, self.ranges.len()) {
            (true, _) => write!(f, "{}", self.seeds),
            (false, 0 | 1) => write!(f, "not in {}", self.seeds),
            (false, ranges) => write!(f, "not in {ranges} times {}", self.seeds),
        }
    }
}

/// Why the measurements cannot be shown.
#[derive(Debug)]
#[non_exhaustive]
pub enum ContrastError {
    /// The file cannot be read.
    Io(PathBuf, std::io::Error),
    /// A line, counted from one, is none of `planted --contrast --json`.
    Malformed(PathBuf, usize, String),
}

impl fmt::Display for ContrastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Malformed(path, line, why) => write!(
                f,
                "{}: line {line}: not a line of `seedfall planted --contrast --json`: {why}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for ContrastError {}

/// Every measurement of a file, in its order; none, if there is no such file. Of two for one bug
/// and class, the later counts.
///
/// # Errors
/// The file is there, and cannot be read.
pub fn read(path: &Path) -> Result<Vec<Measured>, ContrastError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ContrastError::Io(path.to_owned(), error)),
    };
    let mut all: Vec<Measured> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let fail = |error: serde_json::Error| {
            ContrastError::Malformed(path.to_owned(), index + 1, error.to_string())
        };
        let new: Measured = serde_json::from_str(line).map_err(fail)?;
        match all.iter_mut().find(|old| (&old.bug, old.fault) == (&new.bug, new.fault)) {
            Some(old) => *old = new,
            None => all.push(new),
        }
    }
    Ok(all)
}
