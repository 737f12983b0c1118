//! The `seedfall` command over the built-in scenarios.

use std::process::ExitCode;

fn main() -> ExitCode {
    let scenarios = seedfall::builtin::all();
    #[cfg(feature = "real")]
    return seedfall::cli::main_with_services(&scenarios, &seedfall::service::builtin());
    #[cfg(not(feature = "real"))]
    seedfall::cli::main(&scenarios)
}
