//! What only some runs have on the wire: bursts of loss, lasting latencies, full queues, flipped
//! bits. A wire without them does not come here.

use crate::disturbance::Disturbance;
use crate::wire::Tally;
use seedfall_sim::{ALWAYS, Draw, Duration, Ppm, StableHasher, Time};
use std::collections::BTreeSet;

/// The rare disturbances in force, and what they remember of each link.
#[derive(Clone, Debug)]
pub(crate) struct Rare {
    links: Vec<Link>,
    in_force: Vec<Disturbance>,
    /// Messages that are left out, by link and ordinal.
    left_out: BTreeSet<(usize, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    burst_until: Time,
    busy_until: Time,
}

const IDLE: Link = Link { burst_until: Time::ZERO, busy_until: Time::ZERO };

/// What becomes of a message that does not arrive as it was sent.
pub(crate) enum RareFate {
    Lost(&'static str),
    Corrupt(Duration, u32),
}

impl Rare {
    pub(crate) fn new(links: usize) -> Self {
        Self { links: vec![IDLE; links], in_force: Vec::new(), left_out: BTreeSet::new() }
    }

    pub(crate) fn leave_out(&mut self, link: usize, ordinal: u64) {
        self.left_out.insert((link, ordinal));
    }

    pub(crate) fn begin(&mut self, disturbance: &Disturbance) {
        self.in_force.push(disturbance.clone());
    }

    /// True if nothing is left in force.
    pub(crate) fn end(&mut self, disturbance: &Disturbance) -> bool {
        if let Some(at) = self.in_force.iter().position(|other| other == disturbance) {
            self.in_force.remove(at);
        }
        if !self.in_force.is_empty() {
            return false;
        }
        // Nor does anything that has begun go on: a burst, or a queue.
        self.links.fill(IDLE);
        self.left_out.is_empty()
    }

    /// How much longer a message takes on a link, or what else becomes of it. All of it comes from
    /// one word of the message's draw, the last one, so that nothing else of its fate moves.
    pub(crate) fn fate(
        &mut self,
        now: Time,
        link: usize,
        draw: &Draw,
        tally: &mut Tally,
    ) -> Result<Duration, RareFate> {
        let word = |turn: u64| (StableHasher::hash(&(draw.last_word(), turn)) >> 32) as u32;
        let happens = |turn: u64, ppm: Ppm| {
            let hit = (u64::from(word(turn)) * u64::from(ALWAYS)) >> 32 < u64::from(ppm);
            if draw.is_nominal() { ppm >= ALWAYS } else { hit }
        };
        if self.left_out.contains(&(link, draw.ordinal())) {
            return Err(RareFate::Lost("left out"));
        }
        let memory = &mut self.links[link];
        let (mut extra, mut corrupt) = (Duration::ZERO, false);
        if now < memory.burst_until {
            tally.burst += 1;
            return Err(RareFate::Lost("burst"));
        }
        for (turn, disturbance) in (0..).zip(&self.in_force) {
            match disturbance {
                Disturbance::Burst { ppm, span } if happens(turn, *ppm) => {
                    memory.burst_until = now + span.scale(u64::from(word(!turn)), 1 << 32);
                    tally.burst += 1;
                    return Err(RareFate::Lost("burst"));
                }
                Disturbance::Latency { most, salt } => {
                    let place = StableHasher::hash(&(*salt, link as u64)) >> 32;
                    let lag = most.scale(place, 1 << 32);
                    tally.lagged += u64::from(lag > Duration::ZERO);
                    extra = extra + lag;
                }
                Disturbance::Throttle { each, queue } => {
                    let waits = memory.busy_until.since(now);
                    if waits.as_nanos() > each.as_nanos().saturating_mul(u64::from(*queue)) {
                        tally.throttled += 1;
                        return Err(RareFate::Lost("queue full"));
                    }
                    tally.throttled += u64::from(waits > Duration::ZERO);
                    memory.busy_until = now + waits + *each;
                    extra = extra + waits;
                }
                Disturbance::Corrupt { ppm } => corrupt |= happens(turn, *ppm),
                _ => {}
            }
        }
        if corrupt {
            tally.corrupted += 1;
            return Err(RareFate::Corrupt(extra, draw.last_word()));
        }
        Ok(extra)
    }
}
