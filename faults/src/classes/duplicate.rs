//! Messages arrive twice.

use super::{percent, rarer, shorter};
use crate::bytes::Bytes;
use crate::class::{About, FaultClass};
use crate::classes::Fault;
use crate::swarm::Drawing;
use crate::target::Effects;
use seedfall_net::Disturbance;
use seedfall_sim::{Draw, Duration, Links, Ppm, SystemModel};
use std::fmt;

/// Messages arrive twice: [`Disturbance::Duplicate`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Duplicate {
    /// How often, in a million.
    pub ppm: Ppm,
    /// How much later the copy may come, in nanoseconds.
    pub within: Duration,
}

impl FaultClass for Duplicate {
    type Amount = Ppm;
    const ABOUT: About = About {
        name: "duplicate",
        what: "a message arrives twice, the copy up to a second later: also after a crash",
        knob: "duplicate: 2 to 20 % of messages, all along",
        source: "TigerBeetle, Jepsen",
    };
    const USUAL: Ppm = 200_000;

    fn permitted_by(model: SystemModel) -> bool {
        model.links != Links::Reliable
    }

    fn draw(most: u32, _: Draw, drawing: &mut Drawing<'_>) {
        drawing.noise(most, |ppm, within, _| Self { ppm, within }.into());
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self { ppm: bytes.ppm(), within: bytes.span() }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.wire.duplicated
    }

    fn disturbance(&self) -> Option<Disturbance> {
        Some(Disturbance::Duplicate { ppm: self.ppm, within: self.within })
    }

    fn odds(&self) -> u64 {
        self.ppm.into()
    }

    fn weaker(&self, _: usize) -> Vec<Fault> {
        let rarer = rarer(self.ppm).map(|ppm| Self { ppm, ..self.clone() }.into());
        let shorter = shorter(self.within).map(|within| Self { within, ..self.clone() }.into());
        rarer.into_iter().chain(shorter).collect()
    }
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "duplicate {} within {}", percent(self.ppm), self.within)
    }
}
