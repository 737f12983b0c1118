//! Something that is wrong with a run, before it is told.

use crate::report::FailureKind;

/// Something that is wrong with a run, before it is told.
pub(super) struct Broken {
    pub(super) kind: FailureKind,
    /// The property as a scenario declares it; `None`: it is none of the scenario's.
    pub(super) property: Option<&'static str>,
    /// What was promised, in words: `always linearizable`.
    pub(super) promise: String,
    /// What the same bug looks like elsewhere.
    pub(super) shape: String,
    pub(super) explanation: String,
    pub(super) operation: Option<usize>,
    pub(super) core: Vec<usize>,
}

impl Broken {
    pub(super) fn new(
        kind: FailureKind,
        promise: String,
        shape: &str,
        explanation: String,
    ) -> Self {
        let shape = shape.to_owned();
        let (operation, core) = (None, Vec::new());
        Self { kind, property: None, promise, shape, explanation, operation, core }
    }

    /// The same, as the break of a property that the scenario declares.
    pub(super) fn of(self, property: &'static str) -> Self {
        Self { property: Some(property), ..self }
    }
}
