//! Nodes are clogged one after another, and unclogged in another order (FoundationDB).

use super::Clog;
use crate::bytes::Bytes;
use crate::class::{About, FaultClass, Names};
use crate::classes::Fault;
use crate::plan::{Aim, Entry};
use crate::swarm::Drawing;
use crate::target::Effects;
use seedfall_net::Disturbance;
use seedfall_sim::{Address, Draw, NodeId, SystemModel, Timing};
use std::fmt;

/// Everything that a node sends or is sent is jammed: one node of a swizzle,
/// [`Disturbance::Swizzle`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swizzle {
    /// Whose links.
    pub node: NodeId,
}

impl FaultClass for Swizzle {
    type Amount = u32;
    const ABOUT: About = About {
        name: "swizzle",
        what: "nodes are clogged one after another, and unclogged in another order",
        knob: "swizzles: up to 2 of half of all nodes, a tenth to a half of the run each",
        source: "FoundationDB's swizzle-clogging",
    };
    const USUAL: u32 = 2;

    // Late is not lost: only a bound on delays, steps and clocks forbids it.
    fn permitted_by(model: SystemModel) -> bool {
        model.timing != Timing::Synchronous
    }

    fn draw(most: u32, mut many: Draw, drawing: &mut Drawing<'_>) {
        (0..1 + many.below(most)).for_each(|_| swizzle(drawing));
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self { node: bytes.node() }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.wire.swizzled
    }

    fn disturbance(&self) -> Option<Disturbance> {
        Some(Disturbance::Swizzle { node: self.node })
    }

    fn names(&self) -> Vec<Address> {
        vec![self.node.into()]
    }

    fn aim_at(&mut self, node: NodeId) {
        self.node = node;
    }

    fn rename(&mut self, names: &dyn Names) -> Option<()> {
        self.node = names.node(self.node)?;
        Some(())
    }

    /// One of its links in one direction is less.
    fn weaker(&self, nodes: usize) -> Vec<Fault> {
        let others = NodeId::all(nodes).filter(|other| *other != self.node);
        others
            .flat_map(|other| {
                let (node, other) = (Address::from(self.node), Address::from(other));
                [(node, other), (other, node)].map(|(from, to)| Clog { from, to }.into())
            })
            .collect()
    }
}

/// Some nodes are clogged one after another in the first half of the time, and unclogged one after
/// another in the second, in another order: whoever is late to one event may be early to the next.
/// Each node takes part with probability one half.
fn swizzle(drawing: &mut Drawing<'_>) {
    let (at, lasts, _) = drawing.while_();
    let mut hit = Vec::new();
    for node in NodeId::all(drawing.budget.nodes) {
        let mut draw = drawing.draw();
        if draw.below(2) == 1 {
            hit.push((node, draw.word(), draw.word()));
        }
    }
    let (half, count) = (lasts.scale(1, 2), hit.len() as u64);
    let place = |mine: u32, of: fn(&(NodeId, u32, u32)) -> u32| {
        hit.iter().filter(|other| of(other) < mine).count() as u64
    };
    for (node, first, last) in &hit {
        let begins = half.scale(place(*first, |(_, first, _)| *first), count);
        let ends = half + half.scale(place(*last, |(.., last)| *last) + 1, count);
        let fault = Swizzle { node: *node }.into();
        let (at, lasts) = (at + begins, ends - begins);
        drawing.push(Entry { at, lasts, fault, aim: Aim::Named, retargets: true });
    }
}

impl fmt::Display for Swizzle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "swizzle: clog all links of {}", self.node)
    }
}
