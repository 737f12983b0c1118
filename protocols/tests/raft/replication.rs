//! Sections 5.3 and 5.4.2: how logs are made equal, and when an entry is committed.

use crate::support::*;
use seedfall_protocols::raft::log::{LogIndex, Term};
use seedfall_protocols::raft::{Config, Message, Outcome, Record, Timer};
use seedfall_sim::Effect;

fn entries_of(message: &Message) -> usize {
    match message {
        Message::AppendEntries { entries, .. } => entries.len(),
        other => panic!("not an append: {other:?}"),
    }
}

/// The index before the entries.
fn prev_of(message: &Message) -> u64 {
    match message {
        Message::AppendEntries { prev_log_index, .. } => prev_log_index.0,
        other => panic!("not an append: {other:?}"),
    }
}

fn conflict(term: Option<u64>, first: u64) -> Outcome {
    Outcome::Conflict { term: term.map(Term), first: LogIndex(first) }
}

fn refusal(term: u64, outcome: Outcome) -> Message {
    Message::AppendReply { term: Term(term), outcome, round: 1 }
}

/// 5.3: the leader appends the command to its log as a new entry, then sends it to all others in
/// parallel.
#[test]
fn a_command_is_appended_and_sent_to_all() {
    let mut server = Server::new(N1, 3);
    server.elect();
    let reaction = server.request(1, put("k", "v"));
    assert_eq!(server.terms(), [1, 1], "a no-op and the command");
    let sent = append_of(1, (1, 1), vec![entry(1, 1, put("k", "v"))], 0);
    assert_eq!(reaction.sent(N1, 3), [(N2, sent.clone()), (N3, sent)]);
    assert!(reaction.responses().is_empty(), "it is not committed yet");
}

/// 5.3: once the entry is safely replicated on a majority, the leader applies it and answers the
/// client.
#[test]
fn an_entry_is_committed_when_a_majority_stores_it() {
    let mut server = Server::new(N1, 5);
    server.elect();
    server.request(1, put("k", "v"));
    assert!(server.deliver(N2, matched(1, 2)).responses().is_empty(), "two of five");
    assert_eq!((server.commit(), server.value("k")), (0, None));
    let reaction = server.deliver(N3, matched(1, 2));
    assert_eq!(reaction.responses(), [(request(1), DONE)]);
    assert_eq!((server.commit(), server.value("k")), (2, Some("v")));
    assert!(server.deliver(N4, matched(1, 2)).responses().is_empty(), "answered once");
}

/// 5.3: a doubled acknowledgement is still one server.
#[test]
fn a_doubled_acknowledgement_counts_once() {
    let mut server = Server::new(N1, 5);
    server.elect();
    server.deliver(N2, matched(1, 1));
    server.deliver(N2, matched(1, 1));
    assert_eq!(server.commit(), 0);
}

/// A cluster of one has its majority at once.
#[test]
fn a_single_server_commits_alone() {
    let mut server = Server::new(N1, 1);
    server.election_timeout();
    assert_eq!(server.commit(), 1, "its no-op");
    let reaction = server.request(1, put("k", "v"));
    assert_eq!(reaction.responses(), [(request(1), DONE)]);
    let reaction = server.request(2, get("k"));
    assert_eq!(reaction.responses(), [(request(2), found(Some("v")))]);
}

/// 5.3: the leader tells how far it has committed, and followers apply that far, in the order of
/// the log.
#[test]
fn a_follower_applies_what_it_learns_to_be_committed() {
    let mut server = Server::new(N2, 3);
    let log = vec![entry(1, 1, put("k", "a")), entry(1, 2, append("k", "b"))];
    server.deliver(N1, append_of(1, (0, 0), log, 0));
    assert_eq!((server.commit(), server.value("k")), (0, None));
    server.deliver(N1, append_entries(1, (2, 1), &[], 1));
    assert_eq!((server.commit(), server.value("k")), (1, Some("a")));
    server.deliver(N1, append_entries(1, (2, 1), &[], 2));
    assert_eq!((server.commit(), server.value("k")), (2, Some("ab")));
}

/// Figure 2, step 5: commitIndex = min(leaderCommit, index of last new entry): what lies beyond may
/// not be the leader's.
#[test]
fn a_follower_commits_no_further_than_it_agrees() {
    let mut server = Server::with_log(N2, 3, 3, &[1, 1, 2, 2]);
    server.deliver(N1, append_entries(3, (1, 1), &[1], 4));
    assert_eq!(server.commit(), 2);
    server.deliver(N1, append_entries(3, (2, 1), &[], 1));
    assert_eq!(server.commit(), 2, "and never goes back");
}

/// 5.3, the consistency check: without an entry of the same index and term before the new ones, a
/// follower refuses.
#[test]
fn a_follower_refuses_what_does_not_follow_its_log() {
    let cases = [
        ((0, 0), Outcome::Matched(LogIndex(0)), "before the first entry logs agree"),
        ((2, 2), Outcome::Matched(LogIndex(2)), "the same entry"),
        ((3, 3), conflict(None, 3), "no entry there"),
        ((9, 3), conflict(None, 3), "none for long"),
        ((2, 3), conflict(Some(2), 2), "another entry"),
        ((1, 2), conflict(Some(1), 1), "another entry, of an earlier term"),
    ];
    for (prev, expected, why) in cases {
        let mut server = Server::with_log(N2, 3, 3, &[1, 2]);
        let reply = server.deliver(N1, append_entries(3, prev, &[], 0)).reply();
        assert_eq!(outcome(&reply), expected, "{why}");
        assert_eq!(server.terms(), [1, 2], "a refusal changes nothing");
    }
}

/// 5.3 and Figure 2, steps 3 and 4: an entry that conflicts goes, with all that follow; the new
/// ones are appended.
#[test]
fn a_follower_removes_what_conflicts_and_appends_what_is_new() {
    let cases = [
        ((2, 2), vec![3], vec![1, 2, 3]),
        ((1, 1), vec![3, 4], vec![1, 3, 4]),
        ((0, 0), vec![1], vec![1, 2]),
        ((0, 0), vec![3], vec![3]),
    ];
    for (prev, entries, expected) in cases {
        let mut server = Server::with_log(N2, 3, 4, &[1, 2]);
        let reply = server.deliver(N1, append_entries(4, prev, &entries, 0)).reply();
        assert_eq!(server.terms(), expected, "{entries:?} after {prev:?}");
        assert_eq!(outcome(&reply), Outcome::Matched(LogIndex(prev.0 + entries.len() as u64)));
        server.restart();
        assert_eq!(server.terms(), expected, "{entries:?} after {prev:?}, after a restart");
    }
}

/// Figure 2, step 3: *if* an existing entry conflicts: a late or doubled message takes nothing
/// away.
#[test]
fn an_old_message_does_not_cut_the_log() {
    let mut server = Server::new(N2, 3);
    let early = append_entries(1, (0, 0), &[1], 0);
    server.deliver(N1, early.clone());
    server.deliver(N1, append_entries(1, (1, 1), &[1, 1], 0));
    for old in [early, append_entries(1, (0, 0), &[], 0), append_entries(1, (1, 1), &[1], 0)] {
        let reaction = server.deliver(N1, old);
        assert_eq!(server.terms(), [1, 1, 1]);
        let writes = |effect: &Effect<_>| matches!(effect, Effect::Append(_) | Effect::Sync);
        assert!(!reaction.0.iter().any(writes), "nothing new, nothing written");
    }
}

/// Figure 2: stable storage is updated *before* responding: what was acknowledged is there after a
/// crash. (The harness checks the order of the effects of every handler in every test.)
#[test]
fn what_was_acknowledged_survives_a_crash() {
    let mut server = Server::new(N2, 3);
    let reaction = server.deliver(N1, append_entries(1, (0, 0), &[1, 1], 0));
    let place = |wanted: fn(&Effect<_>) -> bool| reaction.0.iter().position(wanted);
    let last_append = reaction
        .0
        .iter()
        .rposition(|effect| matches!(effect, Effect::Append(Record::Entry { .. })));
    let sync = reaction.0.iter().rposition(|effect| matches!(effect, Effect::Sync));
    let reply = place(|effect| matches!(effect, Effect::Send(..)));
    assert!(last_append < sync && sync < reply, "{:?}", reaction.0);
    server.restart();
    assert_eq!(server.terms(), [1, 1]);
}

/// 5.3: a leader never overwrites or deletes entries of its own log (Leader Append-Only).
#[test]
fn a_leader_takes_no_entries_from_others() {
    let mut server = Server::with_log(N1, 3, 3, &[1, 2]);
    server.elect();
    let term = server.raft.term().0;
    server.deliver(N2, append_entries(term, (0, 0), &[3, 3], 0));
    assert_eq!(server.terms(), [1, 2, 4]);
}

/// 5.3: when a leader first comes to power, it sets every nextIndex to just after its last entry.
#[test]
fn a_new_leader_begins_at_the_end_of_its_log() {
    let mut server = Server::with_log(N1, 3, 2, &[1, 1, 2]);
    let reaction = server.elect();
    for (_, message) in reaction.sent(N1, 3) {
        assert_eq!((prev_of(&message), entries_of(&message)), (3, 1), "its no-op");
    }
}

/// 5.3: after a refusal the leader decrements nextIndex and retries, until the logs agree.
#[test]
fn a_leader_steps_back_until_the_logs_agree() {
    let mut server = Server::with_log(N1, 3, 2, &[1, 1, 2]);
    server.elect();
    let message = server.deliver(N2, refusal(3, conflict(None, 2))).reply();
    assert_eq!((prev_of(&message), entries_of(&message)), (1, 3));
    let message = server.deliver(N2, refusal(3, conflict(None, 1))).reply();
    assert_eq!((prev_of(&message), entries_of(&message)), (0, 4));
}

/// End of 5.3: one refusal for each conflicting term, not one for each entry. (The follower has
/// four entries of term 2, the leader one of term 1 and three of term 3.)
#[test]
fn a_refusal_steps_over_a_whole_term() {
    let mut leader = Server::with_log(N1, 3, 3, &[1, 3, 3, 3]);
    leader.elect();
    let mut follower = Server::with_log(N2, 3, 2, &[1, 2, 2, 2, 2]);
    let refused = follower.deliver(N1, append_entries(4, (4, 3), &[4], 0)).reply();
    assert_eq!(outcome(&refused), conflict(Some(2), 2));
    let reaction = leader.deliver(N2, refused);
    assert!(reaction.reached("replication: the leader stepped back over several entries at once"));
    let reply = follower.deliver(N1, reaction.reply()).reply();
    assert_eq!(outcome(&reply), Outcome::Matched(LogIndex(5)));
    assert_eq!(follower.terms(), [1, 3, 3, 3, 4]);
}

/// End of 5.3: if the leader has entries of the conflicting term, it resumes after its last one of
/// them.
#[test]
fn a_refusal_in_a_shared_term_resumes_after_it() {
    let mut leader = Server::with_log(N1, 3, 3, &[1, 1, 2, 3, 3]);
    leader.elect();
    let message = leader.deliver(N2, refusal(4, conflict(Some(2), 3))).reply();
    assert_eq!(prev_of(&message), 3);
}

/// 5.3: a late refusal does not undo what the follower acknowledged since.
#[test]
fn a_late_refusal_takes_nothing_back() {
    let mut server = Server::with_log(N1, 3, 2, &[1, 1, 2]);
    server.elect();
    server.deliver(N2, matched(3, 4));
    assert!(server.deliver(N2, refusal(3, conflict(None, 1))).sent(N1, 3).is_empty());
    let sent = server.heartbeat().sent(N1, 3);
    assert_eq!(prev_of(&sent[0].1), 4);
}

/// 5.3: the leader retries indefinitely until all followers store all entries: what was lost is
/// sent again.
#[test]
fn a_lost_append_is_sent_again() {
    let mut bench = Bench::new(3);
    bench.elect(N1, &[N1, N2, N3]);
    bench.act(N1, |server| server.request(1, put("k", "v")));
    bench.settle(&[N1, N2]);
    assert_eq!((bench.at(N2).last(), bench.at(N3).last()), (2, 1));
    bench.act(N1, Server::heartbeat);
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.at(N3).last(), 2);
    bench.act(N1, Server::heartbeat);
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.at(N3).value("k"), Some("v"));
}

/// 5.2: heartbeats are appends that carry no entries, one to each follower, again and again.
#[test]
fn heartbeats_carry_nothing() {
    let mut server = Server::new(N1, 3);
    server.elect();
    server.deliver(N2, matched(1, 1));
    server.deliver(N3, matched(1, 1));
    let reaction = server.heartbeat();
    assert_eq!(reaction.sets(Timer::Heartbeat), Some(config().heartbeat_interval));
    let sent = reaction.sent(N1, 3);
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|(_, message)| entries_of(message) == 0));
}

/// One message carries no more entries than configured; the rest follows as they are acknowledged.
#[test]
fn long_catch_ups_travel_in_batches() {
    let config = Config { max_entries_per_append: 2, ..config() };
    let log = Server::with_log(N1, 3, 1, &[1; 5]).journal;
    let leader = Server::configured(N1, 3, log, config, 1);
    let mut bench = Bench::of(vec![leader, Server::new(N2, 3), Server::new(N3, 3)]);
    bench.act(N1, Server::election_timeout);
    let most = std::iter::from_fn(|| {
        let (from, to, message) = (!bench.wire.is_empty()).then(|| bench.wire.remove(0))?;
        let size = match &message {
            Message::AppendEntries { entries, .. } => entries.len(),
            _ => 0,
        };
        bench.act(to, |server| server.deliver(from, message));
        Some(size)
    })
    .max();
    assert_eq!(most, Some(2));
    assert_eq!((bench.at(N2).last(), bench.at(N3).last()), (6, 6));
}

/// 5.4.2: only entries of the leader's current term are committed by counting replicas.
#[test]
fn older_terms_are_not_committed_by_counting() {
    let mut server = Server::with_log(N1, 3, 2, &[1, 2]);
    server.elect();
    server.deliver(N2, matched(3, 2));
    server.deliver(N3, matched(3, 2));
    assert_eq!(server.commit(), 0, "every server stores entry 2, of an older term");
    let reaction = server.deliver(N2, matched(3, 3));
    assert_eq!(server.commit(), 3, "and with the no-op of this term it is committed indirectly");
    assert!(
        reaction
            .reached("replication: an entry of an older term was committed by one of this term")
    );
}

/// 5.3: replies to the appends of an earlier term of one's own say nothing about this one.
#[test]
fn acknowledgements_of_an_earlier_term_do_not_count() {
    let mut server = Server::with_log(N1, 3, 2, &[1, 2]);
    server.elect();
    server.deliver(N2, matched(2, 2));
    server.deliver(N2, matched(1, 9));
    assert_eq!(server.commit(), 0);
}
