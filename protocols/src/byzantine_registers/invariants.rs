//! What servers hold, watched from outside while a run goes on.
//!
//! Byzantine servers run the protocol as they should inside, so what each holds is true; that they
//! have stored something they may say when they have not.

use super::{Kind, Server, Tag};
use crate::kv::Text;
use seedfall_sim::{Monitor, NodeId, SortedMap, Violation};

/// Watches the servers of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// What was written under each tag.
    values: SortedMap<(Text, Tag), Text>,
    /// The newest that each server was seen to hold.
    held: SortedMap<(NodeId, Text), Tag>,
    /// What was seen to be returned by the last read of each server.
    returned: SortedMap<(NodeId, Text), Tag>,
    /// The highest counter of each writer that anybody was seen to hold, by key.
    chosen: SortedMap<(NodeId, Text), u64>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

fn broken(property: &'static str, explanation: String) -> Result<(), Violation> {
    Err(Violation { property, explanation })
}

impl Monitor<Server> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Server) -> Result<(), Violation> {
        for (key, copy) in state.held() {
            let written = copy.written();
            let before = self.held.insert((node, key.clone()), written.tag);
            if before == Some(written.tag) {
                continue;
            }
            if before.is_some_and(|before| written.tag < before) {
                let explanation = format!("{node} held {before:?} under {key}, and now less");
                return broken("Durability", explanation);
            }
            let counter = self.chosen.entry((written.tag.writer, key.clone())).or_default();
            *counter = written.tag.counter.max(*counter);
            let place = (key.clone(), written.tag);
            let first = self.values.entry(place).or_insert_with(|| written.value.clone());
            if *first != written.value {
                let explanation = format!("{node} holds {written:?}, which is {first} elsewhere");
                return broken("One value a tag", explanation);
            }
        }
        for ((_, key), counter) in self.chosen.iter().filter(|((writer, _), _)| *writer == node) {
            let chosen = state.chosen.get(key).copied().unwrap_or(0);
            if chosen < *counter {
                let explanation = format!(
                    "{node} has written {key} under {counter}, and remembers {chosen} at the most"
                );
                return broken("Chosen once", explanation);
            }
        }
        // What is held is never dropped.
        let lost =
            self.held.keys().find(|(of, key)| *of == node && !state.held().contains_key(key));
        if let Some((_, key)) = lost {
            return broken("Durability", format!("{node} holds {key} no more"));
        }
        match state.config.kind {
            Kind::Dissemination => self.check_reads(node, state),
            Kind::Masking => Ok(()),
        }
    }
}

impl Invariants {
    /// What a read has returned is held by a quorum, where only liars may be missing: so no later
    /// read finds less.
    fn check_reads(&mut self, node: NodeId, state: &Server) -> Result<(), Violation> {
        for (key, tag) in state.returned() {
            let place = (node, key.clone());
            if self.returned.insert(place, *tag) == Some(*tag) {
                continue;
            }
            let of_key = self.held.iter().filter(|((_, of), held)| of == key && tag <= *held);
            let (holders, enough) = (of_key.count(), state.quorum() - state.config.faulty);
            if holders < enough {
                let explanation = format!(
                    "{node} has answered a read of {key} with {tag:?}, which {holders} servers \
                     hold, and not {enough}"
                );
                return broken("Written back", explanation);
            }
        }
        Ok(())
    }
}
