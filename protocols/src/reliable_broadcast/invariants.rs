//! Lemma 1, what follows from it, and what each step rests on, watched from outside while a run
//! goes on.
//!
//! Traitors run the protocol as they should inside, so what every node knows is true.

use super::{Instance, Name, Node};
use crate::kv::Text;
use seedfall_sim::{Monitor, NodeId, SortedMap, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    ready: SortedMap<Name, (Text, NodeId)>,
    delivered: SortedMap<Name, (Text, NodeId)>,
    /// What the sender meant, and whether it has told anybody something else.
    meant: SortedMap<Name, (Text, bool)>,
    /// What was looked at of each node's broadcasts: told, ready, delivered.
    seen: SortedMap<NodeId, SortedMap<Name, [bool; 3]>>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Node> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Node) -> Result<(), Violation> {
        let (all_seen, mut at) = (self.seen.entry(node).or_default(), 0);
        for (name, one) in state.instances() {
            let now = [one.initial.is_some(), one.ready.is_some(), one.delivered.is_some()];
            let seen = all_seen.entry_in_step(*name, &mut at).or_default();
            if *seen == now {
                continue;
            }
            *seen = now;
            check_grounds(*name, one, node, state.config.faulty)?;
            if let Some(text) = state.broadcast(name.number).filter(|_| name.sender == node) {
                self.meant.entry(*name).or_insert_with(|| (text.clone(), false));
            }
            if let (Some(meant), Some(told)) = (self.meant.get_mut(name), &one.initial) {
                meant.1 |= meant.0 != *told;
            }
            if let Some(text) = &one.ready {
                agree("Ready", &mut self.ready, *name, text, node)?;
            }
            let Some(text) = &one.delivered else { continue };
            agree("Consistency", &mut self.delivered, *name, text, node)?;
            check_integrity(&self.meant, *name, text, node)?;
        }
        Ok(())
    }
}

/// Figure 1, steps 2 and 3. (Of `n > 3f`, more than `(n + f) / 2` are at least `2f + 1`.)
fn check_grounds(name: Name, one: &Instance, node: NodeId, f: usize) -> Result<(), Violation> {
    let count = |heard: &SortedMap<NodeId, Text>, text: &Text| {
        heard.iter().filter(|(from, other)| **from != node && *other == text).count()
    };
    let broken = |what: &str, text: &Text| {
        let explanation = format!("{node} {what} {text} of {name:?} too early: {one:?}");
        Err(Violation { property: "Grounds", explanation })
    };
    if let Some(text) = &one.ready
        && count(&one.echoes, text) + usize::from(one.initial.as_ref() == Some(text)) <= 2 * f
        && count(&one.readies, text) <= f
    {
        return broken("is ready for", text);
    }
    match &one.delivered {
        Some(text) if count(&one.readies, text) < 2 * f => broken("delivered", text),
        _ => Ok(()),
    }
}

/// A sender that has told nobody anything else may still have told somebody nothing, or the same
/// too late: what is delivered is its text all the same.
fn check_integrity(
    meant: &SortedMap<Name, (Text, bool)>,
    name: Name,
    text: &Text,
    node: NodeId,
) -> Result<(), Violation> {
    match meant.get(&name) {
        Some((meant, false)) if meant != text => Err(Violation {
            property: "Integrity",
            explanation: format!("{node} delivered {text} of {name:?}, which is {meant}"),
        }),
        _ => Ok(()),
    }
}

fn agree(
    property: &'static str,
    all: &mut SortedMap<Name, (Text, NodeId)>,
    name: Name,
    text: &Text,
    node: NodeId,
) -> Result<(), Violation> {
    let (first, by) = all.entry(name).or_insert_with(|| (text.clone(), node));
    if first == text {
        return Ok(());
    }
    let explanation = format!("of {name:?} {by} has {first:?}, {node} {text:?}");
    Err(Violation { property, explanation })
}
