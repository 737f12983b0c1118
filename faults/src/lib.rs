//! What can go wrong, as data: the classes of faults, which model permits each, plans of them, the
//! swarm that draws plans from a seed, and the nemesis that applies them.
//!
//! It names no protocol, and reads nothing of the machine.

pub mod arbitrary;
pub mod catalogue;
pub mod fault;
pub mod nemesis;
pub mod plan;
pub mod swarm;

pub use fault::{Class, Fault};
pub use nemesis::Nemesis;
pub use plan::{Aim, Entry, FaultBudget, FaultPlan, PlanError};
pub use swarm::Swarm;
