//! Every command of Seedfall over these engines, with the feature `commands`:
//! `cargo run --release -p seedfall-storage --features commands -- sweep redb`.

use seedfall_storage::{fjall, redb, sqlite};
use std::process::ExitCode;

fn main() -> ExitCode {
    seedfall_cli::main(&[
        Box::new(sqlite::extra()),
        Box::new(sqlite::default()),
        Box::new(sqlite::truncate()),
        Box::new(sqlite::persist()),
        Box::new(sqlite::wal()),
        Box::new(sqlite::normal()),
        Box::new(redb::redb()),
        Box::new(redb::two_phases()),
        Box::new(redb::new()),
        Box::new(redb::any_length()),
        Box::new(fjall::sync_all()),
        Box::new(fjall::default()),
    ])
}
