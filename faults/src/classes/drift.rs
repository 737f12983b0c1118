//! Clocks run fast or slow.

use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::swarm::{Outage, log_uniform};
use crate::target::Effects;
use seedfall_sim::{ClockFault, NodeId, SystemModel, Timing};
use std::fmt;

/// Both clocks of a node run faster by so much; the monotonic clock keeps what it gained.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Whose.
    pub node: NodeId,
    /// How much faster, in a million; negative: slower.
    pub ppm: i32,
}

impl FaultClass for Drift {
    type Amount = u32;
    const ABOUT: About = About {
        name: "drift",
        what: "both clocks of a node run fast or slow",
        knob: "drifts: up to 2, by 200 ppm to 5 %",
        source: "moonpool; 5 % is what a hostile machine reaches",
    };
    const USUAL: u32 = 2;
    const HOLDS: bool = false;
    // Clocks may not be slowed to a standstill.
    const ODDS_MOST: u64 = 800_000;

    // Late is not lost: only a bound on delays, steps and clocks forbids it.
    fn permitted_by(model: SystemModel) -> bool {
        model.timing != Timing::Synchronous
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        // 200 ppm is usual, 5 % hostile.
        let [least, most] = outage.drawing.swarm.drift;
        let mut draw = outage.draw();
        let ppm = log_uniform(least..most, draw.word()) as i32;
        let ppm = if draw.below(2) == 1 { ppm } else { -ppm };
        vec![Self { node: outage.node, ppm }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        let node = bytes.node();
        let ppm = bytes.ppm() as i32;
        Self { node, ppm: if bytes.choice(2) == 0 { ppm } else { -ppm } }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.nodes.drifted
    }

    strikes_one_node!();

    fn odds(&self) -> u64 {
        self.ppm.unsigned_abs().into()
    }

    fn begin(&self, act: &mut Act<'_>) {
        let done = act.target.begin_clock_fault(self.node, self.fault());
        act.took(done);
    }

    fn end(&self, act: &mut Act<'_>) {
        let done = act.target.end_clock_fault(self.node, self.fault());
        act.took(done);
    }
}

impl Drift {
    /// What it is to a clock.
    fn fault(&self) -> ClockFault {
        ClockFault::Drift { ppm: self.ppm }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clocks of {} run {:+} ppm", self.node, self.ppm)
    }
}
