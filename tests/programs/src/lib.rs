//! Other people's code inside the simulated Linux: services of axum and tonic, as scenarios.

pub mod journal;
pub mod payments;
