//! The `seedfall` command over raft-rs.

use std::process::ExitCode;

fn main() -> ExitCode {
    seedfall_cli::main(&seedfall_raft_rs::scenarios::all())
}
