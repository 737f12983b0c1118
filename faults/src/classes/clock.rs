//! A wall clock steps, strobes, or stands still.

use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, ActsOn, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::swarm::{Outage, log_millis, log_span};
use crate::target::Effects;
use seedfall_sim::{ClockFault, Duration, NodeId, SystemModel, Timing};
use std::fmt;

/// A node's wall clock is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Whose.
    pub node: NodeId,
    /// How.
    pub wrong: WrongClock,
}

/// How a wall clock is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum WrongClock {
    /// It jumps, and jumps back at the end.
    Step {
        /// How far, in nanoseconds; negative: into the past.
        nanos: i64,
    },
    /// It stands still, and is right again at the end.
    Freeze,
    /// It jumps there and back again and again.
    Strobe {
        /// How far, in nanoseconds; negative: into the past.
        nanos: i64,
        /// Half of the period, in nanoseconds.
        half: Duration,
    },
}

impl From<WrongClock> for ClockFault {
    fn from(wrong: WrongClock) -> Self {
        match wrong {
            WrongClock::Freeze => Self::Freeze,
            WrongClock::Step { nanos } | WrongClock::Strobe { nanos, .. } => Self::Step { nanos },
        }
    }
}

impl FaultClass for Clock {
    type Amount = u32;
    const ABOUT: About = About {
        name: "clock",
        what: "a wall clock steps forward or back, strobes, or stands still",
        knob: "clocks: up to 2, by 4 ms to 15 minutes",
        source: "Jepsen's clock nemesis",
    };
    const USUAL: u32 = 2;
    const ACTS_ON: ActsOn = ActsOn::WallClock;
    const HOLDS: bool = false;

    // Late is not lost: only a bound on delays, steps and clocks forbids it.
    fn permitted_by(model: SystemModel) -> bool {
        model.timing != Timing::Synchronous
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        // From 4 ms to a quarter of an hour, which to most protocols is for ever (Jepsen: 262 s).
        let mut draw = outage.draw();
        let span = log_span(Duration::millis(4)..Duration::secs(900), draw.word());
        let nanos = span.as_nanos() as i64;
        let wrong = match draw.below(8) {
            0 => WrongClock::Freeze,
            1 | 2 => WrongClock::Strobe { nanos, half: log_millis(2..200, draw.word()) },
            3..=5 => WrongClock::Step { nanos },
            _ => WrongClock::Step { nanos: -nanos },
        };
        vec![Self { node: outage.node, wrong }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        let node = bytes.node();
        let wrong = match bytes.choice(3) {
            0 => WrongClock::Step { nanos: bytes.nanos() },
            1 => WrongClock::Freeze,
            _ => WrongClock::Strobe { nanos: bytes.nanos(), half: bytes.span() },
        };
        Self { node, wrong }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.nodes.misled
    }

    strikes_one_node!();

    fn weaker(&self, _: usize) -> Vec<Fault> {
        match self.wrong {
            WrongClock::Strobe { nanos, .. } => {
                vec![Self { node: self.node, wrong: WrongClock::Step { nanos } }.into()]
            }
            WrongClock::Step { .. } | WrongClock::Freeze => Vec::new(),
        }
    }

    fn begin(&self, act: &mut Act<'_>) {
        let done = act.target.begin_clock_fault(self.node, self.wrong.into());
        act.took(done);
    }

    fn end(&self, act: &mut Act<'_>) {
        let done = act.target.end_clock_fault(self.node, self.wrong.into());
        act.took(done);
    }

    fn half_period(&self) -> Option<Duration> {
        match self.wrong {
            WrongClock::Strobe { half, .. } => Some(half),
            WrongClock::Step { .. } | WrongClock::Freeze => None,
        }
    }
}

fn signed(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "+" };
    format!("{sign}{}", Duration::nanos(nanos.unsigned_abs()))
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.node;
        match self.wrong {
            WrongClock::Step { nanos } => write!(f, "wall clock of {node} {}", signed(nanos)),
            WrongClock::Freeze => write!(f, "wall clock of {node} stands still"),
            WrongClock::Strobe { nanos, half } => {
                write!(f, "wall clock of {node} {} and back every {half}", signed(nanos))
            }
        }
    }
}
