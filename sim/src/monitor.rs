//! Invariants that are watched while a run goes on.

use crate::id::NodeId;
use crate::time::Time;
use std::fmt;

/// Watches the nodes of one run from outside and says when an invariant is broken.
///
/// It is asked after every event, about the node whose state may have changed, so it remembers what
/// it saw of the others and compares only what is new: the cheap part of an invariant belongs here.
/// It must not be able to change the run.
pub trait Monitor<P> {
    /// Looks at a node after an event.
    ///
    /// # Errors
    /// The invariant that does not hold any more.
    fn observe(&mut self, node: NodeId, state: &P) -> Result<(), Violation>;

    /// As [`Monitor::observe`], for who judges times too: `clocks` says what the monotonic clock of
    /// a node shows at this instant, also of one that is down. Who overrides it is not asked
    /// through [`Monitor::observe`] in a run; where there is no time (an exhaustive search), it is.
    ///
    /// # Errors
    /// The invariant that does not hold any more.
    #[inline]
    fn observe_at(
        &mut self,
        node: NodeId,
        state: &P,
        clocks: &dyn Fn(NodeId) -> Time,
    ) -> Result<(), Violation> {
        let _ = clocks;
        self.observe(node, state)
    }
}

/// Two watchers: the second is asked if the first is content.
impl<P, A: Monitor<P>, B: Monitor<P>> Monitor<P> for (A, B) {
    #[inline]
    fn observe(&mut self, node: NodeId, state: &P) -> Result<(), Violation> {
        self.0.observe(node, state)?;
        self.1.observe(node, state)
    }

    #[inline]
    fn observe_at(
        &mut self,
        node: NodeId,
        state: &P,
        clocks: &dyn Fn(NodeId) -> Time,
    ) -> Result<(), Violation> {
        self.0.observe_at(node, state, clocks)?;
        self.1.observe_at(node, state, clocks)
    }
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The property, by the name that its paper gives it.
    pub property: &'static str,
    /// Who broke it, and how, in a sentence.
    pub explanation: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.explanation)
    }
}
