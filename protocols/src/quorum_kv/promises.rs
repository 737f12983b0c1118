//! What was said, watched.
//!
//! *Durability*: whatever a node does is in its journal before anything is said of it. So after a
//! crash it has done no less, its epoch is no lower, and it gives no dot twice.
//!
//! *Session*: in one life, what a client asked for before its latest operation is not begun again:
//! a late copy of an old put would replace what its client has put since.
//!
//! *Known to be Stored*: what an acknowledged put rests on. A home that a coordinator
//! counts has the version, or what replaces it, crash or no crash; and no home is counted twice
//! (Dynamo, 4.5: `W` *nodes* have written it).
//!
//! S3, the theorem that rests on it, breaks only if a get asks those homes alone that lack the
//! version. What a home was never seen to hold is looked for when that home is seen next: it may
//! have crashed as it answered. That it keeps what it was seen to hold, [`super::invariants`] says.

use super::coordinator::Operation;
use super::replica::Durable;
use super::{Dot, QuorumKv, VersionVector};
use crate::kv::Text;
use seedfall_sim::{ClientId, Monitor, NodeId, SortedMap, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    /// Each node as it was seen last, maybe before a crash.
    seen: Vec<Option<Seen>>,
    /// What each node was ever seen to hold or to replace.
    held: Vec<SortedMap<Text, VersionVector>>,
    /// The latest operation of each client at each node, in which life.
    sessions: Vec<(u32, SortedMap<ClientId, u32>)>,
    /// How many answers were counted, by the puts under way at each node.
    counted: Vec<usize>,
    /// What coordinators have counted, by home.
    claims: Vec<Vec<Claim>>,
}

/// What of a node only grows.
#[derive(Clone, Debug, Default)]
struct Seen {
    changes: u64,
    epoch: u64,
    counters: SortedMap<Text, u64>,
}

/// A coordinator counts a home for a put.
#[derive(Clone, Debug)]
struct Claim {
    coordinator: NodeId,
    key: Text,
    dot: Dot,
}

/// A watcher that has seen nothing yet.
pub fn promises() -> Promises {
    Promises::default()
}

impl Monitor<QuorumKv> for Promises {
    fn observe(&mut self, node: NodeId, state: &QuorumKv) -> Result<(), Violation> {
        if self.seen.is_empty() {
            self.seen.resize(state.nodes, None);
            self.held.resize_with(state.nodes, SortedMap::new);
            self.counted.resize(state.nodes, 0);
            self.sessions.resize_with(state.nodes, Default::default);
            self.claims.resize_with(state.nodes, Vec::new);
        }
        let seen = &mut self.seen[node.index()];
        let now = |seen: &Seen| (seen.changes, seen.epoch) == (state.changes(), state.epoch());
        if !seen.as_ref().is_some_and(now) {
            let Durable { changes, epoch, counters, .. } = &state.durable;
            let now = Seen { changes: *changes, epoch: *epoch, counters: counters.clone() };
            seen.get_or_insert_default().grows(node, &now)?;
            *seen = Some(now);
            for (key, versions) in state.store() {
                let held = self.held[node.index()].entry(key.clone()).or_default();
                held.join(&versions.context());
            }
        }
        self.observe_sessions(node, state)?;
        for claim in std::mem::take(&mut self.claims[node.index()]) {
            claim.is_true(node, &self.held[node.index()], state)?;
        }
        let puts = || state.operations.values().filter_map(Operation::counted);
        let counted = puts().map(|(_, _, homes)| homes.len()).sum();
        if std::mem::replace(&mut self.counted[node.index()], counted) == counted {
            return Ok(());
        }
        for (key, dot, homes) in puts() {
            counts_once(node, dot, homes)?;
            for home in homes {
                let held = self.held[home.index()].get(key);
                if !held.is_some_and(|held| held.contains(dot)) {
                    let claim = Claim { coordinator: node, key: key.clone(), dot };
                    self.claims[home.index()].push(claim);
                }
            }
        }
        Ok(())
    }
}

impl Promises {
    fn observe_sessions(&mut self, node: NodeId, state: &QuorumKv) -> Result<(), Violation> {
        let (life, known) = &mut self.sessions[node.index()];
        if *life != state.durable.life {
            (*life, *known) = (state.durable.life, SortedMap::new());
        }
        let mut at = 0;
        for (client, session) in &state.sessions {
            let Some(number) = session.latest() else { continue };
            let last = known.entry_in_step(*client, &mut at).or_insert(number);
            if number < *last {
                let explanation = format!(
                    "{node} begins operation {number} of {client}, which was at {last} already"
                );
                return Err(Violation { property: "Session", explanation });
            }
            *last = number;
        }
        Ok(())
    }
}

impl Seen {
    fn grows(&self, node: NodeId, now: &Self) -> Result<(), Violation> {
        let explanation = if now.changes < self.changes {
            format!("{node} had changed {} times, and is back with {}", self.changes, now.changes)
        } else if now.epoch < self.epoch {
            format!("{node} was in epoch {}, and is in {}", self.epoch, now.epoch)
        } else {
            let lower = |(key, before): &(&Text, &u64)| now.counters.get(*key) < Some(*before);
            let Some((key, before)) = self.counters.iter().find(lower) else { return Ok(()) };
            format!(
                "{node} had named {before} versions of {key}, and goes back: {:?}",
                now.counters
            )
        };
        Err(Violation { property: "Durability", explanation })
    }
}

impl Claim {
    fn is_true(
        &self,
        node: NodeId,
        held: &SortedMap<Text, VersionVector>,
        state: &QuorumKv,
    ) -> Result<(), Violation> {
        let Self { coordinator, key, dot } = self;
        if held.get(key).is_some_and(|held| held.contains(*dot)) {
            return Ok(());
        }
        let held = state.siblings(key);
        let explanation =
            format!("{coordinator} counts {node} for {dot:?} under {key}, and it holds {held:?}");
        Err(Violation { property: "Known to be Stored", explanation })
    }
}

fn counts_once(node: NodeId, dot: Dot, homes: &[NodeId]) -> Result<(), Violation> {
    let twice = homes.iter().enumerate().find(|(place, home)| homes[..*place].contains(home));
    match twice {
        None => Ok(()),
        Some((_, home)) => {
            let explanation = format!("{node} counts {home} twice for {dot:?}: {homes:?}");
            Err(Violation { property: "Known to be Stored", explanation })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_has_done_stays_done() {
        let seen = |changes, epoch, named| Seen {
            changes,
            epoch,
            counters: [(Text::from("k"), named)].into_iter().collect(),
        };
        let grows = |now: &Seen| seen(4, 2, 3).grows(NodeId::new(0), now).is_ok();
        assert!(grows(&seen(4, 2, 3)) && grows(&seen(5, 3, 4)));
        assert!(!grows(&seen(3, 2, 3)), "a change is lost");
        assert!(!grows(&seen(4, 1, 3)), "an epoch is lost");
        assert!(!grows(&seen(5, 2, 2)), "a name would be given twice");
    }

    #[test]
    fn a_home_counts_once() {
        let [one, two] = [0, 1].map(NodeId::new);
        let dot = Dot { node: one, counter: 1 };
        assert!(counts_once(one, dot, &[one, two]).is_ok());
        assert!(counts_once(one, dot, &[one, two, two]).is_err());
    }
}
