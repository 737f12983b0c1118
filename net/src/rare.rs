//! What only some runs have on the wire: bursts of loss, lasting latencies, full queues, flipped
//! bits. A wire without them does not come here.

use crate::disturbance::Disturbance;
use crate::wire::Tally;
use seedfall_sim::{ALWAYS, Draw, Duration, Ppm, StableHasher, Time};
use std::collections::BTreeSet;

/// The rare disturbances in force.
#[derive(Clone, Debug)]
pub(crate) struct Rare {
    links: usize,
    in_force: Vec<InForce>,
    /// Messages that are left out, by link and index.
    left_out: BTreeSet<(usize, u64)>,
}

/// A disturbance, and what it remembers, which goes with it.
#[derive(Clone, Debug)]
struct InForce {
    what: Disturbance,
    /// The one link that it disturbs; `None`: all.
    only: Option<usize>,
    /// For each link, when the burst of loss that has begun there is over, or when the queue there
    /// is empty.
    until: Vec<Time>,
}

/// What becomes of a message that does not arrive as it was sent.
pub(crate) enum RareFate {
    Lost(&'static str),
    Corrupt(Duration, u32),
}

impl Rare {
    pub(crate) fn new(links: usize) -> Self {
        Self { links, in_force: Vec::new(), left_out: BTreeSet::new() }
    }

    pub(crate) fn leave_out(&mut self, link: usize, index: u64) {
        self.left_out.insert((link, index));
    }

    /// `only`: the one link that it disturbs.
    pub(crate) fn begin(&mut self, disturbance: &Disturbance, only: Option<usize>) {
        let until = vec![Time::ZERO; self.links];
        self.in_force.push(InForce { what: disturbance.clone(), only, until });
    }

    /// True if nothing is left in force.
    pub(crate) fn end(&mut self, disturbance: &Disturbance) -> bool {
        if let Some(at) = self.in_force.iter().position(|other| other.what == *disturbance) {
            self.in_force.remove(at);
        }
        self.in_force.is_empty() && self.left_out.is_empty()
    }

    /// How much longer a message takes on a link on which it `takes` so long, or what else becomes
    /// of it. All of it comes from one word of the message's draw, the last one, so that nothing
    /// else of its fate moves. A message that is `lost` by chance is none that was late.
    pub(crate) fn fate(
        &mut self,
        now: Time,
        link: usize,
        takes: Duration,
        draw: &Draw,
        lost: bool,
        tally: &mut Tally,
    ) -> Result<Duration, RareFate> {
        let word = |turn: u64| (StableHasher::hash(&(draw.last_word(), turn)) >> 32) as u32;
        let happens = |turn: u64, ppm: Ppm| {
            let hit = (u64::from(word(turn)) * u64::from(ALWAYS)) >> 32 < u64::from(ppm);
            if draw.is_nominal() { ppm >= ALWAYS } else { hit }
        };
        if self.left_out.contains(&(link, draw.index())) {
            return Err(RareFate::Lost("left out"));
        }
        let bursts = |one: &InForce| matches!(one.what, Disturbance::Burst { .. });
        if self.in_force.iter().any(|one| bursts(one) && now < one.until[link]) {
            tally.burst += 1;
            return Err(RareFate::Lost("burst"));
        }
        let (mut lag, mut queued, mut corrupt) = (Duration::ZERO, Duration::ZERO, false);
        let mut stretch = Duration::ZERO;
        for (turn, InForce { what, only, until }) in (0..).zip(&mut self.in_force) {
            if only.is_some_and(|only| only != link) {
                continue;
            }
            match what {
                Disturbance::Burst { ppm, span } if happens(turn, *ppm) => {
                    until[link] = now + span.scale(u64::from(word(!turn)), 1 << 32);
                    tally.burst += 1;
                    return Err(RareFate::Lost("burst"));
                }
                Disturbance::Latency { most, salt } => {
                    let place = StableHasher::hash(&(*salt, link as u64)) >> 32;
                    lag = lag + most.scale(place, 1 << 32);
                }
                Disturbance::Throttle { each, queue } => {
                    // Of several queues it comes to one after the other.
                    let comes = now + queued;
                    let waits = until[link].since(comes);
                    if waits.as_nanos() > each.as_nanos().saturating_mul(u64::from(*queue)) {
                        tally.throttled += 1;
                        return Err(RareFate::Lost("queue full"));
                    }
                    until[link] = comes + waits + *each;
                    queued = queued + waits;
                }
                Disturbance::Stretch { times, .. } => {
                    let times = u64::from(*times).saturating_sub(1);
                    stretch = stretch + Duration::nanos(takes.as_nanos().saturating_mul(times));
                }
                Disturbance::Corrupt { ppm } => corrupt |= happens(turn, *ppm),
                _ => {}
            }
        }
        if corrupt || !lost {
            tally.lagged += u64::from(lag > Duration::ZERO);
            tally.throttled += u64::from(queued > Duration::ZERO);
            tally.stretched += u64::from(stretch > Duration::ZERO);
        }
        let late = lag + queued + stretch;
        if corrupt {
            tally.corrupted += 1;
            return Err(RareFate::Corrupt(late, draw.last_word()));
        }
        Ok(late)
    }
}
