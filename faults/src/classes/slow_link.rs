//! One directed link is slow.

use crate::bytes::Bytes;
use crate::class::{About, FaultClass, Names};
use crate::classes::Fault;
use crate::swarm::Outage;
use crate::target::Effects;
use seedfall_net::Disturbance;
use seedfall_sim::{Address, NodeId, SystemModel, Timing};
use std::fmt;

/// What one end of a link sends to the other takes ten times as long, and the way back does not:
/// [`Disturbance::Stretch`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlowLink {
    /// The sender.
    pub from: Address,
    /// The receiver.
    pub to: Address,
    /// How many times as long.
    pub times: u32,
}

impl FaultClass for SlowLink {
    type Amount = u32;
    const ABOUT: About = About {
        name: "slow-link",
        what: "what one end sends to the other takes ten times as long, the way back does not",
        knob: "slow_links: up to 2, a tenth to a half of the run each",
        source: "Huang et al., HotOS 2017 (gray failure); Jepsen",
    };
    const USUAL: u32 = 2;

    // Late is not lost: only a bound on delays forbids it.
    fn permitted_by(model: SystemModel) -> bool {
        model.timing != Timing::Synchronous
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        let budget = outage.drawing.budget;
        let (nodes, all) = (budget.nodes, (budget.nodes + budget.clients) as u32);
        let mut draw = outage.draw();
        let other = (outage.node.index() as u32 + 1 + draw.below(all.max(2) - 1)) % all;
        let ends = [outage.node.into(), Address::at_index(other as usize, nodes)];
        let [from, to] = if draw.below(2) == 0 { ends } else { [ends[1], ends[0]] };
        vec![Self { from, to, times: 10 }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        let all = bytes.budget.nodes + bytes.budget.clients;
        let [from, to] = bytes.two(all).map(|which| bytes.address(which));
        Self { from, to, times: 2 + u32::from(bytes.byte()) / 8 }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.wire.stretched
    }

    fn disturbance(&self) -> Option<Disturbance> {
        let Self { from, to, times } = *self;
        Some(Disturbance::Stretch { from, to, times })
    }

    fn names(&self) -> Vec<Address> {
        vec![self.from, self.to]
    }

    fn aim_at(&mut self, node: NodeId) {
        let Self { from, to, .. } = self;
        let (first, other) = if from.node().is_some() { (from, to) } else { (to, from) };
        if *other == node.into() {
            std::mem::swap(first, other);
        } else {
            *first = node.into();
        }
    }

    fn rename(&mut self, names: &dyn Names) -> Option<()> {
        (self.from, self.to) = (names.address(self.from)?, names.address(self.to)?);
        Some(())
    }

    fn weaker(&self, _: usize) -> Vec<Fault> {
        let less = (self.times > 2).then(|| Self { times: self.times / 2, ..self.clone() }.into());
        less.into_iter().collect()
    }
}

impl fmt::Display for SlowLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slow link {} -> {}, {} times as long", self.from, self.to, self.times)
    }
}
