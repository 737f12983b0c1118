//! Tests distributed algorithms by simulation. **One seed decides everything that can happen**:
//! each message's delay, loss and copy, each partition, each crash and what it leaves on the disk.
//! The same seed is the same run, bit for bit; a run that violates a property is shrunk to a story
//! that a person can read, and kept as a test.
//!
//! # A first test
//!
//! A protocol is a value that reacts; all that it can do to the world is in
//! [`Context`](sim::Context). A scenario says what it is to survive, and which properties must
//! hold.
//!
//! ```
//! use seedfall::prelude::*;
//! use models::{Register, RegisterInput as In, RegisterOutput as Out};
//!
//! struct Copied(u64); // A register, of which each of three nodes has a copy.
//!
//! impl Protocol for Copied {
//!     type Config = ();
//!     type Message = u64;
//!     type Timer = ();
//!     type Record = ();
//!     type Request = In<u64>;
//!     type Response = Out<u64>;
//!
//!     fn start(_: NodeId, _: &(), _journal: &[()], _: &mut Context<Self>) -> Self { Copied(0) }
//!     fn on_request(&mut self, id: RequestId, body: In<u64>, ctx: &mut Context<Self>) {
//!         let In::Write(value) = body else { return ctx.respond(id, Out::Value(self.0)) };
//!         self.0 = value;
//!         ctx.broadcast(value);
//!         ctx.respond(id, Out::Done); // Too early: the others have not heard of it yet.
//!     }
//!     fn on_message(&mut self, _: NodeId, value: u64, _: &mut Context<Self>) { self.0 = value }
//! }
//!
//! fn scenario() -> Scenario<Copied, In<u64>, Out<u64>> {
//!     Scenario {
//!         name: "copied-register",
//!         story: "Three nodes copy a register to each other; two clients use it.",
//!         model: SystemModel::USUAL,
//!         cluster: Cluster::lan(3, 2), // nodes, clients
//!         config: (),
//!         workload: Workload::short(
//!             |op, draw| if draw.below(2) == 0 { In::Read } else { In::Write(op.unique()) },
//!             |_, input| input.clone(), // in the protocol's words
//!             Reply::Done,              // and back
//!         ),
//!         faults: Swarm::ALL, // of those that the model permits
//!         horizon: Horizon::SHORT,
//!         properties: vec![linearizable(Register { initial: 0 }), every_operation_completes()],
//!         expect: Expect::Holds,
//!     }
//! }
//!
//! # let failing = std::panic::catch_unwind(|| {
//! // In a #[test]: 500 seeds on all cores, and the first failure, shrunk.
//! seedfall::check(scenario());
//! # });
//! # let words = *failing.expect_err("it answers too early").downcast::<String>().unwrap();
//! # assert!(words.contains("copied-register: a property is violated (safety)"), "{words}");
//! # assert!(words.contains("SEEDFALL_SEED="), "{words}");
//! ```
//!
//! # What a failure looks like
//!
//! The test above fails, and says by which seed and why:
//!
//! ```text
//! copied-register: a property is violated (safety)
//!   property   always linearizable
//!   but        two values each had to be current before the other
//!                c2/0 Write(2)   0.094314s .. 0.106634s = Done
//!                c1/1 Write(65537)   0.099871s .. 0.109624s = Done
//!                c2/1 Read   0.168253s .. 0.178481s = Value(65537)
//!              > c1/2 Read   0.176117s .. 0.180904s = Value(2)
//!   faults     0ns to 1.000s: duplicate 19.87 % within 16.207ms
//!              ...
//!   replay     SEEDFALL_SEED=0 cargo test register
//!   shrunk to  0 of 7 faults, 4 of 5 operations, 1 of 14 random draws, 12 of 15 messages ...
//!  0.000000s  c2 asks n2: c2#0 Write(2)
//!  0.005500s  n2 sends n3 2: it arrives at 0.011000s
//!  0.005557s  c1 asks n3: c1#1 Write(65537)
//!  0.006602s  n3 sends n2 65537: it arrives at 0.012102s
//!  ...
//!  0.092104s  c1 is told by n3: c1#10 Value(2)
//!  0.115878s  c2 is told by n2: c2#5 Value(65537)
//!  0.115878s  broken: always linearizable: two values each had to be current before the other
//! ```
//!
//! The seed replays that very run; the story is that of the shrunk one.
//!
//! # Where to go
//!
//! - `examples/01` to `05`, in order: a register that is wrong, then right; a lease lock with a
//!   fencing token; a property and a model of one's own; a bug found, shrunk, kept and replayed; a
//!   history from a file judged. `docs/guide/` is the same at leisure.
//! - [`prelude`] has what a test needs. [`Scenario`] is the struct to fill in, [`Workload`] what
//!   its clients do, [`always`] and [`property`] what must hold, [`Swarm`] what may go wrong.
//! - [`check`] is the door for `cargo test`; [`Run`] is one run, from a seed to its [`Report`].
//! - [`exhaustive`] takes every order of events of a small cluster, to a bound.
//! - [`mod@shrink`] makes a failing run small, [`case`] keeps it, [`explain`] draws it, [`diff`]
//!   and [`point`] say which decision made the difference; the command line of `seedfall-cli` has
//!   all of them.
//! - `seedfall-real` runs the same protocol over TCP and files; feature `programs` simulates whole
//!   programs as they are.

pub mod arbitrary;
pub mod campaign;
pub mod case;
pub mod clients;
pub mod diff;
pub mod exhaustive;
pub mod explain;
mod parallel;
pub mod point;
pub mod prelude;
#[cfg(all(feature = "programs", target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
pub mod programs;
pub mod property;
pub mod report;
pub mod run;
pub mod save;
pub mod scenario;
#[cfg(feature = "search")]
pub mod search;
pub mod shrink;
pub mod sweep;
pub mod testing;
#[doc(hidden)] // For the commands.
pub mod words;
pub mod workload;

pub use plan::{Aim, Entry, FaultBudget, FaultPlan, PlanError};
pub use property::{
    Judgement, Property, always, eventually, every_operation_completes, invariant, invariants,
    linearizable, linearizable_within, one_holder, sometimes, sometimes_in,
};
pub use report::{Conclusion, Failure, FailureKind, Report, Unknown};
pub use run::Run;
#[doc(hidden)] // Documented in `run`: what commands and other worlds need.
pub use run::{Runnable, Trial};
pub use scenario::{
    COMES_TO_ITS_END, Cluster, Expect, Expectation, Horizon, NEVER_PANICS, Scenario,
};
pub use seedfall_faults::{Class, Fault, Swarm};
pub use testing::check;
pub use workload::{Invocation, OperationId, Phase, Reply, Workload};

pub use seedfall_faults::plan;

pub use seedfall_checkers as checkers;
pub use seedfall_faults as faults;
pub use seedfall_net as net;
pub use seedfall_sim as sim;

/// The code of README.md, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The code of the guide, likewise.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../docs/guide/first-test.md")]
    struct FirstTest;
    #[doc = include_str!("../../docs/guide/time-and-crashes.md")]
    struct TimeAndCrashes;
    #[doc = include_str!("../../docs/guide/faults-and-models.md")]
    struct FaultsAndModels;
    #[doc = include_str!("../../docs/guide/exhaustive.md")]
    struct Exhaustive;
    #[doc = include_str!("../../docs/guide/reading-a-failure.md")]
    struct ReadingAFailure;
    #[doc = include_str!("../../docs/guide/properties-and-checkers.md")]
    struct PropertiesAndCheckers;
}
