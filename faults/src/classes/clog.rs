//! All links into a node, or out of it, jam and burst later.

use crate::bytes::Bytes;
use crate::class::{About, FaultClass, Names};
use crate::classes::Fault;
use crate::swarm::{Aims, Outage};
use crate::target::Effects;
use seedfall_net::Disturbance;
use seedfall_sim::{Address, NodeId, SystemModel, Timing};
use std::fmt;

/// What is sent from one address to another is jammed, and arrives in a burst when it ends:
/// [`Disturbance::Clog`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clog {
    /// The sender.
    pub from: Address,
    /// The receiver.
    pub to: Address,
}

impl FaultClass for Clog {
    type Amount = u32;
    const ABOUT: About = About {
        name: "clog",
        what: "all links into a node, or out of it, jam and burst later",
        knob: "clogs: up to 4, a tenth to a half of the run each",
        source: "FoundationDB, Antithesis",
    };
    const USUAL: u32 = 4;
    const AIMS: Aims = Aims::Named;

    // Late is not lost: only a bound on delays, steps and clocks forbids it.
    fn permitted_by(model: SystemModel) -> bool {
        model.timing != Timing::Synchronous
    }

    /// Every link into a node, or every link out of it: a single link may well be silent.
    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        let node = outage.node;
        let inward = outage.draw().below(2) == 1;
        let others = NodeId::all(outage.drawing.budget.nodes).filter(|other| *other != node);
        let links = others.map(|other| if inward { (other, node) } else { (node, other) });
        links.map(|(from, to)| Self { from: from.into(), to: to.into() }.into()).collect()
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        let all = bytes.budget.nodes + bytes.budget.clients;
        let [from, to] = bytes.two(all).map(|which| bytes.address(which));
        Self { from, to }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.wire.clogged
    }

    fn disturbance(&self) -> Option<Disturbance> {
        Some(Disturbance::Clog { from: self.from, to: self.to })
    }

    fn names(&self) -> Vec<Address> {
        vec![self.from, self.to]
    }

    fn aim_at(&mut self, node: NodeId) {
        let Self { from, to } = self;
        let (first, other) = if from.node().is_some() { (from, to) } else { (to, from) };
        if *other == node.into() {
            std::mem::swap(first, other);
        } else {
            *first = node.into();
        }
    }

    fn move_on(&mut self, nodes: usize) {
        let next = |node: NodeId| NodeId::new(((node.index() + 1) % nodes) as u16);
        let moved = |one: Address| one.node().map_or(one, |node| next(node).into());
        (self.from, self.to) = (moved(self.from), moved(self.to));
    }

    fn rename(&mut self, names: &dyn Names) -> Option<()> {
        (self.from, self.to) = (names.address(self.from)?, names.address(self.to)?);
        Some(())
    }
}

impl fmt::Display for Clog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clog {} -> {}", self.from, self.to)
    }
}
