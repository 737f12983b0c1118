//! S2 and S3 of ABD, watched from outside while a run goes on.
//!
//! S3 compares a node with itself, also across a crash: a handler syncs what it appends, so what a
//! node was seen to hold after one is durable.

use super::{Abd, Tag, Tagged};
use crate::kv::Text;
use seedfall_sim::{Monitor, NodeId, SortedMap, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    /// What each node was last seen to hold.
    held: Vec<SortedMap<Text, Tagged>>,
    /// What was seen under each tag, and on which node first.
    values: SortedMap<(Text, Tag), (Option<Text>, NodeId)>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Abd> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Abd) -> Result<(), Violation> {
        if self.held.len() <= node.index() {
            self.held.resize_with(node.index() + 1, SortedMap::new);
        }
        let seen = &mut self.held[node.index()];
        if *seen == state.durable.registers {
            return Ok(());
        }
        for (key, before) in seen.iter() {
            let now = state.held(key);
            if now.tag < before.tag {
                let explanation = format!("{node} held {before:?} under {key}, and now {now:?}");
                return Err(Violation { property: "Durability", explanation });
            }
        }
        for (key, now) in state.registers() {
            if seen.get(key) == Some(now) {
                continue;
            }
            seen.insert(key.clone(), now.clone());
            let first = self.values.entry((key.clone(), now.tag));
            let (value, by) = first.or_insert_with(|| (now.value.clone(), node));
            if *value != now.value {
                let explanation =
                    format!("{by} holds {value:?} under {:?} of {key}, {node} {now:?}", now.tag);
                return Err(Violation { property: "One value a tag", explanation });
            }
        }
        Ok(())
    }
}
