//! P1 to P5 of primary-backup replication, watched from outside while a run goes on.

use super::replica::Replica;
use super::{Entry, Epoch, Node, Truncation};
use crate::machine::{Committed, Update};
use seedfall_sim::{Monitor, NodeId, RequestId, SortedMap, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// What was appended at each place, in each epoch.
    appended: SortedMap<(usize, Epoch), Update>,
    committed: Committed<Entry>,
    /// For each entry that is committed, in order, the earliest epoch in which it was seen so.
    epochs: Vec<Epoch>,
    /// What was last looked at of each node: its epoch, how much it has, the epoch of the last, and
    /// how much of that is committed.
    seen: Vec<(Epoch, usize, Epoch, usize)>,
    /// The log of each epoch: what its primary has, and what backups have of it.
    logs: SortedMap<Epoch, Vec<(Epoch, RequestId)>>,
    /// The newest epoch in which each node was seen in line with that, and how far.
    in_line: Vec<(Epoch, usize)>,
    /// How much the primary of each epoch has counted each node to have.
    counted: SortedMap<(Epoch, NodeId), usize>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Node> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Node) -> Result<(), Violation> {
        let Some(replica) = state.replica() else { return Ok(()) };
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, Default::default());
            self.in_line.resize(node.index() + 1, Default::default());
        }
        if replica.config().truncation == Truncation::Epoch {
            self.in_line(node, replica)?;
        }
        let (log, epoch) = (replica.log(), replica.view().epoch);
        let last = log.last().map_or(0, |entry| entry.epoch);
        let now = (epoch, log.len(), last, replica.committed().len());
        let seen = std::mem::replace(&mut self.seen[node.index()], now);
        if seen == now {
            return Ok(());
        }
        if epoch < seen.0 {
            let why = format!("{node} was in epoch {}, and is in {epoch}", seen.0);
            return Err(broken("P5: epochs only rise", why));
        }
        let is_longer = seen.0 == now.0 && seen.1 <= now.1;
        let first = if is_longer { seen.1 } else { 0 };
        for (place, entry) in log.iter().enumerate().skip(first) {
            let update = entry.update.clone();
            let other = self.appended.entry((place, entry.epoch)).or_insert(update);
            if *other != entry.update {
                let why = format!("at place {place}, {node} has {entry:?}, not {other:?}");
                return Err(broken("P1: one log an epoch", why));
            }
        }
        let committed = replica.committed();
        self.committed.observe(node, committed).map_err(|why| broken("P2: agreement", why))?;
        self.epochs.resize(self.committed.all.len(), epoch);
        let later = |one: &&mut Epoch| epoch < **one;
        self.epochs[..now.3].iter_mut().rev().take_while(later).for_each(|one| *one = epoch);
        if !replica.is_primary() || seen.0 == now.0 {
            return Ok(());
        }
        // A primary of an epoch that is over owes nothing to later ones.
        let until = self.epochs.partition_point(|one| *one < epoch);
        let mut places = self.committed.all[..until].iter().enumerate();
        match places.find(|(place, entry)| log.get(*place) != Some(entry)) {
            Some((place, entry)) => {
                let why = format!(
                    "{node} leads epoch {epoch} without {entry:?}, which is committed at {place}"
                );
                Err(broken("P3: durability", why))
            }
            None => Ok(()),
        }
    }
}

impl Invariants {
    /// KIP-101: once a backup has cut its log, it and the primary of its epoch have one log, and it
    /// keeps what the primary counts on.
    fn in_line(&mut self, node: NodeId, replica: &Replica) -> Result<(), Violation> {
        let (log, epoch) = (replica.log(), replica.view().epoch);
        for (other, count) in replica.counts() {
            let counted = self.counted.entry((epoch, other)).or_default();
            *counted = count.max(*counted);
        }
        let counted = self.counted.get(&(epoch, node)).copied().unwrap_or_default();
        if log.len() < counted {
            let why = format!("{node} has {} entries in epoch {epoch}", log.len());
            return Err(broken("P4: in line", format!("{why}, and was counted with {counted}")));
        }
        if !replica.is_aligned() {
            return Ok(());
        }
        let now = (epoch, log.len());
        let before = std::mem::replace(&mut self.in_line[node.index()], now);
        if before == now {
            return Ok(());
        }
        let first = if before.0 == epoch && before.1 <= now.1 { before.1 } else { 0 };
        let all = self.logs.entry(epoch).or_default();
        for (place, entry) in log.iter().enumerate().skip(first) {
            let name = (entry.epoch, entry.update.request);
            match all.get(place) {
                None => all.push(name),
                Some(other) if *other == name => {}
                Some(other) => {
                    let why = format!("at place {place} in epoch {epoch}, {node} has {name:?}");
                    return Err(broken("P4: in line", format!("{why}, and another {other:?}")));
                }
            }
        }
        Ok(())
    }
}

fn broken(property: &'static str, explanation: String) -> Violation {
    Violation { property, explanation }
}
