//! What the paper claims, by section.

use crate::by_hand::{Bench, Image, N1, N2, N3, N4, N5, request};
use seedfall_protocols::paxos_commit::{
    self, Ballot, Config, Invariants, Message, Node, Request, Response, State, TransactionId, Vote,
};
use seedfall_sim::{Duration, NodeId};

type Watched = Bench<Node, Invariants>;

/// n1 to n3 are acceptors.
const CONFIG: Config = Config {
    acceptors: 3,
    quorum: 2,
    patience_min: Duration::millis(100),
    patience_max: Duration::millis(200),
};
/// By when every RM has lost its patience more than once.
const LONG: Duration = Duration::millis(1_000);
const ALL: [NodeId; 5] = [N1, N2, N3, N4, N5];
const WILLING: Request = Request { refused_by: None };

fn five(config: Config) -> Watched {
    Bench::watched(5, config, paxos_commit::invariants())
}

fn first() -> TransactionId {
    request(1, 0)
}

fn states(bench: &Watched, of: &[NodeId]) -> Vec<Option<State>> {
    of.iter().map(|id| bench.at(*id).state(first())).collect()
}

fn ballot(round: u32, leader: NodeId) -> Ballot {
    Ballot { round, node: leader.index() as u16 }
}

/// Ballot 0 up to the acceptors: all have voted, and the leader has not heard of it.
fn voted(config: Config) -> Watched {
    voted_at_the_word_of(N1, config)
}

fn voted_at_the_word_of(leader: NodeId, config: Config) -> Watched {
    let mut bench = five(config);
    bench.ask(leader, first(), WILLING);
    bench.settle_if(&ALL, |(_, message)| {
        matches!(message, Message::Prepare { .. } | Message::Phase2a { .. })
    });
    assert_eq!(states(&bench, &ALL), [Some(State::Prepared); 5]);
    bench
}

/// 2 and 4.2: all RMs prepare, and nothing fails.
#[test]
fn what_nobody_refuses_is_committed_everywhere() {
    let mut bench = five(CONFIG);
    bench.ask(N1, first(), WILLING);
    bench.settle(&ALL);
    assert_eq!(bench.answer(first()), Some(&Response::Committed));
    assert_eq!(states(&bench, &ALL), [Some(State::Committed); 5]);
}

#[test]
fn what_one_resource_manager_refuses_is_aborted_everywhere() {
    for refuses in ALL {
        let mut bench = five(CONFIG);
        bench.ask(N1, first(), Request { refused_by: Some(refuses) });
        bench.settle(&ALL);
        assert_eq!(bench.answer(first()), Some(&Response::Aborted), "{refuses}");
        assert!(!states(&bench, &ALL).contains(&Some(State::Prepared)), "{refuses}");
    }
}

/// 4.2: prepared is chosen in an instance once a quorum has accepted it, and not before.
#[test]
fn a_leader_commits_at_the_word_of_a_quorum() {
    let mut bench = voted(CONFIG);
    assert_eq!(states(&bench, &[N1]), [Some(State::Prepared)], "its own acceptor is not enough");
    bench.pass(N2, N1);
    assert_eq!(states(&bench, &[N1]), [Some(State::Committed)], "n3 need not answer");
}

/// 4.2: acceptors tell of all instances in one message; a refusal decides alone, and is told at
/// once.
#[test]
fn acceptors_bundle_what_they_tell() {
    let told = |bench: &Watched| {
        let to_leader = |(from, to, (_, message)): &&(NodeId, NodeId, (_, Message))| {
            (*from, *to) == (N2, N1) && matches!(message, Message::Phase2b { .. })
        };
        bench.wire.iter().filter(to_leader).count()
    };
    assert_eq!(told(&voted(CONFIG)), 1);
    let mut bench = five(CONFIG);
    bench.ask(N1, first(), Request { refused_by: Some(N4) });
    bench.pass(N1, N4);
    bench.pass(N4, N2);
    assert_eq!(told(&bench), 1);
}

/// 4.2: with f acceptors down, the leader of ballot 0 among them, the others find what was voted.
#[test]
fn a_new_leader_commits_what_all_have_prepared() {
    let mut bench = voted(CONFIG);
    bench.crash(N1, Image::All);
    bench.lose_all();
    bench.run(LONG);
    assert_eq!(states(&bench, &[N2, N3, N4, N5]), [Some(State::Committed); 4]);
    bench.restart(N1);
    bench.run(LONG);
    assert_eq!(states(&bench, &[N1]), [Some(State::Committed)]);
}

/// 4.2: for an RM of which no acceptor has heard, aborted is proposed.
#[test]
fn a_new_leader_aborts_for_an_rm_that_is_silent() {
    let mut bench = five(CONFIG);
    bench.ask(N1, first(), WILLING);
    bench.settle_if(&[N1, N2, N3, N4], |_| true);
    bench.lose_all();
    bench.run(LONG);
    assert_eq!(states(&bench, &ALL), [Some(State::Aborted); 5]);
}

/// 4.1: an acceptor that has promised a ballot accepts nothing below it, crash or no crash: the
/// vote comes too late.
#[test]
fn a_vote_comes_too_late_for_who_has_promised() {
    let mut bench = five(CONFIG);
    let say = |message| (first(), message);
    bench.deliver(N3, N2, say(Message::Phase1a { ballot: ballot(1, N3) }));
    bench.crash(N2, Image::Nothing);
    bench.restart(N2);
    bench.lose_all();
    let votes = vec![(N4, Vote::Prepared)];
    bench.deliver(N4, N2, say(Message::Phase2a { ballot: Ballot::default(), votes, leader: N1 }));
    let promised = ballot(1, N3);
    assert_eq!(bench.wire, [(N2, N1, say(Message::Refused { promised }))]);
}

/// 4.1: the value of the highest ballot that a quorum reports is the one that may be chosen.
#[test]
fn a_new_leader_proposes_the_vote_of_the_highest_ballot() {
    let mut bench = five(CONFIG);
    bench.ask(N1, first(), WILLING);
    bench.pass(N1, N5);
    bench.pass(N5, N2); // Of n5's vote no other acceptor hears.
    bench.settle(&[N1, N2, N3, N4]);
    bench.lose_all();
    let aborted = vec![(N5, Vote::Aborted)];
    let message = Message::Phase2a { ballot: ballot(1, N4), votes: aborted, leader: N4 };
    bench.deliver(N4, N3, (first(), message));
    bench.lose_all();
    bench.crash(N1, Image::All);
    bench.run(LONG);
    assert_eq!(states(&bench, &[N2, N3, N4, N5]), [Some(State::Aborted); 4]);
}

/// No number is used twice, by a leader that is no acceptor either.
#[test]
fn a_leader_that_comes_back_takes_a_higher_ballot() {
    let mut bench = voted(CONFIG);
    bench.lose_all();
    let ballots = |bench: &Watched| {
        let of = |(from, _, (_, message)): &(NodeId, NodeId, (_, Message))| match message {
            Message::Phase1a { ballot } if *from == N5 => Some(ballot.round),
            _ => None,
        };
        bench.wire.iter().filter_map(of).max()
    };
    bench.wait(CONFIG.patience_max);
    let before = ballots(&bench);
    bench.lose_all();
    bench.crash(N5, Image::Nothing);
    bench.restart(N5);
    bench.wait(CONFIG.patience_max);
    assert!(before.is_some() && before < ballots(&bench));
}

/// Section 5: with one acceptor it is two-phase commit, and waits for it; with three it waits for
/// none of them.
#[test]
fn with_one_acceptor_it_blocks() {
    for (acceptors, quorum, ends) in [(1, 1, State::Prepared), (3, 2, State::Committed)] {
        let mut bench = voted_at_the_word_of(N2, Config { acceptors, quorum, ..CONFIG });
        bench.crash(N1, Image::All);
        bench.lose_all();
        bench.run(LONG);
        assert_eq!(states(&bench, &[N2, N3, N4, N5]), [Some(ends); 4], "{acceptors}");
    }
}

/// Any node begins, and two may: nobody votes twice.
#[test]
fn a_client_may_ask_two_nodes() {
    let mut bench = five(CONFIG);
    bench.ask(N1, first(), WILLING);
    bench.ask(N4, first(), WILLING);
    bench.settle(&ALL);
    assert_eq!(states(&bench, &ALL), [Some(State::Committed); 5]);
    bench.ask(N5, first(), WILLING);
    assert!(bench.told.iter().all(|(_, response)| *response == Response::Committed));
    assert!(bench.told.last().is_some_and(|(id, _)| *id == first()));
}
