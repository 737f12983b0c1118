//! Some addresses cannot reach some others.

use super::partitions;
use crate::bytes::Bytes;
use crate::class::{About, ActsOn, FaultClass, Names};
use crate::classes::Fault;
use crate::plan::Aim;
use crate::swarm::Outage;
use crate::target::Effects;
use seedfall_net::{Disturbance, Partition as Shape};
use seedfall_sim::{Address, ClientId, Links, NodeId, SystemModel};
use std::fmt;

/// Some addresses cannot reach some others: [`Disturbance::Partition`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Partition(
    /// Who cannot reach whom.
    pub Shape,
);

impl FaultClass for Partition {
    type Amount = u32;
    const ABOUT: About = About {
        name: "partition",
        what: "two-way, one-way, partial, a ring of majorities, clients cut off, leaders",
        knob: "partitions: up to 4, a tenth to a half of the run each",
        source: "Jepsen; Alquraan et al., OSDI 2018; NEAT",
    };
    const ACTS_ON: ActsOn = ActsOn::Peers;
    const USUAL: u32 = 4;

    fn permitted_by(model: SystemModel) -> bool {
        model.links != Links::Reliable
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        let shape = if outage.aim == Aim::Named {
            shape(outage)
        } else {
            // A leader is cut off from all other nodes: with some it may still reach a majority.
            let mut side = vec![outage.node.into()];
            side.extend(outage.drawing.company().map(Address::from));
            Shape::TwoWay { side }
        };
        let idle = shape.is_idle(outage.drawing.budget.nodes);
        if idle { Vec::new() } else { vec![Self(shape).into()] }
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self(bytes.partition())
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.wire.cut
    }

    fn disturbance(&self) -> Option<Disturbance> {
        Some(Disturbance::Partition(self.0.clone()))
    }

    fn names(&self) -> Vec<Address> {
        partitions::names(&self.0)
    }

    fn aim_at(&mut self, node: NodeId) {
        partitions::aim_at(&mut self.0, node);
    }

    fn rename(&mut self, names: &dyn Names) -> Option<()> {
        partitions::rename(&mut self.0, names)
    }

    fn weaker(&self, nodes: usize) -> Vec<Fault> {
        partitions::narrower(&self.0, nodes).into_iter().map(|shape| Self(shape).into()).collect()
    }
}

/// One of the shapes that the studies of real partition failures name; a single isolated node comes
/// most often (Alquraan et al., "An Analysis of Network-Partitioning Failures in Cloud Systems",
/// OSDI 2018, finding 8).
fn shape(outage: &mut Outage<'_, '_>) -> Shape {
    let (node, budget) = (outage.node, outage.drawing.budget);
    let mut draw = outage.draw();
    let nodes = budget.nodes as u32;
    let shape = draw.below(8);
    // A second word decides who else; each other node with probability one half.
    let members = draw.word();
    let other =
        NodeId::new(((node.index() as u32 + 1 + draw.below(nodes.max(2) - 1)) % nodes) as u16);
    let client = (members >> 31 == 1 && budget.clients > 0)
        .then(|| ClientId::new((members % budget.clients as u32) as u16));
    let mut side = vec![Address::from(node)];
    match shape {
        0..=2 => {
            side.extend(client.map(Address::from));
            Shape::TwoWay { side }
        }
        3 | 4 => {
            side = NodeId::all(budget.nodes)
                .filter(|one| members >> (one.index() % 31) & 1 == 1)
                .map(Address::from)
                .collect();
            Shape::TwoWay { side }
        }
        5 => Shape::OneWay { from: side },
        6 => Shape::Partial { a: node, b: other },
        _ => Shape::Ring,
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&partitions::words(&self.0))
    }
}
