//! What every engine is asked to do.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Messages travel this long at least.
pub const LATENCY_MIN: Duration = Duration::from_millis(1);
/// They travel less than this.
pub const LATENCY_MAX: Duration = Duration::from_millis(10);
/// Nodes of W3.
pub const BROADCAST_NODES: usize = 50;
/// How often each of them tells all others, in W3.
pub const BROADCAST_PERIOD: Duration = Duration::from_millis(10);
/// How many messages are lost in W3, in a million.
pub const BROADCAST_LOSS_PPM: u32 = 10_000;
/// Nodes of W4.
pub const START_NODES: usize = 5;
/// How long W4 runs.
pub const START_TIME: Duration = Duration::from_millis(1);
/// The port that every node listens on, where the engine has ports.
pub const PORT: u16 = 9000;

/// Called once by the process of every engine, before it starts: glibc hands freed memory back to
/// the kernel above a threshold, which grows once something large was freed. Without this a
/// simulation of a few megabytes, dropped and begun again, measures page faults as well.
pub fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(31 << 20)));
}

/// A workload, named as in the measurements that the targets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// Ping-pong between two nodes; an event is a delivery.
    #[value(name = "W1")]
    W1,
    /// Broadcasts among 50 nodes; an event is a delivery.
    #[value(name = "W3")]
    W3,
    /// Start-up of five nodes; an event is a simulation.
    #[value(name = "W4")]
    W4,
    /// Raft; an event is a virtual second.
    #[value(name = "W5")]
    W5,
    /// Programs: ping-pong over TCP; an event is a delivery.
    #[value(name = "P1")]
    P1,
    /// Programs: a leader replicates to four followers over TCP; an event is a delivery.
    #[value(name = "P2")]
    P2,
    /// Programs: start-up of five nodes; an event is a simulation.
    #[value(name = "P3")]
    P3,
    /// Programs: five nodes with a timer each; an event is a virtual second.
    #[value(name = "P4")]
    P4,
    /// Checked episodes of a three-node Raft, on our engine only; an event is an episode.
    #[value(name = "R")]
    R,
}

/// What a child process has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// How many events of the kind that the workload counts.
    pub events: u64,
    /// How many messages, requests and answers arrived.
    pub messages: u64,
    /// How many operations of clients were answered.
    pub completed: u64,
    /// Something that depends on all of them, where the engine offers it.
    pub check: u64,
}

impl Done {
    /// Events that are deliveries.
    pub fn delivered(messages: u64, check: u64) -> Self {
        Self { events: messages, messages, completed: 0, check }
    }

    /// Events that are nothing but that.
    pub fn plain(events: u64, check: u64) -> Self {
        Self { events, check, ..Self::default() }
    }

    /// Tells the parent process.
    pub fn print(&self) {
        println!("{}", serde_json::to_string(self).expect("four numbers"));
    }
}
