//! The generals against their papers: one test a claim, the nodes wired by hand.

#[path = "../by_hand/mod.rs"]
mod by_hand;

mod byzantine;
mod signed;
mod two;
