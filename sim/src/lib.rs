//! The engine of Seedfall: one seed decides everything that happens to a simulated distributed
//! system.
//!
//! A tour, in the order in which a reader needs it:
//!
//! - [`protocol`]: the trait that an algorithm implements, and [`Context`], all that it may do to
//!   the world;
//! - [`roles`]: nodes of several kinds, each a type of its own;
//! - [`drive`]: the same outside the engine, for whoever runs or replays one real node;
//! - [`world`]: the loop that pops an event, hashes it, hands it to its node, and applies the
//!   effects;
//! - [`draw`]: randomness by address, so that one decision can be changed without moving the
//!   others;
//! - [`network`]: the seam that decides what becomes of a message (the answers live in
//!   `seedfall-net`);
//! - [`client`]: who asks the nodes, and remembers the answers;
//! - [`journal`], [`clock`]: what a crash leaves of a node, and what time it believes it is;
//! - [`wal`], [`disk`]: the journal as bytes, and the disk below it, with everything that can be
//!   wrong with one;
//! - [`byzantine`]: what a node that lies does to its messages, and what it cannot forge;
//! - [`trace`], [`hash`]: everything that happened, as one number and, on demand, in words;
//! - [`monitor`]: invariants that are watched while a run goes on;
//! - [`model`]: what a run is allowed to assume;
//! - [`renamed`]: nodes that trade places, for a search that takes states for one that differ in
//!   names alone.
//!
//! What is absent: nothing here reads the operating system, no link policy, no protocol, no fault
//! plan, no checker, no thread, no global. Two runs in one process cannot touch each other.

pub mod byzantine;
pub mod client;
pub mod clock;
pub mod disk;
pub mod draw;
pub mod drive;
pub mod hash;
pub mod id;
pub mod journal;
pub mod model;
pub mod monitor;
pub mod network;
mod node;
pub mod planted;
pub mod protocol;
pub mod queue;
pub mod renamed;
pub mod roles;
pub mod sorted;
pub mod time;
mod timers;
pub mod trace;
pub mod wal;
pub mod world;

pub use byzantine::{Lies, Signed, Signer, Strategy, nudge};
pub use client::{ClientContext, ClientEffect, Clients};
pub use clock::{Clock, ClockFault, Clocks};
pub use disk::{Answer, Disk, DiskCounters, DiskFault};
pub use draw::{
    ALWAYS, Chains, Choices, Draw, DrawAddress, Draws, Nominal, Override, Ppm, Priorities, Seed,
    Site,
};
pub use drive::{Driven, Input};
pub use hash::StableHasher;
pub use id::{Address, ClientId, NodeId, ParseIdError, RequestId};
pub use journal::{CrashImage, Journal};
pub use model::{Links, Nodes, SystemModel, Timing};
pub use monitor::{Monitor, Violation};
pub use network::{Fate, Network, Released};
pub use node::{CrashPoint, EffectKind};
pub use protocol::{Context, Data, Effect, Protocol};
pub use renamed::{Renamed, Renaming};
pub use roles::{Cast, Either, Roles};
pub use sorted::{SortedMap, SortedSet};
pub use time::{Duration, Time};
pub use trace::{Entry, Event, Kind, Recording, Trace};
pub use world::{Counters, Handler, Setup, Step, World};
