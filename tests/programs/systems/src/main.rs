//! Every command of Seedfall over these systems, with the feature `commands`:
//! `cargo run --release -p seedfall-systems --features commands -- sweep openraft`.

use seedfall_systems::{gossip, mqtt, open_raft, pool, postgres, quic, redis_server, sqlx};
use std::process::ExitCode;

fn main() -> ExitCode {
    seedfall_cli::main(&[
        Box::new(open_raft::careful()),
        Box::new(open_raft::as_told()),
        Box::new(open_raft::forgets()),
        Box::new(open_raft::repeats()),
        Box::new(redis_server::right()),
        Box::new(redis_server::crashes()),
        Box::new(pool::right()),
        Box::new(pool::repeats()),
        Box::new(postgres::right()),
        Box::new(postgres::off()),
        Box::new(postgres::repeats()),
        Box::new(sqlx::rolled_back()),
        Box::new(sqlx::begins()),
        Box::new(sqlx::waits()),
        Box::new(quic::right()),
        Box::new(quic::repeats()),
        Box::new(mqtt::right()),
        Box::new(mqtt::clean()),
        Box::new(gossip::right()),
        Box::new(gossip::forgets_early()),
        Box::new(gossip::same_generation()),
    ])
}
