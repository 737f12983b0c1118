//! What a nemesis can do to the wire, as plain data.

use seedfall_sim::{Address, Duration, NodeId, Ppm};

/// One thing that is wrong with the wire for a while. Disturbances add up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case", deny_unknown_fields))]
pub enum Disturbance {
    /// Each message is lost with this probability. (`TigerBeetle`'s simulator: up to 30 %.)
    Loss {
        /// In a million.
        ppm: Ppm,
    },
    /// Each message arrives twice with this probability, the second copy after its own delay and up
    /// to `within` later: long after a crash and restart of its receiver, if that is long.
    Duplicate {
        /// In a million.
        ppm: Ppm,
        /// How much later the copy may come.
        within: Duration,
    },
    /// Each message straggles with this probability: it takes up to `by` longer, so that later ones
    /// overtake it.
    Reorder {
        /// In a million.
        ppm: Ppm,
        /// The longest extra delay.
        by: Duration,
    },
    /// What is sent from one address to another is jammed, and arrives in a burst when the
    /// disturbance ends.
    Clog {
        /// The sender.
        from: Address,
        /// The receiver.
        to: Address,
    },
    /// Everything that a node sends or is sent, by clients too, is jammed, and arrives in a burst
    /// when the disturbance ends: one node of a swizzle, in which nodes are clogged one after
    /// another and unclogged in another order. (FoundationDB's "swizzle-clogging".)
    Swizzle {
        /// Whose links.
        node: NodeId,
    },
    /// Some addresses cannot reach some others.
    Partition(Partition),
    /// Losses come in bursts: with this probability a message is lost together with whatever the
    /// same link carries for up to `span` (Gilbert's channel, 1960; Jepsen's correlated loss).
    Burst {
        /// In a million: how often a burst begins.
        ppm: Ppm,
        /// The longest burst.
        span: Duration,
    },
    /// Every directed link has an extra delay of its own, the same for all its messages: between
    /// nothing and `most`, a function of the link and of `salt`. (FoundationDB's permanent pair
    /// latency.)
    Latency {
        /// The longest.
        most: Duration,
        /// Tells one draw of them from another.
        salt: u32,
    },
    /// Every link carries one message in `each` at most; so many wait, and one more is lost. (A
    /// full queue; `TigerBeetle`'s simulator: 2 to 20 messages.)
    Throttle {
        /// How long a message occupies its link.
        each: Duration,
        /// How many wait at most.
        queue: u32,
    },
    /// What is sent from one address to another takes `times` as long as it would, loss and copies
    /// aside.
    Stretch {
        /// The sender.
        from: Address,
        /// The receiver.
        to: Address,
        /// How many times as long; once is as ever.
        times: u32,
    },
    /// Bits of a message flip with this probability. A protocol whose messages can be changed
    /// (`Protocol::mutate`) is handed a changed one; any other has a checksum, and loses it.
    Corrupt {
        /// In a million.
        ppm: Ppm,
    },
    /// A partition that comes and goes: in force for `half`, healed for `half`, and again.
    Flap {
        /// Who cannot reach whom, while it is in force.
        partition: Partition,
        /// Half of its period.
        half: Duration,
    },
}

/// Who cannot reach whom. Clients that are not named reach every node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case", deny_unknown_fields))]
pub enum Partition {
    /// Nothing passes between `side` and the nodes outside it, in either direction.
    TwoWay {
        /// One side: nodes, and clients that are cut off with them.
        side: Vec<Address>,
    },
    /// Nothing passes from `from` to the nodes outside it; the way back is open.
    OneWay {
        /// Those who are not heard.
        from: Vec<Address>,
    },
    /// Two nodes cannot reach each other, while both reach all others (Alfatafta et al., "Toward a
    /// Generic Fault Tolerance Technique for Partial Network Partitioning", OSDI 2020).
    Partial {
        /// One.
        a: NodeId,
        /// The other.
        b: NodeId,
    },
    /// Nodes stand in a ring and each reaches its nearest neighbours only: everyone sees a
    /// majority, no two see the same one (Jepsen's "majorities ring"). Needs at least four nodes to
    /// cut anything.
    Ring,
    /// Two halves that reach each other through one node only, which reaches both (Jepsen's
    /// "bridge").
    Bridge {
        /// The node between them.
        bridge: NodeId,
        /// One half; the other is everybody else.
        side: Vec<NodeId>,
    },
}

impl Partition {
    /// Whether a message from one address to another is cut, in a cluster of `nodes` nodes.
    pub fn cuts(&self, from: Address, to: Address, nodes: usize) -> bool {
        match self {
            Self::TwoWay { side } => {
                let outside =
                    |address: Address| address.node().is_some() && !side.contains(&address);
                (side.contains(&from) && outside(to)) || (outside(from) && side.contains(&to))
            }
            Self::OneWay { from: silent } => {
                silent.contains(&from) && to.node().is_some() && !silent.contains(&to)
            }
            Self::Partial { a, b } => {
                let (a, b) = (Address::from(*a), Address::from(*b));
                (from, to) == (a, b) || (from, to) == (b, a)
            }
            Self::Bridge { bridge, side } => match (from.node(), to.node()) {
                (Some(from), Some(to)) if from != *bridge && to != *bridge => {
                    side.contains(&from) != side.contains(&to)
                }
                _ => false,
            },
            Self::Ring => match (from.node(), to.node()) {
                (Some(from), Some(to)) => {
                    let gap = from.index().abs_diff(to.index());
                    // A majority of n, oneself included, is n / 2 + 1 nodes: n / 2 neighbours, half
                    // on each side (for odd halves the nearer side takes one more, in both
                    // directions alike).
                    gap.min(nodes - gap) > (nodes / 2).div_ceil(2)
                }
                _ => false,
            },
        }
    }

    /// True if no message at all is cut in a cluster of this size.
    pub fn is_idle(&self, nodes: usize) -> bool {
        let named: Vec<Address> = match self {
            Self::TwoWay { side } | Self::OneWay { from: side } => side.clone(),
            Self::Partial { .. } | Self::Ring | Self::Bridge { .. } => Vec::new(),
        };
        let all: Vec<Address> = NodeId::all(nodes).map(Address::from).chain(named).collect();
        !all.iter().any(|from| all.iter().any(|to| self.cuts(*from, *to, nodes)))
    }
}
