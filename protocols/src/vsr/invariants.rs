//! V1 to V4 of Viewstamped Replication, watched from outside while a run goes on.

use super::{Replica, Status, View};
use crate::machine::{Committed, Update};
use seedfall_sim::{Monitor, NodeId, Violation};
use std::collections::BTreeMap;

/// Watches the replicas of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    committed: Committed<Update>,
    /// For each operation that is committed, in order, the earliest view in which it was seen so.
    views: Vec<View>,
    /// The longest log that was seen of each view.
    logs: BTreeMap<View, Vec<Update>>,
    /// Of each replica as it was when it was last seen: its latest normal view, how much of its log
    /// was compared, and how much of it was committed.
    seen: Vec<Option<(View, usize, usize)>>,
    /// How much of the log of each view each replica was seen to have; `None`: nobody looks.
    has: Option<BTreeMap<View, Vec<usize>>>,
}

/// A watcher of V1 to V3 that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

/// A watcher of V4 too, where replicas do not crash: one that crashes as it has said what it has
/// prepared is not seen to have it.
pub fn invariants_without_crashes() -> Invariants {
    Invariants { has: Some(BTreeMap::new()), ..Invariants::default() }
}

impl Monitor<Replica> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Replica) -> Result<(), Violation> {
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, None);
        }
        if state.status() == Status::Recovering {
            self.seen[node.index()] = None;
            return Ok(());
        }
        let now = (state.normal_view(), state.log().len(), state.committed().len());
        let seen = self.seen[node.index()].replace(now);
        if seen == Some(now) {
            return Ok(());
        }
        if state.log().len() < state.commit_number() {
            let (has, knows) = (state.log().len(), state.commit_number());
            let why = format!("{node} knows of {knows} committed operations, and has {has}");
            return Err(broken("V1: agreement", why));
        }
        let before = self.committed.all.len();
        self.committed
            .observe(node, state.committed())
            .map_err(|why| broken("V1: agreement", why))?;
        self.observe_prepared(node, state, before)?;
        let is_same_view = seen.is_some_and(|(view, ..)| view == now.0);
        let compared = match seen {
            Some((_, len, _)) if is_same_view && len <= now.1 => len,
            _ => 0,
        };
        self.observe_log(node, state, compared)?;
        self.observe_committed(now)?;
        if is_same_view {
            return Ok(());
        }
        let until = self.views.partition_point(|view| *view < now.0);
        self.has_committed(until, state.log(), now.0)
    }
}

impl Invariants {
    /// So much is committed in this view, or an earlier one: whatever later view there is has it.
    fn observe_committed(
        &mut self,
        (view, _, count): (View, usize, usize),
    ) -> Result<(), Violation> {
        let before = self.views.len();
        self.views.resize(self.committed.all.len(), view);
        let later = |one: &&mut View| view < **one;
        self.views[..count].iter_mut().rev().take_while(later).for_each(|one| *one = view);
        if before == self.views.len() {
            return Ok(());
        }
        let later = self.logs.range(view + 1..);
        let lacks = later.into_iter().map(|(view, log)| self.has_committed(count, log, *view));
        lacks.collect()
    }

    /// V2: the log of a view has the first operations that are committed.
    fn has_committed(&self, count: usize, log: &[Update], view: View) -> Result<(), Violation> {
        let committed = &self.committed.all[..count];
        let Some(place) = (0..count).find(|place| log.get(*place) != Some(&committed[*place]))
        else {
            return Ok(());
        };
        let (lost, when) = (&committed[place], self.views[place]);
        let why = format!(
            "{lost:?} was committed by view {when}, and is not at place {place} of a log of view \
             {view}"
        );
        Err(broken("V2: durability", why))
    }

    /// V4: what was not committed before, `f + 1` have prepared in the view of the primary that
    /// commits it.
    fn observe_prepared(
        &mut self,
        node: NodeId,
        state: &Replica,
        before: usize,
    ) -> Result<(), Violation> {
        let Some(has) = &mut self.has else { return Ok(()) };
        let view = state.normal_view();
        let has = has.entry(view).or_insert_with(|| vec![0; state.nodes]);
        has[node.index()] = has[node.index()].max(state.log().len());
        let now = self.committed.all.len();
        let count = has.iter().filter(|len| now <= **len).count();
        if before == now || state.quorum() <= count {
            return Ok(());
        }
        let why =
            format!("{node} has committed {now} operations in view {view}; {has:?} are there");
        Err(broken("V4: a quorum has prepared", why))
    }

    /// V3: its log and the longest of its view agree as far as both go.
    fn observe_log(
        &mut self,
        node: NodeId,
        state: &Replica,
        compared: usize,
    ) -> Result<(), Violation> {
        let longest = self.logs.entry(state.normal_view()).or_default();
        for (place, update) in state.log().iter().enumerate().skip(compared) {
            match longest.get(place) {
                None => longest.push(update.clone()),
                Some(other) if other == update => {}
                Some(other) => {
                    let view = state.normal_view();
                    return Err(broken(
                        "V3: one log a view",
                        format!(
                            "at place {place} of view {view}, {node} has {update:?}, not {other:?}"
                        ),
                    ));
                }
            }
        }
        Ok(())
    }
}

fn broken(property: &'static str, explanation: String) -> Violation {
    Violation { property, explanation }
}
