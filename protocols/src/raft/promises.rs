//! One Vote, watched: in a term a server votes for one candidate at most, crash or no crash (5.2;
//! Figure 2: `votedFor` is persistent).
//!
//! Election Safety, the theorem that rests on it, breaks only if two candidates win by the same
//! voter; the lemma breaks as soon as a vote is forgotten. It is a watcher of its own, since
//! servers that lie or lose their disks break it, and what they do to the theorems is another
//! question.

use super::Raft;
use super::log::Term;
use seedfall_sim::{Monitor, NodeId, Violation};

/// Watches the votes of one run.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    /// The last vote of each server, maybe before a crash.
    votes: Vec<(Term, Option<NodeId>)>,
}

/// A watcher that has seen no vote yet.
pub fn promises() -> Promises {
    Promises::default()
}

impl Monitor<Raft> for Promises {
    #[inline]
    fn observe(&mut self, node: NodeId, state: &Raft) -> Result<(), Violation> {
        self.keeps(node, state.term(), state.voted_for())
    }
}

impl Promises {
    fn keeps(
        &mut self,
        node: NodeId,
        term: Term,
        voted_for: Option<NodeId>,
    ) -> Result<(), Violation> {
        if self.votes.len() <= node.index() {
            self.votes.resize_with(node.index() + 1, Default::default);
        }
        let last = std::mem::replace(&mut self.votes[node.index()], (term, voted_for));
        match last {
            (before, Some(first)) if before == term && voted_for != Some(first) => {
                let now = voted_for.map_or_else(|| "nobody".to_owned(), |now| now.to_string());
                let explanation = format!("{node} voted for {first} in {term}, and now for {now}");
                Err(Violation { property: "One Vote", explanation })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NodeId, Term, promises};

    #[test]
    fn a_vote_is_kept_for_its_term_and_no_longer() {
        let [n1, n2] = [NodeId::new(0), NodeId::new(1)];
        let mut seen = promises();
        assert!(seen.keeps(n1, Term(1), None).is_ok());
        assert!(seen.keeps(n1, Term(1), Some(n2)).is_ok());
        assert!(seen.keeps(n2, Term(1), Some(n1)).is_ok(), "another server");
        assert!(seen.keeps(n1, Term(2), Some(n1)).is_ok(), "another term");
        let forgot = seen.keeps(n1, Term(2), None).expect_err("forgotten");
        assert_eq!(forgot.property, "One Vote");
        assert!(seen.keeps(n2, Term(1), Some(n2)).is_err(), "a second vote");
    }
}
