//! Dissertation 6.4.1: reads under a lease, and what a lease rests on.

use crate::support::*;
use seedfall_protocols::raft::log::Term;
use seedfall_protocols::raft::{Config, Message, Request};
use seedfall_sim::{Duration, NodeId};

const ALL: [NodeId; 3] = [N1, N2, N3];

/// Clocks may drift by 5 %: of 150 ms a lease has 135.7.
fn leasing() -> Config {
    Config { leader_stickiness: true, lease_drift: Some(50_000), ..config() }
}

/// Three servers that have been up for a while; N1 leads, and its lease began just now.
fn bench() -> Bench {
    let mut bench = Bench::configured(3, &leasing());
    bench.pass(Duration::secs(1));
    bench.elect(N1, &ALL);
    bench.act(N1, |server| server.request(1, put("k", "v")));
    bench.settle(&ALL);
    bench.beat(N1, &ALL);
    bench.responses.clear();
    bench
}

/// True if N1 answers a read by itself.
fn reads_alone(bench: &mut Bench) -> bool {
    bench.responses.clear();
    bench.act(N1, |server| server.request(9, get("k")));
    bench.wire.clear();
    bench.responses == [(request(9), found(Some("v")))]
}

/// 6.4.1: while its lease lasts, a leader answers reads without any message; when it is over, it
/// asks a majority.
#[test]
fn a_lease_answers_reads_until_it_is_over() {
    let mut bench = bench();
    assert!(reads_alone(&mut bench));
    bench.pass(Duration::millis(135));
    assert!(reads_alone(&mut bench));
    bench.pass(Duration::millis(1));
    assert!(!reads_alone(&mut bench), "the clock of a follower may be faster");
}

/// 6.4.1: the lease begins when the round is sent, not when it is answered.
#[test]
fn a_lease_begins_when_it_is_asked_for() {
    let mut bench = bench();
    bench.pass(Duration::millis(200));
    bench.act(N1, Server::heartbeat);
    bench.pass(Duration::millis(100));
    bench.settle(&ALL);
    assert!(reads_alone(&mut bench));
    bench.pass(Duration::millis(36));
    assert!(!reads_alone(&mut bench), "136 ms after the heartbeat, 36 after the answers");
}

/// 6.4: a new leader has no lease that is worth anything before it has committed an entry of its
/// term.
#[test]
fn a_new_leader_reads_nothing_before_its_first_commit() {
    let mut bench = Bench::configured(3, &leasing());
    bench.pass(Duration::secs(1));
    bench.elect(N1, &ALL);
    bench.pass(Duration::secs(1));
    bench.act(N2, Server::election_timeout);
    let to_n3 = bench.wire.iter().position(|(_, to, _)| *to == N3).expect("asked");
    let (_, _, ask) = bench.wire.remove(to_n3);
    let reply = bench.at(N3).deliver(N2, ask).reply();
    bench.wire.clear();
    bench.act(N2, |server| server.deliver(N3, reply));
    assert!(bench.at(N2).raft.is_leader());
    // A conflict answers the round, and commits nothing.
    let (index, round) = bench
        .wire
        .iter()
        .find_map(|(_, _, message)| match message {
            Message::AppendEntries { prev_log_index, round, .. } => Some((*prev_log_index, *round)),
            _ => None,
        })
        .expect("a heartbeat");
    let reply = matched_in(2, index.0, round);
    bench.act(N2, |server| server.deliver(N3, reply));
    bench.act(N2, |server| server.request(9, get("k")));
    assert!(bench.responses.is_empty());
}

/// 6.4.1 rests on 4.2.3: who answered a leader helps nobody else to lead for an election timeout;
/// not even after a crash, which makes it forget that it did.
#[test]
fn a_follower_keeps_its_promise_through_a_crash() {
    let mut bench = bench();
    bench.at(N2).restart();
    assert!(bench.at(N2).deliver(N3, request_vote(9, 9, 9)).sent(N2, 3).is_empty());
    bench.pass(leasing().election_timeout_min);
    assert_eq!(bench.at(N2).deliver(N3, request_vote(9, 9, 9)).reply(), granted(9));
}

/// The promise holds in a later term too: the answer of a server that has gone on brings its term,
/// and then the candidate asks for a vote in the term that the follower is in already.
#[test]
fn a_follower_keeps_its_promise_when_a_reply_brings_a_later_term() {
    let mut bench = bench();
    let reply = Message::PreVoteReply { term: Term(9), granted: false };
    bench.at(N2).deliver(N3, reply);
    assert_eq!(bench.at(N2).raft.term(), Term(9));
    assert!(bench.at(N2).deliver(N3, request_vote(9, 9, 9)).sent(N2, 3).is_empty());
    bench.pass(leasing().election_timeout_min);
    assert_eq!(bench.at(N2).deliver(N3, request_vote(9, 9, 9)).reply(), granted(9));
}

/// 3.10 breaks the promise by the leader's own wish, so from then on the leader trusts no lease in
/// this term: its message may be late.
#[test]
fn a_leader_that_hands_over_trusts_no_lease_any_more() {
    let mut bench = bench();
    bench.act(N1, |server| server.ask(2, Request::Transfer { to: N2 }));
    bench.wire.clear();
    bench.pass(leasing().election_timeout_max);
    bench.act(N1, Server::heartbeat);
    bench.settle(&ALL);
    assert!(bench.at(N1).raft.is_leader(), "the transfer was abandoned");
    assert!(!reads_alone(&mut bench));
}
