//! Other people's code inside the simulated Linux: services of axum and tonic, and `SQLite`,
//! as scenarios.

pub mod journal;
pub mod payments;
pub mod sqlite;
