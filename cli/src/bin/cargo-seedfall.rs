//! `cargo seedfall`: campaigns over the scenarios in the tests of any crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    seedfall_cli::cargo_main()
}
