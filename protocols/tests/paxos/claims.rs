//! What *Paxos Made Simple* claims, by section.

use crate::by_hand::{Bench, Image, N1, N2, N3, N4, N5, request};
use seedfall_protocols::paxos::{
    self, Config, ConfigError, Invariants, Message, Number, Paxos, Proposal, Record, Request,
    Response,
};
use seedfall_sim::{Duration, NodeId};

const LONG: Duration = Duration::secs(1);

fn number(round: u32, proposer: NodeId) -> Number {
    Number { round, proposer }
}

fn proposal(round: u32, proposer: NodeId, value: &str) -> Proposal {
    Proposal { number: number(round, proposer), value: value.into() }
}

fn propose(value: &str) -> Request {
    Request::Propose { value: value.into() }
}

fn chosen(value: &str) -> Response {
    Response::Chosen(value.into())
}

fn promise(round: u32, proposer: NodeId, accepted: Option<Proposal>) -> Message {
    Message::Promise { number: number(round, proposer), accepted }
}

/// What a node has sent to another, of what is still on the wire.
fn sent(bench: &Watched, from: NodeId, to: NodeId) -> Vec<Message> {
    let between = bench.wire.iter().filter(|(a, b, _)| (*a, *b) == (from, to));
    between.map(|(_, _, message)| message.clone()).collect()
}

type Watched = Bench<Paxos, Invariants>;

fn bench(nodes: usize, config: Config) -> Watched {
    Bench::watched(nodes, config, paxos::invariants())
}

fn three() -> Watched {
    bench(3, Config::majorities(3))
}

/// 2.2: with a single proposer, its value is chosen.
#[test]
fn the_only_value_that_is_proposed_is_chosen() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), propose("a"));
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.answer(request(1, 0)), Some(&chosen("a")));
    assert!([N1, N2, N3].iter().all(|id| bench.at(*id).chosen().is_some_and(|v| v == "a")));
}

/// 2.2, phase 2 (a): the value of the highest-numbered proposal among the responses, in whatever
/// order they come.
#[test]
fn a_proposer_takes_the_value_of_the_highest_number_that_is_reported() {
    for order in [[N2, N3], [N3, N2]] {
        let mut bench = bench(5, Config::majorities(5));
        bench.ask(N1, request(1, 0), propose("own"));
        bench.lose_all();
        for from in order {
            let accepted = match from {
                N2 => proposal(1, N4, "newest"),
                _ => proposal(1, N2, "older"),
            };
            bench.deliver(from, N1, promise(1, N1, Some(accepted)));
        }
        let accept = Message::Accept { proposal: proposal(1, N1, "newest") };
        assert_eq!(sent(&bench, N1, N5), [accept], "{order:?}");
    }
}

/// 2.2, phase 2 (a): a quorum must have promised *this* number.
#[test]
fn a_promise_of_an_earlier_attempt_does_not_count() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), propose("a"));
    bench.wait(LONG);
    bench.lose_all();
    bench.deliver(N2, N1, promise(1, N1, None));
    assert!(bench.ignored.contains(&"promise: of an attempt that was given up"));
    assert!(sent(&bench, N1, N3).is_empty(), "it proposes nothing");
}

/// The same: a set of acceptors, not a number of messages.
#[test]
fn a_doubled_promise_counts_once() {
    let mut bench = bench(5, Config::majorities(5));
    bench.ask(N1, request(1, 0), propose("a"));
    bench.lose_all();
    for _ in 0..2 {
        bench.deliver(N2, N1, promise(1, N1, None));
    }
    assert!(sent(&bench, N1, N3).is_empty(), "two of five are no majority");
    bench.deliver(N3, N1, promise(1, N1, None));
    assert_eq!(sent(&bench, N1, N4).len(), 1);
}

/// 2.2, P1a: an acceptor that has promised a number accepts nothing below it.
#[test]
fn an_acceptor_refuses_what_is_below_its_promise() {
    let mut bench = three();
    bench.deliver(N2, N1, Message::Prepare { number: number(2, N2) });
    bench.lose_all();
    bench.deliver(N3, N1, Message::Accept { proposal: proposal(1, N3, "low") });
    let refused = Message::Refused { number: number(1, N3), promised: number(2, N2) };
    assert_eq!(sent(&bench, N1, N3)[0], refused);
    assert_eq!(bench.at(N1).accepted(), None);
    bench.lose_all();
    bench.deliver(N3, N1, Message::Prepare { number: number(1, N3) });
    assert_eq!(sent(&bench, N1, N3), [refused]);
}

/// 2.2, P1a: it accepts what it has not promised to refuse, without having been asked to promise.
#[test]
fn an_acceptor_accepts_what_it_has_not_promised_to_refuse() {
    let mut bench = three();
    bench.deliver(N2, N1, Message::Prepare { number: number(1, N2) });
    bench.deliver(N3, N1, Message::Accept { proposal: proposal(2, N3, "high") });
    assert_eq!(bench.at(N1).accepted(), Some(&proposal(2, N3, "high")));
    assert_eq!(bench.at(N1).promised(), Some(number(2, N3)), "it implies the promise");
}

/// 2.5: promises and acceptances survive a crash.
#[test]
fn no_crash_makes_an_acceptor_forget() {
    let mut bench = three();
    bench.deliver(N2, N1, Message::Accept { proposal: proposal(1, N2, "a") });
    bench.deliver(N3, N1, Message::Prepare { number: number(2, N3) });
    assert_eq!(bench.journal(N1).len(), 2);
    bench.crash(N1, Image::Nothing);
    bench.restart(N1);
    assert_eq!(bench.at(N1).accepted(), Some(&proposal(1, N2, "a")));
    assert_eq!(bench.at(N1).promised(), Some(number(2, N3)));
}

/// 2.5: "two different proposals are never issued with the same number", across a crash too.
#[test]
fn a_number_is_never_used_twice() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), propose("a"));
    bench.crash(N1, Image::Nothing);
    bench.restart(N1);
    bench.lose_all();
    bench.ask(N1, request(1, 0), propose("b"));
    assert_eq!(sent(&bench, N1, N2), [Message::Prepare { number: number(2, N1) }]);
    let promised = |record: &&Record| matches!(record, Record::Promised(_));
    assert_eq!(bench.journal(N1).iter().filter(promised).count(), 2);
}

/// 2.4: a proposer that is refused begins anew above the number that it is told, in its own time.
#[test]
fn who_is_refused_begins_anew_above_it() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), propose("a"));
    bench.lose_all();
    let refused = Message::Refused { number: number(1, N1), promised: number(7, N2) };
    bench.deliver(N2, N1, refused);
    assert!(bench.wire.is_empty(), "at once, two proposers would overtake each other for ever");
    bench.wait(LONG);
    assert_eq!(sent(&bench, N1, N2)[0], Message::Prepare { number: number(8, N1) });
}

/// 2.2, P2b: what is chosen stays, whoever proposes what afterwards.
#[test]
fn what_is_chosen_is_what_later_proposers_are_told() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), propose("a"));
    bench.settle_if(&[N1, N2], |message| !matches!(message, Message::Chosen { .. }));
    assert_eq!(bench.answer(request(1, 0)), Some(&chosen("a")));
    bench.lose_all();
    bench.ask(N3, request(2, 0), propose("b"));
    bench.settle(&[N2, N3]);
    bench.wait(LONG); // n2 had promised 1.n1 after all: n3 overtakes it.
    bench.settle(&[N2, N3]);
    assert_eq!(bench.answer(request(2, 0)), Some(&chosen("a")));
}

/// A read proposes nothing of its own: a quorum that has accepted nothing ends it.
#[test]
fn a_read_of_nothing_chooses_nothing() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), Request::Read);
    bench.settle(&[N1, N2]);
    assert_eq!(bench.answer(request(1, 0)), Some(&Response::Nothing));
    assert!([N1, N2].iter().all(|id| bench.at(*id).accepted().is_none()));
}

/// What one acceptor reports may not be chosen: a read makes it so before it tells.
#[test]
fn a_read_makes_sure_that_what_it_tells_is_chosen() {
    let mut bench = three();
    bench.deliver(N3, N2, Message::Accept { proposal: proposal(1, N3, "a") });
    bench.lose_all();
    bench.ask(N1, request(1, 0), Request::Read);
    bench.wait(LONG); // 1.n1 is below 1.n3.
    bench.settle(&[N1, N2]);
    assert_eq!(bench.answer(request(1, 0)), Some(&chosen("a")));
    assert_eq!(bench.at(N1).accepted().map(|one| &*one.value), Some("a"), "a majority has it");
}

/// Promises that were given before it was asked say nothing of what was chosen since.
#[test]
fn a_read_does_not_join_promises_that_were_given_before() {
    let mut bench = bench(5, Config::majorities(5));
    bench.ask(N1, request(1, 0), Request::Read);
    bench.lose_all();
    bench.deliver(N2, N1, promise(1, N1, None));
    bench.ask(N1, request(2, 0), Request::Read);
    bench.deliver(N3, N1, promise(1, N1, None));
    assert_eq!(bench.answer(request(1, 0)), Some(&Response::Nothing));
    assert_eq!(bench.answer(request(2, 0)), None);
    assert_eq!(sent(&bench, N1, N2), [Message::Prepare { number: number(2, N1) }]);
}

/// Flexible Paxos, section 3: quorums of one phase need not meet each other.
#[test]
fn two_acceptances_choose_if_four_of_five_promise() {
    let config = Config { phase_1: 4, phase_2: 2, ..Config::majorities(5) };
    let mut bench = bench(5, config);
    bench.ask(N1, request(1, 0), propose("a"));
    bench.settle_if(&[N1, N2, N3], |message| matches!(message, Message::Prepare { .. }));
    bench.settle_if(&[N1, N2, N3], |message| matches!(message, Message::Promise { .. }));
    assert!(sent(&bench, N1, N4).iter().all(|m| !matches!(m, Message::Accept { .. })));
    bench.deliver(N4, N1, promise(1, N1, None));
    bench.settle_if(&[N1, N2], |message| matches!(message, Message::Accept { .. }));
    bench.settle_if(&[N1, N2], |message| matches!(message, Message::Accepted { .. }));
    assert_eq!(bench.answer(request(1, 0)), Some(&chosen("a")));
}

#[test]
fn what_cannot_work_is_refused() {
    let three = Config::majorities(3);
    assert_eq!(three.check(3), Ok(()));
    let none = Config { phase_1: 0, ..three.clone() };
    assert_eq!(none.check(3), Err(ConfigError::QuorumImpossible));
    let many = Config { phase_2: 4, ..three.clone() };
    assert_eq!(many.check(3), Err(ConfigError::QuorumImpossible));
    let at_once = Config { retry_min: Duration::ZERO, ..three.clone() };
    assert_eq!(at_once.check(3), Err(ConfigError::RetryRangeEmpty));
    let never = Config { retry_max: three.retry_min, ..three };
    assert_eq!(never.check(3), Err(ConfigError::RetryRangeEmpty));
}
