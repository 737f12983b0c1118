//! Links have lasting latencies of their own.

use super::shorter;
use crate::bytes::Bytes;
use crate::class::{About, FaultClass};
use crate::classes::Fault;
use crate::swarm::Drawing;
use crate::target::Effects;
use seedfall_net::Disturbance;
use seedfall_sim::{Draw, Duration, SystemModel, Timing};
use std::fmt;

/// Every directed link has an extra delay of its own: [`Disturbance::Latency`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// The longest, in nanoseconds.
    pub most: Duration,
    /// Tells one draw of them from another.
    pub salt: u32,
}

impl FaultClass for Latency {
    type Amount = Duration;
    const ABOUT: About = About {
        name: "latency",
        what: "each directed link has an extra delay of its own, for the whole run",
        knob: "latency: up to 3 to 30 ms",
        source: "FoundationDB",
    };
    const USUAL: Duration = Duration::millis(30);

    // Late is not lost: only a bound on delays, steps and clocks forbids it.
    fn permitted_by(model: SystemModel) -> bool {
        model.timing != Timing::Synchronous
    }

    fn draw(most: u32, _: Draw, drawing: &mut Drawing<'_>) {
        drawing.noise(most, |micros, _, draw| {
            Self { most: Duration::micros(micros.into()), salt: draw.word() }.into()
        });
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self { most: bytes.span(), salt: bytes.byte().into() }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.wire.lagged
    }

    fn disturbance(&self) -> Option<Disturbance> {
        Some(Disturbance::Latency { most: self.most, salt: self.salt })
    }

    fn weaker(&self, _: usize) -> Vec<Fault> {
        let less = shorter(self.most).map(|most| Self { most, salt: self.salt }.into());
        less.into_iter().collect()
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lasting latencies of links up to {}", self.most)
    }
}
