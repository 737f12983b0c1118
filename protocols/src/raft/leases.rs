//! What a lease promises, and what it rests on (dissertation 6.4.1 and 4.2.3), watched from outside
//! while a run goes on.
//!
//! - *Leader Lease*: as long as a leader has a lease, nobody leads a later term.
//! - *Sticky Vote*: nobody votes in a later term, for others or for itself, within the shortest
//!   election timeout of hearing a leader, crash or no crash. Only a leader itself can allow it, by
//!   letting another be elected at once (3.10).

use super::Raft;
use super::log::Term;
use crate::reigns::{Reign, Reigns};
use seedfall_sim::{Monitor, NodeId, Time, Violation};

/// Watches the leases of one run.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    reigns: Reigns<Term>,
    votes: Vec<Seen>,
    /// Whether votes are asked about.
    is_sticky: bool,
}

/// A server as it was seen last.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    vote: (Term, Option<NodeId>),
    /// When it heard a leader last, by its own clock, and of which term.
    heard: Option<(Term, Time)>,
}

/// A watcher of leases that has seen nothing yet.
pub fn leases() -> Leases {
    Leases { is_sticky: true, ..Leases::default() }
}

/// The same for runs in which leaders hand over, and which know of no *Sticky Vote*: who votes at
/// the wish of a leader that crashed as it sent that looks like one who broke its promise.
pub fn leases_beside_transfers() -> Leases {
    Leases::default()
}

impl Monitor<Raft> for Leases {
    /// Where there is no time there are no leases.
    fn observe(&mut self, _: NodeId, _: &Raft) -> Result<(), Violation> {
        Ok(())
    }

    fn observe_at(
        &mut self,
        node: NodeId,
        state: &Raft,
        clocks: &dyn Fn(NodeId) -> Time,
    ) -> Result<(), Violation> {
        let reign = Reign { number: state.term(), until: state.lease() };
        let seen = self.reigns.see(node, state.is_leader().then_some(reign), clocks);
        seen.map_err(|explanation| Violation { property: "Leader Lease", explanation })?;
        self.vote(node, state, clocks)
    }
}

impl Leases {
    /// Sticky Vote.
    fn vote(
        &mut self,
        node: NodeId,
        state: &Raft,
        clocks: &dyn Fn(NodeId) -> Time,
    ) -> Result<(), Violation> {
        if self.votes.len() <= node.index() {
            self.votes.resize(node.index() + 1, Seen::default());
        }
        let seen = &mut self.votes[node.index()];
        let vote = (state.term(), state.voted_for());
        let is_new = std::mem::replace(&mut seen.vote, vote) != vote && vote.1.is_some();
        let before = seen.heard;
        if state.leader.is_some() {
            seen.heard = state.heard.map(|heard| (state.term(), heard));
        }
        let Some((term, heard)) = before.filter(|_| is_new && self.is_sticky) else {
            return Ok(());
        };
        let now = clocks(node);
        if term < vote.0 && now.since(heard) < state.config.election_timeout_min {
            let whom = vote.1.expect("it is a new vote");
            let explanation = format!(
                "{node} heard the leader of {term} at {heard}, and votes in {} for {whom} at {now}",
                vote.0
            );
            return Err(Violation { property: "Sticky Vote", explanation });
        }
        Ok(())
    }
}
