//! Conflict-free replicated data: the laws of merging, and one test a claim of the papers.

#[path = "../by_hand/mod.rs"]
mod by_hand;

mod claims;
mod laws;
