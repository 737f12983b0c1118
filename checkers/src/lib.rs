//! Consistency checkers: a history in, a verdict out.
//!
//! This crate knows nothing of the engine that recorded the history: a checker sees a history and
//! a model, nothing else. `linearizable(&model, &history, budget)` is the front door.

pub mod explain;
pub mod history;
mod interner;
pub mod linearizability;
mod meter;
pub mod models;
#[cfg(feature = "io")]
pub mod readers;
pub mod transactions;
pub mod verdict;
pub mod weak;
pub mod workloads;

pub use history::{History, HistoryError, Operation, Outcome};
pub use linearizability::linearizable;
pub use models::Model;
pub use verdict::{Budget, Certificate, Verdict, Witness};
