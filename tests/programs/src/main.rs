//! Every command of Seedfall over these scenarios: `cargo run --release -- sweep payments`.

use seedfall_programs::{journal, payments, raft, sqlite, tally};
use std::process::ExitCode;

fn main() -> ExitCode {
    seedfall_cli::main(&[
        Box::new(payments::right()),
        Box::new(payments::forgetful()),
        Box::new(payments::stopped()),
        Box::new(payments::unpadded()),
        Box::new(journal::right()),
        Box::new(journal::wrong()),
        Box::new(raft::right()),
        Box::new(raft::unsynced()),
        Box::new(sqlite::extra()),
        Box::new(sqlite::default()),
        Box::new(sqlite::wal()),
        Box::new(sqlite::padded()),
        Box::new(sqlite::normal()),
        Box::new(sqlite::off()),
        Box::new(tally::right()),
        Box::new(tally::deaf()),
        Box::new(tally::hasty()),
    ])
}
