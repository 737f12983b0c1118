//! The `seedfall` command over the built-in scenarios.

use std::process::ExitCode;

fn main() -> ExitCode {
    seedfall::cli::main(&seedfall::builtin::all())
}
