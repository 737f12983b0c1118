//! A node is slow (gray failure).

use super::shorter;
use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::swarm::{Outage, log_millis};
use crate::target::Effects;
use seedfall_sim::{Duration, NodeId, SystemModel, Timing};
use std::fmt;

/// A node is slow: every event that it handles keeps it busy, and what comes meanwhile waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// Which.
    pub node: NodeId,
    /// How long each event takes, in nanoseconds.
    pub each: Duration,
}

impl FaultClass for Slow {
    type Amount = u32;
    const ABOUT: About = About {
        name: "slow",
        what: "a node is slow: each event keeps it busy, and the rest waits (gray failure)",
        knob: "slows: up to 2, 5 to 50 ms an event",
        source: "Antithesis, Huang et al., HotOS 2017",
    };
    const USUAL: u32 = 2;

    // Late is not lost: only a bound on delays, steps and clocks forbids it.
    fn permitted_by(model: SystemModel) -> bool {
        model.timing != Timing::Synchronous
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        let each = log_millis(5..50, outage.draw().word());
        vec![Self { node: outage.node, each }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self { node: bytes.node(), each: bytes.span() }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.nodes.slowed
    }

    strikes_one_node!();

    fn weaker(&self, _: usize) -> Vec<Fault> {
        let less = shorter(self.each).map(|each| Self { node: self.node, each }.into());
        less.into_iter().collect()
    }

    fn begin(&self, act: &mut Act<'_>) {
        let done = act.target.slow_down(self.node, self.each);
        act.took(done);
    }

    fn end(&self, act: &mut Act<'_>) {
        let done = act.target.slow_down(self.node, Duration::ZERO);
        act.took(done);
    }
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slow {}, {} an event", self.node, self.each)
    }
}
