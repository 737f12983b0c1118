//! Every command of Seedfall over these systems, with the feature `commands`:
//! `cargo run --release -p seedfall-systems --features commands -- sweep openraft`.

use seedfall_systems::open_raft;
use std::process::ExitCode;

fn main() -> ExitCode {
    seedfall_cli::main(&[
        Box::new(open_raft::careful()),
        Box::new(open_raft::as_told()),
        Box::new(open_raft::forgets()),
        Box::new(open_raft::repeats()),
    ])
}
