//! Other people's code inside the simulated Linux: services of axum and tonic, as scenarios; and the
//! proof that a run is a function of its seed ([`proof`]), over everything that makes runs differ
//! ([`sources`]).

pub mod journal;
pub mod payments;
pub mod proof;
pub mod sources;
