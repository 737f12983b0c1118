//! What a test of a protocol, or of programs, needs, and nothing else:
//! `use seedfall::prelude::*;`.

pub use crate::checkers::{History, Model, Outcome, models};
pub use crate::faults::Swarm;
pub use crate::plan::FaultPlan;
#[cfg(all(
    feature = "programs",
    target_os = "linux",
    target_arch = "x86_64",
    target_env = "gnu"
))]
pub use crate::programs::{Answer, Process, Program, Programs, Session};
pub use crate::property::{
    Judgement, Property, Told, always, eventually, eventually_told, every_operation_completes,
    invariant, invariants, linearizable, sometimes, sometimes_in,
};
pub use crate::report::Report;
pub use crate::run::Run;
pub use crate::scenario::{Cluster, Expect, Horizon, Scenario};
pub use crate::sim::{
    Cast, Choices, Context, Duration, Links, NodeId, Nodes, Protocol, RequestId, Roles,
    SystemModel, Time, Timing,
};
pub use crate::testing::check;
pub use crate::workload::{Invocation, OperationId, Past, Reply, Workload};
