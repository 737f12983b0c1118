//! Links carry little.

use crate::bytes::Bytes;
use crate::class::{About, FaultClass};
use crate::classes::Fault;
use crate::swarm::{Aims, Outage, log_millis};
use crate::target::Effects;
use seedfall_net::Disturbance;
use seedfall_sim::{Duration, Links, SystemModel, Timing};
use std::fmt;

/// Every link carries one message in `each` at most, and few wait: [`Disturbance::Throttle`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throttle {
    /// How long a message occupies its link, in nanoseconds.
    pub each: Duration,
    /// How many wait at most.
    pub queue: u32,
}

impl FaultClass for Throttle {
    type Amount = u32;
    const ABOUT: About = About {
        name: "throttle",
        what: "links carry little, and their queues overflow",
        knob: "throttles: up to 2, 10 to 100 ms a message, 2 to 20 wait",
        source: "TigerBeetle, Jepsen",
    };
    const USUAL: u32 = 2;
    const AIMS: Aims = Aims::Named;

    // A full queue loses, and a queue delays.
    fn permitted_by(model: SystemModel) -> bool {
        model.links != Links::Reliable && model.timing != Timing::Synchronous
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        let mut draw = outage.draw();
        let each = log_millis(10..100, draw.word());
        vec![Self { each, queue: 2 + draw.below(19) }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self { each: bytes.span(), queue: bytes.byte().into() }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.wire.throttled
    }

    fn disturbance(&self) -> Option<Disturbance> {
        Some(Disturbance::Throttle { each: self.each, queue: self.queue })
    }
}

impl fmt::Display for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { each, queue } = self;
        write!(f, "links carry one message in {each}, {queue} wait at most")
    }
}
