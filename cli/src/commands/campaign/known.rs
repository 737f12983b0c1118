//! Failures that are known already: a line each, `scenario: fingerprint`, in a file beside the
//! code. On a pull request only a new one is red.

use super::Problem;
use std::collections::BTreeSet;
use std::path::Path;

/// The failures that a file says are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(BTreeSet<String>);

impl Known {
    pub(super) fn read(path: Option<&Path>) -> Result<Self, Problem> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            // It is made when the first one is known.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Problem(format!("{}: {error}", path.display()))),
        };
        let mut known = BTreeSet::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !line.contains(": ") {
                return Err(Problem(format!(
                    "{}:{}: `{line}`: expected `scenario: fingerprint`",
                    path.display(),
                    index + 1
                )));
            }
            known.insert(line.to_owned());
        }
        Ok(Self(known))
    }

    pub(super) fn has(&self, scenario: &str, print: &str) -> bool {
        self.0.contains(&line(scenario, print))
    }
}

/// The line of a failure.
pub(super) fn line(scenario: &str, print: &str) -> String {
    format!("{scenario}: {}", print.replace('\n', " ").trim())
}
