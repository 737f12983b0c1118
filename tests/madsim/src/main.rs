//! The `seedfall` command over what runs inside madsim; also the process of one run.

use std::process::ExitCode;

fn main() -> ExitCode {
    let subjects = seedfall_madsim::scenarios::all();
    if std::env::args().nth(1).as_deref() == Some(seedfall_madsim::subject::INSIDE) {
        return seedfall_madsim::inside::main(&subjects);
    }
    seedfall_cli::main(&seedfall_madsim::outside::runnables(subjects))
}
