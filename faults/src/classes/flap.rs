//! A partition comes and goes.

use super::{Partition, partitions};
use crate::bytes::Bytes;
use crate::class::{About, ActsOn, FaultClass, Names};
use crate::classes::Fault;
use crate::swarm::{Outage, log_millis};
use crate::target::Effects;
use seedfall_net::{Disturbance, Partition as Shape};
use seedfall_sim::{Address, Duration, Links, NodeId, SystemModel};
use std::fmt;

/// A partition that comes and goes: [`Disturbance::Flap`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flap {
    /// Who cannot reach whom, while it is in force.
    pub partition: Shape,
    /// Half of its period, in nanoseconds.
    pub half: Duration,
}

impl FaultClass for Flap {
    type Amount = u32;
    const ABOUT: About = About {
        name: "flap",
        what: "a partition comes and goes",
        knob: "flaps: one, every 10 to 800 ms",
        source: "Jepsen",
    };
    const ACTS_ON: ActsOn = ActsOn::Peers;
    const USUAL: u32 = 1;

    fn permitted_by(model: SystemModel) -> bool {
        model.links != Links::Reliable
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        let partition = Shape::TwoWay { side: vec![outage.node.into()] };
        vec![Self { partition, half: log_millis(5..400, outage.draw().word()) }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        let half = bytes.span();
        Self { partition: bytes.partition(), half }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.wire.flapped
    }

    fn disturbance(&self) -> Option<Disturbance> {
        Some(Disturbance::Flap { partition: self.partition.clone(), half: self.half })
    }

    fn names(&self) -> Vec<Address> {
        partitions::names(&self.partition)
    }

    fn aim_at(&mut self, node: NodeId) {
        partitions::aim_at(&mut self.partition, node);
    }

    fn rename(&mut self, names: &dyn Names) -> Option<()> {
        partitions::rename(&mut self.partition, names)
    }

    fn weaker(&self, nodes: usize) -> Vec<Fault> {
        let steady = Partition(self.partition.clone()).into();
        let narrower = partitions::narrower(&self.partition, nodes).into_iter();
        let flaps = narrower.map(|partition| Self { partition, half: self.half }.into());
        std::iter::once(steady).chain(flaps).collect()
    }

    fn half_period(&self) -> Option<Duration> {
        Some(self.half)
    }
}

impl fmt::Display for Flap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, on and off every {}", partitions::words(&self.partition), self.half)
    }
}
