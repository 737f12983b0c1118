//! What decides one run.

use super::Pulse;
use crate::plan::FaultPlan;
use crate::scenario::OperationId;
use seedfall_sim::{
    DrawAddress, Duration, Event, NodeId, Nominal, Override, Priorities, Recording, Seed,
    SystemModel, Time,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything that decides one run of a scenario, and how much of it to keep.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// What decides everything that is not written down here.
    pub seed: Seed,
    /// The faults; `None`: those that the seed draws.
    pub plan: Option<FaultPlan>,
    /// The model within which faults stay; `None`: that of the scenario.
    pub model: Option<SystemModel>,
    /// Operations that are left out.
    pub skip: BTreeSet<OperationId>,
    /// When an operation is called and whom it asks first, if not as its client decides: so that
    /// others can be left out without moving it.
    #[serde(with = "pairs")]
    pub calls: BTreeMap<OperationId, Call>,
    /// Draws to be decided otherwise than by the seed.
    #[serde(with = "pairs")]
    pub overrides: BTreeMap<DrawAddress, Override>,
    /// The draws of links, nodes and disks that stay random once the run has begun, all others
    /// being nominal; `None`: all.
    pub random: Option<BTreeSet<DrawAddress>>,
    /// What nominal draws of nodes are.
    pub nominal: Nominal,
    /// Only so many nodes take part, the first ones; `None`: as many as the scenario says.
    pub nodes: Option<usize>,
    /// When faults stop, and the final operations begin, if earlier than the scenario says. The
    /// run does not end before, even if nothing is left to be done.
    pub faults: Option<Duration>,
    /// Nothing arrives but what is like one of these arrivals of another run
    /// ([`let_in_only`](seedfall_sim::World::let_in_only)): not a fault, but a question, whether
    /// the others matter.
    #[serde(with = "shared")]
    pub only: Option<Arc<Vec<Event>>>,
    /// After so many events, at the end of the step that brings them, the run is over, and judged
    /// as it stands; `None`: when nothing is left to be done. What is still owed then, an
    /// `eventually` or an answer, is not missed.
    pub until: Option<u64>,
    /// The run does not end before, even if nothing is left to be done: what goes another way may
    /// take longer.
    pub open_until: Option<Time>,
    /// Where the run takes another turn; `None`: nowhere.
    pub fork: Option<Fork>,
    /// Where draws become those of another seed, in order: the same past, and other luck. Faults
    /// and calls stay as they are written, and so do overridden draws.
    pub turns: Vec<Fork>,
    /// What decides how long messages take; `None`: the draws.
    pub priorities: Option<Priorities>,
    /// Whether the report says which abstract states the run went through.
    pub observe: bool,
    /// After so many events, as for a fork, the program has its fix
    /// ([`planted::has_fix`](seedfall_sim::planted::has_fix)); zero: as soon as its nodes have
    /// started; `None`: never.
    pub fix: Option<u64>,
    /// How much of the trace to keep.
    pub recording: Recording,
    /// Whether to keep the draws.
    pub log_draws: bool,
    /// Whether events are wrapped in `tracing` spans, so that logs show virtual time and node.
    pub spans: bool,
    /// Where the run tells others how far it is; `None`: nowhere.
    #[serde(skip)]
    pub pulse: Option<Arc<Pulse>>,
}

/// Maps whose keys are no strings, as pairs.
mod pairs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(super) fn deserialize<'a, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'a> + Ord,
        V: Deserialize<'a>,
        D: Deserializer<'a>,
    {
        Ok(Vec::<(K, V)>::deserialize(from)?.into_iter().collect())
    }
}

/// What is shared in memory, as a value.
mod shared {
    use seedfall_sim::Event;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::sync::Arc;

    pub(super) fn serialize<S: Serializer>(
        events: &Option<Arc<Vec<Event>>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        events.as_deref().serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(
        from: D,
    ) -> Result<Option<Arc<Vec<Event>>>, D::Error> {
        Ok(Option::deserialize(from)?.map(Arc::new))
    }
}

/// How an operation is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// When; at once, if its client is not done with an earlier one by then.
    pub at: Time,
    /// The node that it asks first.
    pub asks: NodeId,
}

/// Where a run takes another turn: the same past, and another future. Every draw is drawn anew;
/// operations that are still to come are called as their clients decide then; and faults that have
/// not begun strike at other times, and other nodes. Which operations and which faults there are,
/// stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// After the first step, or deed of the nemesis, at whose end so many events have happened.
    pub after: u64,
    /// What decides every draw from there on, none of which is overridden or nominal.
    pub seed: Seed,
}

/// Futures of one run: the same past, and as many other turns.
pub struct Futures<'a> {
    /// After so many events, as for a [`Fork`].
    pub after: u64,
    /// How many.
    pub count: usize,
    /// What decides each of them.
    pub seed: &'a (dyn Fn(usize) -> Seed + Sync),
    /// Whether one fails.
    pub fails: &'a (dyn Fn(&crate::report::Report) -> bool + Sync),
    /// On how many threads; the result does not depend on it.
    pub jobs: std::num::NonZeroUsize,
}

impl std::fmt::Debug for Futures<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { after, count, .. } = self;
        f.debug_struct("Futures")
            .field("after", after)
            .field("count", count)
            .finish_non_exhaustive()
    }
}

impl Trial {
    /// Whether any draw of it is nominal.
    pub(crate) fn is_nominal(&self) -> bool {
        let mut values = self.overrides.values();
        self.random.is_some() || values.any(|value| *value == Override::Nominal)
    }

    /// What the seed alone decides, with the hash and nothing else kept.
    pub fn of(seed: Seed) -> Self {
        Self {
            seed,
            plan: None,
            model: None,
            skip: BTreeSet::new(),
            calls: BTreeMap::new(),
            overrides: BTreeMap::new(),
            random: None,
            nominal: Nominal::PerNode,
            nodes: None,
            faults: None,
            only: None,
            until: None,
            open_until: None,
            fork: None,
            turns: Vec::new(),
            priorities: None,
            observe: false,
            fix: None,
            recording: Recording::Hash,
            log_draws: false,
            spans: false,
            pulse: None,
        }
    }
}
