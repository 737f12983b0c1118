//! Consistency checkers: a history in, a verdict out.
//!
//! This crate knows nothing of the engine that recorded the history: a checker sees a history and
//! a model, nothing else. `linearizable(&model, &history, budget)` is the front door.
//!
//! Two features, both on by default, are what few tests need and much to compile: `transactions`
//! (isolation levels, and the models weaker than linearizability, which share its graphs) and
//! `readers` (histories from files).

pub mod explain;
pub mod history;
mod interner;
pub mod linearizability;
mod meter;
pub mod models;
#[cfg(feature = "readers")]
pub mod readers;
pub mod report;
#[cfg(feature = "transactions")]
pub mod transactions;
pub mod verdict;
#[cfg(feature = "transactions")]
pub mod weak;
pub mod workloads;

pub use history::{History, HistoryError, Operation, Outcome};
pub use linearizability::linearizable;
pub use models::Model;
pub use verdict::{Budget, Certificate, Verdict, Witness};
