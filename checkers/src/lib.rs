//! Consistency checkers: a history in, a verdict out.
//!
//! This crate knows nothing of the engine that recorded the history: a checker sees a history and a model, nothing else.

pub mod history;

pub use history::{History, Operation, Outcome};
