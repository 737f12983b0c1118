//! A node crashes and restarts again and again.

use super::Crash;
use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::swarm::{Outage, log_millis};
use crate::target::Effects;
use seedfall_sim::{Duration, NodeId, Nodes, SystemModel};
use std::fmt;

/// A node crashes and restarts again and again: down for `half`, up for `half`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storm {
    /// Which.
    pub node: NodeId,
    /// Half of the period, in nanoseconds.
    pub half: Duration,
}

impl FaultClass for Storm {
    type Amount = u32;
    const ABOUT: About = About {
        name: "storm",
        what: "a node crashes and restarts again and again",
        knob: "storms: one, every 10 to 400 ms",
        source: "FoundationDB",
    };
    const USUAL: u32 = 1;

    fn permitted_by(model: SystemModel) -> bool {
        model.nodes != Nodes::CrashStop
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        let half = log_millis(5..200, outage.draw().word());
        vec![Self { node: outage.node, half }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self { node: bytes.node(), half: bytes.span() }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.deeds
    }

    strikes_one_node!();

    fn weaker(&self, _: usize) -> Vec<Fault> {
        vec![Crash::of(self.node).into()]
    }

    fn begin(&self, act: &mut Act<'_>) {
        let crashed = act.crash(self.node);
        act.count(crashed);
    }

    fn end(&self, act: &mut Act<'_>) {
        act.restart(self.node);
    }

    fn half_period(&self) -> Option<Duration> {
        Some(self.half)
    }
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "crash {}, and back, every {}", self.node, self.half)
    }
}
