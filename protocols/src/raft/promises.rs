//! The votes of section 5, watched.
//!
//! - *One Vote*: in a term a server votes for one candidate at most, crash or no crash (5.2;
//!   Figure 2: `votedFor` is persistent).
//! - *Up-to-Date Vote*: nobody votes for a candidate whose log is behind its own (5.4.1).
//! - *Majority of Votes*: who leads a term was voted for, in that term, by a majority of the
//!   servers, of both sets while the configuration is joint (5.2; section 6).
//!
//! Election Safety and Leader Completeness, the theorems that rest on them, break only if two
//! candidates win by the same voter, or if the one that lacks something wins and is asked for it;
//! the lemmas break as soon as a vote is forgotten, given or counted wrongly. It is a watcher of
//! its own, since servers that lie or lose their disks break it, and what they do to the theorems
//! is another question.
//!
//! A server that crashes in the middle of an event is seen when it is up again, with what it wrote
//! down before it answered: a vote that was counted and not seen is waited for until then.

use super::Raft;
use super::log::{LogIndex, Term};
use super::membership::{Configuration, NodeSet};
use seedfall_sim::{Monitor, NodeId, SortedMap, Violation};

/// Watches the votes of one run.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    servers: Vec<Seen>,
    /// Elections of which not enough votes were seen.
    owed: Vec<Election>,
}

/// A watcher that has seen no vote yet.
pub fn promises() -> Promises {
    Promises::default()
}

/// A server as it was when it was looked at last, maybe before a crash.
#[derive(Clone, Debug, Default)]
struct Seen {
    term: Term,
    voted_for: Option<NodeId>,
    leads: bool,
    /// For whom it ever voted.
    votes: SortedMap<Term, NodeId>,
    /// Where its log ended when it stood: the term of the last entry, and its index.
    stood: SortedMap<Term, (Term, LogIndex)>,
}

/// Somebody leads, and some who may have voted for it were not looked at since.
#[derive(Clone, Debug)]
struct Election {
    leader: NodeId,
    term: Term,
    configuration: Configuration,
    voters: NodeSet,
    unseen: NodeSet,
}

impl Monitor<Raft> for Promises {
    #[inline]
    fn observe(&mut self, node: NodeId, state: &Raft) -> Result<(), Violation> {
        let (term, voted_for, leads) = (state.term(), state.voted_for(), state.is_leader());
        let seen = self.servers.get(node.index());
        let seen = seen.map(|seen| (seen.term, seen.voted_for, seen.leads));
        if seen != Some((term, voted_for, leads)) {
            let log = (state.log().last_term(), state.log().last_index());
            self.votes(node, term, voted_for, log)?;
            self.servers[node.index()].leads = leads;
            if leads {
                self.wins(node, term, *state.configuration())?;
            }
        }
        if self.owed.is_empty() { Ok(()) } else { self.settle_owed(node) }
    }
}

impl Promises {
    /// One Vote, and Up-to-Date Vote. The log is the one that the server has now: between a vote
    /// and the look at it nothing is added.
    fn votes(
        &mut self,
        node: NodeId,
        term: Term,
        voted_for: Option<NodeId>,
        log: (Term, LogIndex),
    ) -> Result<(), Violation> {
        if self.servers.len() <= node.index() {
            self.servers.resize_with(node.index() + 1, Seen::default);
        }
        let seen = &mut self.servers[node.index()];
        let last = (seen.term, seen.voted_for);
        (seen.term, seen.voted_for) = (term, voted_for);
        if let (before, Some(first)) = last
            && before == term
            && voted_for != Some(first)
        {
            let now = voted_for.map_or_else(|| "nobody".to_owned(), |now| now.to_string());
            let explanation = format!("{node} voted for {first} in {term}, and now for {now}");
            return violated("One Vote", explanation);
        }
        let Some(candidate) = voted_for else { return Ok(()) };
        if last == (term, voted_for) {
            return Ok(());
        }
        seen.votes.insert(term, candidate);
        if candidate == node {
            // A server that leads by its own vote has added an entry at once.
            if log.0 < term {
                seen.stood.insert(term, log);
            }
            return Ok(());
        }
        let stood = self.servers.get(candidate.index()).and_then(|seen| seen.stood.get(&term));
        match stood {
            Some(end) if *end < log => {
                let ((of, at), (own, last)) = (*end, log);
                let explanation = format!(
                    "{node} voted in {term} for {candidate}, whose log ends with entry {at} of \
                     {of}, and its own with entry {last} of {own}"
                );
                violated("Up-to-Date Vote", explanation)
            }
            _ => Ok(()),
        }
    }

    /// Majority of Votes, of a new leader.
    fn wins(
        &mut self,
        leader: NodeId,
        term: Term,
        configuration: Configuration,
    ) -> Result<(), Violation> {
        let voted = |seen: &Seen| seen.votes.get(&term) == Some(&leader);
        let voters = NodeSet::of(self.servers.iter().map(voted));
        if !configuration.is_quorum(voters) {
            let unseen = configuration.members().minus(voters).without(leader);
            self.owed.push(Election { leader, term, configuration, voters, unseen });
            return self.settle_owed(leader);
        }
        Ok(())
    }

    /// The node is up and shows its votes: of those that were counted none is missing.
    fn settle_owed(&mut self, node: NodeId) -> Result<(), Violation> {
        let Self { owed, servers } = self;
        let votes = &servers[node.index()].votes;
        for election in owed.iter_mut() {
            let Election { leader, term, voters, unseen, .. } = election;
            *unseen = unseen.without(node);
            if votes.get(term) == Some(leader) {
                *voters = voters.with(node);
            }
        }
        owed.retain(|one| !one.configuration.is_quorum(one.voters));
        let lost = |one: &&Election| !one.configuration.is_quorum(one.voters.union(one.unseen));
        match owed.iter().find(lost) {
            None => Ok(()),
            Some(Election { leader, term, voters, unseen, .. }) => {
                let explanation = format!(
                    "{leader} leads {term} by the votes of {voters:?}, and maybe of {unseen:?}"
                );
                violated("Majority of Votes", explanation)
            }
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
    const N3: NodeId = NodeId::new(2);
    const EMPTY: (Term, LogIndex) = (Term(0), LogIndex::ZERO);

    fn broken(result: Result<(), Violation>) -> &'static str {
        result.map_or_else(|violation| violation.property, |()| "none")
    }

    #[test]
    fn a_vote_is_kept_for_its_term_and_no_longer() {
        let mut seen = promises();
        let mut votes = |node, term, whom| broken(seen.votes(node, Term(term), whom, EMPTY));
        assert_eq!(votes(N1, 1, None), "none");
        assert_eq!(votes(N1, 1, Some(N2)), "none");
        assert_eq!(votes(N2, 1, Some(N1)), "none", "another server");
        assert_eq!(votes(N1, 2, Some(N1)), "none", "another term");
        assert_eq!(votes(N1, 2, None), "One Vote", "forgotten");
        assert_eq!(votes(N2, 1, Some(N2)), "One Vote", "a second vote");
    }

    #[test]
    fn a_vote_goes_to_a_log_that_is_at_least_as_good() {
        for (own, expected) in [
            ((2, 4), "none"),
            ((1, 9), "none"),
            ((2, 5), "Up-to-Date Vote"),
            ((3, 1), "Up-to-Date Vote"),
        ] {
            let mut seen = promises();
            let mut votes = |node, (of, at)| {
                broken(seen.votes(node, Term(4), Some(N1), (Term(of), LogIndex(at))))
            };
            assert_eq!(votes(N1, (2, 4)), "none", "it stands");
            assert_eq!(votes(N2, own), expected, "{own:?}");
        }
    }

    #[test]
    fn a_leader_has_a_majority_of_votes_that_were_cast() {
        let three = Configuration::of(NodeSet::first(3));
        let elected = |voters: &[NodeId]| {
            let mut seen = promises();
            for voter in voters {
                seen.votes(*voter, Term(4), Some(N1), EMPTY).expect("one vote each");
            }
            let won = broken(seen.wins(N1, Term(4), three));
            (seen, won)
        };
        assert!(elected(&[N1, N3]).0.owed.is_empty());
        // It may have been voted for by one that crashed as it answered.
        let (mut seen, won) = elected(&[N1]);
        assert_eq!(won, "none");
        seen.votes(N3, Term(3), Some(N1), EMPTY).expect("a vote in another term");
        assert_eq!(broken(seen.settle_owed(N3)), "none", "it may still be the other");
        seen.votes(N2, Term(4), Some(N2), EMPTY).expect("one vote each");
        assert_eq!(broken(seen.settle_owed(N2)), "Majority of Votes");
        let (mut seen, _) = elected(&[N1]);
        seen.votes(N2, Term(4), Some(N1), EMPTY).expect("one vote each");
        assert_eq!(broken(seen.settle_owed(N2)), "none");
        assert!(seen.owed.is_empty(), "it came back, and shows its vote");
    }
}
