//! Timers ring early, late, or many at once.

use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, ActsOn, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::swarm::{Outage, log_millis};
use crate::target::Effects;
use seedfall_sim::{ClockFault, Duration, NodeId, SystemModel, Timing};
use std::fmt;

/// Timers of a node do not ring when they should.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timers {
    /// Whose.
    pub node: NodeId,
    /// How.
    pub wrong: WrongTimers,
}

/// How timers are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum WrongTimers {
    /// They ring up to so much earlier than they were set for, but not before half their time.
    Early {
        /// In nanoseconds.
        by: Duration,
    },
    /// They ring so much later than they were set for.
    Late {
        /// In nanoseconds.
        by: Duration,
    },
    /// They ring only at multiples of this span, many at once (timer coalescing).
    Coalesce {
        /// In nanoseconds.
        to: Duration,
    },
}

impl From<WrongTimers> for ClockFault {
    fn from(wrong: WrongTimers) -> Self {
        match wrong {
            WrongTimers::Early { by } => Self::Early { by },
            WrongTimers::Late { by } => Self::Late { by },
            WrongTimers::Coalesce { to } => Self::Coalesce { to },
        }
    }
}

impl FaultClass for Timers {
    type Amount = u32;
    const ABOUT: About = About {
        name: "timers",
        what: "timers ring early, late, or many at once",
        knob: "timers: up to 2, by 1 to 100 ms",
        source: "timer coalescing of operating systems",
    };
    const ACTS_ON: ActsOn = ActsOn::Timers;
    const USUAL: u32 = 2;
    const HOLDS: bool = false;

    // Late is not lost: only a bound on delays, steps and clocks forbids it.
    fn permitted_by(model: SystemModel) -> bool {
        model.timing != Timing::Synchronous
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        let mut draw = outage.draw();
        let by = log_millis(1..100, draw.word());
        let wrong = match draw.below(3) {
            0 => WrongTimers::Early { by },
            1 => WrongTimers::Late { by },
            _ => WrongTimers::Coalesce { to: by },
        };
        vec![Self { node: outage.node, wrong }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        let node = bytes.node();
        let wrong = match bytes.choice(3) {
            0 => WrongTimers::Early { by: bytes.span() },
            1 => WrongTimers::Late { by: bytes.span() },
            _ => WrongTimers::Coalesce { to: bytes.span() },
        };
        Self { node, wrong }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.nodes.timers_moved
    }

    strikes_one_node!();

    fn begin(&self, act: &mut Act<'_>) {
        let done = act.target.begin_clock_fault(self.node, self.wrong.into());
        act.took(done);
    }

    fn end(&self, act: &mut Act<'_>) {
        let done = act.target.end_clock_fault(self.node, self.wrong.into());
        act.took(done);
    }
}

impl fmt::Display for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.node;
        match self.wrong {
            WrongTimers::Early { by } => write!(f, "timers of {node} up to {by} early"),
            WrongTimers::Late { by } => write!(f, "timers of {node} {by} late"),
            WrongTimers::Coalesce { to } => write!(f, "timers of {node} at multiples of {to}"),
        }
    }
}
