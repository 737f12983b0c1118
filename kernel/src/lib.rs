//! A simulated Linux for unmodified programs.

#![cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]

mod backstop;
mod calls;
mod clock;
mod epoll;
mod event;
pub mod faults;
mod fd;
mod file;
mod futex;
mod hooks;
mod isolate;
mod kernel;
mod machine;
mod node;
mod open;
pub mod report;
mod run;
mod sched;
mod socket;
mod stream;
mod tcp;
mod trace;
mod udp;
mod unix;
pub mod world;

pub use faults::{Fault, Nemesis, Place, Target};
pub use isolate::isolated;
pub use report::{Ended, Failure, Isolation, NodeReport, Note, Printed, Report};
pub use run::{note, now, run, run_under};
pub use world::{ClientContext, Limits, Outcome, Simulation, World};
