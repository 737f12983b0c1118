//! Two-phase commit against its sources: one test a claim, the sites wired by hand, and every crash
//! point of a small transaction.

#[path = "../by_hand/mod.rs"]
mod by_hand;

mod claims;
mod crash_points;
mod presumptions;
mod support;
