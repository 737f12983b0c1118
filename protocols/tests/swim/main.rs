//! SWIM against its papers: one test a claim, the members wired by hand.

#[path = "../by_hand/mod.rs"]
mod by_hand;

mod claims;
