//! Losses come in bursts.

use super::{Loss, percent, rarer, shorter};
use crate::bytes::Bytes;
use crate::class::{About, FaultClass};
use crate::classes::Fault;
use crate::swarm::Drawing;
use crate::target::Effects;
use seedfall_net::Disturbance;
use seedfall_sim::{Draw, Duration, Links, Ppm, SystemModel};
use std::fmt;

/// Losses come in bursts: [`Disturbance::Burst`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// How often, in a million.
    pub ppm: Ppm,
    /// The longest burst, in nanoseconds.
    pub span: Duration,
}

impl FaultClass for Burst {
    type Amount = Ppm;
    const ABOUT: About = About {
        name: "burst",
        what: "a loss begins a burst on its link",
        knob: "bursts: 1 to 10 % of messages begin one, 10 ms to 1 s long",
        source: "Gilbert 1960; Jepsen's correlated loss",
    };
    const USUAL: Ppm = 100_000;

    fn permitted_by(model: SystemModel) -> bool {
        model.links != Links::Reliable
    }

    fn draw(most: u32, _: Draw, drawing: &mut Drawing<'_>) {
        drawing.noise(most, |ppm, span, _| Self { ppm, span }.into());
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        Self { ppm: bytes.ppm(), span: bytes.span() }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.wire.burst
    }

    fn disturbance(&self) -> Option<Disturbance> {
        Some(Disturbance::Burst { ppm: self.ppm, span: self.span })
    }

    fn odds(&self) -> u64 {
        self.ppm.into()
    }

    fn weaker(&self, _: usize) -> Vec<Fault> {
        let loss = Loss { ppm: self.ppm }.into();
        let rarer = rarer(self.ppm).map(|ppm| Self { ppm, ..self.clone() }.into());
        let shorter = shorter(self.span).map(|span| Self { span, ..self.clone() }.into());
        std::iter::once(loss).chain(rarer).chain(shorter).collect()
    }
}

impl fmt::Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bursts of loss up to {}, {} of messages begin one", self.span, percent(self.ppm))
    }
}
