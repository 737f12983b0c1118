//! Every command of Seedfall over these engines, with the feature `commands`:
//! `cargo run --release -p seedfall-storage --features commands -- sweep redb`.

use seedfall_storage::{fjall, lmdb, redb, sled, sqlite};
use std::process::ExitCode;

fn main() -> ExitCode {
    seedfall_cli::main(&[
        Box::new(sqlite::extra()),
        Box::new(sqlite::default()),
        Box::new(sqlite::truncate()),
        Box::new(sqlite::persist()),
        Box::new(sqlite::wal()),
        Box::new(sqlite::normal()),
        Box::new(sqlite::shared()),
        Box::new(redb::redb()),
        Box::new(redb::two_phases()),
        Box::new(redb::new()),
        Box::new(redb::any_length()),
        Box::new(lmdb::lmdb()),
        Box::new(lmdb::write_map()),
        Box::new(lmdb::no_meta_sync()),
        Box::new(lmdb::new()),
        Box::new(lmdb::torn()),
        Box::new(lmdb::map_async()),
        Box::new(fjall::sync_all()),
        Box::new(fjall::default()),
        Box::new(fjall::new()),
        Box::new(sled::flushed()),
        Box::new(sled::synced()),
    ])
}
