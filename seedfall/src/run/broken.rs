//! Something that is wrong with a run, before it is told.

use crate::report::FailureKind;

/// Something that is wrong with a run, before it is told.
pub(super) struct Broken {
    pub(super) kind: FailureKind,
    /// The property as a scenario declares it; `None`: it is none of the scenario's.
    pub(super) declared: Option<&'static str>,
    /// Which property, in words: `always linearizable`.
    pub(super) property: String,
    /// What the same bug looks like elsewhere.
    pub(super) shape: String,
    pub(super) explanation: String,
    pub(super) operation: Option<usize>,
    pub(super) core: Vec<usize>,
}

impl Broken {
    pub(super) fn new(
        kind: FailureKind,
        property: String,
        shape: &str,
        explanation: String,
    ) -> Self {
        let shape = shape.to_owned();
        let (operation, core) = (None, Vec::new());
        Self { kind, declared: None, property, shape, explanation, operation, core }
    }

    /// The same, as the break of a property that the scenario declares.
    pub(super) fn of(self, property: &'static str) -> Self {
        Self { declared: Some(property), ..self }
    }
}
