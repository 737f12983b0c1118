//! Each message is lost with a fixed probability.

use super::{percent, rarer};
use crate::bytes::Bytes;
use crate::class::{About, FaultClass};
use crate::classes::Fault;
use crate::swarm::Drawing;
use crate::target::Effects;
use seedfall_net::Disturbance;
use seedfall_sim::{Draw, Links, Ppm, SystemModel};
use std::fmt;

/// Each message is lost with this probability.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// In a million.
    pub ppm: Ppm,
}

impl FaultClass for Loss {
    type Amount = Ppm;
    const ABOUT: About = About {
        name: "loss",
        what: "each message is lost with a fixed probability",
        knob: "loss: 3 to 30 % of messages, all along",
        source: "TigerBeetle's simulator",
    };
    const USUAL: Ppm = 300_000;

    fn permitted_by(model: SystemModel) -> bool {
        model.links != Links::Reliable
    }

    fn draw(most: u32, _: Draw, drawing: &mut Drawing<'_>) {
        drawing.noise(most, |ppm, _, _| Self { ppm }.into());
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self { ppm: bytes.ppm() }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.wire.lost
    }

    fn disturbance(&self) -> Option<Disturbance> {
        Some(Disturbance::Loss { ppm: self.ppm })
    }

    fn odds(&self) -> u64 {
        self.ppm.into()
    }

    fn weaker(&self, _: usize) -> Vec<Fault> {
        rarer(self.ppm).map(|ppm| Self { ppm }.into()).into_iter().collect()
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {}", percent(self.ppm))
    }
}
