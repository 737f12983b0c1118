//! What decides a run, beside the world and the faults.

use crate::faults::Fault;
use seedfall_sim::{DrawAddress, Event, Nominal, Override, Recording, Seed, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Everything that decides a run beside the world and the faults, and how much of it to keep.
#[derive(Clone, Debug)]
pub struct Course {
    /// What decides everything that is not written down here.
    pub seed: Seed,
    /// Draws that are decided otherwise.
    pub overrides: BTreeMap<DrawAddress, Override>,
    /// The draws of links, threads and disks that stay random, all others being nominal; `None`:
    /// all.
    pub random: Option<BTreeSet<DrawAddress>>,
    /// What nominal draws of nodes are.
    pub nominal: Nominal,
    /// Nothing arrives but what is like one of these arrivals of another run: not a fault, but a
    /// question, whether the others matter.
    pub only: Option<Arc<Vec<Event>>>,
    /// After so many events, at the end of the step that brings them, the run is over.
    pub until: Option<u64>,
    /// The run does not end before because all clients have.
    pub open_until: Option<Time>,
    /// Where the run takes another turn; `None`: nowhere.
    pub fork: Option<Fork>,
    /// How much of the run to keep.
    pub recording: Recording,
    /// Whether to keep the draws.
    pub log_draws: bool,
}

/// What is still to strike, by the instant of the fork.
type Replan = Arc<dyn Fn(Time) -> Vec<(Time, Fault)> + Send + Sync>;

/// Where a run takes another turn: the same past, and another future.
#[derive(Clone)]
pub struct Fork {
    /// After the first step at whose end so many events have happened.
    pub after: u64,
    /// What decides every draw from there on, none of which is overridden or nominal.
    pub seed: Seed,
    /// The faults that are to come then, in the place of those that were; `None`: they stay.
    pub faults: Option<Replan>,
}

impl fmt::Debug for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, seed, .. } = self;
        f.debug_struct("Fork").field("after", after).field("seed", seed).finish_non_exhaustive()
    }
}

impl Course {
    /// What the seed alone decides, with the hash and nothing else kept.
    pub fn of(seed: Seed) -> Self {
        Self {
            seed,
            overrides: BTreeMap::new(),
            random: None,
            nominal: Nominal::Equal,
            only: None,
            until: None,
            open_until: None,
            fork: None,
            recording: Recording::Hash,
            log_draws: false,
        }
    }
}

impl fmt::Display for Fault {
    /// What begins and what ends, by the values of the faults.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(disturbance) => write!(f, "begins: {disturbance:?}"),
            Self::End(disturbance) => write!(f, "ends: {disturbance:?}"),
            other => write!(f, "{other:?}"),
        }
    }
}
