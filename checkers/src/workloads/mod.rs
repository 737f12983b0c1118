//! Checks of one workload or one kind of protocol each, by its own rules and in near-linear time.
//!
//! They ask less than a general model and therefore decide long histories that no search could;
//! what each cannot see stands in its header. All return a [`Report`] whose breaches carry the name
//! of the rule. A report that examined nothing is vacuous: look at [`Report::examined`].
//!
//! | workload | function |
//! |---|---|
//! | money moves between accounts | [`bank`] |
//! | two writes seen in opposite orders | [`long_fork`] |
//! | identifiers given out once | [`unique_ids`] |
//! | a set that only grows | [`set_full`] |
//! | a queue, emptied at the end | [`total_queue`] |
//! | a counter between two bounds | [`counter_bounds`] |
//! | an append-only log with offsets | [`log_offsets`] |
//! | atomic commit, AC1 to AC5 | [`atomic_commit`] |
//! | sagas | [`saga`] |
//! | Byzantine agreement | [`byzantine`] |
//! | locks with fencing tokens | [`fencing`] |

mod atomic_commit;
mod bank;
mod byzantine;
mod counter;
mod fencing;
mod log;
mod long_fork;
mod saga;
mod set_full;
mod total_queue;
mod unique_ids;

pub use crate::report::{Breach, Report, Status};
pub use atomic_commit::{Decision, Participant, Vote, atomic_commit};
pub use bank::{Bank, BankAccess, bank};
pub use byzantine::{Process, byzantine};
pub use counter::{CounterAccess, counter_bounds};
pub use fencing::{Hold, ResourceWrite, fencing};
pub use log::{LogAccess, LogRead, log_offsets};
pub use long_fork::long_fork;
pub use saga::{SagaOutcome, SagaRun, StepEvent, saga};
pub use set_full::{SetAccess, SetFull, set_full};
pub use total_queue::{QueueAccess, total_queue};
pub use unique_ids::unique_ids;
