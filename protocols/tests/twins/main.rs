//! Twins against their paper: the machines wired by hand, and what is gone through, counted.

#[path = "../by_hand/mod.rs"]
mod by_hand;

mod claims;
mod counts;
