//! What section 3 of *Paxos Made Simple* claims, and *Paxos Made Live* of leases.

use crate::by_hand::{Bench, Image, N1, N2, N3, request};
use seedfall_protocols::kv::{Answer, Command};
use seedfall_protocols::machine::Update;
use seedfall_protocols::multi_paxos::{
    self, Ballot, Config, Invariants, Message, MultiPaxos, Request, Response,
};
use seedfall_sim::{Duration, NodeId, Protocol as _};

type Watched = Bench<MultiPaxos, Invariants>;

const CONFIG: Config = Config {
    interval: Duration::millis(20),
    elect_min: Duration::millis(85),
    elect_max: Duration::millis(160),
    lease: Duration::millis(60),
    hold: Duration::millis(80),
};
const ALL: [NodeId; 3] = [N1, N2, N3];

fn append(value: &str) -> Request {
    Request(Command::Append { key: "x".into(), value: value.into() })
}

fn get() -> Request {
    Request(Command::Get { key: "x".into() })
}

fn value(text: &str) -> Response {
    Response::Done(Answer::Value(Some(text.into())))
}

const DONE: Response = Response::Done(Answer::Done);

/// Time goes on while these alone can talk.
fn pass(bench: &mut Watched, among: &[NodeId], span: Duration) {
    for _ in 0..span.as_nanos() / Duration::millis(5).as_nanos() {
        bench.wait(Duration::millis(5));
        bench.settle(among);
        bench.lose_all();
    }
}

fn leader(bench: &Watched, among: &[NodeId]) -> NodeId {
    let leads = |id: &NodeId| bench.at(*id).is_leader();
    among.iter().copied().find(leads).expect("somebody leads")
}

/// Three nodes, the leader, and the two others.
fn three() -> (Watched, NodeId, [NodeId; 2]) {
    let mut bench = Bench::watched(3, CONFIG, multi_paxos::invariants());
    pass(&mut bench, &ALL, Duration::millis(300));
    let leader = leader(&bench, &ALL);
    let others: Vec<NodeId> = ALL.into_iter().filter(|id| *id != leader).collect();
    (bench, leader, [others[0], others[1]])
}

/// Section 3: a stable leader needs phase 2 alone.
#[test]
fn a_stable_leader_needs_phase_2_alone() {
    let (mut bench, leader, others) = three();
    bench.ask(leader, request(1, 0), append("a"));
    let prepares = |one: &(NodeId, NodeId, Message)| matches!(one.2, Message::Prepare { .. });
    assert!(!bench.wire.iter().any(prepares));
    bench.pass(leader, others[0]);
    bench.pass(others[0], leader);
    assert_eq!(bench.answer(request(1, 0)), Some(&DONE));
}

/// Section 3: what a majority has accepted is proposed again by the next leader.
#[test]
fn the_next_leader_proposes_what_may_be_chosen() {
    let (mut bench, leader, others) = three();
    bench.ask(leader, request(1, 0), append("a"));
    bench.pass(leader, others[1]);
    bench.crash(leader, Image::Nothing);
    bench.lose_all();
    pass(&mut bench, &others, Duration::millis(500));
    let next = self::leader(&bench, &others);
    bench.ask(next, request(2, 0), get());
    bench.settle(&others);
    assert_eq!(bench.answer(request(2, 0)), Some(&value("a")));
}

/// Section 3: "special no-op commands" fill the gaps, so that what comes after is carried out.
#[test]
fn gaps_are_filled_with_no_ops() {
    let (mut bench, leader, others) = three();
    bench.ask(leader, request(1, 0), append("lost"));
    bench.lose_all();
    bench.ask(leader, request(2, 0), append("a"));
    bench.pass(leader, others[0]);
    bench.crash(leader, Image::Nothing);
    bench.lose_all();
    pass(&mut bench, &others, Duration::millis(500));
    let next = self::leader(&bench, &others);
    let log = bench.at(next).log();
    assert!(log.len() == 2 && log[0].is_none() && log[1].is_some(), "{log:?}");
}

/// A command is carried out after all before it, in whatever order they are chosen.
#[test]
fn commands_are_carried_out_in_the_order_of_the_slots() {
    let (mut bench, leader, others) = three();
    bench.ask(leader, request(1, 0), append("a"));
    let late: Vec<_> = bench.wire.drain(..).collect();
    bench.ask(leader, request(2, 0), append("b"));
    bench.settle(&ALL);
    assert_eq!(bench.answer(request(2, 0)), None);
    bench.wire.extend(late);
    bench.settle(&ALL);
    assert_eq!(bench.answer(request(2, 0)), Some(&DONE));
    bench.ask(leader, request(3, 0), get());
    bench.settle(&ALL);
    assert_eq!(bench.answer(request(3, 0)), Some(&value("ab")));
    let _ = others;
}

/// PML 5.2: a leader answers by itself while its lease lasts, and not after.
#[test]
fn a_leader_reads_by_itself_under_its_lease() {
    let (mut bench, leader, others) = three();
    bench.ask(leader, request(1, 0), get());
    assert!(bench.answer(request(1, 0)).is_some());
    bench.lose_all();
    pass(&mut bench, &others, Duration::millis(65));
    bench.ask(leader, request(1, 1), get());
    assert_eq!(bench.answer(request(1, 1)), None);
}

/// PML 5.2: who has answered the leader promises nothing to another for a while, crash or no crash.
#[test]
fn an_acceptor_holds_its_promise() {
    let (mut bench, leader, others) = three();
    let ballot = Ballot { round: 9, node: others[0].index() as u16 };
    let prepare = Message::Prepare { ballot, from: 0 };
    bench.deliver(others[0], others[1], prepare.clone());
    assert!(bench.at(others[1]).promised() < ballot);
    bench.crash(others[1], Image::Nothing);
    bench.restart(others[1]);
    bench.deliver(others[0], others[1], prepare.clone());
    assert!(bench.at(others[1]).promised() < ballot);
    bench.wait(Duration::millis(80));
    bench.lose_all();
    bench.deliver(others[0], others[1], prepare);
    assert_eq!(bench.at(others[1]).promised(), ballot);
    let _ = leader;
}

/// An acceptor accepts nothing below its promise.
#[test]
fn an_acceptor_accepts_nothing_below_its_promise() {
    let (mut bench, leader, others) = three();
    let old = bench.at(leader).promised();
    bench.wait(Duration::millis(84));
    bench.lose_all();
    let ballot = Ballot { round: old.round + 1, node: others[0].index() as u16 };
    bench.deliver(others[0], others[1], Message::Prepare { ballot, from: 0 });
    let update = Update { request: request(1, 0), command: append("late").0 };
    bench.lose_all();
    bench.deliver(leader, others[1], Message::Accept { ballot: old, slot: 0, value: Some(update) });
    assert!(matches!(bench.wire[..], [(_, _, Message::Refused { .. })]), "{:?}", bench.wire);
}

#[test]
fn a_retry_has_no_second_effect() {
    let (mut bench, leader, _) = three();
    for _ in 0..2 {
        bench.ask(leader, request(1, 0), append("a"));
        bench.settle(&ALL);
    }
    assert_eq!(bench.told.len(), 2);
    bench.ask(leader, request(1, 1), get());
    bench.settle(&ALL);
    assert_eq!(bench.answer(request(1, 1)), Some(&value("a")));
}
