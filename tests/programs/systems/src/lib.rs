//! Systems of other people, as they are published, on the simulated Linux: each with its faults,
//! its properties, and what was found.

mod account;
mod common;
pub mod gossip;
pub mod mqtt;
pub mod open_raft;
pub mod pool;
pub mod postgres;
pub mod quic;
pub mod redis_server;
pub mod sqlx;
