//! What the paper claims, by line of algorithm 1.

use crate::by_hand::{Bench, Image, N1, N2, N3, N4, request};
use seedfall_protocols::kv::{Answer, Command};
use seedfall_protocols::tendermint::{
    self, Config, Invariants, Kind, Message, Proposal, Record, Request, Response, Step, Validator,
    Vote,
};
use seedfall_sim::{Context, Draws, Duration, Effect, NodeId, Seed, Signed, Signer, Time};

const CONFIG: Config =
    Config { faulty: 1, patience: Duration::millis(25), gossip: Duration::millis(40) };
const DONE: Response = Response(Answer::Done);

fn four() -> Bench<Validator, Invariants> {
    Bench::watched(4, CONFIG, tendermint::invariants())
}

fn put(value: &str) -> Request {
    Request(Command::Put { key: "x".into(), value: value.into() })
}

fn signer(id: NodeId) -> Signer {
    let (mut draws, mut effects) = (Draws::new(Seed(0), 4, 0), Vec::new());
    Context::<Validator>::new(id, 4, Time::ZERO, &mut draws, &mut effects).signer()
}

fn vote(by: NodeId, round: u64, kind: Kind, id: Option<u64>) -> Signed<Vote> {
    signer(by).sign(Vote { height: 0, round, kind, id })
}

/// The proposal of n1, the proposer of the first round, for a request of its own.
fn first(bench: &mut Bench<Validator, Invariants>) -> Signed<Proposal> {
    bench.ask(N1, request(1, 0), put("a"));
    let propose = |(_, _, message): &(NodeId, NodeId, Message)| match message {
        Message::Propose(proposal) => Some(proposal.clone()),
        _ => None,
    };
    bench.wire.iter().find_map(propose).expect("it proposes at once")
}

/// Lines 49 to 54: three precommits of four decide, and all execute.
#[test]
fn a_quorum_of_precommits_decides() {
    let mut bench = four();
    bench.ask(N1, request(1, 0), put("a"));
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.told.iter().filter(|(_, told)| *told == DONE).count(), 3);
    assert_eq!(bench.at(N1).state().height, 1);
    assert_eq!(bench.at(N4).state().height, 0);
    bench.lose_all();
    bench.ask(N4, request(1, 0), put("a"));
    bench.run(Duration::millis(100));
    assert!(bench.reached.contains(&"decided: told by one who is ahead"));
    assert_eq!(bench.at(N4).decisions().len(), bench.at(N1).decisions().len());
}

/// Lines 57 to 67: a proposer that is gone costs a round.
#[test]
fn a_silent_proposer_costs_a_round() {
    let mut bench = four();
    bench.crash(N1, Image::All);
    bench.ask(N2, request(1, 0), put("a"));
    bench.run(Duration::millis(400));
    assert_eq!(bench.answer(request(1, 0)), Some(&DONE));
    assert!(bench.reached.contains(&"time-out: no proposal"));
}

/// Lines 23 and 29: who is locked prevotes nothing else, unless it is shown a later polka.
#[test]
fn a_lock_gives_way_to_a_later_polka_only() {
    let mut bench = four();
    let proposal = first(&mut bench);
    let id = Some(proposal.value().id());
    bench.lose_all();
    bench.deliver(N1, N2, Message::Propose(proposal));
    for by in [N1, N3] {
        bench.deliver(by, N2, Message::Vote(vote(by, 0, Kind::Prevote, id)));
    }
    assert_eq!(bench.at(N2).state().locked, id.map(|id| (0, id)));
    // In the second round n2 itself would propose, in the third n3 does.
    let other = |round, valid| signer(N3).sign(Proposal { height: 0, round, value: None, valid });
    for by in [N1, N3] {
        bench.deliver(by, N2, Message::Vote(vote(by, 2, Kind::Prevote, None)));
    }
    assert_eq!(bench.at(N2).state().round, 2, "line 55");
    bench.deliver(N3, N2, Message::Propose(other(2, None)));
    assert!(bench.reached.contains(&"prevote: locked on another value"));
    // n3 proposes again in round 6, and shows a polka of round 3.
    let null = other(6, Some(3));
    let id = Some(null.value().id());
    for by in [N1, N3, N4] {
        bench.deliver(by, N2, Message::Vote(vote(by, 3, Kind::Prevote, id)));
    }
    for by in [N1, N3] {
        bench.deliver(by, N2, Message::Vote(vote(by, 6, Kind::Prevote, None)));
    }
    bench.deliver(N3, N2, Message::Propose(null));
    assert!(bench.reached.contains(&"prevote: a later polka unlocks"));
}

/// Line 28: a proposal that refers to a polka waits for it.
#[test]
fn a_polka_that_is_not_here_is_not_believed() {
    let mut bench = four();
    for by in [N1, N3] {
        bench.deliver(by, N4, Message::Vote(vote(by, 1, Kind::Prevote, None)));
    }
    let proposal = Proposal { height: 0, round: 1, value: None, valid: Some(0) };
    bench.deliver(N2, N4, Message::Propose(signer(N2).sign(proposal)));
    assert_eq!(bench.at(N4).state().step, Step::Propose);
}

/// Everybody has one vote of a kind in a round, and the proposal is its proposer's.
#[test]
fn nobody_votes_twice() {
    let mut bench = four();
    bench.deliver(N1, N2, Message::Vote(vote(N1, 0, Kind::Prevote, None)));
    bench.deliver(N1, N2, Message::Vote(vote(N1, 0, Kind::Prevote, Some(7))));
    assert!(bench.reached.contains(&"vote: a validator says two things"));
    let proposal = Proposal { height: 0, round: 0, value: None, valid: None };
    bench.deliver(N3, N2, Message::Propose(signer(N3).sign(proposal)));
    assert!(bench.ignored.contains(&"proposal: not the proposer's"));
}

/// After a crash a validator votes no second time in a round.
#[test]
fn a_vote_is_not_repeated_after_a_crash() {
    let mut bench = four();
    let proposal = first(&mut bench);
    bench.lose_all();
    bench.deliver(N1, N2, Message::Propose(proposal));
    assert_eq!(bench.at(N2).state().step, Step::Prevote);
    bench.crash(N2, Image::Nothing);
    bench.restart(N2);
    bench.lose_all();
    let null = Proposal { height: 0, round: 0, value: None, valid: None };
    bench.deliver(N1, N2, Message::Propose(signer(N1).sign(null)));
    assert!(!bench.wire.iter().any(|(_, _, message)| matches!(message, Message::Vote(_))));
}

/// Lines 36 and 28: a vote counts for what it says, though its validator has told this one
/// something else before: others may be locked on what it is a part of.
#[test]
fn of_two_votes_either_may_be_part_of_a_polka() {
    let mut bench = four();
    let proposal = first(&mut bench);
    let id = Some(proposal.value().id());
    bench.lose_all();
    bench.deliver(N1, N2, Message::Propose(proposal));
    bench.deliver(N4, N2, Message::Vote(vote(N4, 0, Kind::Prevote, None)));
    bench.deliver(N4, N2, Message::Vote(vote(N4, 0, Kind::Prevote, id)));
    assert!(bench.reached.contains(&"vote: a validator says two things"));
    bench.deliver(N1, N2, Message::Vote(vote(N1, 0, Kind::Prevote, id)));
    assert_eq!(bench.at(N2).state().locked, id.map(|id| (0, id)));
}

/// As many as have voted are counted, not what they have said.
#[test]
fn who_votes_twice_is_one_of_a_quorum() {
    let mut bench = four();
    for id in [None, Some(7), Some(8)] {
        bench.deliver(N4, N2, Message::Vote(vote(N4, 0, Kind::Precommit, id)));
    }
    bench.deliver(N1, N2, Message::Vote(vote(N1, 0, Kind::Precommit, None)));
    bench.wait(Duration::millis(500));
    assert_eq!(bench.at(N2).state().round, 0, "two have precommitted, and not three");
}

/// Lines 38 to 40: a precommit that a crash leaves in the journal keeps its lock.
#[test]
fn a_precommit_and_its_lock_are_one() {
    let precommits = |crash_at: Option<usize>| {
        let mut bench = four();
        let proposal = first(&mut bench);
        let id = Some(proposal.value().id());
        bench.lose_all();
        bench.deliver(N1, N2, Message::Propose(proposal));
        bench.deliver(N1, N2, Message::Vote(vote(N1, 0, Kind::Prevote, id)));
        bench.crash_at = crash_at.map(|at| (bench.effects + at, Image::All));
        let effects = bench.deliver(N3, N2, Message::Vote(vote(N3, 0, Kind::Prevote, id)));
        (bench, effects, id)
    };
    let (_, effects, _) = precommits(None);
    let is_vote = |effect: &Effect<Validator>| matches!(effect, Effect::Append(Record::Vote(_)));
    let at = effects.iter().position(is_vote).expect("it precommits");
    let (mut bench, _, id) = precommits(Some(at + 1));
    bench.restart(N2);
    assert_eq!(bench.at(N2).state().locked, id.map(|id| (0, id)));
    assert_eq!(bench.at(N2).state().step, Step::Precommit);
}

/// Section 3.1: what ended a round is told to who is still in it, also after a crash.
#[test]
fn what_ended_a_round_is_told_again() {
    let mut bench = four();
    for by in [N1, N3, N4] {
        bench.deliver(by, N2, Message::Vote(vote(by, 0, Kind::Prevote, None)));
        bench.deliver(by, N2, Message::Vote(vote(by, 0, Kind::Precommit, None)));
    }
    bench.wait(Duration::millis(60));
    assert_eq!(bench.at(N2).state().round, 1);
    bench.crash(N2, Image::Nothing);
    bench.restart(N2);
    bench.lose_all();
    bench.wait(Duration::millis(50));
    for by in [N1, N3, N4] {
        let told = vote(by, 0, Kind::Precommit, None);
        let tells = |(from, _, message): &(NodeId, NodeId, Message)| {
            *from == N2 && *message == Message::Vote(told)
        };
        assert!(bench.wire.iter().any(tells), "the precommit of {by}");
    }
}
