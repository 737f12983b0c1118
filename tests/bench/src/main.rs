//! Side by side with madsim 0.2.34 and turmoil 0.7.2: the same workloads, interleaved rounds of
//! whole processes, medians of their CPU time.
//!
//! `cargo run --release --manifest-path tests/bench/Cargo.toml`, from anywhere; see `--help`. The
//! figures are CPU time (user and system) of a child process divided by what it did, so that a
//! loaded machine distorts them little; engines take turns within a round, so that a slow minute
//! hits them all. Our processes do more of the same, because what the peers need a second for would
//! be over too soon to be measured.
//!
//! What each workload does:
//!
//! - **W1** Two nodes send a counter to and fro; the wire takes 1 to 10 ms. An event is a delivery.
//!   *Seedfall*: a protocol of one handler. *madsim*: `Endpoint::send_to` and `recv_from`.
//!   *turmoil* (for information): `UdpSocket`.
//! - **W3** Fifty nodes, each sends 49 messages every 10 ms; 1 to 10 ms; one in a hundred is lost.
//!   An event is a delivery. *Seedfall*: a timer and `Context::broadcast`. *madsim*: the sends of
//!   one moment joined, 16 receivers a node. *turmoil*: a sender that leaves out one in a hundred,
//!   and a receiver a node.
//! - **W4** Create five nodes with a timer each, run 1 virtual ms, tear down. An event is a
//!   simulation.
//! - **W5** Five nodes of `seedfall-protocols`' Raft and 100 writes a second; every 5 s a node
//!   crashes and comes back from its journal a second later; a cluster lives 30 virtual seconds, in
//!   which it loses each node once. An event is a virtual second. *Seedfall*: with the trace hash,
//!   the simulated journal, and the paper's invariants watched after every event. *Peers*:
//!   `driver.rs` runs the same value, messages travel as postcard bytes, and nothing is watched.
//! - **P1 to P4** Programs over TCP (`stream.rs`): the same source for all three. *Seedfall*:
//!   tokio as it is published, in the simulated Linux, each run a process of its own. *Peers*:
//!   their types in the place of tokio's. P1: ping-pong. P2: five nodes, of which one replicates
//!   to the others; an event of both is a message that was delivered. P3: five nodes that listen,
//!   for 1 virtual ms. P4: the same nodes, idle; an event is a virtual second.
//! - **R** The built-in scenario `raft-kv-3`: three nodes, all faults, invariants, linearizability.
//!   An event is an episode. Ours only.

mod ours;
mod runner;
mod table;
mod turmoil_peer;
mod turmoil_stream;

use clap::{Parser, Subcommand};
use runner::Engine;
use seedfall_bench::workload::{self, Workload};
use std::process::ExitCode;

/// Benchmarks side by side with madsim and turmoil: medians of CPU time, and the ratios asked for.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// How many interleaved rounds; the figures are medians over them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Which workloads, separated by commas; all of them if absent.
    #[arg(long, value_delimiter = ',', value_name = "W1,W3,...")]
    only: Vec<Workload>,
    /// Prints one JSON object instead of the table.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    child: Option<Child>,
}

#[derive(Debug, Subcommand)]
enum Child {
    /// One engine does one workload; for the runner itself, and for profilers.
    #[command(hide = true)]
    Child { engine: Engine, workload: Workload, size: u64 },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Child::Child { engine, workload, size }) = arguments.child {
        return child(engine, workload, size);
    }
    match runner::run(arguments.rounds, &arguments.only) {
        Ok(results) if arguments.json => {
            println!("{}", table::json(arguments.rounds, &results));
            ExitCode::SUCCESS
        }
        Ok(results) => {
            print!("{}", table::text(arguments.rounds, &results));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn child(engine: Engine, workload: Workload, size: u64) -> ExitCode {
    let run = match (engine, workload) {
        (Engine::Seedfall, Workload::W1) => ours::ping_pong,
        (Engine::Seedfall, Workload::W3) => ours::broadcast,
        (Engine::Seedfall, Workload::W4) => ours::start_up,
        (Engine::Seedfall, Workload::W5) => ours::raft,
        (Engine::Seedfall, Workload::R) => ours::episodes,
        (Engine::Turmoil, Workload::W1) => turmoil_peer::ping_pong,
        (Engine::Turmoil, Workload::W3) => turmoil_peer::broadcast,
        (Engine::Turmoil, Workload::W4) => turmoil_peer::start_up,
        (Engine::Turmoil, Workload::W5) => turmoil_peer::raft,
        (Engine::Turmoil, Workload::P1) => turmoil_stream::ping_pong,
        (Engine::Turmoil, Workload::P2) => turmoil_stream::replication,
        (Engine::Turmoil, Workload::P3) => turmoil_stream::start_up,
        (Engine::Turmoil, Workload::P4) => turmoil_stream::idle,
        (Engine::Turmoil, Workload::R) | (Engine::Madsim | Engine::Seedfall, _) => {
            eprintln!("error: {engine:?} does not run {workload:?} in this process");
            return ExitCode::from(2);
        }
    };
    workload::keep_freed_memory();
    run(size).print();
    ExitCode::SUCCESS
}
