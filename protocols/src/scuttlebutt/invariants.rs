//! What a node knows only grows, and is true; watched from outside while a run goes on.

use super::{Entry, Extent, Node, Version};
use crate::kv::Text;
use seedfall_sim::{Monitor, NodeId, SortedMap, Violation};
use std::ops::Bound::{Excluded, Included};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// What each origin said of a key, by version.
    said: SortedMap<NodeId, SortedMap<Text, SortedMap<Version, Option<Text>>>>,
    /// How much each node was seen to know of each origin, in its present life.
    extents: SortedMap<NodeId, SortedMap<NodeId, Extent>>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Node> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Node) -> Result<(), Violation> {
        let (extents, mut at) = (self.extents.entry(node).or_default(), 0);
        if state.is_new() {
            extents.clear();
        }
        for (origin, known) in state.known() {
            let extent = Extent { forgotten: known.forgotten, latest: known.latest };
            let seen = extents.entry_in_step(*origin, &mut at).or_default();
            let before = std::mem::replace(seen, extent);
            if before == extent && *origin != node {
                continue;
            }
            if extent.latest < before.latest || extent.forgotten < before.forgotten {
                let explanation = format!("{node} knew {before:?} of {origin}, and now {extent:?}");
                return Err(Violation { property: "Monotonic", explanation });
            }
            let (all_said, mut at) = (self.said.entry(*origin).or_default(), 0);
            for (key, entry) in &known.entries {
                let said = all_said.entry_in_step(key.clone(), &mut at).or_default();
                if *origin == node {
                    said.entry(entry.version).or_insert_with(|| entry.value.clone());
                }
                check(node, *origin, (key, entry), (said, known.latest))?;
            }
        }
        Ok(())
    }
}

/// What a node knows of a key is what its origin said, and the last of what it said up to the
/// version that the node knows.
fn check(
    node: NodeId,
    origin: NodeId,
    (key, entry): (&Text, &Entry),
    (said, latest): (&SortedMap<Version, Option<Text>>, Version),
) -> Result<(), Violation> {
    let broken = |property, explanation| Err(Violation { property, explanation });
    if said.get(&entry.version) != Some(&entry.value) {
        return broken("Truth", format!("{node} has {entry:?} of {key} of {origin}, never said"));
    }
    match said.range((Excluded(entry.version), Included(latest))).next_back() {
        Some((version, None)) if entry.value.is_some() => broken(
            "Resurrection",
            format!("{node} shows {key} of {origin}, {entry:?}, deleted in version {version}"),
        ),
        _ => Ok(()),
    }
}
