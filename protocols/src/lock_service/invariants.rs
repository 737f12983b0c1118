//! What workers held and the resource let through, collected while a run goes on; a rule of fencing
//! judges it, which is the caller's.

use super::{Held, Node};
use seedfall_sim::{Monitor, NodeId, SortedMap, SortedSet, Time, Violation};

/// Judges all grants, by worker and token, and all accesses to the resource, in its order: what is
/// broken, and how.
pub type Judge = fn(
    &SortedMap<(NodeId, u64), Held>,
    &[(NodeId, u64, bool)],
) -> Result<(), (&'static str, String)>;

/// Watches the nodes of one run.
#[derive(Clone, Debug)]
pub struct Invariants {
    judge: Judge,
    grants: SortedMap<(NodeId, u64), Held>,
    accesses: Vec<(NodeId, u64, bool)>,
    /// What the server lent to a worker that was not seen with it: one that crashes in the handler
    /// in which it hears of a grant, and uses it, never is.
    unseen: SortedSet<(NodeId, u64)>,
    /// How many accesses of the resource's present life were looked at.
    seen: usize,
    /// To whom each token was given.
    owners: SortedMap<u64, NodeId>,
    /// Until when the server waits for leases of a life before.
    waits: Option<Time>,
    /// The greatest token under which a worker was told what it writes back.
    told: u64,
}

/// A watcher that has seen nothing yet.
pub fn invariants(judge: Judge) -> Invariants {
    let (grants, accesses, unseen, owners, waits) = Default::default();
    Invariants { judge, grants, accesses, unseen, seen: 0, owners, waits, told: 0 }
}

impl Monitor<Node> for Invariants {
    fn observe_at(
        &mut self,
        node: NodeId,
        state: &Node,
        clocks: &dyn Fn(NodeId) -> Time,
    ) -> Result<(), Violation> {
        self.waits(node, state, clocks(node))?;
        self.observe(node, state)
    }

    fn observe(&mut self, node: NodeId, state: &Node) -> Result<(), Violation> {
        match state {
            Node::Server(server) => {
                if let Some((worker, token)) = server.lent() {
                    self.own(token, worker)?;
                }
                let grants = &self.grants;
                self.unseen.extend(server.lent().filter(|lent| !grants.contains_key(lent)));
                return Ok(());
            }
            Node::Resource(resource) => {
                let greatest = resource.seen().token;
                if greatest < self.told {
                    let told = self.told;
                    let explanation = format!(
                        "the resource let token {told} read, and now refuses those below \
                         {greatest} alone"
                    );
                    return Err(Violation { property: "fence", explanation });
                }
                let all = resource.accesses();
                if all.len() < self.seen {
                    self.seen = 0; // It crashed, and counts anew.
                }
                if all.len() == self.seen {
                    return Ok(());
                }
                self.accesses.extend(&all[self.seen..]);
                self.seen = all.len();
            }
            Node::Worker(worker) => {
                if let Some(stamp) = worker.was_told() {
                    self.told = self.told.max(stamp.token);
                }
                let (touched, until) = worker.touched();
                if worker.holds() && until <= touched {
                    let explanation = format!(
                        "{node} touched the resource when its clock showed {touched}, and held the \
                         lock until {until}"
                    );
                    return Err(Violation { property: "in-time", explanation });
                }
                for held in worker.grants().iter().rev().take(2) {
                    self.own(held.token, node)?;
                }
                // A new grant may have ended the one before.
                let mut is_new = false;
                for held in worker.grants().iter().rev().take(2) {
                    is_new |= self.grants.insert((node, held.token), *held) != Some(*held);
                    self.unseen.remove(&(node, held.token));
                }
                if !is_new {
                    return Ok(());
                }
            }
        }
        let judged = match self.unseen.is_empty() {
            true => (self.judge)(&self.grants, &self.accesses),
            false => {
                let is_seen = |(node, token, _): &&(NodeId, u64, bool)| {
                    !self.unseen.contains(&(*node, *token))
                };
                let accesses: Vec<_> = self.accesses.iter().filter(is_seen).copied().collect();
                (self.judge)(&self.grants, &accesses)
            }
        };
        judged.map_err(|(property, explanation)| Violation { property, explanation })
    }
}

impl Invariants {
    /// What the server may have lent before a crash it waits for: for a lease by the slowest clock
    /// of a worker, counted on the fastest of its own.
    fn waits(&mut self, node: NodeId, state: &Node, shows: Time) -> Result<(), Violation> {
        let Node::Server(server) = state else { return Ok(()) };
        let waits = server.grace();
        if std::mem::replace(&mut self.waits, waits) == waits {
            return Ok(());
        }
        let Some(until) = waits else { return Ok(()) };
        let least = server.lease_at_most();
        if until < shows + least {
            let explanation = format!(
                "when its clock shows {shows}, {node} waits until {until} for a lease that may \
                 last {least} by that clock"
            );
            return Err(Violation { property: "waits", explanation });
        }
        Ok(())
    }

    /// A token is given to one worker.
    fn own(&mut self, token: u64, worker: NodeId) -> Result<(), Violation> {
        let owner = *self.owners.entry(token).or_insert(worker);
        if owner == worker {
            return Ok(());
        }
        let explanation = format!("token {token} was given to {owner} and to {worker}");
        Err(Violation { property: "one-owner", explanation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_owner() {
        let mut watched = invariants(|_, _| Ok(()));
        let [one, two] = [2, 3].map(NodeId::new);
        watched.own(1, one).expect("the first");
        watched.own(1, one).expect("the same");
        watched.own(2, two).expect("another token");
        let broken = watched.own(1, two).expect_err("it is the first one's");
        assert_eq!(broken.property, "one-owner");
    }
}
