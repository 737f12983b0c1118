//! Every command of Seedfall over these scenarios, with the feature `commands`:
//! `cargo run --release --features commands -- sweep redis`.

use seedfall_old::{gossip, postgres, quic, raft, redb, redis};
use std::process::ExitCode;

fn main() -> ExitCode {
    seedfall_cli::main(&[
        Box::new(redis::scenario()),
        Box::new(quic::scenario()),
        Box::new(raft::scenario()),
        Box::new(gossip::scenario()),
        Box::new(redb::scenario()),
        Box::new(postgres::scenario()),
    ])
}
