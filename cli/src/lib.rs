//! The commands, for the scenarios of any crate.
//!
//! Three lines give a crate of yours every command for its own scenarios:
//!
//! ```no_run
//! # let scenarios: Vec<Box<dyn seedfall::Runnable>> = Vec::new();
//! fn run(scenarios: &[Box<dyn seedfall::Runnable>]) -> std::process::ExitCode {
//!     seedfall_cli::main(scenarios)
//! }
//! # run(&scenarios);
//! ```
//!
//! [`patches`], [`museum`] and [`contrast`] are what measures a test suite by the bugs that it
//! finds: they are planted one by one, and counted.

pub mod clean;
mod commands;
pub mod contrast;
pub mod museum;
pub mod patches;
pub mod scoreboard;

#[cfg(feature = "real")]
pub use commands::main_with_services;
pub use commands::{Commands, cargo_main, main};
