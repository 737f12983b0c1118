//! What the wire does to a message.
//!
//! [`Wire`] answers the engine's one question, "what is the fate of this message?", from a
//! [`LinkModel`] for each directed link and from the [`Disturbance`]s that are in force: loss,
//! duplicates, stragglers, clogs and partitions of any shape. It sees who sends to whom, never
//! what; it names no protocol.

pub mod delay;
pub mod disturbance;
mod jam;
mod rare;
pub mod wire;

pub use delay::Delay;
pub use disturbance::{Disturbance, Partition};
pub use wire::{LinkModel, Order, Tally, Wire};
