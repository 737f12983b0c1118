//! Figure 2's own words on its state, watched: `currentTerm` "increases monotonically",
//! `commitIndex` and `matchIndex` too; what a leader sends next lies beyond what it knows to be
//! stored; and of its own term it commits what a majority stores, all of it (its last rule for
//! leaders) and nothing else (5.4.2, 5.3). What `matchIndex` says of a follower is "known to be
//! replicated" there: the follower has it, crash or no crash, as long as it is in that term.
//!
//! Beside them, the rules for changes of the configuration (section 6; dissertation 4.1 and 4.3,
//! with the correction of 2015).
//!
//! None of them is a theorem, and a server that breaks one may do no harm for a long time: the
//! theorems of Figure 3 break much later, if ever. Model checkers of real servers look for just
//! these (Tang, Sun, Huang, Wei, Ouyang and Ma, *Scalable Distributed System Model Checking with
//! Specification-Level State Exploration*, 2024, table 2). As [`super::promises`], it is a watcher
//! of its own: servers that lie or lose their disks break it.

use super::log::{LogIndex, Term};
use super::membership::{Configuration, NodeSet};
use super::{Log, Raft};
use seedfall_sim::{Monitor, NodeId, Violation};

/// Watches the indices of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Indices {
    servers: Vec<Seen>,
    /// What a leader has newly come to know of a server that was not looked at since.
    claims: Vec<Option<Claim>>,
}

/// A watcher that has seen nothing yet.
pub fn indices() -> Indices {
    Indices::default()
}

/// A server as it was when it was looked at last, maybe before a crash.
#[derive(Clone, Debug, Default, Hash)]
struct Seen {
    term: Term,
    commit: LogIndex,
    /// `matchIndex` of each server, if it led that term.
    matched: Vec<LogIndex>,
    /// The configuration by which it counted, and where that stands, if it led that term.
    configuration: Option<(LogIndex, Configuration)>,
}

/// A leader knows that a server has its log up to an entry.
#[derive(Clone, Copy, Debug, Hash)]
struct Claim {
    leader: NodeId,
    term: Term,
    index: LogIndex,
    digest: u64,
}

impl Monitor<Raft> for Indices {
    #[inline]
    fn observe(&mut self, node: NodeId, state: &Raft) -> Result<(), Violation> {
        if self.servers.len() <= node.index() {
            self.servers.resize_with(node.index() + 1, Seen::default);
            self.claims.resize(self.servers.len(), None);
        }
        if let Some(claim) = self.claims[node.index()].take() {
            claim.is_true(node, state.term(), state.log())?;
        }
        let seen = &mut self.servers[node.index()];
        let before = seen.commit;
        seen.grows(node, state.term(), state.commit_index(), state.log().base())?;
        let Some(progress) = state.progress() else {
            seen.matched.clear();
            seen.configuration = None;
            return Ok(());
        };
        let mut is_new = before != seen.commit;
        for (slot, (next, matched)) in progress.enumerate() {
            let follower = NodeId::new(slot as u16);
            if follower != node && seen.follower(node, follower, next, matched)? {
                is_new = true;
                let digest = state.log().digest_at(matched);
                let claim =
                    |digest| Claim { leader: node, term: seen.term, index: matched, digest };
                if let Some(slot) = self.claims.get_mut(slot) {
                    *slot = digest.map(claim);
                }
            }
        }
        let configurations = &state.durable.configurations;
        let current = (configurations.index(), *configurations.current());
        let counted = seen.configuration.replace(current);
        if let Some(before) = counted.filter(|before| before.0 < current.0) {
            seen.changes(node, state.log(), before, current.1)?;
        }
        if is_new { seen.commits(node, state, before, counted) } else { Ok(()) }
    }
}

impl Claim {
    /// It is looked for in the log of the server, if that is still in the term: in a later one,
    /// another leader may have removed it.
    fn is_true(&self, node: NodeId, term: Term, log: &Log) -> Result<(), Violation> {
        let Self { leader, index, digest, .. } = *self;
        if term != self.term || index < log.base() || log.digest_at(index) == Some(digest) {
            return Ok(());
        }
        let explanation = format!(
            "{leader} leads {term} and knows its log up to entry {index} to be on {node}, which \
             has {log}"
        );
        violated("Known to be Replicated", explanation)
    }
}

impl Seen {
    /// The term, for ever, and the commit index, in one life: after a crash it is what a snapshot
    /// says.
    #[inline]
    fn grows(
        &mut self,
        node: NodeId,
        term: Term,
        commit: LogIndex,
        base: LogIndex,
    ) -> Result<(), Violation> {
        if term < self.term {
            let explanation = format!("{node} was in {}, and is in {term}", self.term);
            return violated("Monotonic Term", explanation);
        }
        if commit < self.commit && base < commit {
            let explanation =
                format!("{node} had committed {} entries, and has {commit}", self.commit);
            return violated("Monotonic Commit", explanation);
        }
        if self.term < term {
            self.matched.clear();
            self.configuration = None;
        }
        (self.term, self.commit) = (term, commit);
        Ok(())
    }

    /// 5.4.2, and the last rule of Figure 2: what a leader commits by counting is of its own term,
    /// a majority stores it, and so all of that term that a majority stores.
    fn commits(
        &self,
        node: NodeId,
        state: &Raft,
        before: LogIndex,
        counted: Option<(LogIndex, Configuration)>,
    ) -> Result<(), Violation> {
        let (log, commit, term) = (state.log(), self.commit, self.term);
        if before < commit && log.term_at(commit) != Some(term) {
            let explanation = format!("{node} leads {term} and commits {commit} entries: {log}");
            return violated("Commit of its Own Term", explanation);
        }
        let holders = |index: LogIndex| {
            NodeSet::of(self.matched.iter().map(|matched| index <= *matched)).with(node)
        };
        if before < commit {
            let (current, holds) = (*state.configuration(), holders(commit));
            let (at, counted) = counted.unwrap_or((LogIndex::ZERO, current));
            // Where the event brought another configuration, either may have been counted by; but a
            // joint one is left when its own majorities have it.
            let left_early = counted.is_joint()
                && counted != current
                && before < at
                && !counted.is_quorum(holders(at));
            if left_early || !(counted.is_quorum(holds) || current.is_quorum(holds)) {
                let explanation = format!(
                    "{node} leads {term} and commits {commit} entries, the last of which it knows \
                     to be on {holds:?} alone, by {counted:?}"
                );
                return violated("Majority before Commit", explanation);
            }
        }
        let mut index = commit.next();
        while log.term_at(index).is_some_and(|of| of < term) {
            index = index.next();
        }
        if log.term_at(index) == Some(term) && state.configuration().is_quorum(holders(index)) {
            let explanation = format!(
                "{node} leads {term}, has committed {commit}, and knows that a majority stores \
                 entry {index}"
            );
            return violated("Commit of a Majority", explanation);
        }
        Ok(())
    }

    /// 4.1, 4.3 and section 6: a leader changes a configuration that is committed, once an entry of
    /// its term is; by one server, or into a joint one, which has one way out.
    fn changes(
        &self,
        node: NodeId,
        log: &Log,
        (at, before): (LogIndex, Configuration),
        now: Configuration,
    ) -> Result<(), Violation> {
        let is_settled = at <= self.commit && log.term_at(self.commit) == Some(self.term);
        let differ = before.voters.minus(now.voters).len() + now.voters.minus(before.voters).len();
        let follows = match (before.outgoing, now.outgoing) {
            // Of learners as many as it likes.
            (None, None) => differ <= 1,
            (None, Some(outgoing)) => outgoing == before.voters,
            (Some(_), None) => differ == 0,
            (Some(_), Some(_)) => false,
        };
        if is_settled && follows {
            return Ok(());
        }
        let explanation = format!(
            "{node} leads {} and has committed {} entries; after {before:?}, of entry {at}, it \
             begins {now:?}",
            self.term, self.commit
        );
        violated("One Change at a Time", explanation)
    }

    /// What a leader knows of one follower; whether that is new.
    #[inline]
    fn follower(
        &mut self,
        node: NodeId,
        follower: NodeId,
        next: LogIndex,
        matched: LogIndex,
    ) -> Result<bool, Violation> {
        if next <= matched {
            let explanation = format!(
                "{node} leads {} and sends {follower} entry {next} next, which it knows to have \
                 {matched}",
                self.term
            );
            return Err(Violation { property: "Next beyond Match", explanation });
        }
        if self.matched.len() <= follower.index() {
            self.matched.resize(follower.index() + 1, LogIndex::ZERO);
        }
        let before = std::mem::replace(&mut self.matched[follower.index()], matched);
        if matched < before {
            let explanation = format!(
                "{node} leads {} and knew that {follower} has {before} entries, and now {matched}",
                self.term
            );
            return Err(Violation { property: "Monotonic Match", explanation });
        }
        Ok(before < matched)
    }
}

#[cold]
fn violated(property: &'static str, explanation: String) -> Result<(), Violation> {
    Err(Violation { property, explanation })
}

#[cfg(test)]
mod tests {
    use super::super::log::Entry;
    use super::*;

    const N1: NodeId = NodeId::new(0);
    const N2: NodeId = NodeId::new(1);

    fn broken<T>(result: Result<T, Violation>) -> &'static str {
        result.map_or_else(|violation| violation.property, |_| "none")
    }

    #[test]
    fn terms_and_commits_grow() {
        let grows = |seen: &mut Seen, term, commit, base| {
            broken(seen.grows(N1, Term(term), LogIndex(commit), LogIndex(base)))
        };
        let mut seen = Seen::default();
        assert_eq!(grows(&mut seen, 1, 5, 0), "none");
        assert_eq!(grows(&mut seen, 2, 0, 0), "none", "it came back, and learns it anew");
        assert_eq!(grows(&mut seen, 2, 5, 0), "none");
        assert_eq!(grows(&mut seen, 2, 3, 3), "none", "it came back with a snapshot");
        assert_eq!(grows(&mut seen, 2, 5, 3), "none");
        assert_eq!(grows(&mut seen, 2, 4, 3), "Monotonic Commit");
        assert_eq!(grows(&mut seen, 1, 5, 3), "Monotonic Term");
    }

    #[test]
    fn what_is_known_of_a_follower_grows_within_a_term() {
        let mut seen = Seen::default();
        let follower = |seen: &mut Seen, next, matched| {
            broken(seen.follower(N1, N2, LogIndex(next), LogIndex(matched)))
        };
        assert_eq!(follower(&mut seen, 4, 3), "none");
        assert_eq!(follower(&mut seen, 4, 2), "Monotonic Match");
        assert_eq!(follower(&mut seen, 3, 3), "Next beyond Match");
        seen.grows(N1, Term(7), LogIndex(0), LogIndex(0)).expect("a later term");
        assert_eq!(follower(&mut seen, 1, 0), "none", "it knows nothing yet");
    }

    #[test]
    fn what_a_leader_knows_of_a_follower_is_there() {
        let mut log = Log::default();
        for term in [1, 1, 3] {
            log.push(Entry::no_op(Term(term)));
        }
        let digest = log.digest_at(LogIndex(2)).expect("it is there");
        let claim = |index, digest| Claim { leader: N1, term: Term(3), index, digest };
        let is_true = |claim: Claim, term| broken(claim.is_true(N2, Term(term), &log));
        assert_eq!(is_true(claim(LogIndex(2), digest), 3), "none");
        assert_eq!(is_true(claim(LogIndex(3), digest), 3), "Known to be Replicated", "another");
        assert_eq!(is_true(claim(LogIndex(4), digest), 3), "Known to be Replicated", "lost");
        assert_eq!(is_true(claim(LogIndex(4), digest), 4), "none", "in a later term it may be");
    }
    #[test]
    fn a_configuration_is_changed_by_one_or_by_way_of_a_joint_one() {
        let mut log = Log::default();
        for term in [1, 3, 3] {
            log.push(Entry::no_op(Term(term)));
        }
        let of = |nodes| Configuration::of(NodeSet::first(nodes));
        let joint = |before, now| Configuration { outgoing: Some(of(before).voters), ..of(now) };
        let changes = |commit, before: (u64, Configuration), now| {
            let seen = Seen { term: Term(3), commit: LogIndex(commit), ..Seen::default() };
            broken(seen.changes(N1, &log, (LogIndex(before.0), before.1), now))
        };
        let rule = "One Change at a Time";
        assert_eq!(changes(2, (1, of(3)), of(4)), "none");
        assert_eq!(changes(2, (1, of(3)), of(5)), rule, "by two");
        assert_eq!(changes(2, (1, of(3)), joint(3, 5)), "none");
        assert_eq!(changes(2, (1, joint(3, 5)), of(5)), "none", "the way out");
        assert_eq!(changes(2, (1, joint(3, 5)), of(4)), rule, "another way out");
        assert_eq!(changes(2, (1, joint(3, 5)), joint(5, 3)), rule, "from joint to joint");
        assert_eq!(changes(2, (3, of(3)), of(4)), rule, "the last one is not committed");
        assert_eq!(changes(1, (1, of(3)), of(4)), rule, "no entry of its term is committed");
    }
}
