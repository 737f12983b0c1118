//! Monitors that judge while a run goes on and stop at the first violation.
//!
//! Memory grows with the keys, with what is open at once and with the writes whose answer never
//! came (they may still be seen), not with the length of the run; [`Monitor`] ends with
//! [`Standing::Unknown`] where its budget of bytes ends.
//!
//! What is judged after a response is the prefix that ends there: operations still open are
//! indeterminate, as they are for [`linearizable`](super::linearizable). A monitor reports the
//! first response (or definite failure) whose prefix cannot be explained, never an earlier or a
//! later one.
//!
//! - [`Monitor`] judges any model: breadth-first search from response to response (Lowe, *Testing
//!   for linearizability*, 2017, section 6), started anew at the call of the operation whose
//!   answer came.
//! - [`RegisterMonitor`] judges a register with unique writes by zones (Gibbons and Korach,
//!   *Testing shared memories*, 1997, section 4) in O(log n) per response.
//!
//! Equal stamps are concurrent: responses of one instant are judged when time moves on, or when
//! the caller says that it has (`settle`).

mod monitor;
mod register;
mod window;

use std::collections::BTreeMap;

pub use monitor::Monitor;
pub use register::RegisterMonitor;

use crate::verdict::Limit;

/// What a monitor knows of the run so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Everything that was judged can be explained.
    Holds,
    /// It cannot since this event. Nothing after it is looked at.
    Violated(Breach),
    /// The budget ran out: nothing after it is looked at.
    Unknown(Limit),
    /// The monitor does not cover this operation: nothing after it is looked at.
    NotCovered {
        /// The number of the operation.
        operation: u32,
    },
}

/// Where a run stopped being correct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The operation whose response or failure cannot be explained, by the number that its call
    /// was given.
    pub operation: u32,
    /// When it responded or failed.
    pub time: u64,
    /// Operations to look at: of [`Monitor`], those of its part that the monitor still remembered;
    /// of [`RegisterMonitor`], those that contradict each other.
    pub operations: Vec<u32>,
}

/// Responses of the latest instant, which calls of the same instant would still be concurrent with.
struct Inbox<A> {
    now: u64,
    waiting: BTreeMap<u32, A>,
}

impl<A> Inbox<A> {
    const fn new() -> Self {
        Self { now: 0, waiting: BTreeMap::new() }
    }

    /// Moves the clock, which never goes back; hands out what can be judged now, and its time.
    fn advance(&mut self, time: u64) -> (u64, BTreeMap<u32, A>) {
        let before = self.now;
        if time <= before {
            return (before, BTreeMap::new());
        }
        self.now = time;
        (before, std::mem::take(&mut self.waiting))
    }

    /// Everything that waits.
    fn take(&mut self) -> (u64, BTreeMap<u32, A>) {
        (self.now, std::mem::take(&mut self.waiting))
    }
}
