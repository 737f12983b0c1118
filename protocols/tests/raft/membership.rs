//! Section 6 and chapter 4 of the dissertation: how a cluster changes its members.

use crate::support::*;
use seedfall_protocols::raft::log::{LogIndex, Term};
use seedfall_protocols::raft::membership::{Change, Configuration, NodeSet};
use seedfall_protocols::raft::{Config, Request, Response};
use seedfall_sim::NodeId;

fn set(nodes: &[NodeId]) -> NodeSet {
    nodes.iter().copied().collect()
}

fn replace(nodes: &[NodeId]) -> Request {
    Request::Reconfigure(Change::Replace(set(nodes)))
}

/// A cluster of `nodes`, of which the first `voters` begin.
fn cluster(nodes: usize, voters: u16) -> Bench {
    Bench::configured(nodes, &Config { initial_voters: Some(voters), ..config() })
}

/// Delivers what N1 has sent to these; their answers are lost.
fn hand_out(bench: &mut Bench, nodes: &[NodeId]) {
    for (_, to, message) in std::mem::take(&mut bench.wire) {
        if nodes.contains(&to) {
            bench.act(to, |server| server.deliver(N1, message));
        }
    }
    bench.wire.clear();
}

fn configuration(bench: &mut Bench, node: NodeId) -> Configuration {
    *bench.at(node).raft.configuration()
}

/// 6: the leader first appends `C_old,new`, and `C_new` once that is committed; then the new
/// servers are a cluster, and the client is told.
#[test]
fn a_joint_change_goes_through_both_configurations() {
    let all = [N1, N2, N3, N4, N5];
    let mut bench = cluster(5, 3);
    bench.elect(N1, &all);
    bench.act(N1, |server| server.ask(1, replace(&[N1, N4, N5])));
    let joint = configuration(&mut bench, N1);
    assert_eq!((joint.voters, joint.outgoing), (set(&[N1, N4, N5]), Some(set(&[N1, N2, N3]))));
    bench.settle(&all);
    assert_eq!(configuration(&mut bench, N1), Configuration::of(set(&[N1, N4, N5])));
    assert_eq!(bench.responses, [(request(1), Response::Reconfigured)]);
    bench.act(N1, |server| server.request(2, put("k", "v")));
    bench.settle(&[N1, N4]);
    assert_eq!(bench.responses.last(), Some(&(request(2), DONE)), "two of the new three");
}

/// 6: agreement on `C_old,new`, and on all that follows it, needs majorities of both; neither alone
/// is enough.
#[test]
fn a_joint_configuration_needs_both_majorities() {
    for (reached, expected) in [([N1, N2, N3], 1), ([N1, N4, N5], 1), ([N1, N2, N4], 3)] {
        let all = [N1, N2, N3, N4, N5];
        let mut bench = cluster(5, 3);
        bench.elect(N1, &all);
        bench.act(N1, |server| server.ask(1, replace(&[N1, N4, N5])));
        bench.settle(&reached);
        assert_eq!(bench.at(N1).commit(), expected, "{reached:?}");
    }
}

/// 6: a candidate in a joint configuration needs votes of both majorities.
#[test]
fn a_candidate_needs_both_majorities() {
    let mut bench = cluster(5, 3);
    bench.elect(N1, &[N1, N2, N3, N4, N5]);
    bench.act(N1, |server| server.ask(1, replace(&[N3, N4, N5])));
    hand_out(&mut bench, &[N2, N3, N4, N5]);
    bench.act(N3, Server::election_timeout);
    bench.settle(&[N3, N4, N5]);
    assert!(!bench.at(N3).raft.is_leader(), "no majority of the old ones");
    bench.act(N3, Server::election_timeout);
    bench.settle(&[N3, N2]);
    assert!(!bench.at(N3).raft.is_leader(), "no majority of the new ones");
    bench.elect(N3, &[N2, N3, N4]);
    bench.settle(&[N2, N3, N4]);
    assert_eq!(bench.at(N3).raft.configuration().voters, set(&[N3, N4, N5]));
}

/// 6: if the leader fails, another that has `C_old,new` finishes the change.
#[test]
fn another_leader_leaves_the_joint_configuration() {
    let all = [N1, N2, N3, N4, N5];
    let mut bench = cluster(5, 3);
    bench.elect(N1, &all);
    bench.act(N1, |server| server.ask(1, replace(&[N3, N4, N5])));
    hand_out(&mut bench, &[N2, N3, N4, N5]);
    assert!(configuration(&mut bench, N2).is_joint() && configuration(&mut bench, N3).is_joint());
    bench.elect(N3, &[N2, N3, N4, N5]);
    bench.beat(N3, &[N2, N3, N4, N5]);
    assert_eq!(configuration(&mut bench, N3), Configuration::of(set(&[N3, N4, N5])));
}

/// 6: a server uses the latest configuration in its log, whether it is committed or not; if the
/// entry is truncated, the one before it.
#[test]
fn a_configuration_is_in_force_from_append_to_truncation() {
    let mut server = Server::new(N2, 4);
    let three = Configuration::of(set(&[N1, N2, N3]));
    let change = Entry::configuration_of(Term(1), three);
    server.deliver(N1, append_of(1, (0, 0), vec![Entry::no_op(Term(1)), change], 0));
    assert_eq!((server.commit(), *server.raft.configuration()), (0, three));
    server.restart();
    assert_eq!(*server.raft.configuration(), three, "after a crash as well");
    server.deliver(N4, append_entries(2, (1, 1), &[2], 0));
    let four = Configuration::of(NodeSet::first(4));
    assert_eq!((server.terms(), *server.raft.configuration()), (vec![1, 2], four));
    server.restart();
    assert_eq!(*server.raft.configuration(), four);
}

/// Ongaro's correction of 2015: no change before an entry of the leader's own term is committed.
#[test]
fn a_leader_commits_an_entry_of_its_term_before_it_changes_anything() {
    let mut server = Server::new(N1, 4);
    server.elect();
    let ask = Request::Reconfigure(Change::Remove(N4));
    let reaction = server.ask(1, ask.clone());
    assert_eq!(reaction.responses(), [(request(1), Response::Refused)]);
    server.deliver(N2, matched(1, 1));
    server.deliver(N3, matched(1, 1));
    assert!(server.ask(2, ask).responses().is_empty(), "it is under way");
    assert_eq!(server.raft.configuration().voters, set(&[N1, N2, N3]));
}

/// Dissertation 4.1: one change at a time.
#[test]
fn a_second_change_waits_for_the_first() {
    let mut bench = cluster(5, 5);
    let all = [N1, N2, N3, N4, N5];
    bench.elect(N1, &all);
    bench.act(N1, |server| server.ask(1, Request::Reconfigure(Change::Remove(N5))));
    bench.act(N1, |server| server.ask(2, Request::Reconfigure(Change::Remove(N4))));
    assert_eq!(bench.responses, [(request(2), Response::Refused)]);
    bench.settle(&all);
    assert_eq!(bench.responses[1..], [(request(1), Response::Reconfigured)]);
    bench.act(N1, |server| server.ask(3, Request::Reconfigure(Change::Remove(N5))));
    let again = (request(3), Response::Reconfigured);
    assert_eq!(bench.responses.last(), Some(&again), "what is asked for is a state");
    bench.act(N1, |server| server.ask(4, Request::Reconfigure(Change::Add(NodeId::new(9)))));
    assert_eq!(bench.responses.last(), Some(&(request(4), Response::Refused)), "nobody");
}

/// 6: a leader that is not in `C_new` manages without counting itself, and steps down once it is
/// committed.
#[test]
fn a_removed_leader_does_not_count_itself_and_steps_down() {
    let mut bench = cluster(3, 3);
    let all = [N1, N2, N3];
    bench.elect(N1, &all);
    bench.act(N1, |server| server.ask(1, Request::Reconfigure(Change::Remove(N1))));
    bench.settle(&[N1, N2]);
    assert_eq!(bench.at(N1).commit(), 1, "one of the two that count");
    assert!(bench.at(N1).raft.is_leader());
    bench.beat_while_it_leads(N1, &all);
    assert_eq!(bench.responses, [(request(1), Response::Reconfigured)]);
    assert!(!bench.at(N1).raft.is_leader());
    bench.act(N1, Server::election_timeout);
    assert!(bench.wire.is_empty(), "and does not stand");
    bench.elect(N2, &[N2, N3]);
}

/// Dissertation 4.2.2: as long as its removal is not committed, it may be the only one who can win.
#[test]
fn a_server_stands_while_its_removal_is_not_committed() {
    let mut bench = cluster(2, 2);
    bench.elect(N1, &[N1, N2]);
    bench.act(N1, |server| server.ask(1, Request::Reconfigure(Change::Remove(N1))));
    bench.wire.clear();
    bench.at(N1).restart();
    bench.act(N2, Server::election_timeout);
    bench.settle(&[N1, N2]);
    assert!(!bench.at(N2).raft.is_leader(), "it lacks the entry, and needs N1's vote");
    bench.act(N1, Server::election_timeout);
    bench.settle(&[N1, N2]);
    assert_eq!(bench.at(N1).commit(), 3, "it led, and is done");
    assert!(!bench.at(N1).raft.is_leader());
    bench.elect(N2, &[N2]);
}

/// 6: new servers join as non-voting members: they get the log and count for nothing.
#[test]
fn a_learner_gets_the_log_and_has_no_vote() {
    let mut bench = cluster(4, 3);
    let all = [N1, N2, N3, N4];
    bench.elect(N1, &all);
    assert_eq!(bench.at(N4).last(), 0, "it is not a member yet");
    bench.act(N1, |server| server.ask(1, Request::Reconfigure(Change::AddLearner(N4))));
    bench.settle(&all);
    assert_eq!(bench.at(N4).last(), 2);
    bench.act(N1, |server| server.request(2, put("k", "v")));
    bench.settle(&[N1, N4]);
    assert_eq!(bench.at(N1).commit(), 2, "one of three voters, and a learner");
    bench.act(N4, Server::election_timeout);
    assert!(bench.wire.is_empty(), "a learner does not stand");
    bench.beat(N1, &all);
    bench.act(N1, |server| server.ask(3, Request::Reconfigure(Change::Add(N4))));
    bench.settle(&all);
    assert_eq!(configuration(&mut bench, N1), Configuration::of(NodeSet::first(4)));
}

/// Servers outside the configuration stand by.
#[test]
fn a_server_that_is_no_member_never_stands() {
    let mut server =
        Server::configured(N3, 3, Vec::new(), Config { initial_voters: Some(2), ..config() }, 1);
    assert!(server.election_timeout().sent(N3, 3).is_empty());
    assert_eq!(server.raft.term(), Term(0));
    let reply = server.deliver(N1, request_vote(1, 0, 0)).reply();
    assert_eq!(reply, granted(1), "6: but it votes when it is asked");
}

/// 7: a snapshot holds the latest configuration as of its last entry.
#[test]
fn a_snapshot_brings_its_configuration() {
    let config = Config { initial_voters: Some(3), snapshot_after: Some(2), ..config() };
    let all = [N1, N2, N3, N4];
    let mut bench = Bench::configured(4, &config);
    bench.elect(N1, &all);
    bench.act(N1, |server| server.ask(1, Request::Reconfigure(Change::Add(N4))));
    bench.settle(&[N1, N2, N3]);
    bench.beat(N1, &[N1, N2, N3]);
    assert_eq!(bench.at(N4).last(), 0);
    assert_eq!(bench.at(N1).raft.log().base(), LogIndex(2));
    bench.beat(N1, &all);
    for node in all {
        assert_eq!(configuration(&mut bench, node).voters, NodeSet::first(4), "{node}");
        bench.at(node).restart();
        assert_eq!(configuration(&mut bench, node).voters, NodeSet::first(4), "{node}");
    }
}
