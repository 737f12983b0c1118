//! Seedfall for code that is written for tokio, and not as a `Protocol`: the same fault plans,
//! histories, checkers, sweeps, replays and shrinking, with madsim as the simulator.
//!
//! madsim runs ordinary tokio code in virtual time. What it lacks is the rest: faults as data,
//! histories, checkers, shrinking; and it does not replay its own sweeps, as `select!` draws from a
//! counter of the whole process. So here one seed is one process:
//!
//! ```text
//! outside: a Runnable                         inside: one run in madsim
//!   plan drawn from the seed   --job, JSON-->   nodes, clients, nemesis
//!   history judged, report     <-life, JSON--   history, what took effect, hash
//! ```
//!
//! To the commands of `seedfall` a [`Subject`](subject::Subject) is a scenario like any other.
//!
//! - [`chain`]: the example, a service as anybody would write it;
//! - [`raft`]: our own driver over TCP and files, with Raft on it;
//! - [`subject`]: what has to be said of a service to run it here;
//! - [`outside`]: the scenario, which starts a process for each run and judges what it tells;
//! - [`inside`]: that process: nodes and clients in madsim;
//! - [`nemesis`]: a fault plan as madsim's actions;
//! - [`scenarios`]: those that there are.

pub mod chain;
pub mod inside;
pub mod nemesis;
pub mod outside;
pub mod raft;
pub mod scenarios;
pub mod subject;

use std::process::ExitCode;

/// The `seedfall` command over these services, and the process of each of their runs: the whole
/// `main` of a crate that tests services of its own.
pub fn main(subjects: Vec<subject::Subject>) -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(subject::INSIDE) {
        return inside::main(&subjects);
    }
    seedfall_cli::main(&outside::runnables(subjects))
}
