//! Crashes before every change of a node's files, one run after the other.

use super::run::{self, Setup};
use super::{Programs, zygote};
use crate::faults::classes;
use crate::plan::{Aim, Entry, FaultBudget, FaultPlan};
use crate::run::Trial;
use seedfall_sim::{CrashPoint, Draw, Draws, Duration, NodeId, Seed, Site};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

/// A node crashes before a change of its files: a write, a change of a length, a sync, a change of
/// a name. Each seed has one of a few workloads and crashes before one change of it; consecutive
/// seeds take all changes in turn, from the first of a run that nothing disturbs to its last, and
/// then no crash until all is done. What a crash leaves of all that was not synced, the seed draws;
/// when all changes have been taken once, each is taken again with other luck. Every second time
/// the node crashes once more soon after, mostly as it recovers.
///
/// The operations of a run are those of its workload, however many seeds there are.
#[derive(Clone, Debug)]
pub struct EveryChange {
    node: &'static str,
    /// How many changes each workload makes, undisturbed, once somebody has asked.
    changes: Arc<[OnceLock<u32>]>,
}

/// Where the draws of a plan are that belong to no class of faults.
const DRAW: u64 = 1 << 40;
/// The second crash comes within so many changes of the first.
const SOON: u32 = 24;
/// How long a machine stays down.
const DOWN: Duration = Duration::millis(1);

impl EveryChange {
    /// Of the node of this name, with so many workloads.
    pub fn of(node: &'static str, workloads: usize) -> Self {
        Self { node, changes: (0..workloads.max(1)).map(|_| OnceLock::new()).collect() }
    }

    /// The seed that decides the operations of a run.
    pub(super) fn workload(&self, seed: Seed) -> Seed {
        Seed(seed.0 % self.changes.len() as u64)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        (self.node, self.changes.len()) == (other.node, other.changes.len())
    }
}

impl<I, O> Programs<I, O>
where
    I: Clone + Debug + Send + Sync + 'static,
    O: Debug + Serialize + DeserializeOwned + 'static,
{
    /// How many changes the node makes in a run of this workload that nothing disturbs.
    fn changes(&self, every: &EveryChange, workload: Seed) -> u32 {
        let count = || {
            let trial = Trial { plan: Some(FaultPlan::default()), ..Trial::of(workload) };
            let setup = Setup::of(self, &trial, &[]);
            let outside = zygote::run(self, &setup.whole(), || run::request(&trial));
            let node = outside.nodes.iter().find(|node| node.name == every.node);
            node.map_or(0, |node| node.changes as u32)
        };
        *every.changes[workload.0 as usize].get_or_init(count)
    }

    /// How many seeds it takes until the node has crashed before each change of each workload.
    pub(super) fn seeds_for_every_change(&self) -> u64 {
        let Some(every) = &self.crash_at else { return 0 };
        let workloads = every.changes.len() as u64;
        let changes = (0..workloads).map(|one| self.changes(every, Seed(one)));
        workloads * (u64::from(changes.max().unwrap_or(0)) + 1)
    }

    /// The crashes of a seed.
    pub(super) fn crashes(&self, seed: Seed, budget: &FaultBudget) -> Vec<Entry> {
        let Some(every) = &self.crash_at else { return Vec::new() };
        let Some(node) = self.nodes.iter().position(|node| node.name == every.node) else {
            return Vec::new();
        };
        let places = u64::from(self.changes(every, every.workload(seed))) + 1;
        let turn = seed.0 / every.changes.len() as u64;
        let (time, first) = (turn / places, (turn % places) as u32 + 1);
        let at = |number: u32| {
            let point = Some(CrashPoint::Change(number));
            let fault = classes::Crash { node: NodeId::new(node as u16), point, down: DOWN };
            Entry {
                at: Duration::ZERO,
                lasts: budget.faults,
                fault: fault.into(),
                aim: Aim::Named,
                retargets: false,
            }
        };
        let mut crashes = vec![at(first)];
        if time % 2 == 1 {
            let mut draw: Draw = Draws::new(seed, 1, 0).at(Site::Plan, DRAW);
            crashes.push(at(first + 1 + draw.below(SOON)));
        }
        crashes
    }
}
