//! Systems of other people, as they are published, on the simulated Linux: each with its faults,
//! its properties, and what was found.

pub mod open_raft;
