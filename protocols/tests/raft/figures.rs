//! The paper's figures, played by real servers.

use crate::support::*;

const ALL: [seedfall_sim::NodeId; 5] = [N1, N2, N3, N4, N5];

/// Figure 7: whatever a follower may have missed or have too much of, the leader of term 8 makes
/// its log equal.
///
/// ```text
/// leader  1 1 1 4 4 5 5 6 6 6
/// (a)     1 1 1 4 4 5 5 6 6
/// (b)     1 1 1 4
/// (c)     1 1 1 4 4 5 5 6 6 6 6
/// (d)     1 1 1 4 4 5 5 6 6 6 7 7
/// (e)     1 1 1 4 4 4 4
/// (f)     1 1 1 2 2 2 3 3 3 3 3
/// ```
#[test]
fn figure_7_a_leader_makes_every_log_like_its_own() {
    let followers: [&[u64]; 6] = [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    for (place, log) in followers.into_iter().enumerate() {
        let leader = Server::with_log(N1, 3, 7, &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6]);
        let follower = Server::with_log(N2, 3, 7, log);
        // The third server's vote elects the leader where the follower's log is the better one.
        let mut bench = Bench::of(vec![leader, follower, Server::new(N3, 3)]);
        bench.elect(N1, &[N1, N3]);
        bench.act(N1, Server::heartbeat);
        bench.settle(&[N1, N2]);
        let expected = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8];
        assert_eq!(bench.at(N2).terms(), expected, "follower ({})", char::from(b'a' + place as u8));
        assert_eq!(bench.at(N1).terms(), expected, "a leader's log only grows");
        bench.act(N1, Server::heartbeat);
        bench.settle(&[N1, N2]);
        assert_eq!(bench.at(N2).commit(), 11);
    }
}

/// Figure 8 (a) and (b): S1 led term 2 and replicated index 2 to S2 alone; S5 then led term 3 and
/// replicated nothing.
fn figure_8_b() -> Bench {
    let logs: [&[u64]; 5] = [&[1, 2], &[1, 2], &[1], &[1], &[1, 3]];
    let servers = ALL.into_iter().zip(logs);
    Bench::of(servers.map(|(id, log)| Server::with_log(id, 5, 3, log)).collect())
}

/// Figure 8 (c) and (d): S1 leads term 4 and brings the entry of term 2 to a majority. It is not
/// committed by that: S5 can still be elected, by S2, S3 and S4, and overwrite it.
#[test]
fn figure_8_an_old_entry_on_a_majority_can_still_be_overwritten() {
    let mut bench = figure_8_c();
    assert_eq!(bench.at(N1).commit(), 0, "index 2 is on S1, S2 and S3, and not committed");
    bench.act(N5, Server::election_timeout);
    bench.wire.clear();
    bench.elect(N5, &[N2, N3, N4, N5]);
    bench.act(N5, Server::heartbeat);
    bench.settle(&ALL);
    for node in ALL {
        assert_eq!(bench.at(node).terms(), [1, 3, 5], "{node}");
    }
}

/// Figure 8 (c), by real messages: S1 is elected in term 4 by S2 and S3; its no-op of term 4
/// reaches nobody.
fn figure_8_c() -> Bench {
    let mut bench = figure_8_b();
    bench.act(N1, Server::election_timeout);
    for (voter, prev) in [(N2, (2, 2)), (N3, (1, 1))] {
        bench.act(voter, |server| server.deliver(N1, request_vote(4, 2, 2)));
        bench.act(N1, |server| server.deliver(voter, granted(4)));
        let entries: &[u64] = if voter == N3 { &[2] } else { &[] };
        bench.act(voter, |server| server.deliver(N1, append_entries(4, prev, entries, 0)));
        bench.act(N1, |server| server.deliver(voter, matched(4, 2)));
    }
    bench.wire.clear();
    assert_eq!(bench.at(N3).terms(), [1, 2]);
    bench
}

/// Figure 8 (e): if S1 brings an entry of its own term to a majority, all before it are committed,
/// and S5 cannot win.
#[test]
fn figure_8_an_entry_of_the_current_term_commits_what_precedes_it() {
    let mut bench = figure_8_c();
    bench.act(N1, Server::heartbeat);
    bench.settle(&[N1, N2, N3]);
    bench.act(N1, Server::heartbeat);
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.at(N1).commit(), 3);
    assert_eq!(bench.at(N3).terms(), [1, 2, 4]);
    for _ in 0..3 {
        bench.act(N5, Server::election_timeout);
        bench.settle(&[N2, N3, N4, N5]);
        assert!(!bench.at(N5).raft.is_leader(), "only S4 has no better log");
    }
}

/// Figure 9, the argument for Leader Completeness: whoever can win after an entry is committed has
/// it, because one voter at least stored it.
#[test]
fn figure_9_a_later_leader_has_what_was_committed() {
    let mut bench = Bench::new(5);
    bench.elect(N1, &ALL);
    bench.act(N1, |server| server.request(1, put("k", "v")));
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.at(N1).commit(), 2);
    bench.act(N4, Server::election_timeout);
    bench.settle(&[N3, N4, N5]);
    assert!(!bench.at(N4).raft.is_leader(), "N3 stores the entry and refuses");
    bench.elect(N3, &[N3, N4, N5]);
    assert_eq!(bench.at(N3).value("k"), Some("v"), "and is able to lead, with it");
}
