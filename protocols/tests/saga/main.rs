//! Sagas against their sources: one test a claim, the nodes wired by hand, and every crash point of
//! a small saga.

#[path = "../by_hand/mod.rs"]
mod by_hand;

mod choreographed;
mod crash_points;
mod orchestrated;
mod support;
