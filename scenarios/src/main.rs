//! The `seedfall` command over the built-in scenarios.

use std::process::ExitCode;

fn main() -> ExitCode {
    let scenarios = seedfall_scenarios::all();
    let searches = seedfall_scenarios::searches();
    let commands = seedfall_cli::Commands::of(&scenarios).searches(&searches);
    #[cfg(feature = "real")]
    return commands.services(&seedfall_scenarios::services::all()).main();
    #[cfg(not(feature = "real"))]
    commands.main()
}
