//! Section 8 and dissertation chapter 6: who is asked, commands once, reads never stale.

use crate::support::*;
use seedfall_protocols::kv::{Answer, Command};
use seedfall_protocols::raft::log::Term;
use seedfall_protocols::raft::{Message, Outcome, Response};

/// The latest round that the leader started, by what it sends.
fn round_of(message: &Message) -> u64 {
    match message {
        Message::AppendEntries { round, .. } => *round,
        other => panic!("not an append: {other:?}"),
    }
}

/// A leader of three whose no-op is committed.
fn settled_leader() -> Server {
    let mut server = Server::new(N1, 3);
    server.elect();
    server.deliver(N2, matched(1, 1));
    assert_eq!(server.commit(), 1);
    server
}

/// 8: a server that does not lead rejects the request and tells of the most recent leader it has
/// heard from.
#[test]
fn a_follower_redirects_to_the_leader() {
    let mut server = Server::new(N2, 3);
    let answer = |server: &mut Server, command| server.request(1, command).responses();
    let nobody = Response::NotLeader { leader: None };
    assert_eq!(answer(&mut server, put("k", "v")), [(request(1), nobody)]);
    server.deliver(N1, append_entries(1, (0, 0), &[], 0));
    let hint = Response::NotLeader { leader: Some(N1) };
    assert_eq!(answer(&mut server, put("k", "v")), [(request(1), hint.clone())]);
    assert_eq!(answer(&mut server, get("k")), [(request(1), hint)]);
    assert_eq!(server.last(), 0);
}

/// 8: a leader commits a no-op at the start of its term, or it could not know what is committed.
#[test]
fn a_new_leader_begins_with_a_no_op() {
    let mut server = Server::with_log(N1, 3, 1, &[1]);
    server.elect();
    assert_eq!(server.terms(), [1, 2]);
    assert!(server.value("k").is_none());
}

/// 8 and 6.3: a retry of an applied command is answered from the session and not applied again.
#[test]
fn a_retry_is_answered_and_not_repeated() {
    let mut server = settled_leader();
    server.request(1, append("k", "v"));
    assert_eq!(server.deliver(N2, matched(1, 2)).responses(), [(request(1), DONE)]);
    let reaction = server.request(1, append("k", "v"));
    assert_eq!(reaction.responses(), [(request(1), DONE)]);
    assert!(reaction.reached("session: a retry was answered without the log"));
    assert_eq!((server.last(), server.value("k")), (2, Some("v")));
}

/// 6.3: a retry that arrives before the first copy is committed goes through the log, and still
/// takes effect once.
#[test]
fn a_doubled_entry_takes_effect_once() {
    let mut server = settled_leader();
    server.request(1, append("k", "v"));
    server.request(1, append("k", "v"));
    let reaction = server.deliver(N2, matched(1, 3));
    assert_eq!(reaction.responses(), [(request(1), DONE), (request(1), DONE)]);
    assert!(reaction.reached("session: a repeated entry had no effect"));
    assert_eq!(server.value("k"), Some("v"));
}

/// 6.3: the session is part of the replicated state machine: a new leader knows what the old one
/// answered.
#[test]
fn a_retry_at_a_new_leader_takes_effect_once() {
    let all = [N1, N2, N3];
    let mut bench = Bench::new(3);
    bench.elect(N1, &all);
    bench.act(N1, |server| server.request(1, append("k", "v")));
    bench.settle(&all);
    bench.act(N1, Server::heartbeat);
    bench.settle(&all);
    assert_eq!(bench.at(N2).value("k"), Some("v"), "a follower has applied it");
    bench.elect(N2, &all);
    bench.act(N2, |server| server.request(1, append("k", "v")));
    bench.settle(&all);
    assert_eq!(bench.responses, [(request(1), DONE), (request(1), DONE)]);
    assert_eq!(bench.at(N2).value("k"), Some("v"));
}

/// 6.3: the *same response* is returned: a failed compare-and-set does not succeed in its retry.
#[test]
fn a_retry_gets_the_first_answer() {
    let mut server = settled_leader();
    let cas = Command::Cas { key: "k".into(), expected: Some("v".into()), value: "w".into() };
    server.request(1, cas.clone());
    server.request(1, cas.clone());
    let failed = Response::Done(Answer::Cas { swapped: false, seen: None });
    let responses = server.deliver(N2, matched(1, 3)).responses();
    assert_eq!(responses, [(request(1), failed.clone()), (request(1), failed)]);
}

/// 6.3: a command that its client has moved on from has no effect, however late it comes.
#[test]
fn a_command_older_than_the_session_has_no_effect() {
    let mut server = settled_leader();
    server.request(2, append("k", "b"));
    server.deliver(N2, matched(1, 2));
    assert!(server.request(1, append("k", "a")).responses().is_empty());
    assert_eq!((server.last(), server.value("k")), (2, Some("b")));
}

/// 6.3: sessions are rebuilt from the log like everything else, so they survive crashes.
#[test]
fn a_session_survives_a_crash() {
    let mut server = settled_leader();
    server.request(1, append("k", "v"));
    server.deliver(N2, matched(1, 2));
    server.restart();
    server.elect();
    server.request(1, append("k", "v"));
    server.deliver(N2, matched(2, 4));
    assert_eq!(server.value("k"), Some("v"));
}

/// 6.4: a read does not go through the log, and waits for a majority to answer a heartbeat.
#[test]
fn a_read_waits_for_a_round_of_heartbeats() {
    let mut server = settled_leader();
    let reaction = server.request(7, get("k"));
    assert!(reaction.responses().is_empty(), "a deposed leader would not know");
    assert_eq!(server.last(), 1);
    let sent = reaction.sent(N1, 3);
    assert_eq!(sent.len(), 2);
    let confirmed = server.deliver(N3, matched_in(1, 1, round_of(&sent[0].1)));
    assert_eq!(confirmed.responses(), [(request(7), found(None))]);
}

/// 6.4: the heartbeats must have been sent *after* the read came in: older answers prove nothing.
#[test]
fn answers_to_an_older_round_do_not_confirm_a_read() {
    let mut server = settled_leader();
    let old = round_of(&server.heartbeat().sent(N1, 3)[0].1);
    server.request(7, get("k"));
    assert!(server.deliver(N2, matched_in(1, 1, old)).responses().is_empty());
    assert!(server.deliver(N3, matched_in(1, 1, old)).responses().is_empty());
    assert_eq!(server.deliver(N3, matched_in(1, 1, old + 1)).responses().len(), 1);
}

/// 6.4: nor does the refusal of a message from an earlier leadership of the same server: it comes
/// in the present term, but its round was another's. (Found by raft-kv, seed 4.)
#[test]
fn a_refusal_of_an_earlier_leadership_confirms_no_read() {
    let mut server = settled_leader();
    server.request(7, get("k"));
    for round in [2, 3, 99] {
        let outcome = Outcome::Deposed;
        let reply = Message::AppendReply { term: Term(1), outcome, round };
        assert!(server.deliver(N2, reply).responses().is_empty(), "round {round}");
    }
}

/// 6.4: reads that come in while a round is under way share the next one.
#[test]
fn reads_share_rounds() {
    let mut server = settled_leader();
    let first = round_of(&server.request(1, get("k")).sent(N1, 3)[0].1);
    assert!(server.request(2, get("k")).sent(N1, 3).is_empty());
    assert!(server.request(3, get("k")).sent(N1, 3).is_empty());
    let reaction = server.deliver(N2, matched_in(1, 1, first));
    assert_eq!(reaction.responses(), [(request(1), found(None))]);
    let next = round_of(&reaction.sent(N1, 3)[0].1);
    assert_eq!(next, first + 1);
    let reaction = server.deliver(N2, matched_in(1, 1, next));
    assert_eq!(reaction.responses(), [(request(2), found(None)), (request(3), found(None))]);
}

/// 6.4, step 1: a leader that has not yet committed an entry of its term waits until it has:
/// before, it may not know the latest commitments of its predecessor.
#[test]
fn a_read_waits_for_the_first_commit_of_the_term() {
    let all = [N1, N2, N3];
    let mut bench = Bench::new(3);
    bench.elect(N1, &all);
    bench.act(N1, |server| server.request(1, put("k", "v")));
    bench.settle(&all);
    assert_eq!(bench.responses, [(request(1), DONE)]);
    assert_eq!(bench.at(N2).value("k"), None, "stored, and not known to be committed");
    bench.act(N2, Server::election_timeout);
    bench.act(N2, |server| server.deliver(N3, granted(2)));
    bench.act(N2, |server| server.request(2, get("k")));
    let round = round_of(&bench.wire.last().expect("a heartbeat").2);
    bench.act(N2, |server| server.deliver(N3, matched_in(2, 2, round)));
    assert_eq!(
        bench.responses.len(),
        1,
        "confirmed as leader, but ignorant: {:?}",
        bench.responses
    );
    bench.act(N2, |server| server.deliver(N3, matched_in(2, 3, round)));
    assert_eq!(bench.responses[1], (request(2), found(Some("v"))));
}

/// 6.4: a leader that was deposed answers no read: another may have written since.
#[test]
fn a_deposed_leader_answers_no_read() {
    let mut bench = Bench::new(5);
    let all = [N1, N2, N3, N4, N5];
    bench.elect(N1, &all);
    bench.act(N1, Server::heartbeat);
    bench.settle(&all);
    bench.elect(N5, &[N3, N4, N5]);
    bench.act(N5, |server| server.request(1, put("k", "new")));
    bench.settle(&[N3, N4, N5]);
    assert_eq!(bench.responses, [(request(1), DONE)]);
    assert!(bench.at(N1).raft.is_leader(), "cut off with N2, it cannot know better");
    bench.act(N1, |server| server.request(2, get("k")));
    bench.settle(&[N1, N2]);
    assert_eq!(bench.responses.len(), 1, "two of five do not confirm");
    bench.act(N5, Server::heartbeat);
    bench.settle(&all);
    assert_eq!(bench.responses[1], (request(2), Response::NotLeader { leader: None }));
}
