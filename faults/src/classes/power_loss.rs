//! Several nodes crash at one instant, and restart together.

use super::{Crash, list, without_one};
use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, FaultClass, Names};
use crate::classes::Fault;
use crate::swarm::{Aims, Outage};
use crate::target::Effects;
use seedfall_sim::{NodeId, Nodes, SystemModel};
use std::fmt;

/// Several nodes crash at one instant, and restart together when the entry ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerLoss {
    /// Which.
    pub nodes: Vec<NodeId>,
}

impl FaultClass for PowerLoss {
    type Amount = u32;
    const ABOUT: About = About {
        name: "power-loss",
        what: "some nodes, or all, crash at one instant and restart together",
        knob: "power_losses: one",
        source: "FoundationDB",
    };
    const USUAL: u32 = 1;
    const AIMS: Aims = Aims::Named;

    fn permitted_by(model: SystemModel) -> bool {
        model.nodes != Nodes::CrashStop
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        let mut draw = outage.draw();
        let whole = draw.below(2) == 1;
        let members = draw.word();
        let hit = |other: &NodeId| whole || members >> (other.index() % 31) & 1 == 1;
        let all = NodeId::all(outage.drawing.budget.nodes);
        let mut nodes: Vec<NodeId> = all.filter(hit).collect();
        if nodes.is_empty() {
            nodes.push(outage.node);
        }
        vec![Self { nodes }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self { nodes: bytes.nodes() }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.deeds
    }

    fn struck(&self) -> &[NodeId] {
        &self.nodes
    }

    // It strikes a list, be it of one.
    fn node(&self) -> Option<NodeId> {
        None
    }

    fn aim_at(&mut self, node: NodeId) {
        self.nodes.retain(|other| *other != node);
        match self.nodes.first_mut() {
            Some(first) => *first = node,
            None => self.nodes.push(node),
        }
    }

    fn rename(&mut self, names: &dyn Names) -> Option<()> {
        self.nodes = names.nodes(&self.nodes)?;
        Some(())
    }

    fn weaker(&self, _: usize) -> Vec<Fault> {
        match self.nodes.as_slice() {
            [only] => vec![Crash::of(*only).into()],
            nodes => without_one(nodes).map(|nodes| Self { nodes }.into()).collect(),
        }
    }

    fn begin(&self, act: &mut Act<'_>) {
        for node in &self.nodes {
            let crashed = act.crash(*node);
            act.count(crashed);
        }
    }

    fn end(&self, act: &mut Act<'_>) {
        self.nodes.iter().for_each(|node| act.restart(*node));
    }
}

impl fmt::Display for PowerLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "power loss at {}", list(&self.nodes))
    }
}
