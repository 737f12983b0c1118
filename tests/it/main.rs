//! The integration tests, in one binary; programs as they are have one of their own.
//!
//! - `replay`: the replay contract, proved;
//! - `properties`: the engine's parts against naive models;
//! - `planted`: every planted bug still applies;
//! - `arbitrary`: plans from bytes spell every class of faults;
//! - `corpus`: the fuzz bodies over a fixed corpus;
//! - `regressions`: kept cases;
//! - `clients`: workloads as users write them;
//! - `verdicts`: each way in which a run can end; `outcomes`: code that panics, hangs, eats memory
//!   or reads the machine, and what is expected to break; `door`: the `cargo test` door;
//! - `faults`: swizzles and twins do what their names say;
//! - `shrinking`: what a shrunk run guarantees; `stories`: what is told of it; `points`: where a
//!   failure is decided;
//! - `differences`: what `diff` finds; `exhaustive`: every order of events, to a bound;
//! - `museum`: the page of the planted bugs is generated; `protocols`: that of the protocols;
//! - `real`: protocols over TCP and files, in this process;
//! - `tidy`: rules of STYLE.md that a program can check.

mod arbitrary;
mod clients;
mod corpus;
mod counter;
mod differences;
mod door;
mod exhaustive;
mod faults;
mod museum;
mod outcomes;
mod planted;
mod points;
mod properties;
mod protocols;
mod quotes;
mod real;
mod regressions;
mod replay;
mod shrinking;
mod stories;
mod tidy;
mod verdicts;

use std::path::PathBuf;

/// The root of the project.
fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("the package lies in the workspace").to_owned()
}
