//! Bugs of other people's crates, found again: each module is a program with a crate as it was
//! published, at a version for which somebody reported the bug.
//!
//! The feature `mended` says that the crates are those versions which mended it, so that the same
//! scenarios are expected to hold.

use seedfall::programs::Process;
use seedfall::{Expect, Swarm};

pub mod gossip;
pub mod postgres;
pub mod quic;
pub mod raft;
pub mod redb;
pub mod redis;

/// For servers that keep nothing in files: everything but what takes away the memory of a machine
/// (crashes, and disks that fail, after which a program may end without blame), and what has
/// nothing to act on (slow disks, and wall clocks at which nobody looks).
const STAYS_UP: Swarm = Swarm {
    crashes: 0,
    stops: 0,
    power_losses: 0,
    storms: 0,
    wipes: 0,
    disk_errors: 0,
    disk_damages: 0,
    disk_lies: 0,
    stalls: 0,
    clocks: 0,
    ..Swarm::ALL
};

/// What breaks in the old version, and holds in the one that mended it.
fn expect(properties: &'static [&'static str], because: &'static str) -> Expect<Process> {
    if cfg!(feature = "mended") { Expect::Holds } else { Expect::Violates { properties, because } }
}
