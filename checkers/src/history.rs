//! What clients asked and what they were told: the one input of every checker.
//!
//! A [`History`] is generic over the input and the output of an operation, so that a simulated run hands over its
//! own typed operations without a copy through text.

/// How an operation ended, as its client knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome<O> {
    /// It took effect, once, between its call and `returned`; the client saw `output`.
    Ok {
        /// When the response arrived, in the time unit of the call.
        returned: u64,
        /// What the client was told.
        output: O,
    },
    /// It certainly did not happen and never will.
    Failed {
        /// When the client was told so.
        returned: u64,
    },
    /// It may take effect at any time after its call, or never: a timeout, a crash of the client.
    Indeterminate,
}

/// One operation of one client: an invocation, and its response if there was one.
///
/// Intervals are closed and real time is strict: `a` precedes `b` if and only if `a` returned strictly before `b`
/// was called; equal stamps are concurrent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation<I, O> {
    /// Who asked. A client has at most one operation open at a time, not counting indeterminate ones.
    pub client: u32,
    /// When it was asked, in any unit that the whole history shares (a simulation: nanoseconds).
    pub call: u64,
    /// What was asked.
    pub input: I,
    /// How it ended.
    pub outcome: Outcome<O>,
}

/// A recorded history, in the order of the calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct History<I, O> {
    /// The operations; an operation's index here is its name in verdicts and witnesses.
    pub operations: Vec<Operation<I, O>>,
}
