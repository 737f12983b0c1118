//! A node stops as if its machine were frozen, and goes on.

use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::swarm::Outage;
use crate::target::Effects;
use seedfall_sim::{NodeId, SystemModel, Timing};
use std::fmt;

/// A node stops as if its machine were frozen, and goes on when the entry ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Which.
    pub node: NodeId,
}

impl FaultClass for Pause {
    type Amount = u32;
    const ABOUT: About = About {
        name: "pause",
        what: "a node freezes; messages and timers wait",
        knob: "pauses: up to 3, a tenth to a half of the run each",
        source: "TigerBeetle, Jepsen",
    };
    const USUAL: u32 = 3;

    // Late is not lost: only a bound on delays, steps and clocks forbids it.
    fn permitted_by(model: SystemModel) -> bool {
        model.timing != Timing::Synchronous
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        // A draw that decides nothing: it keeps what comes after it where it was.
        outage.draw();
        vec![Self { node: outage.node }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self { node: bytes.node() }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.nodes.deferred
    }

    strikes_one_node!();

    fn begin(&self, act: &mut Act<'_>) {
        let done = act.target.pause(self.node);
        act.took(done);
    }

    fn end(&self, act: &mut Act<'_>) {
        if !act.is_shared() {
            let done = act.target.resume(self.node);
            act.took(done);
        }
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pause {}", self.node)
    }
}
