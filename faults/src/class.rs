//! What a class of faults says of itself: one value, in one file of `classes/`.

use crate::act::Act;
use crate::bytes::Bytes;
use crate::classes::Fault;
use crate::swarm::{Aims, Drawing, Outage};
use crate::target::Effects;
use seedfall_net::Disturbance;
use seedfall_sim::{Address, Draw, Duration, NodeId, SystemModel};
use std::fmt;

/// What the documentation says of a class of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// The word for it: that of its variant, in kebab case.
    pub name: &'static str,
    /// What happens.
    pub what: &'static str,
    /// The field of [`Swarm`](crate::Swarm) that bounds it, and what `Swarm::ALL` draws.
    pub knob: &'static str,
    /// Where the idea and the range come from.
    pub source: &'static str,
}

/// How much of a class the swarm draws: a number of entries, a probability in a million, or a span.
pub trait Amount: Copy {
    /// Nothing of it.
    const NONE: Self;

    /// As a number: how many, how likely in a million, or how many microseconds.
    fn most(self) -> u32;
}

impl Amount for u32 {
    const NONE: Self = 0;

    fn most(self) -> u32 {
        self
    }
}

impl Amount for Duration {
    const NONE: Self = Self::ZERO;

    fn most(self) -> u32 {
        (self.as_nanos() / 1_000).min(u64::from(u32::MAX)) as u32
    }
}

/// What of a protocol a class of faults acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActsOn {
    /// What every protocol has: nodes, messages, time.
    Anything,
    /// Other nodes than the one that is struck.
    Peers,
    /// Timers.
    Timers,
    /// The wall clock.
    WallClock,
    /// What is written down.
    Disk,
    /// Malicious strategies that it knows.
    Strategies,
}

/// One class of faults, and one fault of it: what it is, who permits it, how it is drawn, what it
/// does, when that counts as an effect, and what would be less.
///
/// A class that only disturbs the wire says which [`Disturbance`] it is; a class that strikes one
/// node names it. The defaults do the rest.
pub trait FaultClass: Clone + fmt::Display + Into<Fault> {
    /// What the swarm's field is.
    type Amount: Amount;
    /// What the documentation says.
    const ABOUT: About;
    /// How much of it `Swarm::ALL` draws.
    const USUAL: Self::Amount;
    /// What of a protocol it acts on: if the protocol has none of it, it cannot have an effect.
    const ACTS_ON: ActsOn = ActsOn::Anything;
    /// Whether it costs the protocol a node for good: there may be as many as it can spare.
    const TAKES_A_NODE: bool = false;
    /// Whether it interrupts the life of the nodes that it strikes: two such faults of one node get
    /// in each other's way.
    const HOLDS: bool = true;
    /// Whom an entry that the swarm draws strikes.
    const AIMS: Aims = if Self::TAKES_A_NODE { Aims::Once } else { Aims::Follows };
    /// Whether an entry that the swarm draws lasts as long as faults may.
    const TO_THE_END: bool = Self::TAKES_A_NODE;
    /// Whether an entry that the swarm draws looks for work.
    const INSISTS: bool = true;
    /// Whether it may take its effect only as its node starts again, when it ends.
    const READ_AT_THE_END: bool = false;
    /// The odds of all entries of the class together, at most, in a million.
    const ODDS_MOST: u64 = 1_000_000;
    /// Whether the odds of its entries add up.
    const ODDS_ADD_UP: bool = true;

    /// Whether a model permits it: a nemesis may not do what the protocol was promised would not
    /// happen.
    fn permitted_by(model: SystemModel) -> bool;

    /// Draws entries of it into a plan. `most` is what the swarm permits and is not zero; `many`
    /// decides how many.
    fn draw(most: u32, mut many: Draw, drawing: &mut Drawing<'_>) {
        for _ in 0..1 + many.below(most) {
            drawing.outage::<Self>();
        }
    }

    /// Draws what happens in an outage: mostly one fault.
    fn draw_one(_outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        Vec::new()
    }

    /// A fault of it from the bytes of a fuzzer.
    fn from_bytes(bytes: &mut Bytes<'_>) -> Self;

    /// How often faults of it have had an effect so far: of this class, and no other.
    fn effects(seen: &Effects<'_>) -> u64;

    /// What it is to the wire; `None`: nothing.
    fn disturbance(&self) -> Option<Disturbance> {
        None
    }

    /// The nodes that it strikes by name, but for those whom a disturbance of the wire names.
    fn struck(&self) -> &[NodeId] {
        &[]
    }

    /// The node that it strikes, if it is one by its kind.
    fn node(&self) -> Option<NodeId> {
        self.struck().first().copied()
    }

    /// The same node, to be changed.
    fn node_mut(&mut self) -> Option<&mut NodeId> {
        None
    }

    /// Everybody whom it names, first the one whose place an aim takes.
    fn names(&self) -> Vec<Address> {
        self.struck().iter().map(|node| (*node).into()).collect()
    }

    /// Has this node in the place of the node that it names first.
    fn aim_at(&mut self, node: NodeId) {
        if let Some(victim) = self.node_mut() {
            *victim = node;
        }
    }

    /// The same, one node further on in the order of `nodes` nodes.
    fn move_on(&mut self, nodes: usize) {
        if let Some(first) = self.names().first().and_then(|first| first.node()) {
            self.aim_at(NodeId::new(((first.index() + 1) % nodes) as u16));
        }
    }

    /// Under these names; `None`: there is nobody left whom it strikes.
    fn rename(&mut self, names: &dyn Names) -> Option<()> {
        if let Some(node) = self.node_mut() {
            *node = names.node(*node)?;
        }
        Some(())
    }

    /// How likely it makes things, in a million.
    fn odds(&self) -> u64 {
        0
    }

    /// Why it is no fault of this class, though it is written as one; `None`: it is.
    fn unsound(&self) -> Option<&'static str> {
        None
    }

    /// Faults that are less, the least first.
    fn weaker(&self, _nodes: usize) -> Vec<Fault> {
        Vec::new()
    }

    /// What it does halfway by itself, if that is a fault of another class: it alone may be what
    /// matters.
    fn halfway(&self) -> Option<Fault> {
        None
    }

    /// Begins.
    fn begin(&self, act: &mut Act<'_>) {
        if let Some(disturbance) = self.disturbance() {
            act.disturb(&disturbance, &self);
        }
    }

    /// Ends: takes back what it did.
    fn end(&self, act: &mut Act<'_>) {
        if let Some(disturbance) = self.disturbance() {
            act.end_disturbance(&disturbance, &self);
        }
    }

    /// Half of its period, if it comes and goes.
    fn half_period(&self) -> Option<Duration> {
        None
    }

    /// If it waits, once it has begun, for a moment inside a handler at which its node crashes: how
    /// long the node then stays down.
    fn down_at_a_point(&self) -> Option<Duration> {
        None
    }

    /// What waits for its moment has waited long enough: the deadline that [`Act::deadline`] set.
    fn on_deadline(&mut self, _act: &mut Act<'_>) {}

    /// As it begins anew at another node: without patience.
    fn at_once(&mut self) {}
}

/// The names that nodes and clients have once some of them have left.
pub trait Names {
    /// The new name of a node; `None`: it left.
    fn node(&self, node: NodeId) -> Option<NodeId>;

    /// The new name of a node or client.
    fn address(&self, address: Address) -> Option<Address>;

    /// Those of the nodes that stay; `None`: none does.
    fn nodes(&self, nodes: &[NodeId]) -> Option<Vec<NodeId>> {
        let stay: Vec<NodeId> = nodes.iter().filter_map(|node| self.node(*node)).collect();
        (!stay.is_empty()).then_some(stay)
    }
}

/// Implements what a fault that strikes one node, its field `node`, says of it.
macro_rules! strikes_one_node {
    () => {
        fn struck(&self) -> &[seedfall_sim::NodeId] {
            std::slice::from_ref(&self.node)
        }

        fn node_mut(&mut self) -> Option<&mut seedfall_sim::NodeId> {
            Some(&mut self.node)
        }
    };
}
pub(crate) use strikes_one_node;
