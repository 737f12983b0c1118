//! The `seedfall` command over the built-in scenarios.

use std::process::ExitCode;

fn main() -> ExitCode {
    let scenarios = seedfall_scenarios::all();
    #[cfg(feature = "real")]
    return seedfall_cli::main_with_services(&scenarios, &seedfall_scenarios::services::all());
    #[cfg(not(feature = "real"))]
    seedfall_cli::main(&scenarios)
}
