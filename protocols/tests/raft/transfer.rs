//! Dissertation 9.6 and 4.2.3: servers that come back disturb nobody; 3.10: leadership is handed
//! over.

use crate::support::*;
use seedfall_protocols::raft::log::{LogIndex, Term};
use seedfall_protocols::raft::{Config, Message, Request, Response};
use seedfall_sim::{Duration, NodeId, Protocol as _};

const ALL: [NodeId; 3] = [N1, N2, N3];

fn calm() -> Config {
    Config { pre_vote: true, leader_stickiness: true, ..config() }
}

fn pre_vote(term: u64, last_log_term: u64, last_log_index: u64) -> Message {
    Message::PreVote {
        term: Term(term),
        last_log_index: LogIndex(last_log_index),
        last_log_term: Term(last_log_term),
    }
}

fn would(message: &Message) -> bool {
    match message {
        Message::PreVoteReply { granted, .. } => *granted,
        other => panic!("not the reply to a pre-vote: {other:?}"),
    }
}

/// 9.6: a server raises its term only after a majority would vote for it.
#[test]
fn a_server_that_is_cut_off_does_not_raise_its_term() {
    let mut bench = Bench::configured(3, &calm());
    for _ in 0..5 {
        bench.act(N3, Server::election_timeout);
        bench.settle(&[N3]);
    }
    assert_eq!(bench.at(N3).raft.term(), Term(0));
    bench.elect(N3, &ALL);
    assert_eq!(bench.at(N3).raft.term(), Term(1));
}

/// 9.6: a pre-vote is granted for a good log, and only if no leader was heard of for an election
/// timeout. It binds nobody: nothing is written.
#[test]
fn a_pre_vote_is_granted_only_where_there_is_no_leader() {
    let mut server = Server::configured(N2, 3, Vec::new(), calm(), 1);
    server.deliver(N1, append_entries(1, (0, 0), &[1], 0));
    let journal = server.journal.clone();
    assert!(!would(&server.deliver(N3, pre_vote(1, 1, 1)).reply()), "N1 leads");
    server.now += config().election_timeout_min;
    assert!(would(&server.deliver(N3, pre_vote(1, 1, 1)).reply()));
    assert!(would(&server.deliver(N1, pre_vote(1, 1, 1)).reply()), "and to another as well");
    assert!(!would(&server.deliver(N3, pre_vote(1, 0, 0)).reply()), "a worse log");
    assert!(!would(&server.deliver(N3, pre_vote(0, 1, 1)).reply()), "an older term");
    assert_eq!(server.journal, journal);
}

/// 4.2.3: a server that hears from a leader ignores a request for votes, and does not adopt its
/// term; nor does the leader.
#[test]
fn a_leader_that_is_heard_is_not_deposed() {
    let mut bench = Bench::configured(3, &calm());
    bench.elect(N1, &ALL);
    for node in [N1, N2] {
        let reaction = bench.at(node).deliver(N3, request_vote(9, 9, 9));
        assert!(reaction.sent(node, 3).is_empty());
        assert_eq!(bench.at(node).raft.term(), Term(1));
    }
    bench.pass(config().election_timeout_min);
    let reply = bench.at(N2).deliver(N3, request_vote(9, 9, 9)).reply();
    assert_eq!(reply, granted(9), "the leader has been silent");
}

/// 3.10: the leader brings the other up to date, tells it to stand, and it wins at once, though all
/// have just heard from a leader; until then no command is accepted.
#[test]
fn leadership_is_transferred() {
    let mut bench = Bench::configured(3, &calm());
    bench.elect(N1, &ALL);
    bench.act(N1, |server| server.request(1, put("k", "v")));
    bench.settle(&[N1, N2]);
    bench.act(N1, |server| server.ask(2, Request::Transfer { to: N3 }));
    bench.act(N1, |server| server.request(3, put("k", "w")));
    let away = (request(3), Response::NotLeader { leader: None });
    assert_eq!(bench.responses.last(), Some(&away));
    bench.settle(&ALL);
    assert!(bench.at(N3).raft.is_leader(), "{}", bench.at(N3).raft.status());
    assert_eq!(bench.at(N3).value("k"), Some("v"));
    let moved = (request(2), Response::NotLeader { leader: Some(N3) });
    assert!(bench.responses.contains(&moved), "{:?}", bench.responses);
    bench.act(N3, |server| server.ask(2, Request::Transfer { to: N3 }));
    assert_eq!(bench.responses.last(), Some(&(request(2), Response::Leads)));
}

/// 3.10: if it does not succeed within about an election timeout, the leader goes on.
#[test]
fn a_transfer_that_takes_too_long_is_abandoned() {
    let mut bench = Bench::configured(3, &config());
    bench.elect(N1, &ALL);
    bench.act(N1, |server| server.ask(1, Request::Transfer { to: N3 }));
    bench.settle(&[N1, N2]);
    bench.beat(N1, &[N1, N2]);
    bench.pass(config().election_timeout_max);
    bench.beat(N1, &[N1, N2]);
    assert_eq!(bench.responses, [(request(1), Response::Refused)]);
    bench.act(N1, |server| server.request(2, put("k", "v")));
    bench.settle(&[N1, N2]);
    assert_eq!(bench.responses.last(), Some(&(request(2), DONE)));
}

/// 6.2: a leader that reaches no majority for an election timeout steps down.
#[test]
fn a_leader_without_a_majority_steps_down() {
    let mut bench = Bench::configured(3, &calm());
    bench.elect(N1, &ALL);
    bench.act(N1, |server| server.request(1, get("k")));
    bench.wire.clear();
    for _ in 0..7 {
        bench.pass(Duration::millis(100));
        if bench.at(N1).raft.is_leader() {
            bench.act(N1, Server::heartbeat);
        }
        bench.wire.clear();
    }
    assert!(!bench.at(N1).raft.is_leader());
    let told = (request(1), Response::NotLeader { leader: None });
    assert_eq!(bench.responses, [told], "its reads are turned away");
}

/// What a server says that it waits for is what it lacks.
#[test]
fn a_server_says_what_it_waits_for() {
    let mut server = Server::configured(N2, 3, Vec::new(), calm(), 1);
    assert_eq!(server.raft.waits(), "follower term 0 log 0 commit 0: for a leader");
    server.election_timeout();
    let says = server.raft.waits();
    assert!(says.ends_with("for pre-votes of a majority of {n1, n2, n3}, has {n2}"), "{says}");
    server.deliver(N1, append_entries(1, (0, 0), &[1], 0));
    assert_eq!(server.raft.waits(), "follower term 1 log 1 commit 0: for messages of n1");
    let mut leader = Server::new(N1, 3);
    leader.elect();
    let says = leader.raft.waits();
    assert!(says.contains("{n1, n2, n3} to store the rest, has [n2 0, n3 0]"), "{says}");
}
