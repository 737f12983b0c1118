//! A node stops for good.

use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::swarm::Outage;
use crate::target::Effects;
use seedfall_sim::{NodeId, SystemModel};
use std::fmt;

/// A node crashes and never comes back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Which.
    pub node: NodeId,
}

impl FaultClass for Stop {
    type Amount = u32;
    const ABOUT: About = About {
        name: "stop",
        what: "a node stops for good",
        knob: "stops: up to 2, at most as many as the cluster can spare",
        source: "the crash-stop model; etcd's member replacement",
    };
    const USUAL: u32 = 2;
    const TAKES_A_NODE: bool = true;

    // How many, is the cluster's `spare`.
    fn permitted_by(_: SystemModel) -> bool {
        true
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
        let done = act.target.stop(self.node);
        if act.took(done) {
            act.count(true);
            act.is_gone_for_good(self.node);
        }
    }

    fn end(&self, _: &mut Act<'_>) {}
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stop {} for ever", self.node)
    }
}
