//! The watcher of Figure 3 sees what it is there for. Every violation here is made by hand: by
//! servers that were told of votes nobody gave, or that woke up with another journal.

use crate::support::*;
use seedfall_protocols::raft::log::{LogIndex, Term};
use seedfall_protocols::raft::{self, Invariants, Record};
use seedfall_sim::Monitor;

fn sees(watcher: &mut Invariants, server: &Server) -> Option<&'static str> {
    watcher.observe(server.id, &server.raft).err().map(|violation| violation.property)
}

/// A leader of the first term above `term`, by forged votes, that committed all its log.
fn committed(id: seedfall_sim::NodeId, term: u64, log: &[u64]) -> Server {
    let mut server = Server::with_log(id, 3, term, log);
    server.elect();
    let (term, last) = (server.raft.term().0, server.last());
    server.deliver(if id == N3 { N2 } else { N3 }, matched(term, last));
    assert_eq!(server.commit(), last);
    server
}

#[test]
fn two_leaders_of_a_term_break_election_safety() {
    let mut watcher = raft::invariants();
    let [mut one, mut other] = [N1, N2].map(|id| Server::new(id, 3));
    one.elect();
    other.elect();
    assert_eq!(sees(&mut watcher, &one), None);
    assert_eq!(sees(&mut watcher, &other), Some("Election Safety"));
}

#[test]
fn a_leader_that_loses_an_entry_breaks_leader_append_only() {
    let mut watcher = raft::invariants();
    let mut server = Server::new(N1, 3);
    server.elect();
    let shorter = server.clone();
    server.request(1, put("k", "v"));
    assert_eq!(sees(&mut watcher, &server), None);
    assert_eq!(sees(&mut watcher, &shorter), Some("Leader Append-Only"));
}

#[test]
fn one_entry_after_two_logs_breaks_log_matching() {
    let mut watcher = raft::invariants();
    assert_eq!(sees(&mut watcher, &Server::with_log(N1, 3, 3, &[1, 3])), None);
    assert_eq!(sees(&mut watcher, &Server::with_log(N2, 3, 3, &[2])), None, "another term");
    let broken = Server::with_log(N3, 3, 3, &[2, 3]);
    assert_eq!(sees(&mut watcher, &broken), Some("Log Matching"));
}

#[test]
fn a_later_leader_without_a_committed_entry_breaks_leader_completeness() {
    let mut watcher = raft::invariants();
    assert_eq!(sees(&mut watcher, &committed(N1, 1, &[1, 1])), None);
    let mut ignorant = Server::with_log(N2, 3, 2, &[1]);
    ignorant.elect();
    assert_eq!(sees(&mut watcher, &ignorant), Some("Leader Completeness"));
}

#[test]
fn an_entry_committed_behind_a_later_leaders_back_breaks_leader_completeness() {
    let mut watcher = raft::invariants();
    let mut later = Server::with_log(N2, 3, 7, &[1]);
    later.elect();
    assert_eq!(sees(&mut watcher, &later), None);
    let earlier = committed(N1, 1, &[1, 1]);
    assert_eq!(sees(&mut watcher, &earlier), Some("Leader Completeness"));
}

/// A late winner of an old term may lack what a later term committed: Leader Completeness is about
/// later leaders.
#[test]
fn an_earlier_leader_that_wins_late_breaks_nothing() {
    let mut watcher = raft::invariants();
    assert_eq!(sees(&mut watcher, &committed(N1, 7, &[1, 1])), None);
    let mut late = Server::with_log(N2, 3, 2, &[1]);
    late.elect();
    assert_eq!(sees(&mut watcher, &late), None);
}

#[test]
fn two_commitments_at_one_index_break_state_machine_safety() {
    let mut watcher = raft::invariants();
    assert_eq!(sees(&mut watcher, &committed(N1, 1, &[1, 1])), None);
    let mut other = Server::new(N2, 3);
    other.deliver(N3, append_entries(1, (0, 0), &[1], 1));
    assert_eq!(sees(&mut watcher, &other), None);
    other.deliver(N3, append_of(1, (1, 1), vec![entry(1, 1, put("k", "v"))], 1));
    assert_eq!(sees(&mut watcher, &other), Some("Log Matching"));
    let mut third = Server::with_log(N3, 3, 9, &[1, 1, 9]);
    third.deliver(N1, append_entries(9, (3, 9), &[], 3));
    assert_eq!(sees(&mut watcher, &third), Some("State Machine Safety"));
}

#[test]
fn a_server_that_loses_a_committed_entry_breaks_durability() {
    let mut watcher = raft::invariants();
    let mut server = Server::new(N2, 3);
    server.deliver(N1, append_entries(1, (0, 0), &[1, 1], 1));
    assert_eq!(sees(&mut watcher, &server), None);
    let mut journal = server.journal.clone();
    journal.pop();
    let shorter = Server::recovered(N2, 3, journal.clone());
    assert_eq!(sees(&mut watcher, &shorter), None, "entry 2 is not committed");
    assert_eq!(sees(&mut watcher, &server), None, "and came back");
    journal.pop();
    assert_eq!(sees(&mut watcher, &Server::recovered(N2, 3, journal)), Some("Durability"));
    let mut watcher = raft::invariants();
    assert_eq!(sees(&mut watcher, &server), None);
    assert_eq!(sees(&mut watcher, &committed(N1, 1, &[1, 1])), None);
    let elsewhere = Server::with_log(N2, 3, 2, &[1]);
    assert_eq!(sees(&mut watcher, &elsewhere), Some("Durability"), "committed, as N1 knew");
}

/// Figure 8 with a delay: N2 got the entry of term 2, but follows a leader of term 3 that lacks it,
/// while others commit it in term 4. The leader of term 3 may still take it from N2.
#[test]
fn a_server_that_was_not_counted_may_lose_its_copy() {
    let mut watcher = raft::invariants();
    let mut late = Server::with_log(N2, 3, 3, &[1, 2]);
    assert_eq!(sees(&mut watcher, &late), None);
    assert_eq!(sees(&mut watcher, &committed(N1, 3, &[1, 2])), None);
    late.deliver(N3, append_entries(3, (1, 1), &[3], 0));
    assert_eq!(late.terms(), [1, 3]);
    assert_eq!(sees(&mut watcher, &late), None);
}

/// A crash may take what no server was told of, a restarted server begins to learn again what is
/// committed, and a suffix of an old term may be replaced by another as long as the first: none of
/// it is a violation.
#[test]
fn restarts_and_replaced_suffixes_break_nothing() {
    let mut watcher = raft::invariants();
    let mut server = Server::new(N2, 3);
    for round in 1..5 {
        let prev = if round == 1 { (0, 0) } else { (1, 1) };
        let entries: &[u64] = if round == 1 { &[1, 1, 1] } else { &[round, round] };
        server.deliver(N1, append_entries(round, prev, entries, 1));
        assert_eq!(sees(&mut watcher, &server), None);
        server.restart();
        assert_eq!(sees(&mut watcher, &server), None);
        assert_eq!(server.commit(), 0);
    }
    assert_eq!(server.terms(), [1, 4, 4]);
    let truncated = |record: &&Record| matches!(record, Record::Truncate { .. });
    assert_eq!(server.journal.iter().filter(truncated).count(), 3);
    assert_eq!(server.raft.log().term_at(LogIndex(2)), Some(Term(4)));
}
