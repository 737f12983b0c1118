//! Multi-primary replication against what is claimed of it: one test a claim, the nodes wired by
//! hand.

#[path = "../by_hand/mod.rs"]
mod by_hand;

mod claims;
