//! The quorum store against its papers: one test a claim, the nodes wired by hand.

#[path = "../by_hand/mod.rs"]
mod by_hand;

mod deletions;
mod hints;
mod quorums;
mod repair;
mod siblings;
mod support;
