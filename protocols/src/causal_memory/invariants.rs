//! CB2, CB3 and CB5 of causal broadcast, watched from outside while a run goes on.
//!
//! What a write depends on is taken from what its writer had applied, as was seen, and not from the
//! clock that it carries.

use super::{Clock, Memory, Write};
use seedfall_sim::{Monitor, NodeId, SortedMap, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    /// How much of what each node has applied was seen, and how many writes of each that was.
    seen: Vec<(usize, Clock)>,
    /// For each write whose writer was seen to make it: what the writer had applied before.
    causes: SortedMap<(NodeId, u32), Clock>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Memory> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Memory) -> Result<(), Violation> {
        let nodes = state.clock().len();
        self.seen.resize_with(self.seen.len().max(nodes), || (0, vec![0; nodes]));
        let seen = self.seen[node.index()].0;
        if state.applied().len() < seen {
            let explanation = format!("{node} had applied {seen} writes, and now fewer");
            return Err(Violation { property: "CB4: what is applied stays", explanation });
        }
        for write in &state.applied()[seen..] {
            self.on_applied(node, write)?;
        }
        Ok(())
    }
}

impl Invariants {
    fn on_applied(&mut self, node: NodeId, write: &Write) -> Result<(), Violation> {
        let broken = |property, explanation| Err(Violation { property, explanation });
        let (seen, counts) = &mut self.seen[node.index()];
        *seen += 1;
        let name = (write.writer, write.number);
        if node == write.writer {
            self.causes.insert(name, counts.clone());
        }
        let before = counts[write.writer.index()];
        if write.number <= before {
            return broken("CB2: no duplication", format!("{node} has applied {write:?} twice"));
        }
        if before + 1 < write.number {
            return broken(
                "CB3: no gap",
                format!(
                    "{node} has applied {write:?}, and {before} writes of {} before",
                    write.writer
                ),
            );
        }
        if let Some(causes) = self.causes.get(&name)
            && let Some(missing) = causes.iter().zip(&*counts).position(|(needs, has)| has < needs)
        {
            let other = NodeId::new(missing as u16);
            return broken(
                "CB5: causal delivery",
                format!(
                    "{node} has applied {write:?}, and {} writes of {other}; {} had applied {}",
                    counts[missing], write.writer, causes[missing]
                ),
            );
        }
        counts[write.writer.index()] = write.number;
        Ok(())
    }
}
