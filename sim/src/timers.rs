//! The pending timers of one node or client: at most one of each value.

use crate::queue::Handle;

/// Where a pending timer waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// In the event queue.
    Queued(Handle),
    /// It rang while its node was paused, and waits in the node's backlog.
    Backlog,
}

/// Pending timers, by value. A node has a handful, so a scan beats a map.
#[derive(Clone, Debug)]
pub(crate) struct Timers<T>(Vec<(T, Pending)>);

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Eq> Timers<T> {
    /// Notes a timer that is not pending yet.
    #[inline]
    pub(crate) fn insert(&mut self, timer: T, pending: Pending) {
        self.0.push((timer, pending));
    }

    /// Where the timer of this value waits, if it is pending.
    #[inline]
    pub(crate) fn find(&mut self, timer: &T) -> Option<&mut Pending> {
        self.0.iter_mut().find(|(other, _)| other == timer).map(|(_, pending)| pending)
    }

    /// Forgets the timer of this value; says where it waited.
    #[inline]
    pub(crate) fn remove(&mut self, timer: &T) -> Option<Pending> {
        let at = self.0.iter().position(|(other, _)| other == timer)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Those that are pending, in no particular order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(timer, _)| timer)
    }

    /// Forgets every timer.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Pending> {
        self.0.drain(..).map(|(_, pending)| pending)
    }
}
