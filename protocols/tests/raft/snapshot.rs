//! Section 7: log compaction, `InstallSnapshot`, and what must survive them.

use crate::support::*;
use seedfall_protocols::raft::log::LogIndex;
use seedfall_protocols::raft::snapshot::Chunk;
use seedfall_protocols::raft::{Config, Message, Outcome, Record, Response};
use seedfall_sim::NodeId;
use std::sync::Arc;

const ALL: [NodeId; 3] = [N1, N2, N3];

/// A snapshot every four entries, one item a chunk.
fn compacting() -> Config {
    Config { snapshot_after: Some(4), snapshot_chunk: 1, ..config() }
}

/// N1 leads, N3 is cut off, and N1 and N2 have compacted what N3 lacks.
fn lagging() -> Bench {
    let mut bench = Bench::configured(3, &compacting());
    bench.elect(N1, &ALL);
    for (sequence, key) in (1..).zip(["a", "b", "c", "d", "e"]) {
        bench.act(N1, |server| server.request(sequence, put(key, "v")));
        bench.settle(&[N1, N2]);
    }
    bench.beat(N1, &[N1, N2]);
    assert!(bench.at(N1).raft.log().base() >= LogIndex(4));
    assert_eq!(bench.at(N3).last(), 1);
    bench
}

/// The parts of N1's snapshot, as N3 gets them.
fn chunks(bench: &mut Bench) -> Vec<Arc<Chunk>> {
    let mut chunks = Vec::new();
    bench.act(N1, Server::heartbeat);
    let between = |(_, to, message): &(NodeId, NodeId, Message)| match message {
        Message::AppendReply { .. } => *to == N1,
        _ => *to == N3,
    };
    while let Some(place) = bench.wire.iter().position(between) {
        let (from, to, message) = bench.wire.remove(place);
        if let Message::InstallSnapshot { chunk, .. } = &message {
            chunks.push(Arc::clone(chunk));
        }
        bench.act(to, |server| server.deliver(from, message));
    }
    chunks
}

fn install(chunk: &Arc<Chunk>, term: u64) -> Message {
    let term = seedfall_protocols::raft::log::Term(term);
    Message::InstallSnapshot { term, chunk: Arc::clone(chunk), round: 1 }
}

/// 7: the entire current state is written to a snapshot, and the log up to there is discarded.
#[test]
fn a_server_discards_what_its_snapshot_holds() {
    let mut server = Server::configured(N1, 1, Vec::new(), compacting(), 1);
    server.election_timeout();
    for sequence in 1..4 {
        server.request(sequence, append("k", "x"));
    }
    assert_eq!(server.raft.log().base(), LogIndex(4), "a no-op and three commands");
    assert_eq!((server.last(), server.terms().len(), server.value("k")), (4, 0, Some("xxx")));
    server.request(4, append("k", "y"));
    assert_eq!((server.last(), server.terms()), (5, vec![1]));
}

/// 7: what was discarded is not needed any more: a server recovers from its last snapshot and what
/// follows it, even if its journal begins there.
#[test]
fn a_server_recovers_from_its_last_snapshot() {
    let mut server = Server::configured(N1, 1, Vec::new(), compacting(), 1);
    server.election_timeout();
    for sequence in 1..7 {
        server.request(sequence, append("k", "x"));
    }
    let (log, machine) = (server.raft.log().clone(), server.raft.machine().clone());
    let last = |record: &Record| matches!(record, Record::Snapshot(_));
    let start = server.journal.iter().rposition(last).expect("it took a snapshot");
    assert!(start > 0);
    server.journal.drain(..start);
    server.restart();
    assert_eq!(server.raft.log().to_string(), log.to_string());
    assert_eq!(server.raft.log().last_digest(), log.last_digest());
    assert_eq!(server.commit(), log.base().0, "what a snapshot holds was committed");
    server.election_timeout();
    assert_eq!(server.raft.machine(), &machine, "what followed it was committed again");
}

/// 7 and 8: the sessions are a part of the state: a retry after the snapshot has no second effect.
#[test]
fn a_session_survives_a_snapshot() {
    let mut server = Server::configured(N1, 1, Vec::new(), compacting(), 1);
    server.election_timeout();
    for sequence in 1..4 {
        server.request(sequence, append("k", "x"));
    }
    assert_eq!(server.terms().len(), 0, "all of it is in the snapshot");
    server.restart();
    server.election_timeout();
    let reaction = server.request(3, append("k", "x"));
    assert_eq!(reaction.responses(), [(request(3), DONE)]);
    assert_eq!(server.value("k"), Some("xxx"));
}

/// 7: only committed entries are covered.
#[test]
fn a_snapshot_holds_committed_entries_only() {
    let mut server = Server::configured(N2, 3, Vec::new(), compacting(), 1);
    server.deliver(N1, append_entries(1, (0, 0), &[1, 1, 1, 1], 0));
    server.deliver(N1, append_entries(1, (4, 1), &[1, 1, 1, 1], 0));
    assert_eq!(server.raft.log().base(), LogIndex::ZERO);
    server.deliver(N1, append_entries(1, (8, 1), &[], 5));
    assert_eq!((server.raft.log().base(), server.last()), (LogIndex(5), 8));
}

/// 7: the leader sends its snapshot to a follower whose next entry it has discarded, in chunks, and
/// goes on with entries.
#[test]
fn a_follower_that_lags_behind_gets_the_snapshot() {
    let mut bench = lagging();
    bench.beat(N1, &ALL);
    let machine = bench.at(N1).raft.machine().clone();
    assert_eq!(bench.at(N3).raft.machine(), &machine);
    assert_eq!((bench.at(N3).last(), bench.at(N3).commit()), (6, 6));
    assert!(bench.at(N3).raft.log().base() > LogIndex::ZERO);
    bench.act(N1, |server| server.request(9, put("k", "after")));
    bench.settle(&ALL);
    bench.beat(N1, &ALL);
    bench.at(N3).restart();
    assert_eq!(bench.at(N3).last(), 7);
}

/// Figure 13: chunks arrive in order or not at all; a doubled one is not counted again, a lost one
/// is sent again, and one that was held in memory only is gone after a crash.
#[test]
fn chunks_are_put_together_in_order() {
    let mut bench = lagging();
    let chunks = chunks(&mut lagging());
    assert!(chunks.len() > 2, "one item each");
    let held = |server: &mut Server, place: usize| {
        outcome(&server.deliver(N1, install(&chunks[place], 1)).reply())
    };
    let last_index = chunks[0].head.last_index;
    let holds = |items| Outcome::Chunk { last_index, items };
    let server = bench.at(N3);
    assert_eq!(held(server, 1), holds(0), "the first is missing");
    assert_eq!(held(server, 0), holds(1));
    assert_eq!(held(server, 0), holds(1), "doubled");
    assert_eq!(held(server, 2), holds(1), "the second is missing");
    assert_eq!(held(server, 1), holds(2));
    server.restart();
    assert_eq!(held(server, 2), holds(0), "the crash took the first two");
    for place in 0..chunks.len() - 1 {
        assert_eq!(held(server, place), holds(place + 1));
    }
    assert_eq!(server.commit(), 0);
    assert_eq!(held(server, chunks.len() - 1), Outcome::Matched(last_index));
    assert_eq!((server.commit(), server.last()), (last_index.0, last_index.0));
    server.restart();
    assert_eq!((server.commit(), server.value("a")), (last_index.0, Some("v")));
}

/// 7, 13: a snapshot that describes a prefix of what a follower has applied takes nothing back.
#[test]
fn an_old_snapshot_changes_nothing() {
    let mut bench = lagging();
    let chunks = chunks(&mut lagging());
    bench.beat(N1, &ALL);
    bench.act(N1, |server| server.request(9, put("k", "new")));
    bench.settle(&ALL);
    bench.beat(N1, &ALL);
    let before = bench.at(N3).raft.clone();
    for chunk in &chunks {
        let reaction = bench.at(N3).deliver(N1, install(chunk, 1));
        assert_eq!(outcome(&reaction.reply()), Outcome::Matched(chunk.head.last_index));
        assert!(reaction.reached("snapshot: one came that is older than what is applied"));
    }
    assert_eq!(bench.at(N3).raft.machine(), before.machine());
    assert_eq!(bench.at(N3).raft.log().last_digest(), before.log().last_digest());
}

/// 13, step 6: if the follower has the snapshot's last entry, what follows it stays.
#[test]
fn entries_after_the_snapshot_are_kept() {
    let mut bench = lagging();
    let chunks = chunks(&mut lagging());
    let log = bench.at(N2).raft.log().clone();
    let last = chunks[0].head.last_index;
    // N3 has every entry and knows of none that it is committed.
    let mut server = Server::configured(N3, 3, Vec::new(), compacting(), 1);
    let mut whole = vec![Entry::no_op(seedfall_protocols::raft::log::Term(1))];
    for (sequence, key) in (1..).zip(["a", "b", "c", "d", "e"]) {
        whole.push(entry(1, sequence, put(key, "v")));
    }
    server.deliver(N1, append_of(1, (0, 0), whole, 0));
    assert_eq!((server.last(), server.commit()), (log.last_index().0, 0));
    for chunk in &chunks {
        server.deliver(N1, install(chunk, 1));
    }
    assert_eq!((server.commit(), server.last()), (last.0, log.last_index().0));
    server.restart();
    assert_eq!(server.last(), log.last_index().0, "and they are durable");
}

/// 7: an old append that begins in what was discarded matches there, and appends nothing twice.
#[test]
fn an_append_that_begins_in_the_discarded_prefix_is_compared_from_its_end() {
    let mut server = Server::configured(N2, 3, Vec::new(), compacting(), 1);
    server.deliver(N1, append_entries(1, (0, 0), &[1, 1, 1, 1, 1], 5));
    assert_eq!(server.raft.log().base(), LogIndex(5));
    let old = server.deliver(N1, append_entries(1, (1, 1), &[1, 1], 5)).reply();
    assert_eq!((outcome(&old), server.last()), (Outcome::Matched(LogIndex(3)), 5));
    let both = server.deliver(N1, append_entries(1, (3, 1), &[1, 1, 1, 1], 5)).reply();
    assert_eq!((outcome(&both), server.last()), (Outcome::Matched(LogIndex(7)), 7));
    assert_eq!(server.terms(), [1, 1]);
}

/// Dissertation 6.3: with too many sessions the one used least recently expires, on every server
/// the same; its command never takes effect again, and its client is told.
#[test]
fn a_session_expires_and_its_command_has_no_second_effect() {
    let config = Config { max_sessions: Some(1), ..config() };
    let mut server = Server::configured(N1, 3, Vec::new(), config, 1);
    server.deliver(N2, append_of(1, (0, 0), vec![entry(1, 1, append("k", "x"))], 1));
    let mut other = entry(1, 1, append("k", "y"));
    if let Some(seedfall_protocols::raft::log::Body::Command(submission)) = other.body() {
        let client = seedfall_sim::ClientId::new(1);
        let submission = seedfall_protocols::raft::Submission { client, ..submission.clone() };
        other = Entry::command(other.term, submission);
    }
    server.deliver(N2, append_of(1, (1, 1), vec![other], 2));
    let session = server.raft.machine().session(request(1).client).expect("its number stays");
    assert_eq!((session.sequence, &session.answer), (1, &None));
    server.elect();
    let reaction = server.request(1, append("k", "x"));
    assert_eq!(reaction.responses(), [(request(1), Response::Expired)]);
    assert_eq!(server.value("k"), Some("xy"));
}

/// Flow control: no more entries are on their way than the window holds; an acknowledgement makes
/// room.
#[test]
fn a_window_bounds_what_is_on_its_way() {
    let config = Config { max_in_flight: 2, ..config() };
    let mut server = Server::configured(N1, 3, Vec::new(), config, 1);
    server.elect();
    server.deliver(N2, matched(1, 1));
    let sent = |reaction: Reaction| {
        let of_n2 = reaction.sent(N1, 3).into_iter().filter(|(to, _)| *to == N2);
        of_n2
            .map(|(_, message)| match message {
                Message::AppendEntries { entries, .. } => entries.len(),
                other => panic!("{other:?}"),
            })
            .sum::<usize>()
    };
    let counts: Vec<_> =
        (1..6).map(|sequence| sent(server.request(sequence, put("k", "v")))).collect();
    assert_eq!(counts, [1, 1, 0, 0, 0]);
    assert_eq!(sent(server.heartbeat()), 0);
    assert_eq!(sent(server.deliver(N2, matched(1, 3))), 2);
}
