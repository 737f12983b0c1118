//! The integration tests, in one binary.
//!
//! - `replay`: the replay contract, proved;
//! - `properties`: the engine's parts against naive models;
//! - `planted`: every planted bug still applies;
//! - `corpus`: the fuzz bodies over a fixed corpus;
//! - `regressions`: kept cases;
//! - `verdicts`: each way in which a run can end; `door`: the `cargo test` door;
//! - `faults`: swizzles and twins do what their names say;
//! - `shrinking`: what a shrunk run promises; `stories`: what is told of it; `points`: where a
//!   failure is decided;
//! - `differences`: what `diff` finds;
//! - `museum`: the page of the planted bugs is generated;
//! - `real`: protocols over TCP and files, in this process;
//! - `tidy`: rules of STYLE.md that a program can check.

mod corpus;
mod differences;
mod door;
mod faults;
mod museum;
mod planted;
mod points;
mod properties;
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
