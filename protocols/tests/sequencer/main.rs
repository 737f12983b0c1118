//! The sequencer against its survey: one test a claim, the nodes wired by hand.

#[path = "../by_hand/mod.rs"]
mod by_hand;

mod claims;
