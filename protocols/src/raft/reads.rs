//! Reads without the log (dissertation 6.4), watched.
//!
//! - *Read Index*: a read waits for a round of heartbeats that began after it came in, and for all
//!   that was committed then; it is answered once a majority, of both sets while the configuration
//!   is joint, has confirmed that round (6.4, steps 1 to 4; section 6).
//! - *Still Leads*: who confirms a round followed that leader, in its term, after the round began
//!   (6.4, step 2).
//!
//! A stale read shows only if another leader has written meanwhile and the client reads just that;
//! the lemmas break with any read that is asked, or confirmed, wrongly.

use super::Raft;
use super::log::{LogIndex, Term};
use super::membership::{Configuration, NodeSet};
use super::state::{Leader, Role};
use seedfall_sim::{Monitor, NodeId, RequestId, Violation};
use std::collections::VecDeque;

/// Watches the reads of one run.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    servers: Vec<Seen>,
    /// How many looks there were.
    now: u64,
}

/// A watcher of reads that has seen nothing yet.
pub fn reads() -> Reads {
    Reads::default()
}

/// A server as it was when it was looked at last.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Whom it has followed in each term, and the last look at which it did.
    follows: Vec<(Term, NodeId, u64)>,
    /// The last look.
    looked: u64,
    /// The last look at which it may just have come back from a crash: what it did before that is
    /// seen by nobody.
    fresh: u64,
    /// By whom it is counted, and what is wrong with that: unless it has crashed since it was
    /// looked at, or was in the middle of following just then.
    doubted: Option<(Term, NodeId, String)>,
    leads: Option<Leading>,
}

/// What is known of a leader.
#[derive(Clone, Debug)]
struct Leading {
    term: Term,
    configuration: Configuration,
    /// How far the log was committed.
    commit: LogIndex,
    /// The rounds, and the looks at it before they began; the latest few.
    rounds: VecDeque<(u64, u64)>,
    /// The latest round that each server is known to have confirmed.
    confirmed: Vec<u64>,
    /// The reads that wait, with their rounds.
    reads: VecDeque<(RequestId, u64)>,
}

/// How many rounds are remembered: a later answer is not judged.
const ROUNDS: usize = 64;

fn broken(property: &'static str, explanation: String) -> Result<(), Violation> {
    Err(Violation { property, explanation })
}

impl Monitor<Raft> for Reads {
    #[inline]
    fn observe(&mut self, node: NodeId, state: &Raft) -> Result<(), Violation> {
        self.now += 1;
        if self.servers.len() <= node.index() {
            self.servers.resize_with(node.index() + 1, Seen::default);
        }
        let term = state.term();
        let seen = &mut self.servers[node.index()];
        let looked = std::mem::replace(&mut seen.looked, self.now);
        let doubted = seen.doubted.take();
        if state.leader.is_none() && state.commit == state.log().base() {
            seen.fresh = self.now;
        } else if let Some((of, by, explanation)) = doubted
            && (of, Some(by)) != (term, state.leader)
        {
            return broken("Still Leads", explanation);
        }
        if let Some(leader) = state.leader {
            let follows = &mut seen.follows;
            match follows.last_mut() {
                Some(last) if (last.0, last.1) == (term, leader) => last.2 = self.now,
                _ => follows.push((term, leader, self.now)),
            }
        }
        let Role::Leader(leader) = &state.role else {
            self.servers[node.index()].leads = None;
            return Ok(());
        };
        let before = self.servers[node.index()].leads.take();
        let mut known = match before {
            Some(before) if before.term == term => before,
            _ => Leading {
                term,
                configuration: *state.configuration(),
                commit: leader.first,
                rounds: VecDeque::new(),
                confirmed: vec![0; leader.progress.len()],
                reads: VecDeque::new(),
            },
        };
        let asked = known.asked(node, leader);
        if known.rounds.back().is_none_or(|(round, _)| *round < leader.round) {
            // It may have begun, and been answered, before the handler that began it was over.
            known.rounds.push_back((leader.round, looked));
        }
        if ROUNDS < known.rounds.len() {
            known.rounds.pop_front();
        }
        self.confirmed(node, &mut known, leader);
        let judged = asked.and_then(|()| known.answered(node, state.configuration(), leader));
        known.commit = state.commit;
        self.servers[node.index()].leads = Some(known);
        judged
    }
}

impl Reads {
    /// Still Leads.
    fn confirmed(&mut self, node: NodeId, known: &mut Leading, leader: &Leader) {
        let reached = leader.progress.iter().map(|progress| progress.round);
        for (index, round) in reached.enumerate() {
            if round <= known.confirmed[index] {
                continue;
            }
            known.confirmed[index] = round;
            let oldest = known.rounds.front().is_some_and(|(first, _)| round < *first);
            let began = known.rounds.iter().find(|(later, _)| round <= *later);
            let Some((_, began)) = began.filter(|_| !oldest) else { continue };
            let Some(seen) = self.servers.get_mut(index) else { continue };
            let follows = |(term, by, when): &(Term, NodeId, u64)| {
                (*term, *by) == (known.term, node) && began < when
            };
            if seen.fresh <= *began && !seen.follows.iter().rev().any(follows) {
                let (other, term) = (NodeId::new(index as u16), known.term);
                let explanation = format!(
                    "{node} counts {other} for round {round} of {term}, which has not followed it \
                     since that began"
                );
                seen.doubted = Some((term, node, explanation));
            }
        }
    }
}

impl Leading {
    /// Read Index, of the reads that came in: no round that had begun before will do.
    fn asked(&self, node: NodeId, leader: &Leader) -> Result<(), Violation> {
        let last = self.reads.back().copied();
        let begun = self.rounds.back().map_or(0, |(round, _)| *round);
        let new = leader.reads.iter().rev();
        for read in new.take_while(|read| Some((read.request, read.round)) != last) {
            if read.round <= begun || read.index < self.commit {
                let explanation = format!(
                    "{node} will answer {} by round {} and entry {}, when round {begun} had begun \
                     and entry {} was committed",
                    read.request, read.round, read.index, self.commit
                );
                return broken("Read Index", explanation);
            }
        }
        Ok(())
    }

    /// Read Index, of the reads that wait no more.
    fn answered(
        &mut self,
        node: NodeId,
        now: &Configuration,
        leader: &Leader,
    ) -> Result<(), Violation> {
        // A client may ask for the same twice: the rounds tell them apart.
        let next = leader.reads.front().map(|read| (read.request, read.round));
        while let Some((request, round)) = self.reads.pop_front_if(|one| Some(*one) != next) {
            let heard = NodeSet::of(leader.progress.iter().map(|one| round <= one.round));
            let heard = heard.with(node);
            if !is_majority(heard, &self.configuration) && !is_majority(heard, now) {
                let explanation =
                    format!("{node} answers {request}, and only {heard:?} have confirmed {round}");
                return broken("Read Index", explanation);
            }
        }
        self.reads.extend(
            leader.reads.iter().skip(self.reads.len()).map(|read| (read.request, read.round)),
        );
        self.configuration = *now;
        Ok(())
    }
}

/// Section 6: a majority of the voters, and of those before while there are two sets.
fn is_majority(some: NodeSet, configuration: &Configuration) -> bool {
    let sets = [Some(configuration.voters), configuration.outgoing];
    sets.into_iter().flatten().all(|set| set.len() < 2 * (set.len() - set.minus(some).len()))
}

#[cfg(test)]
mod tests {
    use super::super::lease::Lease;
    use super::super::state::{Progress, Read};
    use super::*;
    use crate::kv::Command;
    use seedfall_sim::{ClientId, Time};

    const N1: NodeId = NodeId::new(0);

    /// The leader of three, in round 7, of whose followers one has answered that round.
    fn leader(reads: &[(u64, u64)]) -> Leader {
        let progress = |round| Progress { next: LogIndex(5), matched: LogIndex(4), round };
        let read = |(number, round): &(u64, u64)| Read {
            request: RequestId { client: ClientId::new(0), number: *number as u32 },
            command: Command::Get { key: "x".into() },
            index: LogIndex(4),
            round: *round,
        };
        Leader {
            progress: vec![progress(0), progress(7), progress(6)],
            first: LogIndex(1),
            writes: VecDeque::new(),
            reads: reads.iter().map(read).collect(),
            round: 7,
            outgoing: vec![None, None, None],
            change: None,
            transfer: None,
            lease: Lease::new(Time::ZERO),
        }
    }

    fn known() -> Leading {
        Leading {
            term: Term(3),
            configuration: Configuration::of(NodeSet::first(3)),
            commit: LogIndex(4),
            rounds: [(6, 10), (7, 20)].into(),
            confirmed: vec![0, 6, 6],
            reads: VecDeque::new(),
        }
    }

    fn broken(result: Result<(), Violation>) -> &'static str {
        result.map_or_else(|violation| violation.property, |()| "none")
    }

    #[test]
    fn a_read_waits_for_a_round_that_begins_after_it() {
        assert_eq!(broken(known().asked(N1, &leader(&[(0, 8)]))), "none");
        assert_eq!(broken(known().asked(N1, &leader(&[(0, 7)]))), "Read Index");
        let known = Leading { commit: LogIndex(5), ..known() };
        assert_eq!(broken(known.asked(N1, &leader(&[(0, 8)]))), "Read Index", "an old entry");
    }

    #[test]
    fn a_read_is_answered_once_a_majority_has_confirmed_its_round() {
        let answered = |round| {
            let reads = [(RequestId { client: ClientId::new(0), number: 0 }, round)].into();
            let three = Configuration::of(NodeSet::first(3));
            broken(Leading { reads, ..known() }.answered(N1, &three, &leader(&[])))
        };
        assert_eq!(answered(7), "none");
        assert_eq!(answered(8), "Read Index");
    }

    #[test]
    fn who_confirms_a_round_has_followed_since() {
        let doubted = |follows: (Term, NodeId, u64), fresh| {
            let follower = Seen { follows: vec![follows], fresh, ..Seen::default() };
            let mut watched = Reads { servers: vec![Seen::default(), follower], now: 30 };
            watched.confirmed(N1, &mut known(), &leader(&[]));
            watched.servers[1].doubted.is_some()
        };
        assert!(!doubted((Term(3), N1, 25), 0));
        assert!(doubted((Term(3), N1, 15), 0), "before the round began");
        assert!(doubted((Term(2), N1, 25), 0), "in another term");
        assert!(doubted((Term(3), NodeId::new(2), 25), 0), "another leader");
        assert!(!doubted((Term(3), N1, 15), 25), "it may have crashed after it");
    }

    #[test]
    fn a_joint_majority_is_one_of_both() {
        let joint = Configuration {
            outgoing: Some([0, 1, 2].map(NodeId::new).into_iter().collect()),
            ..Configuration::of([2, 3, 4].map(NodeId::new).into_iter().collect())
        };
        let some = |nodes: &[u16]| nodes.iter().map(|node| NodeId::new(*node)).collect::<NodeSet>();
        assert!(is_majority(some(&[1, 2, 3]), &joint));
        assert!(!is_majority(some(&[2, 3, 4]), &joint) && !is_majority(some(&[0, 1, 2]), &joint));
    }
}
