//! The `seedfall` command over what runs inside madsim; also the process of one run.

use std::process::ExitCode;

fn main() -> ExitCode {
    seedfall_madsim::main(seedfall_madsim::scenarios::all())
}
