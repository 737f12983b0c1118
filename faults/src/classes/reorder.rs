//! Messages straggle, and later ones overtake them.

use super::{percent, rarer, shorter};
use crate::bytes::Bytes;
use crate::class::{About, FaultClass};
use crate::classes::Fault;
use crate::swarm::Drawing;
use crate::target::Effects;
use seedfall_net::Disturbance;
use seedfall_sim::{Draw, Duration, Ppm, SystemModel, Timing};
use std::fmt;

/// Messages straggle, and later ones overtake them: [`Disturbance::Reorder`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reorder {
    /// How often, in a million.
    pub ppm: Ppm,
    /// The longest extra delay, in nanoseconds.
    pub by: Duration,
}

impl FaultClass for Reorder {
    type Amount = Ppm;
    const ABOUT: About = About {
        name: "reorder",
        what: "a message straggles, and later ones overtake it",
        knob: "reorder: 2 to 20 % of messages, by 10 ms to 1 s",
        source: "TigerBeetle, Maelstrom",
    };
    const USUAL: Ppm = 200_000;

    // Late is not lost: only a bound on delays, steps and clocks forbids it.
    fn permitted_by(model: SystemModel) -> bool {
        model.timing != Timing::Synchronous
    }

    fn draw(most: u32, _: Draw, drawing: &mut Drawing<'_>) {
        drawing.noise(most, |ppm, by, _| Self { ppm, by }.into());
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self { ppm: bytes.ppm(), by: bytes.span() }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.wire.reordered
    }

    fn disturbance(&self) -> Option<Disturbance> {
        Some(Disturbance::Reorder { ppm: self.ppm, by: self.by })
    }

    fn odds(&self) -> u64 {
        self.ppm.into()
    }

    fn weaker(&self, _: usize) -> Vec<Fault> {
        let rarer = rarer(self.ppm).map(|ppm| Self { ppm, ..self.clone() }.into());
        let shorter = shorter(self.by).map(|by| Self { by, ..self.clone() }.into());
        rarer.into_iter().chain(shorter).collect()
    }
}

impl fmt::Display for Reorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reorder {} by {}", percent(self.ppm), self.by)
    }
}
