//! Sections 5.1, 5.2 and 5.4.1: terms, votes, and who may lead.

use crate::support::*;
use seedfall_protocols::raft::{Message, Outcome, Timer};
use seedfall_sim::{Duration, NodeId};

/// 5.2: when servers start up, they begin as followers.
#[test]
fn servers_start_as_followers() {
    let server = Server::new(N1, 3);
    assert!(!server.raft.is_leader() && !server.raft.is_candidate());
    assert_eq!(server.raft.status(), "follower term 0 log 0 commit 0");
}

/// 5.2: a server remains a follower as long as it receives valid messages from a leader.
#[test]
fn a_leaders_message_restarts_the_election_timer() {
    let mut server = Server::new(N1, 3);
    let reaction = server.deliver(N2, append_entries(1, (0, 0), &[], 0));
    assert!(reaction.sets(Timer::Election).is_some());
    assert_eq!(server.raft.leader(), Some(N2));
}

/// 5.2: to begin an election, a follower increments its current term, votes for itself and asks all
/// others.
#[test]
fn a_follower_without_a_leader_stands_for_election() {
    let mut server = Server::with_log(N1, 5, 2, &[1, 2]);
    let reaction = server.election_timeout();
    assert!(server.raft.is_candidate());
    assert_eq!(server.raft.term().0, 3);
    assert_eq!(server.raft.voted_for(), Some(N1));
    let asked = [N2, N3, N4, N5].map(|node| (node, request_vote(3, 2, 2)));
    assert_eq!(reaction.sent(N1, 5), asked);
    assert!(reaction.sets(Timer::Election).is_some());
}

/// 5.2: a candidate wins with votes from a majority of the full cluster for the same term.
#[test]
fn a_candidate_leads_with_the_votes_of_a_majority() {
    for (nodes, votes_needed) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (7, 3)] {
        let mut server = Server::new(N1, nodes);
        server.election_timeout();
        for voter in 1..=votes_needed {
            assert!(server.raft.is_candidate(), "{voter} votes of {nodes}");
            server.deliver(NodeId::new(voter), granted(1));
        }
        assert!(server.raft.is_leader(), "{votes_needed} votes and its own of {nodes}");
    }
}

/// 5.2: once it wins, it sends heartbeats to all others to establish its authority.
#[test]
fn a_new_leader_speaks_at_once() {
    let mut server = Server::new(N1, 3);
    let reaction = server.elect();
    let to: Vec<_> = reaction.sent(N1, 3).into_iter().map(|(to, _)| to).collect();
    assert_eq!(to, [N2, N3]);
    assert_eq!(reaction.sets(Timer::Heartbeat), Some(config().heartbeat_interval));
}

/// 5.2: refusals do not elect.
#[test]
fn a_refused_vote_does_not_count() {
    let mut server = Server::new(N1, 3);
    server.election_timeout();
    server.deliver(N2, vote(1, false));
    server.deliver(N3, vote(1, false));
    assert!(server.raft.is_candidate());
}

/// 5.2: votes from a majority of *servers*: a reply that the network doubled is one vote.
#[test]
fn a_doubled_vote_counts_once() {
    let mut server = Server::new(N1, 5);
    server.election_timeout();
    server.deliver(N2, granted(1));
    server.deliver(N2, granted(1));
    assert!(server.raft.is_candidate());
}

/// 5.2: votes *for the same term*: a late vote for an earlier election elects nobody.
#[test]
fn a_vote_of_an_earlier_election_does_not_count() {
    let mut server = Server::new(N1, 3);
    server.election_timeout();
    server.election_timeout();
    assert_eq!(server.raft.term().0, 2);
    server.deliver(N2, granted(1));
    assert!(server.raft.is_candidate());
    server.deliver(N2, granted(2));
    assert!(server.raft.is_leader());
}

/// 5.2: each server votes for at most one candidate in a term, first come first served.
#[test]
fn one_vote_a_term_first_come_first_served() {
    let mut server = Server::new(N1, 3);
    assert_eq!(server.deliver(N2, request_vote(1, 0, 0)).reply(), granted(1));
    assert_eq!(server.deliver(N3, request_vote(1, 0, 0)).reply(), vote(1, false));
    assert_eq!(server.deliver(N2, request_vote(1, 0, 0)).reply(), granted(1), "a doubled request");
    assert_eq!(server.deliver(N3, request_vote(2, 0, 0)).reply(), granted(2), "a new term");
}

/// Figure 2: currentTerm and votedFor are persistent: a vote is not cast twice across a crash.
#[test]
fn a_vote_survives_a_crash() {
    let mut server = Server::new(N1, 3);
    server.deliver(N2, request_vote(1, 0, 0));
    server.restart();
    assert_eq!(server.raft.term().0, 1);
    assert_eq!(server.raft.voted_for(), Some(N2));
    assert_eq!(server.deliver(N3, request_vote(1, 0, 0)).reply(), vote(1, false));
}

/// Figure 2: a candidate's vote for itself is a vote, and survives as well.
#[test]
fn a_candidate_remembers_its_own_vote() {
    let mut server = Server::new(N1, 3);
    server.election_timeout();
    server.restart();
    assert_eq!(server.deliver(N3, request_vote(1, 0, 0)).reply(), vote(1, false));
}

/// 5.4.1: the later last term is more up-to-date; with equal terms, the longer log. (The voter's
/// log is 1, 2, 2.)
#[test]
fn a_vote_goes_only_to_a_log_that_is_as_up_to_date() {
    let cases = [
        ((2, 3), true, "equal"),
        ((2, 4), true, "longer"),
        ((3, 1), true, "later term, shorter"),
        ((2, 2), false, "shorter"),
        ((1, 9), false, "earlier term, longer"),
        ((0, 0), false, "empty"),
    ];
    for ((last_term, last_index), grants, why) in cases {
        let mut server = Server::with_log(N1, 3, 3, &[1, 2, 2]);
        let reply = server.deliver(N2, request_vote(4, last_term, last_index)).reply();
        assert_eq!(reply, vote(4, grants), "{why}");
    }
}

/// 5.2: the election timer restarts when a vote is granted, and only then.
#[test]
fn only_a_granted_vote_restarts_the_election_timer() {
    let mut server = Server::with_log(N1, 3, 1, &[1]);
    assert!(server.deliver(N2, request_vote(2, 0, 0)).sets(Timer::Election).is_none());
    assert!(server.deliver(N3, request_vote(2, 1, 1)).sets(Timer::Election).is_some());
}

/// 5.1: a server that sees a larger term adopts it; a candidate or leader becomes a follower.
#[test]
fn a_larger_term_deposes_whoever_sees_it() {
    let messages =
        [request_vote(9, 0, 0), vote(9, false), append_entries(9, (0, 0), &[], 0), matched(9, 0)];
    for message in messages {
        let follower = Server::new(N1, 3);
        let mut candidate = follower.clone();
        candidate.election_timeout();
        let mut leader = follower.clone();
        leader.elect();
        for mut server in [follower, candidate, leader] {
            let led = server.raft.is_leader();
            let reaction = server.deliver(N2, message.clone());
            assert_eq!(server.raft.term().0, 9);
            assert!(!server.raft.is_leader() && !server.raft.is_candidate());
            assert_eq!(reaction.reached("election: a leader was deposed"), led);
            assert!(
                !led || reaction.sets(Timer::Election).is_some(),
                "it must stand again some day"
            );
        }
    }
}

/// 5.1: a request with a stale term is refused, and the refusal tells the sender the new term.
#[test]
fn a_stale_request_is_refused_with_the_new_term() {
    let mut server = Server::with_log(N1, 3, 5, &[1]);
    assert_eq!(server.deliver(N2, request_vote(4, 4, 9)).reply(), vote(5, false));
    let reaction = server.deliver(N2, append_entries(4, (1, 1), &[4], 1));
    assert_eq!(reaction.reply().term().0, 5);
    assert_eq!(outcome(&reaction.reply()), Outcome::Deposed);
    assert!(reaction.sets(Timer::Election).is_none(), "a deposed leader is no leader");
    assert_eq!(server.terms(), [1]);
}

/// 5.2: a candidate that hears from a leader of its term, or a later one, follows; from an earlier
/// one it does not.
#[test]
fn a_candidate_follows_the_leader_of_its_term() {
    for (term, follows) in [(1, false), (2, true), (3, true)] {
        let mut server = Server::with_log(N1, 3, 1, &[]);
        server.election_timeout();
        server.deliver(N2, append_entries(term, (0, 0), &[], 0));
        assert_eq!(server.raft.is_candidate(), !follows, "a leader of term {term}");
        assert_eq!(server.raft.leader(), follows.then_some(N2));
    }
}

/// 5.2: when votes are split, each candidate times out and starts a new election, with a larger
/// term.
#[test]
fn a_split_vote_ends_in_a_new_election() {
    let mut server = Server::new(N1, 4);
    server.election_timeout();
    server.deliver(N2, granted(1));
    let reaction = server.election_timeout();
    assert!(reaction.reached("election: no majority before the timeout"));
    assert_eq!(server.raft.term().0, 2);
    server.deliver(N2, granted(2));
    assert!(server.raft.is_candidate(), "the votes of the last election are void");
}

/// 5.2: election timeouts are chosen at random from a fixed interval, anew for each election.
#[test]
fn election_timeouts_are_random_within_their_interval() {
    let mut drawn = Vec::new();
    for seed in 0..50 {
        let mut server = Server::configured(N1, 3, Vec::new(), config(), seed);
        for _ in 0..2 {
            drawn.push(server.election_timeout().sets(Timer::Election).expect("it is set"));
        }
    }
    let (min, max) = (config().election_timeout_min, config().election_timeout_max);
    assert!(drawn.iter().all(|timeout| (min..=max).contains(timeout)));
    let (low, high) = (drawn.iter().min(), drawn.iter().max());
    assert!(low.is_some_and(|low| *low < min + Duration::millis(20)));
    assert!(high.is_some_and(|high| *high > max - Duration::millis(20)));
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 100, "no two alike");
}

/// 5.2, Election Safety: two candidates of one term, and whatever order the votes come in, one
/// winner at most.
#[test]
fn two_candidates_of_one_term_cannot_both_win() {
    for first in [N1, N5] {
        let mut bench = Bench::new(5);
        bench.act(N1, Server::election_timeout);
        bench.act(N5, Server::election_timeout);
        bench.wire.sort_by_key(|(from, _, _)| *from != first);
        bench.settle(&[N1, N2, N3, N4, N5]);
        let leaders: Vec<_> =
            bench.servers.iter().filter(|server| server.raft.is_leader()).map(|s| s.id).collect();
        assert_eq!(leaders, [first]);
    }
}

/// 5.2: a server that led is a follower after a restart, and leads again only in a later term.
#[test]
fn a_restarted_leader_follows() {
    let mut server = Server::new(N1, 3);
    server.elect();
    server.restart();
    assert_eq!(server.raft.status(), "follower term 1 log 1 commit 0");
    let late: Message = granted(1);
    server.deliver(N3, late);
    assert!(!server.raft.is_leader());
}
