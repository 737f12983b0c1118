//! A node runs twice under one identity (Twins, OPODIS 2021).

use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::swarm::{Outage, log_millis};
use crate::target::Effects;
use seedfall_sim::{Duration, NodeId, Nodes, SystemModel};
use std::fmt;

/// A node runs twice under one identity, and the second of the two does not hear everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Twins {
    /// Which.
    pub node: NodeId,
    /// For how long the second hears a sender, or does not, in nanoseconds.
    pub round: Duration,
}

impl FaultClass for Twins {
    type Amount = u32;
    const ABOUT: About = About {
        name: "twins",
        what: "a node runs twice under one identity; the second does not hear everything",
        knob: "twins: one, at most as many as the cluster can spare; rounds of 20 to 500 ms",
        source: "Twins (Bano et al., OPODIS 2021)",
    };
    const USUAL: u32 = 1;
    const TAKES_A_NODE: bool = true;
    const HOLDS: bool = false;
    // Two of a node are two from the beginning.
    const INSISTS: bool = false;

    // Whoever forgets what it promised lies, if not by intent.
    fn permitted_by(model: SystemModel) -> bool {
        model.nodes == Nodes::Byzantine
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        let round = log_millis(20..500, outage.draw().word());
        vec![Self { node: outage.node, round }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self { node: bytes.node(), round: bytes.span() }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.nodes.unheard + seen.seen.nodes.said_by_twins
    }

    strikes_one_node!();

    fn begin(&self, act: &mut Act<'_>) {
        let done = act.target.begin_twins(self.node, self.round);
        act.took(done);
    }

    fn end(&self, act: &mut Act<'_>) {
        let done = act.target.end_twins(self.node);
        act.took(done);
    }
}

impl fmt::Display for Twins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, round } = self;
        write!(f, "{node} runs twice, the second deaf to half of what comes, by {round}")
    }
}
