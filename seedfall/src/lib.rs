//! Deterministic simulation testing: one seed, one run, one verdict.
//!
//! Declare the model, run the protocol, keep the history, judge the history.
//!
//! - [`scenario`]: the struct literal in which a test writes its assumptions down;
//! - [`workload`]: what its clients do; [`clients`]: how they do it, in whatever world;
//! - [`property`]: what must hold always, eventually, sometimes;
//! - [`fault`], [`plan`]: what can go wrong, fault plans as data, and the swarm that draws them
//!   within the model;
//! - [`run`]: one run; [`report`]: what it came to; [`mod@sweep`]: many runs;
//! - [`mod@shrink`]: from a failing run to a story;
//! - [`explain`]: a run as a picture;
//! - [`case`]: a failing run, kept; [`diff`]: two runs, and what makes the difference;
//! - [`arbitrary`]: plans from bytes and as proptest strategies;
//! - [`testing`]: the door for `cargo test`;
//!
//! The commands are in `seedfall-cli`; `seedfall-real` runs the same protocols over TCP and files,
//! and real processes under a fault plan.

pub mod arbitrary;
pub mod case;
pub mod clients;
pub mod diff;
pub mod explain;
mod parallel;
pub mod point;
#[cfg(all(feature = "programs", target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
pub mod programs;
pub mod property;
pub mod report;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod sweep;
pub mod testing;
pub mod workload;

pub use plan::{Aim, Class, Entry, Fault, FaultBudget, FaultPlan, PlanError};
pub use property::{
    Judgement, Property, always, eventually, every_operation_completes, invariant, invariants,
    linearizable, linearizable_within, sometimes,
};
pub use report::{Conclusion, Failure, FailureKind, Report, Unknown};
pub use run::{Runnable, Trial};
pub use scenario::{Cluster, Expect, Expectation, Horizon, NEVER_PANICS, Scenario};
pub use swarm::Swarm;
pub use testing::check;
pub use workload::{Invocation, OperationId, Phase, Reply, Workload};

pub use seedfall_faults::{catalogue, fault, plan, swarm};

pub use seedfall_checkers as checkers;
pub use seedfall_faults as faults;
pub use seedfall_net as net;
pub use seedfall_sim as sim;

/// The code of README.md, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
