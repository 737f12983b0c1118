//! What happened, folded into one hash that is stable over processes and builds.

use seedfall_sim::{StableHasher, Time};
use std::hash::Hasher;

/// What kind of thing happened. The numbers enter the hash and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Happening {
    /// The main thread of a node starts.
    Start = 1,
    /// A segment of a stream arrives; the peer is its sender.
    Segment = 2,
    /// A datagram arrives; the peer is its sender.
    Datagram = 3,
    /// The wire lost a segment or a datagram; the peer is its receiver.
    Lost = 4,
    /// A connection is reset; the peer is the other end.
    Reset = 5,
    /// A file was synced.
    Sync = 6,
    /// A node crashed, or was killed.
    Crash = 7,
    /// A node's program ended.
    Exit = 8,
    /// A program wrote to its standard output.
    Output = 9,
    /// The workload recorded something.
    Note = 10,
    /// A fault began, or ended.
    Fault = 11,
    /// One of several threads was chosen.
    Switch = 12,
    /// A thread panicked.
    Panic = 13,
}

/// The running hash of one run.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    hasher: StableHasher,
    count: u64,
}

impl Trace {
    /// The empty trace of a run of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let mut hasher = StableHasher::default();
        hasher.write_u64(seed);
        Self { hasher, count: 0 }
    }

    /// Adds something that happened.
    #[inline]
    pub(crate) fn record(
        &mut self,
        now: Time,
        what: Happening,
        actor: usize,
        peer: usize,
        digest: u64,
    ) {
        let who = (what as u64) << 48 | (actor as u64) << 16 | peer as u64;
        self.hasher.write_u64(now.as_nanos());
        self.hasher.write_u64(who);
        self.hasher.write_u64(digest);
        self.count += 1;
    }

    /// The hash over everything so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// How many things happened.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

/// The hash of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = StableHasher::default();
    hasher.write(bytes);
    hasher.finish()
}
