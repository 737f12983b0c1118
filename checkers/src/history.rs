//! What clients asked and what they were told: the one input of every checker.
//!
//! A [`History`] is generic over the input and the output of an operation, so that a simulated run
//! hands over its own typed operations without a copy through text. Record with
//! [`History::invoke`] and [`History::complete`] while a run goes on, or fill `operations`.

use rustc_hash::FxHashMap;
use std::fmt;

/// Most operations of a history: numbers of events, and some room, fit into 32 bits.
pub(crate) const OPERATIONS_MAX: usize = (1 << 30) - 1;

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

impl<O> Outcome<O> {
    /// When the response arrived; `None` for an indeterminate operation.
    #[must_use]
    pub fn returned(&self) -> Option<u64> {
        match self {
            Self::Ok { returned, .. } | Self::Failed { returned } => Some(*returned),
            Self::Indeterminate => None,
        }
    }

    /// What the client was told, if the operation succeeded.
    #[must_use]
    pub fn output(&self) -> Option<&O> {
        match self {
            Self::Ok { output, .. } => Some(output),
            Self::Failed { .. } | Self::Indeterminate => None,
        }
    }
}

/// One operation of one client: an invocation, and its response if there was one.
///
/// Intervals are closed and real time is strict: `a` precedes `b` if and only if `a` returned
/// strictly before `b` was called; equal stamps are concurrent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation<I, O> {
    /// Who asked. A client has at most one operation open at a time, not counting indeterminate
    /// ones.
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

impl<I, O> Default for History<I, O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I, O> History<I, O> {
    /// A history in which nothing happened yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { operations: Vec::new() }
    }

    /// Records a call at time `call`; the operation stays indeterminate until [`Self::complete`] or
    /// [`Self::fail`] names the index that this returns.
    pub fn invoke(&mut self, client: u32, call: u64, input: I) -> usize {
        self.operations.push(Operation { client, call, input, outcome: Outcome::Indeterminate });
        self.operations.len() - 1
    }

    /// Records the response to operation `index`. Whether the stamps make sense is told by
    /// [`Self::validate`], not here, so that recording never fails in the middle of a run.
    pub fn complete(&mut self, index: usize, returned: u64, output: O) {
        if let Some(operation) = self.operations.get_mut(index) {
            operation.outcome = Outcome::Ok { returned, output };
        }
    }

    /// Records that operation `index` certainly did not happen.
    pub fn fail(&mut self, index: usize, returned: u64) {
        if let Some(operation) = self.operations.get_mut(index) {
            operation.outcome = Outcome::Failed { returned };
        }
    }

    /// How many operations were called.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether nothing was called.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// How many operations ended with [`Outcome::Ok`]: a run with none proves nothing.
    #[must_use]
    pub fn completed(&self) -> usize {
        self.operations.iter().filter(|op| op.outcome.output().is_some()).count()
    }

    /// Checks the invariants that checkers rely on, in O(n). Those that depend on them do so
    /// themselves.
    ///
    /// # Errors
    /// The first operation, by index, that breaks one: more than 2^30 - 1 operations, a response
    /// before its call, calls out of order, or two operations of one client at once.
    pub fn validate(&self) -> Result<(), HistoryError> {
        let mut validation = Validation::default();
        self.operations.iter().try_for_each(|operation| {
            validation.next(operation.client, operation.call, operation.outcome.returned())
        })
    }

    /// Puts the operations in the order of their calls, keeping the order of equal ones.
    pub fn sort_by_call(&mut self) {
        self.operations.sort_by_key(|operation| operation.call);
    }
}

/// Checks a history operation by operation, so that a pass that reads it all the same can do so.
#[derive(Default)]
pub(crate) struct Validation {
    index: usize,
    latest: u64,
    /// The latest response of each client, and to which operation.
    ends: Vec<(u64, usize)>,
    /// The same of clients with large numbers; never iterated.
    more_ends: FxHashMap<u32, (u64, usize)>,
}

impl Validation {
    /// Clients below this number have a place in a table; one more costs memory for all below it.
    const TABLE: u32 = 1 << 12;

    /// The next operation: whose it is, when it was called and when it returned, if it did.
    #[inline]
    pub(crate) fn next(
        &mut self,
        client: u32,
        call: u64,
        returned: Option<u64>,
    ) -> Result<(), HistoryError> {
        let index = self.index;
        if index >= OPERATIONS_MAX {
            return Err(HistoryError::TooLong);
        }
        if call < self.latest {
            return Err(HistoryError::CallsOutOfOrder { operation: index });
        }
        (self.index, self.latest) = (index + 1, call);
        let ends = self.ends_of(client);
        let (end, earlier) = *ends;
        if call < end {
            return Err(HistoryError::TwoAtOnce { client, earlier, operation: index });
        }
        // A client whose operation is indeterminate goes on.
        let Some(returned) = returned else { return Ok(()) };
        if returned < call {
            return Err(HistoryError::ResponseBeforeCall { operation: index });
        }
        *ends = (returned, index);
        Ok(())
    }

    #[inline]
    fn ends_of(&mut self, client: u32) -> &mut (u64, usize) {
        if client >= Self::TABLE {
            return self.more_ends.entry(client).or_default();
        }
        if self.ends.len() <= client as usize {
            self.ends.resize(client as usize + 1, (0, 0));
        }
        &mut self.ends[client as usize]
    }
}

/// A history that no recorder can have produced; the fields are indices into it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryError {
    /// More operations than the checkers can number (2^30 - 1).
    TooLong,
    /// The response carries an earlier stamp than the call.
    ResponseBeforeCall {
        /// The operation at fault.
        operation: usize,
    },
    /// The operation was called before the one listed ahead of it.
    CallsOutOfOrder {
        /// The operation at fault.
        operation: usize,
    },
    /// A client called again while its previous operation was still open.
    TwoAtOnce {
        /// The client.
        client: u32,
        /// The operation that was open.
        earlier: usize,
        /// The operation at fault.
        operation: usize,
    },
}

impl HistoryError {
    /// The index of the operation at fault.
    #[must_use]
    pub fn operation(&self) -> usize {
        match self {
            Self::TooLong => OPERATIONS_MAX,
            Self::ResponseBeforeCall { operation }
            | Self::CallsOutOfOrder { operation }
            | Self::TwoAtOnce { operation, .. } => *operation,
        }
    }
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "more than {OPERATIONS_MAX} operations"),
            Self::ResponseBeforeCall { operation } => {
                write!(f, "operation {operation} has its response before its call")
            }
            Self::CallsOutOfOrder { operation } => {
                write!(f, "operation {operation} was called before the one ahead of it")
            }
            Self::TwoAtOnce { client, earlier, operation } => write!(
                f,
                "client {client} called operation {operation} while {earlier} was still open"
            ),
        }
    }
}

impl std::error::Error for HistoryError {}
