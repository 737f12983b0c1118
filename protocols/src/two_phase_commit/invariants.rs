//! AC1 to AC4 (7.3), watched from outside while a run goes on.
//!
//! A site shows its votes and decisions as participant, and as coordinator the latest request of
//! each client and what it still tells others. A site that is down shows nothing: what it had to
//! have done by then is looked for when it is up again, where a yes must have outlived the crash,
//! and a no need not have.

use super::{Decision, Life, Outcome, Reason, Session, Site, TransactionId, Vote};
use seedfall_sim::{Monitor, NodeId, SortedMap, SortedSet, Violation};

/// Watches the sites of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    sites: Vec<Seen>,
    transactions: SortedMap<TransactionId, Known>,
    /// Votes that a decision rests on and that were not seen.
    owed: Vec<Owed>,
    /// How many restarts were seen.
    restarts: u64,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

/// How much of a site was seen when it was looked at last, maybe before a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Seen {
    life: Life,
    votes: usize,
    decisions: usize,
    notices: usize,
    /// For each session, its transaction, and whether it is over.
    sessions: Vec<(TransactionId, bool)>,
}

/// What was seen of a transaction, anywhere.
#[derive(Clone, Debug, Hash)]
struct Known {
    /// How many restarts had been seen when it was seen first.
    restarts: u64,
    /// The first decision, and whose it was.
    decision: Option<(Decision, NodeId)>,
    /// Who voted what. One site may do both: refuse to execute in one life, execute and vote yes
    /// in the next.
    yes: SortedSet<NodeId>,
    no: SortedSet<NodeId>,
}

#[derive(Clone, Debug, Hash)]
struct Owed {
    transaction: TransactionId,
    /// Whose vote.
    voter: NodeId,
    vote: Vote,
}

impl Monitor<Site> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Site) -> Result<(), Violation> {
        if self.sites.len() <= node.index() {
            self.sites.resize_with(node.index() + 1, Seen::default);
        }
        let is_over = |session: &Session| session.outcome != Outcome::UnderWay;
        let sessions = state.sessions().map(|session| (session.transaction, is_over(session)));
        let seen = Seen {
            life: state.life(),
            votes: state.votes().count(),
            decisions: state.decisions().count(),
            notices: state.notices().count(),
            sessions: sessions.collect(),
        };
        if self.sites[node.index()] == seen && self.owed.is_empty() {
            return Ok(());
        }
        if self.sites[node.index()].life < seen.life {
            self.restarts += 1;
            self.observe_restart(node, state)?;
        }
        self.sites[node.index()] = seen;
        self.observe_participant(node, state)?;
        self.observe_coordinator(node, state)?;
        self.settle_owed(node)
    }
}

impl Invariants {
    /// A yes gives up the right to abort, for ever: AC3 would mean little if it could be forgotten.
    fn observe_restart(&mut self, node: NodeId, state: &Site) -> Result<(), Violation> {
        let yes = state.votes().filter(|(_, vote)| *vote == Vote::Yes);
        let kept: SortedSet<TransactionId> = yes.map(|(transaction, _)| transaction).collect();
        for (transaction, known) in &self.transactions {
            if known.yes.contains(&node) && !kept.contains(transaction) {
                return violated("AC3", format!("{node} voted yes on {transaction} and forgot it"));
            }
        }
        Ok(())
    }

    fn observe_participant(&mut self, node: NodeId, state: &Site) -> Result<(), Violation> {
        let mut at = 0;
        for (transaction, vote) in state.votes() {
            let known = self.known_in_step(transaction, &mut at);
            match vote {
                Vote::Yes => known.yes.insert(node),
                Vote::No => known.no.insert(node),
                Vote::ReadOnly => false,
            };
        }
        let mut at = 0;
        for (transaction, decision) in state.decisions() {
            self.known_in_step(transaction, &mut at).decided(node, transaction, decision)?;
        }
        Ok(())
    }

    fn observe_coordinator(&mut self, node: NodeId, state: &Site) -> Result<(), Violation> {
        for (transaction, decision) in state.notices() {
            self.decided(node, transaction, decision)?;
        }
        for session in state.sessions() {
            let transaction = session.transaction;
            match session.outcome {
                Outcome::UnderWay => drop(self.known(transaction)),
                Outcome::Committed(_) => {
                    self.decided(node, transaction, Decision::Commit)?;
                    for updater in &session.updaters {
                        self.rests_on(transaction, *updater, Vote::Yes);
                    }
                }
                Outcome::Aborted(reason) => {
                    self.decided(node, transaction, Decision::Abort)?;
                    if let Reason::Refused(voter) = reason {
                        self.rests_on(transaction, voter, Vote::No);
                    }
                }
            }
        }
        Ok(())
    }

    fn decided(
        &mut self,
        node: NodeId,
        transaction: TransactionId,
        decision: Decision,
    ) -> Result<(), Violation> {
        self.known(transaction).decided(node, transaction, decision)
    }

    /// The decision rests on a vote. If it was not seen, the voter has crashed, or has not voted;
    /// when it is looked at next, it will show which.
    fn rests_on(&mut self, transaction: TransactionId, voter: NodeId, vote: Vote) {
        let known = self.known(transaction);
        let owes = |owed: &Owed| owed.transaction == transaction && owed.voter == voter;
        if !known.has_voted(voter, vote) && !self.owed.iter().any(owes) {
            self.owed.push(Owed { transaction, voter, vote });
        }
    }

    /// AC3 of those that voted yes; AC4, which is about runs without failures, of those that voted
    /// no: a no need not outlive a crash.
    fn settle_owed(&mut self, node: NodeId) -> Result<(), Violation> {
        let Self { owed, transactions, restarts, .. } = self;
        for Owed { transaction, vote, .. } in owed.extract_if(.., |owed| owed.voter == node) {
            let known = &transactions[&transaction];
            if known.has_voted(node, vote) {
                continue;
            }
            match vote {
                Vote::No if known.restarts < *restarts => {}
                Vote::No => {
                    let explanation =
                        format!("{transaction} aborted for a no that {node} did not cast");
                    return violated("AC4", explanation);
                }
                Vote::Yes | Vote::ReadOnly => {
                    let explanation = format!("{transaction} committed without a yes of {node}");
                    return violated("AC3", explanation);
                }
            }
        }
        Ok(())
    }

    fn known(&mut self, transaction: TransactionId) -> &mut Known {
        self.transactions.entry(transaction).or_insert_with(|| Known::new(self.restarts))
    }

    /// As [`Invariants::known`], for one transaction after the other.
    fn known_in_step(&mut self, transaction: TransactionId, at: &mut usize) -> &mut Known {
        let known = self.transactions.entry_in_step(transaction, at);
        known.or_insert_with(|| Known::new(self.restarts))
    }
}

impl Known {
    fn new(restarts: u64) -> Self {
        Self { restarts, decision: None, yes: SortedSet::new(), no: SortedSet::new() }
    }

    /// AC1 and AC2: the first decision is the only one.
    fn decided(
        &mut self,
        node: NodeId,
        transaction: TransactionId,
        decision: Decision,
    ) -> Result<(), Violation> {
        let (first, by) = *self.decision.get_or_insert((decision, node));
        if first == decision {
            return Ok(());
        }
        let property = if by == node { "AC2" } else { "AC1" };
        violated(property, format!("{by} decided {first:?} of {transaction}, {node} {decision:?}"))
    }

    fn has_voted(&self, voter: NodeId, vote: Vote) -> bool {
        match vote {
            Vote::Yes => self.yes.contains(&voter),
            Vote::No => self.no.contains(&voter),
            Vote::ReadOnly => true,
        }
    }
}

#[cold]
fn violated(property: &'static str, explanation: String) -> Result<(), Violation> {
    Err(Violation { property, explanation })
}

#[cfg(test)]
mod tests {
    use super::*;

    const N1: NodeId = NodeId::new(0);
    const N2: NodeId = NodeId::new(1);
    const TRANSACTION: TransactionId = TransactionId { number: 1, life: 1, coordinator: N1 };

    fn property(result: Result<(), Violation>) -> &'static str {
        result.map_or_else(|violation| violation.property, |()| "none")
    }

    #[test]
    fn the_first_decision_is_the_only_one() {
        let mut seen = invariants();
        assert_eq!(property(seen.decided(N1, TRANSACTION, Decision::Commit)), "none");
        assert_eq!(property(seen.decided(N2, TRANSACTION, Decision::Commit)), "none");
        assert_eq!(property(seen.decided(N2, TRANSACTION, Decision::Abort)), "AC1");
        assert_eq!(property(seen.decided(N1, TRANSACTION, Decision::Abort)), "AC2");
    }

    #[test]
    fn a_commit_rests_on_every_yes() {
        let mut seen = invariants();
        seen.known(TRANSACTION).yes.insert(N1);
        seen.rests_on(TRANSACTION, N1, Vote::Yes);
        seen.rests_on(TRANSACTION, N2, Vote::Yes);
        assert_eq!(property(seen.settle_owed(N1)), "none");
        assert_eq!(property(seen.settle_owed(N2)), "AC3");
    }

    #[test]
    fn an_abort_rests_on_a_no_unless_somebody_crashed() {
        for (restarts, expected) in [(0, "AC4"), (1, "none")] {
            let mut seen = invariants();
            seen.rests_on(TRANSACTION, N2, Vote::No);
            seen.restarts += restarts;
            assert_eq!(property(seen.settle_owed(N2)), expected);
        }
    }
}
