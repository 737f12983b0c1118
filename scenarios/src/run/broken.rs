//! A promise that was broken, before it is told.

use crate::report::FailureKind;

/// A promise that was broken, before it is told.
pub(super) struct Broken {
    pub(super) kind: FailureKind,
    pub(super) promise: String,
    /// What the same bug looks like elsewhere.
    pub(super) shape: String,
    pub(super) explanation: String,
    pub(super) operation: Option<usize>,
    pub(super) core: Vec<usize>,
    /// The check could not be finished: not a failure, but no evidence either.
    pub(super) unknown: bool,
}

impl Broken {
    pub(super) fn new(
        kind: FailureKind,
        promise: String,
        shape: &str,
        explanation: String,
    ) -> Self {
        let shape = shape.to_owned();
        Self {
            kind,
            promise,
            shape,
            explanation,
            operation: None,
            core: Vec::new(),
            unknown: false,
        }
    }

    pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without words");
        // Numbers differ from run to run; the words are the bug.
        let shape: String = text.chars().filter(|c| !c.is_ascii_digit()).take(80).collect();
        let promise = "never panics".to_owned();
        Self::new(FailureKind::Crash, promise, &shape, format!("the protocol panicked: {text}"))
    }
}
