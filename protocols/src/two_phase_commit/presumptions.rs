//! What rests on a presumption, and what on the order of ages, watched.
//!
//! - *Presumption* (R\*, sections 3 and 4): a coordinator forgets a decision that is not the
//!   presumed one only when nobody can ask for it any more. So whoever is in doubt about a
//!   transaction whose coordinator has forgotten it would be told the contrary: AC1 breaks when it
//!   asks, and this as soon as it is in doubt.
//! - *Execution*: what a coordinator takes for executed, and will tell its client, was executed so
//!   at that site in that life; and who votes yes does so in the life in which it executed, as the
//!   locks of another are other locks (7.4: a participant that fails before it votes aborts).
//! - *Fellows* (7.4, cooperative termination): all that are in doubt about a transaction have noted
//!   the same fellows to ask.
//! - *Strict Locks* (3.5): of two that hold a lock, both read; whoever has voted yes holds what it
//!   will write, crash or no crash.
//! - *Wait-Die* (Rosenkrantz, Stearns and Lewis): whoever waits is older than all that it waits
//!   for. Without it circles of waiting close, and only time-outs open them.

use super::locks::Mode;
use super::{Decision, Life, Outcome, Presumption, Site, TransactionId};
use crate::kv::Text;
use seedfall_sim::{Monitor, NodeId, SortedMap, SortedSet, StableHasher, Violation};
use std::collections::VecDeque;

/// Watches the sites of one run.
#[derive(Clone, Debug, Default)]
pub struct Presumptions {
    sites: Vec<Seen>,
    /// What coordinators have decided against the presumption, and forgotten.
    forgotten: SortedMap<TransactionId, Decision>,
    /// What sites were seen to have executed, in which life: a digest of the answers.
    executed: SortedMap<(TransactionId, NodeId, Life), u64>,
    /// In which life each coordinator takes a site to have executed.
    reported: SortedMap<(TransactionId, NodeId), Life>,
    /// Who was seen to have voted yes.
    voted: SortedSet<(TransactionId, NodeId)>,
    /// Whom those in doubt ask, as the first of them had noted it.
    fellows: SortedMap<TransactionId, Vec<NodeId>>,
}

/// A watcher that has seen nothing yet.
pub fn presumptions() -> Presumptions {
    Presumptions::default()
}

/// A site as it was when it was looked at last, maybe before a crash.
#[derive(Clone, Debug, Default)]
struct Seen {
    counts: Counts,
    /// What it told others still, as coordinator.
    notices: SortedSet<TransactionId>,
}

/// How much there is of what changes, so that a look at a site that has not changed is short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    life: Life,
    in_doubt: usize,
    decisions: usize,
    active: usize,
    notices: usize,
    over: usize,
    /// As participant.
    executed: usize,
    /// As coordinator: the lives together, as one may take the place of another.
    reported: u64,
}

impl Monitor<Site> for Presumptions {
    fn observe(&mut self, node: NodeId, state: &Site) -> Result<(), Violation> {
        if self.sites.len() <= node.index() {
            self.sites.resize_with(node.index() + 1, Seen::default);
        }
        let over = state.sessions().filter(|session| session.outcome != Outcome::UnderWay);
        let counts = Counts {
            life: state.life(),
            in_doubt: state.in_doubt().count(),
            decisions: state.decisions().count(),
            active: state.participant.active(),
            notices: state.notices().count(),
            over: over.count(),
            executed: state.participant.executed().count(),
            reported: state.coordinator.executed().map(|(_, _, life, _)| u64::from(life)).sum(),
        };
        let before = std::mem::replace(&mut self.sites[node.index()].counts, counts);
        if before == counts {
            return Ok(());
        }
        if (before.life, before.notices, before.over) != (counts.life, counts.notices, counts.over)
        {
            self.observe_coordinator(node, state);
        }
        observe_locks(node, state)?;
        for (transaction, answers) in state.participant.executed() {
            let name = (transaction, node, counts.life);
            self.executed.entry(name).or_insert_with(|| StableHasher::hash(&answers));
        }
        if before.reported != counts.reported {
            self.observe_reports(node, state)?;
        }
        if before.in_doubt != counts.in_doubt {
            self.observe_votes(node, state, before.life == counts.life)?;
        }
        self.observe_doubt(node, state.in_doubt())
    }
}

impl Presumptions {
    /// What was told, and is not any more; and what is over, and is not told.
    fn observe_coordinator(&mut self, node: NodeId, state: &Site) {
        let (presumed, contrary) = match state.config.presumption {
            Presumption::Abort => (Decision::Abort, Decision::Commit),
            Presumption::Commit => (Decision::Commit, Decision::Abort),
        };
        let notices = state.notices().map(|(transaction, _)| transaction).collect();
        let before = std::mem::replace(&mut self.sites[node.index()].notices, notices);
        for transaction in before {
            self.forgotten.insert(transaction, contrary);
        }
        for session in state.sessions() {
            let decision = match session.outcome {
                Outcome::UnderWay => continue,
                Outcome::Committed(_) => Decision::Commit,
                Outcome::Aborted(_) => Decision::Abort,
            };
            if decision != presumed {
                self.forgotten.insert(session.transaction, decision);
            }
        }
        // An end that was not forced is gone with a crash, and all is told once more.
        for transaction in &self.sites[node.index()].notices {
            self.forgotten.remove(transaction);
        }
    }

    /// Execution, of what a coordinator was told.
    fn observe_reports(&mut self, node: NodeId, state: &Site) -> Result<(), Violation> {
        for (transaction, site, life, answers) in state.coordinator.executed() {
            self.reported.insert((transaction, site), life);
            // A site that crashed as it told was not seen to have executed.
            let seen = self.executed.get(&(transaction, site, life));
            if seen.is_some_and(|seen| *seen != StableHasher::hash(&answers)) {
                let explanation = format!(
                    "{node} takes {answers:?} for what {site} answered to {transaction} in its \
                     life {life}, and that was otherwise"
                );
                return violated("Execution", explanation);
            }
        }
        Ok(())
    }

    /// Execution, of those that vote yes, and Fellows.
    fn observe_votes(
        &mut self,
        node: NodeId,
        state: &Site,
        is_same_life: bool,
    ) -> Result<(), Violation> {
        for transaction in state.in_doubt() {
            let asks = state.participant.asks(transaction);
            let first = self.fellows.entry(transaction).or_insert_with(|| asks.clone());
            if *first != asks {
                let explanation = format!(
                    "{node} is in doubt about {transaction} and asks {asks:?}, a fellow {first:?}"
                );
                return violated("Fellows", explanation);
            }
            // A vote that was seen before, or that a crash hid, may be of an earlier life.
            if !self.voted.insert((transaction, node)) || !is_same_life {
                continue;
            }
            let life = self.reported.get(&(transaction, node));
            if let Some(life) = life.filter(|life| **life != state.life()) {
                let explanation = format!(
                    "{node} votes yes on {transaction} in its life {}, and told its coordinator \
                     what it answered in life {life}",
                    state.life()
                );
                return violated("Execution", explanation);
            }
        }
        Ok(())
    }

    fn observe_doubt(
        &self,
        node: NodeId,
        mut in_doubt: impl Iterator<Item = TransactionId>,
    ) -> Result<(), Violation> {
        let forgotten = |one| Some((one, self.forgotten.get(&one)?));
        match in_doubt.find_map(forgotten) {
            None => Ok(()),
            Some((transaction, decision)) => violated(
                "Presumption",
                format!(
                    "{node} is in doubt about {transaction}, and {} has decided {decision:?} and \
                     forgotten it: it would presume the contrary",
                    transaction.coordinator
                ),
            ),
        }
    }
}

/// Strict Locks, and Wait-Die.
fn observe_locks(node: NodeId, state: &Site) -> Result<(), Violation> {
    let locks = state.participant.locks();
    for (key, holders, queue) in locks.iter() {
        compatible(node, key, holders)?;
        waits_for_younger(node, key, holders, queue)?;
    }
    for (transaction, key) in state.participant.promised() {
        let writer = (transaction, Mode::Exclusive);
        if !locks.iter().any(|(one, holders, _)| one == key && holders.contains(&writer)) {
            let explanation =
                format!("{node} has voted yes on {transaction}, and has not locked {key}");
            return violated("Strict Locks", explanation);
        }
    }
    Ok(())
}

fn compatible(
    node: NodeId,
    key: &Text,
    holders: &[(TransactionId, Mode)],
) -> Result<(), Violation> {
    let exclusive = holders.iter().find(|(_, mode)| *mode == Mode::Exclusive);
    match exclusive {
        Some((transaction, _)) if 1 < holders.len() => violated(
            "Strict Locks",
            format!(
                "{transaction} has locked {key} on {node} to write, and not alone: {holders:?}"
            ),
        ),
        _ => Ok(()),
    }
}

fn waits_for_younger(
    node: NodeId,
    key: &Text,
    holders: &[(TransactionId, Mode)],
    queue: &VecDeque<(TransactionId, Mode)>,
) -> Result<(), Violation> {
    for (place, (waiter, mode)) in queue.iter().enumerate() {
        let conflicts = |other: &Mode| (*mode, *other) != (Mode::Shared, Mode::Shared);
        let mut ahead = holders.iter().chain(queue.iter().take(place));
        if let Some((older, _)) = ahead.find(|(one, other)| conflicts(other) && one < waiter) {
            let explanation =
                format!("{waiter} waits on {node} for {key} behind {older}, which is older");
            return violated("Wait-Die", explanation);
        }
    }
    Ok(())
}

#[cold]
fn violated(property: &'static str, explanation: String) -> Result<(), Violation> {
    Err(Violation { property, explanation })
}

#[cfg(test)]
mod tests {
    use super::*;

    const N1: NodeId = NodeId::new(0);

    fn transaction(number: u32) -> TransactionId {
        TransactionId { number, life: 1, coordinator: N1 }
    }

    fn broken(result: Result<(), Violation>) -> &'static str {
        result.map_or_else(|violation| violation.property, |()| "none")
    }

    #[test]
    fn nobody_is_in_doubt_about_what_is_forgotten() {
        let mut seen = presumptions();
        seen.forgotten.insert(transaction(2), Decision::Commit);
        assert_eq!(broken(seen.observe_doubt(N1, [transaction(1)].into_iter())), "none");
        let doubts = [transaction(1), transaction(2)].into_iter();
        assert_eq!(broken(seen.observe_doubt(N1, doubts)), "Presumption");
    }

    #[test]
    fn a_writer_is_alone() {
        let [one, two] = [1, 2].map(transaction);
        let held = |holders: &[_]| broken(compatible(N1, &"k".into(), holders));
        assert_eq!(held(&[(one, Mode::Shared), (two, Mode::Shared)]), "none");
        assert_eq!(held(&[(one, Mode::Exclusive)]), "none");
        assert_eq!(held(&[(one, Mode::Shared), (two, Mode::Exclusive)]), "Strict Locks");
    }

    #[test]
    fn who_waits_is_older_than_all_ahead_that_conflict() {
        let waits = |holder: u32, mode, queue: &[(u32, Mode)]| {
            let queue: VecDeque<_> =
                queue.iter().map(|(one, mode)| (transaction(*one), *mode)).collect();
            let holders = [(transaction(holder), mode)];
            broken(waits_for_younger(N1, &"k".into(), &holders, &queue))
        };
        let (shared, exclusive) = (Mode::Shared, Mode::Exclusive);
        assert_eq!(waits(9, shared, &[(5, exclusive), (4, shared)]), "none");
        assert_eq!(waits(3, shared, &[(5, exclusive)]), "Wait-Die");
        assert_eq!(waits(9, shared, &[(5, exclusive), (6, shared)]), "Wait-Die");
    }
}
