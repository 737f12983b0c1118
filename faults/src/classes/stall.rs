//! A node's disk is slow.

use super::shorter;
use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, ActsOn, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::swarm::{Outage, log_millis};
use crate::target::Effects;
use seedfall_sim::{Duration, NodeId, SystemModel, Timing};
use std::fmt;

/// A node's disk is slow: every sync takes time, in which nothing else happens there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stall {
    /// Which.
    pub node: NodeId,
    /// How long each sync takes, in nanoseconds.
    pub each: Duration,
}

impl FaultClass for Stall {
    type Amount = u32;
    const ABOUT: About = About {
        name: "stall",
        what: "a disk is slow: each sync takes time, in which the node does nothing else",
        knob: "stalls: up to 2, 2 to 200 ms a sync",
        source: "FoundationDB, TigerBeetle",
    };
    const ACTS_ON: ActsOn = ActsOn::Disk;
    const USUAL: u32 = 2;

    // Late is not lost: only a bound on delays, steps and clocks forbids it.
    fn permitted_by(model: SystemModel) -> bool {
        model.timing != Timing::Synchronous
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        let each = log_millis(2..200, outage.draw().word());
        vec![Self { node: outage.node, each }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self { node: bytes.node(), each: bytes.span() }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.nodes.stalled
    }

    strikes_one_node!();

    fn weaker(&self, _: usize) -> Vec<Fault> {
        let less = shorter(self.each).map(|each| Self { node: self.node, each }.into());
        less.into_iter().collect()
    }

    fn begin(&self, act: &mut Act<'_>) {
        let done = act.target.stall_disk(self.node, self.each);
        act.took(done);
    }

    fn end(&self, act: &mut Act<'_>) {
        let done = act.target.stall_disk(self.node, Duration::ZERO);
        act.took(done);
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slow disk of {}, {} a sync", self.node, self.each)
    }
}
