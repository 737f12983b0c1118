//! S1 and S2 of the quorum store, watched while a run goes on, and L2, its convergence; and what
//! S2 rests on: a node covers less of a key than before only in a new epoch, and what a tombstone
//! in its grave deleted is in none of its hints.
//!
//! All look at one node at a time and compare it with itself, also across a crash: a handler syncs
//! what it appends, so what a node was seen to hold after one is durable. Only a hint that is gone
//! is looked for elsewhere, at its home.

use super::versions::is_replaced;
use super::{Dot, QuorumKv, VersionVector, Versions};
use crate::kv::Text;
use seedfall_sim::{Monitor, NodeId, SortedMap, SortedSet, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    nodes: Vec<Seen>,
    /// What tombstones were ever seen to replace.
    deleted: SortedMap<Text, VersionVector>,
    /// Versions whose hint is gone, until their home is seen to hold them.
    homeward: Vec<(NodeId, Text, Dot)>,
}

/// A node as it was when it was looked at last, maybe before a crash.
#[derive(Clone, Debug, Default, Hash)]
struct Seen {
    changes: Option<u64>,
    epoch: u64,
    store: SortedMap<Text, Versions>,
    hints: SortedMap<(NodeId, Text), Versions>,
    graves: SortedMap<Text, Versions>,
    /// What was ever replaced here.
    replaced: SortedMap<Text, VersionVector>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<QuorumKv> for Invariants {
    fn observe(&mut self, node: NodeId, state: &QuorumKv) -> Result<(), Violation> {
        if self.nodes.len() <= node.index() {
            self.nodes.resize_with(node.index() + 1, Seen::default);
        }
        if self.nodes[node.index()].changes != Some(state.changes()) {
            self.nodes[node.index()].changes = Some(state.changes());
            self.observe_store(node, state)?;
            self.observe_hints(node, state)?;
            self.observe_epoch(node, state)?;
        }
        self.observe_homeward(node, state)
    }
}

impl Invariants {
    /// Nothing leaves a store but for what replaces it, or as a tombstone; nothing comes back.
    fn observe_store(&mut self, node: NodeId, state: &QuorumKv) -> Result<(), Violation> {
        let seen = &mut self.nodes[node.index()];
        for (key, before) in &seen.store {
            let now = state.store().get(key);
            for version in before.iter().filter(|version| version.value.is_some()) {
                if now.is_none_or(|now| !now.covers(version.dot)) {
                    let explanation = format!(
                        "{node} held {version:?} under {key}, and now {now:?}, which does not \
                         replace it"
                    );
                    return Err(Violation { property: "No lost write", explanation });
                }
            }
        }
        for (key, now) in state.store() {
            if seen.store.get(key) == Some(now) {
                continue;
            }
            let replaced = seen.replaced.entry(key.clone()).or_default();
            if let Some(version) = now.iter().find(|version| replaced.contains(version.dot)) {
                let explanation =
                    format!("{version:?} under {key} was replaced on {node}, and is back");
                return Err(Violation { property: "No resurrection", explanation });
            }
            for version in now.iter() {
                replaced.join(&version.past);
                if version.value.is_none() {
                    self.deleted.entry(key.clone()).or_default().join(&version.past);
                }
            }
        }
        Ok(())
    }

    /// What leaves a hint must be in its home, and what is in a grave must stay out of hints.
    fn observe_hints(&mut self, node: NodeId, state: &QuorumKv) -> Result<(), Violation> {
        let seen = &mut self.nodes[node.index()];
        for ((home, key), before) in &seen.hints {
            let now = state.hints().get(&(*home, key.clone()));
            for version in before.iter().filter(|version| version.value.is_some()) {
                if now.is_none_or(|now| !now.covers(version.dot)) {
                    self.homeward.push((*home, key.clone(), version.dot));
                }
            }
        }
        seen.hints.clone_from(state.hints());
        for ((home, key), hint) in state.hints() {
            let Some(grave) = state.durable.graves.get(key) else { continue };
            if let Some(version) = hint.iter().find(|version| is_replaced(version, grave)) {
                let explanation = format!(
                    "{node} keeps {version:?} under {key} for {home}, and in a grave {grave:?}, \
                     which replaces it"
                );
                return Err(Violation { property: "No resurrection", explanation });
            }
        }
        Ok(())
    }

    /// In one epoch, neither what is stored of a key nor what is in its grave comes to cover less.
    fn observe_epoch(&mut self, node: NodeId, state: &QuorumKv) -> Result<(), Violation> {
        let seen = &mut self.nodes[node.index()];
        let graves = &state.durable.graves;
        if seen.epoch == state.epoch() {
            for (before, now) in [(&seen.store, state.store()), (&seen.graves, graves)] {
                covers_no_less(node, before, now)?;
            }
        }
        seen.epoch = state.epoch();
        seen.store.clone_from(state.store());
        seen.graves.clone_from(graves);
        Ok(())
    }

    /// The home was not looked at since it took the hint over if it crashed in that very moment; so
    /// the question waits until it is looked at.
    fn observe_homeward(&mut self, node: NodeId, state: &QuorumKv) -> Result<(), Violation> {
        if self.homeward.is_empty() {
            return Ok(());
        }
        let (mine, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.homeward).into_iter().partition(|(home, ..)| *home == node);
        self.homeward = others;
        for (_, key, dot) in mine {
            let deleted = self.deleted.get(&key).is_some_and(|deleted| deleted.contains(dot));
            if !deleted && !state.siblings(&key).covers(dot) {
                let explanation =
                    format!("a hint with {dot:?} of {key} is gone, and its home {node} lacks it");
                return Err(Violation { property: "No lost write", explanation });
            }
        }
        Ok(())
    }
}

/// Whether everything that was covered is covered now.
fn covers_no_less(
    node: NodeId,
    before: &SortedMap<Text, Versions>,
    now: &SortedMap<Text, Versions>,
) -> Result<(), Violation> {
    for (key, before) in before {
        let now = now.get(key);
        if !now.map_or(before.is_empty(), |now| now.covers_all(before)) {
            let explanation = format!(
                "{node} held {before:?} under {key} and covers less now, in one epoch: {now:?}"
            );
            return Err(Violation { property: "An epoch for each loss", explanation });
        }
    }
    Ok(())
}

/// L2: whether every home of every key holds the same siblings, and no hint is left.
///
/// # Errors
/// The first difference.
pub fn converged(nodes: &[Option<&QuorumKv>]) -> Result<(), String> {
    let mut keys = SortedSet::new();
    for (index, node) in nodes.iter().enumerate() {
        let id = NodeId::new(index as u16);
        let node = node.ok_or_else(|| format!("{id} is down"))?;
        if let Some((home, key)) = node.hints().keys().next() {
            return Err(format!("{id} still keeps a hint for {home} under {key}"));
        }
        keys.extend(node.store().keys());
    }
    let Some(Some(any)) = nodes.first() else { return Ok(()) };
    for key in keys {
        let homes = any.homes(key);
        let held = |home: &NodeId| nodes[home.index()].map(|node| node.siblings(key));
        let first = held(&homes[0]);
        if let Some(other) = homes.iter().find(|home| held(home) != first) {
            return Err(format!("{} and {other} hold different siblings of {key}", homes[0]));
        }
    }
    Ok(())
}
