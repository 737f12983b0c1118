//! Two-phase commit against its sources: one test a claim, the sites wired by hand, and every crash
//! point of a small transaction.

#[path = "../crashing/mod.rs"]
mod crashing;

mod claims;
mod crash_points;
mod presumptions;
mod support;
