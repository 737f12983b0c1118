//! What a check says, whatever it is made from.

#[cfg(feature = "transactions")]
use seedfall_checkers::transactions;
use seedfall_checkers::{Verdict, report};
use std::fmt::Display;

/// What a check says of a history or of a node: the one answer of all properties.
///
/// Checks need not name it: a `bool`, a `Result<(), E>` whose error says what is wrong, and the
/// verdicts and reports of the checkers become one by `into`.
///
/// ```
/// use seedfall::Judgement;
///
/// assert_eq!(Judgement::from(true), Judgement::Holds);
/// assert_eq!(Judgement::from(Err::<(), _>("two leaders")), Judgement::violated("two leaders"));
/// let pointing = Judgement::violated("it reads what nobody wrote").at(4).with(&[1, 3]);
/// assert!(pointing.is_violated());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The property holds.
    Holds,
    /// It is violated.
    Violated {
        /// Why, in a sentence.
        reason: String,
        /// The operation that cannot be explained, as an index of the history.
        operation: Option<usize>,
        /// The operations that contradict each other, as indices of the history.
        core: Vec<usize>,
    },
    /// The check ran out of its budget; says how far it came, or what would help.
    Unknown(String),
}

impl Judgement {
    /// A violation, and why, in a sentence.
    pub fn violated(reason: impl Into<String>) -> Self {
        Self::Violated { reason: reason.into(), operation: None, core: Vec::new() }
    }

    /// The same, by this operation: an index of the history. Failures mark it.
    #[must_use]
    pub fn at(mut self, index: usize) -> Self {
        if let Self::Violated { operation, .. } = &mut self {
            *operation = Some(index);
        }
        self
    }

    /// The same, with these operations, which contradict each other or the one at fault: indices of
    /// the history. Failures show them.
    #[must_use]
    pub fn with(mut self, indices: &[usize]) -> Self {
        if let Self::Violated { core, .. } = &mut self {
            core.extend(indices);
        }
        self
    }

    /// Whether it is a violation.
    pub fn is_violated(&self) -> bool {
        matches!(self, Self::Violated { .. })
    }
}

impl From<bool> for Judgement {
    fn from(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::violated("it does not hold") }
    }
}

impl<E: Display> From<Result<(), E>> for Judgement {
    fn from(checked: Result<(), E>) -> Self {
        match checked {
            Ok(()) => Self::Holds,
            Err(reason) => Self::violated(reason.to_string()),
        }
    }
}

impl From<Verdict> for Judgement {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Holds(_) => Self::Holds,
            Verdict::Violated(witness) => Self::violated(witness.reason.sentence())
                .at(witness.operation as usize)
                .with(&places(&witness.core)),
            Verdict::Unknown(exhausted) => Self::Unknown(exhausted.to_string()),
        }
    }
}

/// A report of the weaker checkers and of workloads: the first breach of it.
impl From<report::Report> for Judgement {
    fn from(report: report::Report) -> Self {
        match (report.status(), report.breaches.first()) {
            (report::Status::Holds, _) => Self::Holds,
            (report::Status::Violated, Some(breach)) => {
                let core = places(&breach.operations);
                let judged = Self::violated(breach.rule).with(&core);
                core.first().map_or(judged.clone(), |first| judged.at(*first))
            }
            (report::Status::Violated | report::Status::Unknown, _) => {
                Self::Unknown(format!("{} configurations were not enough", report.configurations))
            }
        }
    }
}

/// A report about transactions: the first anomaly that its level forbids. Operations are those of
/// the history only if each is one transaction, pushed in order.
#[cfg(feature = "transactions")]
impl From<transactions::Report> for Judgement {
    fn from(report: transactions::Report) -> Self {
        let forbidden =
            |found: &&transactions::Finding| report.level.forbids(found.anomaly, found.scope);
        match report.findings.iter().find(forbidden) {
            None => Self::Holds,
            Some(found) => Self::violated(format!("{} ({:?})", found.anomaly.name(), found.scope))
                .with(&places(&found.transactions)),
        }
    }
}

fn places(indices: &[u32]) -> Vec<usize> {
    indices.iter().map(|index| *index as usize).collect()
}
