//! Total-order broadcast: one test a claim of the paper, the nodes wired by hand.

#[path = "../by_hand/mod.rs"]
mod by_hand;

mod claims;
