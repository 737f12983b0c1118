//! Where a run is, as another thread sees it: what a watchdog looks at.

use seedfall_sim::{Address, ClientId, NodeId};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a run is. The run writes it, whoever watches reads it; nothing of it flows back, so a run
/// that is watched is the same run.
#[derive(Debug, Default)]
pub struct Pulse {
    /// The seed.
    seed: AtomicU64,
    /// How many runs have begun.
    runs: AtomicU64,
    /// How many events have happened.
    events: AtomicU64,
    /// What is being done, see [`Doing`].
    doing: AtomicU64,
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Nothing: no run is under way.
    Idle,
    /// Its nodes and clients start.
    Start,
    /// A node or a client handles an event.
    Event(Address),
    /// Faults begin and end, and whether the run is over is looked at.
    Between,
    /// The property of this place in the scenario is judged.
    Judge(usize),
}

/// A look at a pulse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// How many runs have begun: the next look shows another number if the run is another one.
    pub runs: u64,
    /// The seed of the run.
    pub seed: u64,
    /// How many events it has had.
    pub events: u64,
    /// What it is doing.
    pub doing: Doing,
}

const CODES: u64 = 8;

impl Pulse {
    /// A run of this seed begins.
    pub(crate) fn begin(&self, seed: u64) {
        self.seed.store(seed, Ordering::Relaxed);
        self.events.store(0, Ordering::Relaxed);
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.set(Doing::Start);
    }

    /// So many events have happened, and another begins.
    #[inline]
    pub(crate) fn event(&self, events: u64, actor: Address) {
        self.events.store(events, Ordering::Relaxed);
        self.set(Doing::Event(actor));
    }

    #[inline]
    pub(crate) fn set(&self, doing: Doing) {
        let code = match doing {
            Doing::Idle => 0,
            Doing::Start => 1,
            Doing::Between => 2,
            Doing::Judge(place) => 3 + place as u64 * CODES,
            Doing::Event(actor) => match (actor.node(), actor.client()) {
                (Some(node), _) => 4 + node.index() as u64 * CODES,
                (None, client) => 5 + client.map_or(0, ClientId::index) as u64 * CODES,
            },
        };
        self.doing.store(code, Ordering::Relaxed);
    }

    /// Where the run is now.
    pub fn look(&self) -> Beat {
        let code = self.doing.load(Ordering::Relaxed);
        let rest = code / CODES;
        let doing = match code % CODES {
            0 => Doing::Idle,
            1 => Doing::Start,
            2 => Doing::Between,
            3 => Doing::Judge(rest as usize),
            4 => Doing::Event(NodeId::new(rest as u16).into()),
            _ => Doing::Event(ClientId::new(rest as u16).into()),
        };
        Beat {
            runs: self.runs.load(Ordering::Relaxed),
            seed: self.seed.load(Ordering::Relaxed),
            events: self.events.load(Ordering::Relaxed),
            doing,
        }
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("no run is under way"),
            Self::Start => f.write_str("the nodes and clients start"),
            Self::Event(actor) => write!(f, "{actor} handles the event"),
            Self::Between => f.write_str("between two events"),
            Self::Judge(place) => write!(f, "property {} of the scenario is judged", place + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let pulse = Pulse::default();
        assert_eq!(pulse.look().doing, Doing::Idle);
        pulse.begin(7);
        let all = [
            Doing::Idle,
            Doing::Start,
            Doing::Between,
            Doing::Event(NodeId::new(3).into()),
            Doing::Event(ClientId::new(5).into()),
            Doing::Judge(4),
        ];
        for doing in all {
            pulse.set(doing);
            assert_eq!(pulse.look(), Beat { runs: 1, seed: 7, events: 0, doing });
        }
        pulse.event(9, NodeId::new(0).into());
        assert_eq!(pulse.look().events, 9);
    }
}
