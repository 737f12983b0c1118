//! Bits of messages flip.

use super::{percent, rarer};
use crate::bytes::Bytes;
use crate::class::{About, FaultClass};
use crate::classes::Fault;
use crate::swarm::Drawing;
use crate::target::Effects;
use seedfall_net::Disturbance;
use seedfall_sim::{Draw, Links, Ppm, SystemModel};
use std::fmt;

/// Bits of a message flip with this probability: [`Disturbance::Corrupt`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corrupt {
    /// In a million.
    pub ppm: Ppm,
}

impl FaultClass for Corrupt {
    type Amount = Ppm;
    const ABOUT: About = About {
        name: "corrupt",
        what: "bits flip: a changed message arrives, or a checksum makes it a lost one",
        knob: "corrupt: 1 to 10 % of messages, all along",
        source: "moonpool, Vortex",
    };
    const USUAL: Ppm = 100_000;

    fn permitted_by(model: SystemModel) -> bool {
        model.links == Links::Arbitrary
    }

    fn draw(most: u32, _: Draw, drawing: &mut Drawing<'_>) {
        drawing.noise(most, |ppm, _, _| Self { ppm }.into());
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self { ppm: bytes.ppm() }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.wire.corrupted
    }

    fn disturbance(&self) -> Option<Disturbance> {
        Some(Disturbance::Corrupt { ppm: self.ppm })
    }

    fn odds(&self) -> u64 {
        self.ppm.into()
    }

    fn weaker(&self, _: usize) -> Vec<Fault> {
        rarer(self.ppm).map(|ppm| Self { ppm }.into()).into_iter().collect()
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "corrupt {}", percent(self.ppm))
    }
}
