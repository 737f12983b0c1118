//! Perfect links: one test a claim of the book, the nodes wired by hand.

#[path = "../by_hand/mod.rs"]
mod by_hand;

mod claims;
