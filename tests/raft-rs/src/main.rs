//! The `seedfall` command over raft-rs.

use std::process::ExitCode;

fn main() -> ExitCode {
    seedfall::cli::main(&seedfall_raft_rs::scenarios::all())
}
