//! A node crashes, at once or at a point inside a handler, and restarts.

use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::plan::Aim;
use crate::swarm::{Outage, log_span};
use crate::target::Effects;
use seedfall_sim::{CrashPoint, Duration, EffectKind, NodeId, Nodes, SystemModel};
use std::fmt;

/// A node crashes, and restarts when the entry ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// Which.
    pub node: NodeId,
    /// Where; without it, as soon as the entry begins. A node that comes back before the entry ends
    /// crashes there again (at [`CrashPoint::Change`] it does not); one that does not come to this
    /// point within half of the entry's time crashes there and then.
    pub point: Option<CrashPoint>,
    /// How long it stays down at most once it crashed at its point, in nanoseconds; without a
    /// point, until the entry ends.
    #[serde(default)]
    pub down: Duration,
}

impl Crash {
    /// A crash at once.
    pub const fn of(node: NodeId) -> Self {
        Self { node, point: None, down: Duration::ZERO }
    }
}

/// The effects around which a crash may fall.
const KINDS: [EffectKind; 4] =
    [EffectKind::Sync, EffectKind::Send, EffectKind::Append, EffectKind::Respond];

impl FaultClass for Crash {
    type Amount = u32;
    const ABOUT: About = About {
        name: "crash",
        what: "a node crashes at once, at a named effect, or with records un-synced",
        knob: "crashes: up to 5",
        source: "etcd's failpoints, TigerBeetle",
    };
    const USUAL: u32 = 5;

    fn permitted_by(model: SystemModel) -> bool {
        model.nodes != Nodes::CrashStop
    }

    /// Most crashes wait for a moment inside or after a handler, where the interesting ones are,
    /// and the node may come back while the messages of its former life are still under way.
    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        let mut draw = outage.draw();
        let kind = KINDS[draw.below(KINDS.len() as u32) as usize];
        let point = match draw.below(8) {
            0 | 1 => Some(CrashPoint::Before(kind)),
            2 => Some(CrashPoint::After(kind)),
            3..=5 => Some(CrashPoint::Unsynced),
            _ => None,
        };
        let longest = match point {
            // Who forgot a promise breaks it only if it is back before everybody has moved on.
            Some(CrashPoint::Unsynced) => Duration::millis(16),
            _ => outage.drawing.budget.faults.scale(1, 4),
        };
        let down = log_span(Duration::millis(1)..longest, draw.word());
        if point == Some(CrashPoint::Unsynced) {
            // Followers promise too, and forget more easily.
            outage.aim = Aim::Named;
        }
        let down = if point.is_some() { down } else { Duration::ZERO };
        vec![Self { node: outage.node, point, down }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        let node = bytes.node();
        let point = match bytes.choice(3 + 2 * KINDS.len()) {
            0 => None,
            1 => Some(CrashPoint::Unsynced),
            which if which == 2 + 2 * KINDS.len() => {
                Some(CrashPoint::Change(1 + bytes.choice(64) as u32))
            }
            which if which % 2 == 0 => Some(CrashPoint::Before(KINDS[which / 2 - 1])),
            which => Some(CrashPoint::After(KINDS[which / 2 - 1])),
        };
        Self { node, point, down: bytes.span() }
    }

    /// Only an entry of this class waits for a point inside a handler.
    fn effects(seen: &Effects<'_>) -> u64 {
        seen.deeds + seen.seen.nodes.crashes_inside
    }

    strikes_one_node!();

    fn weaker(&self, _: usize) -> Vec<Fault> {
        let Some(point) = self.point else { return Vec::new() };
        let mut less = vec![Self::of(self.node).into()];
        if let CrashPoint::Change(number) = point {
            let earlier = [1, number / 2, number - number / 8, number.saturating_sub(1)];
            let earlier = earlier.into_iter().filter(|one| (1..number).contains(one));
            let at = |one| Self { point: Some(CrashPoint::Change(one)), ..self.clone() }.into();
            less.extend(earlier.map(at));
        }
        less
    }

    fn begin(&self, act: &mut Act<'_>) {
        let Some(point) = self.point else {
            let crashed = act.crash(self.node);
            return act.count(crashed);
        };
        if matches!(point, CrashPoint::Change(_)) && act.has_struck() {
            return;
        }
        let armed = act.target.arm_crash(self.node, point);
        let armed = act.took(armed);
        act.wait_for_a_point(armed);
        // Once it has crashed its node, nothing hurries it.
        if armed && !act.has_struck() {
            act.deadline();
        }
    }

    fn end(&self, act: &mut Act<'_>) {
        if self.point.is_some() {
            let waited = act.target.disarm_crash(self.node);
            act.took(waited);
        }
        act.restart(self.node);
    }

    fn down_at_a_point(&self) -> Option<Duration> {
        self.point.map(|_| self.down)
    }

    fn on_deadline(&mut self, act: &mut Act<'_>) {
        let waited = act.target.disarm_crash(self.node);
        if act.took(waited) {
            let crashed = act.crash(self.node);
            act.count(crashed);
        }
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.node;
        let (when, effect) = match self.point {
            None => return write!(f, "crash {node}"),
            Some(CrashPoint::Unsynced) => return write!(f, "crash {node} with records un-synced"),
            Some(CrashPoint::Change(number)) => {
                return write!(f, "crash {node} before change {number} of what it keeps");
            }
            Some(CrashPoint::Before(effect)) => ("before", effect),
            Some(CrashPoint::After(effect)) => ("after", effect),
        };
        let effect = format!("{effect:?}").to_lowercase();
        write!(f, "crash {node} {when} its next {effect}")
    }
}
