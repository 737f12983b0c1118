//! What the small checkers found: which rule was broken, by which operations, in a sentence.

use std::fmt;

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Nothing that is forbidden follows from what was seen.
    Holds,
    /// Something does.
    Violated,
    /// The budget ran out first.
    Unknown,
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The rule, by the name its paper gives it.
    pub rule: &'static str,
    /// The operations that show it, by index into the history, in the order of the sentence.
    pub operations: Vec<u32>,
    /// What happened, in a sentence.
    pub explanation: String,
}

/// The outcome of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The first breaches met, at most [`Report::BREACHES_MAX`].
    pub breaches: Vec<Breach>,
    /// How many there were.
    pub breached: u64,
    /// How many things were looked at: zero means that the check was vacuous.
    pub examined: u64,
    /// Configurations that a search expanded; 0 where nothing is searched.
    pub configurations: u64,
    /// Whether a search ran out of its budget before it could tell.
    pub is_exhausted: bool,
}

/// Places in a history, as a sentence names them.
#[cfg(feature = "transactions")]
pub(crate) fn numbers(places: &[u32]) -> String {
    places.iter().map(|place| format!("#{place}")).collect::<Vec<_>>().join(", ")
}

impl Report {
    /// How many breaches are kept.
    pub const BREACHES_MAX: usize = 16;

    /// The answer in one word.
    #[must_use]
    pub fn status(&self) -> Status {
        if 0 < self.breached {
            Status::Violated
        } else if self.is_exhausted {
            Status::Unknown
        } else {
            Status::Holds
        }
    }

    /// Whether every rule was kept.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.status() == Status::Holds
    }

    /// Whether a rule of that name was broken, among the breaches kept.
    #[must_use]
    pub fn breaks(&self, rule: &str) -> bool {
        self.breaches.iter().any(|breach| breach.rule == rule)
    }

    /// Notes a breach; `explain` runs only if there is room for it.
    pub(crate) fn note(
        &mut self,
        rule: &'static str,
        operations: &[u32],
        explain: impl FnOnce() -> String,
    ) {
        self.breached += 1;
        if self.breaches.len() < Self::BREACHES_MAX {
            let operations = operations.to_vec();
            self.breaches.push(Breach { rule, operations, explanation: explain() });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status() {
            Status::Holds => writeln!(f, "holds: {} examined", self.examined)?,
            Status::Violated => writeln!(f, "violated: {} breaches", self.breached)?,
            Status::Unknown => {
                writeln!(f, "unknown: {} configurations were not enough", self.configurations)?;
            }
        }
        for breach in &self.breaches {
            writeln!(f, "{}: {}", breach.rule, breach.explanation)?;
        }
        Ok(())
    }
}
