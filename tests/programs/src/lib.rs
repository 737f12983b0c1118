//! Other people's code inside the simulated Linux: services of axum and tonic, and `SQLite`, as
//! scenarios; and the project's own Raft over its driver.

pub mod journal;
pub mod ledger;
pub mod payments;
pub mod raft;
pub mod sqlite;
pub mod tally;
