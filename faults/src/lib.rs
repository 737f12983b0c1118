//! What can go wrong, as data: the classes of faults, which model permits each, plans of them, the
//! swarm that draws plans from a seed, and the nemesis that applies them.
//!
//! It names no protocol, and reads nothing of the machine.
//!
//! A class of faults is one file of [`classes`]: its name, what permits it, how it is drawn, what
//! it does to a [`Target`], when that counts as an effect, and what would be less. A new one is a
//! file and a line of the registry in `classes.rs`.

pub mod act;
pub mod arbitrary;
pub mod bytes;
mod catalogue;
pub mod class;
pub mod classes;
pub mod nemesis;
pub mod plan;
pub mod swarm;
pub mod target;

pub use class::{About, ActsOn, FaultClass, Names};
pub use classes::{Class, Fault, Swarm};
pub use nemesis::Nemesis;
pub use plan::{Aim, Entry, FaultBudget, FaultPlan, PlanError};
pub use target::Target;
