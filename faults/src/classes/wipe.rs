//! A node loses its disk (amnesia).

use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::swarm::Outage;
use crate::target::Effects;
use seedfall_sim::{NodeId, Nodes, SystemModel};
use std::fmt;

/// A node loses its disk, and comes back under its old identity when the entry ends (amnesia).
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wipe {
    /// Which.
    pub node: NodeId,
}

impl FaultClass for Wipe {
    type Amount = u32;
    const ABOUT: About = About {
        name: "wipe",
        what: "a node loses its disk and comes back under its old identity (amnesia)",
        knob: "wipes: one, at most as many as the cluster can spare",
        source: "TigerBeetle, FoundationDB",
    };
    const USUAL: u32 = 1;
    const TAKES_A_NODE: bool = true;

    // Whoever forgets what it promised lies, if not by intent.
    fn permitted_by(model: SystemModel) -> bool {
        model.nodes == Nodes::Byzantine
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        outage.draw();
        vec![Self { node: outage.node }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self { node: bytes.node() }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.deeds
    }

    strikes_one_node!();

    fn begin(&self, act: &mut Act<'_>) {
        let done = act.target.wipe(self.node);
        let wiped = act.took(done);
        act.count(wiped);
    }

    fn end(&self, act: &mut Act<'_>) {
        act.restart(self.node);
    }
}

impl fmt::Display for Wipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wipe the disk of {}", self.node)
    }
}
