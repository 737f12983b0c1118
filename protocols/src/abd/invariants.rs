//! S2 and S3 of ABD, watched from outside while a run goes on; and what S1 rests on:
//! - *Known to be Stored*: whoever a coordinator has heard of in phase 2 holds what it stores, or
//!   something newer, crash or no crash (*communicate*: a majority has acknowledged);
//! - *One tag a write*: a proxy gives a write one tag, and none to a write of before the latest of
//!   its client.
//!
//! S3 compares a node with itself, also across a crash: a handler syncs what it appends, so what a
//! node was seen to hold after one is durable.

use super::coordinator::Phase;
use super::{Abd, Tag, Tagged};
use crate::kv::Text;
use seedfall_sim::{ClientId, Monitor, NodeId, SortedMap, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    /// What each node was last seen to hold.
    held: Vec<SortedMap<Text, Tagged>>,
    /// What was seen under each tag, and on which node first.
    values: SortedMap<(Text, Tag), (Option<Text>, NodeId)>,
    /// The latest write of each client, at its proxy.
    writes: Vec<SortedMap<ClientId, (u32, Tag)>>,
    /// How many answers the operations at each node have counted in phase 2.
    heard: Vec<usize>,
    /// What was counted, by the node that is said to hold it, and who counts it: what that was not
    /// seen to hold yet.
    claims: Vec<(NodeId, Text, Tag, NodeId)>,
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
        self.observe_registers(node, state)?;
        self.observe_counted(node, state)
    }
}

impl Invariants {
    /// Whoever was counted holds it. One that was not seen to may have crashed as it answered: it
    /// shows when it is up again.
    fn observe_counted(&mut self, node: NodeId, state: &Abd) -> Result<(), Violation> {
        for (_, key, tag, by) in self.claims.extract_if(.., |(holder, ..)| *holder == node) {
            let held = state.held(&key);
            if held.tag < tag {
                let explanation =
                    format!("{by} counts {node} for {tag:?} under {key}, and it holds {held:?}");
                return Err(Violation { property: "Known to be Stored", explanation });
            }
        }
        if self.heard.len() <= node.index() {
            self.heard.resize(node.index() + 1, 0);
        }
        let stores = || state.operations.values().filter(|one| one.phase == Phase::Store);
        let heard = stores().map(|one| one.heard.len()).sum();
        if std::mem::replace(&mut self.heard[node.index()], heard) == heard {
            return Ok(());
        }
        for one in stores() {
            for holder in &one.heard {
                let held = self.held.get(holder.index()).and_then(|held| held.get(&one.key));
                if held.is_none_or(|held| held.tag < one.tagged.tag) {
                    self.claims.push((*holder, one.key.clone(), one.tagged.tag, node));
                }
            }
        }
        Ok(())
    }

    fn observe_registers(&mut self, node: NodeId, state: &Abd) -> Result<(), Violation> {
        if self.held[node.index()] == state.durable.registers {
            return Ok(());
        }
        self.writes.resize_with(self.held.len(), SortedMap::new);
        for (client, write) in &state.durable.writes {
            let (number, tag) = (write.number, write.tagged.tag);
            let last = self.writes[node.index()].insert(*client, (number, tag));
            one_tag(node, *client, last, (number, tag))?;
        }
        let seen = &mut self.held[node.index()];
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

/// A later look at a client's latest write may show a later one, or the same with the same tag.
fn one_tag(
    node: NodeId,
    client: ClientId,
    last: Option<(u32, Tag)>,
    (number, tag): (u32, Tag),
) -> Result<(), Violation> {
    let explanation = match last {
        Some((before, _)) if number < before => {
            format!("{node} gives {tag:?} to write {number} of {client}, which is at {before}")
        }
        Some((before, first)) if number == before && tag != first => {
            format!("{node} gave {first:?} to write {number} of {client}, and now {tag:?}")
        }
        _ => return Ok(()),
    };
    Err(Violation { property: "One tag a write", explanation })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_has_one_tag_and_the_latest_is_the_latest() {
        let (node, client) = (NodeId::new(0), ClientId::new(0));
        let tag = |counter| Tag { counter, writer: node };
        let last = Some((4, tag(2)));
        let now = |number, counter| one_tag(node, client, last, (number, tag(counter))).is_ok();
        assert!(now(4, 2) && now(5, 3));
        assert!(!now(4, 3), "a second tag");
        assert!(!now(3, 3), "a write of before");
        assert!(one_tag(node, client, None, (1, tag(1))).is_ok());
    }
}
