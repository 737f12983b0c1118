//! A node follows a malicious strategy of its protocol.

use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, ActsOn, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::swarm::{Aims, Outage};
use crate::target::Effects;
use seedfall_sim::{NodeId, Nodes, SystemModel};
use std::fmt;

/// A node is Byzantine, and follows one of the strategies that its protocol knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strategy {
    /// Which node.
    pub node: NodeId,
    /// Which strategy: the protocol counts its own round and round.
    pub which: u32,
}

/// So many numbers are drawn from: a multiple of the number of strategies that protocols have.
const NUMBERS: u32 = 12;

impl FaultClass for Strategy {
    type Amount = u32;
    const ABOUT: About = About {
        name: "strategy",
        what: "a node follows a malicious strategy of its protocol, such as to equivocate",
        knob: "strategies: up to 2, at most as many as the cluster can spare",
        source: "Castro and Liskov (OSDI 1999); Twins; each strategy says its own",
    };
    const USUAL: u32 = 2;
    const ACTS_ON: ActsOn = ActsOn::Strategies;
    const TAKES_A_NODE: bool = true;
    const HOLDS: bool = false;
    // Who is malicious is so from the beginning, and was not chosen for its luck.
    const AIMS: Aims = Aims::Named;

    fn permitted_by(model: SystemModel) -> bool {
        model.nodes == Nodes::Byzantine
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        let which = outage.draw().below(NUMBERS);
        vec![Self { node: outage.node, which }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        let node = bytes.node();
        Self { node, which: bytes.choice(NUMBERS as usize) as u32 }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.nodes.schemed
    }

    strikes_one_node!();

    fn begin(&self, act: &mut Act<'_>) {
        let done = act.target.set_strategy(self.node, Some(self.which));
        act.took(done);
    }

    fn end(&self, act: &mut Act<'_>) {
        let done = act.target.set_strategy(self.node, None);
        act.took(done);
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} follows the malicious strategy {}", self.node, self.which)
    }
}
