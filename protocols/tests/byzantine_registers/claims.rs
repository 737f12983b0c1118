//! What Malkhi and Reiter claim, by section.

use crate::by_hand::{Bench, Image, N1, N2, N3, N4, N5, request, sent, written};
use seedfall_protocols::byzantine_registers::{
    self, Config, Copy, Invariants, Kind, Message, Record, Request, Response, Server, Tag, Written,
};
use seedfall_sim::{Context, Draws, Duration, NodeId, Seed, Signer, Time};

type Four = Bench<Server, Invariants>;

fn bench(kind: Kind, nodes: usize) -> Four {
    let config = Config { kind, faulty: 1, retransmit_after: Duration::millis(40) };
    Bench::watched(nodes, config, byzantine_registers::invariants())
}

fn write(value: &str) -> Request {
    Request::Write("x".into(), value.into())
}

fn read() -> Request {
    Request::Read("x".into())
}

fn value(value: &str) -> Response {
    Response::Value(Some(value.into()))
}

fn signer(id: NodeId) -> Signer {
    let (mut draws, mut effects) = (Draws::new(Seed(0), 4, 0), Vec::new());
    Context::<Server>::new(id, 4, Time::ZERO, &mut draws, &mut effects).signer()
}

/// What a liar may claim that somebody has written.
fn claimed(counter: u64, writer: NodeId) -> Written {
    Written { tag: Tag { counter, writer }, key: "x".into(), value: "forged".into() }
}

/// The number of the operation that a node has last asked others about.
fn number(bench: &Four, of: NodeId) -> u64 {
    let query = |(from, _, message): &(NodeId, NodeId, Message)| match message {
        Message::Query(number, _) if *from == of => Some(*number),
        _ => None,
    };
    bench.wire.iter().rev().find_map(query).expect("it asks")
}

/// A quorum is n - f: with one server silent, reads and writes complete.
#[test]
fn one_silent_server_stops_nothing() {
    for (kind, nodes) in [(Kind::Dissemination, 4), (Kind::Masking, 5)] {
        let mut bench = bench(kind, nodes);
        let others: Vec<NodeId> = NodeId::all(nodes - 1).collect();
        bench.ask(N1, request(1, 0), write("a"));
        bench.settle(&others);
        assert_eq!(bench.answer(request(1, 0)), Some(&Response::Written), "{kind:?}");
        bench.ask(N2, request(2, 0), read());
        bench.settle(&others);
        assert_eq!(bench.answer(request(2, 0)), Some(&value("a")), "{kind:?}");
        // With two silent there is no quorum.
        bench.ask(N1, request(1, 1), write("b"));
        bench.settle(&others[..nodes - 2]);
        assert_eq!(bench.answer(request(1, 1)), None, "{kind:?}");
    }
}

/// Section 4: what its writer has not signed is not taken, be it ever so new.
#[test]
fn a_forged_signature_is_not_taken() {
    let mut bench = bench(Kind::Dissemination, 4);
    bench.ask(N1, request(1, 0), write("a"));
    bench.settle(&[N1, N2, N3]);
    bench.lose_all();
    bench.ask(N2, request(2, 0), read());
    let number = number(&bench, N2);
    for forged in [Copy::Sealed(signer(N4).sign(claimed(9, N1))), Copy::Plain(claimed(9, N1))] {
        bench.deliver(N4, N2, Message::Held(number, Some(forged.clone())));
        assert_eq!(bench.reached.pop(), Some("held: not by its writer"));
        bench.deliver(N4, N2, Message::Store(1, forged));
        assert_eq!(bench.ignored.pop(), Some("store: not by its writer"));
    }
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.answer(request(2, 0)), Some(&value("a")));
}

/// Section 4: one correct server in common is enough, whatever the liar says it holds.
#[test]
fn a_liar_cannot_hide_what_was_written() {
    let mut bench = bench(Kind::Dissemination, 4);
    bench.ask(N1, request(1, 0), write("a"));
    // Written at n1, n2 and n4, of which n4 lies.
    bench.settle(&[N1, N2, N4]);
    assert_eq!(bench.answer(request(1, 0)), Some(&Response::Written));
    bench.lose_all();
    bench.ask(N3, request(3, 0), read());
    let number = number(&bench, N3);
    bench.deliver(N4, N3, Message::Held(number, None));
    bench.wire.retain(|(_, to, _)| *to != N4);
    bench.settle(&[N2, N3]);
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.answer(request(3, 0)), Some(&value("a")));
}

/// Section 3: a value that one server alone claims to hold is not believed; nor is one that it
/// claims to be older.
#[test]
fn what_one_server_claims_is_masked() {
    let mut bench = bench(Kind::Masking, 5);
    bench.ask(N1, request(1, 0), write("a"));
    bench.settle(&[N1, N2, N3, N4]);
    bench.lose_all();
    bench.ask(N2, request(2, 0), read());
    let number = number(&bench, N2);
    bench.deliver(N5, N2, Message::Held(number, Some(Copy::Plain(claimed(9, N3)))));
    bench.wire.retain(|(_, to, _)| *to != N5);
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.answer(request(2, 0)), Some(&value("a")));
}

/// Section 3: while no value has f + 1 vouchers, a read waits.
#[test]
fn a_read_waits_for_enough_that_say_the_same() {
    let mut bench = bench(Kind::Masking, 5);
    bench.ask(N2, request(2, 0), read());
    let number = number(&bench, N2);
    bench.lose_all();
    for (counter, by) in [(1, N1), (2, N3), (3, N4)] {
        let copy = Copy::Plain(claimed(counter, by));
        bench.deliver(by, N2, Message::Held(number, Some(copy)));
    }
    assert_eq!(bench.reached.last(), Some(&"read: too few say the same"));
    assert_eq!(bench.answer(request(2, 0)), None);
    bench.deliver(N5, N2, Message::Held(number, Some(Copy::Plain(claimed(2, N3)))));
    assert_eq!(bench.answer(request(2, 0)), Some(&value("forged")), "two say so");
}

/// A read of dissemination quorums stores what it returns; one of masking quorums does not.
#[test]
fn only_signed_values_are_written_back() {
    for (kind, nodes) in [(Kind::Dissemination, 4), (Kind::Masking, 5)] {
        let mut bench = bench(kind, nodes);
        let all: Vec<NodeId> = NodeId::all(nodes).collect();
        bench.ask(N1, request(1, 0), write("a"));
        bench.settle(&all);
        bench.ask(N2, request(2, 0), read());
        let mut stores = 0;
        while let Some((from, to, message)) = bench.wire.pop() {
            stores += usize::from(matches!(message, Message::Store(..)));
            bench.deliver(from, to, message);
        }
        assert_eq!(0 < stores, kind == Kind::Dissemination, "{kind:?}");
    }
}

/// A write keeps its tag, also over a crash: it is durable before it is stored anywhere.
#[test]
fn a_write_keeps_its_tag() {
    let mut bench = bench(Kind::Dissemination, 4);
    bench.ask(N1, request(1, 0), write("a"));
    bench.pass(N1, N2);
    bench.pass(N1, N3);
    bench.pass(N2, N1);
    let effects = bench.pass(N3, N1);
    let records = written(&effects);
    assert!(matches!(records[0], (Record::Write(..), true)), "{records:?}");
    let store = |message: &Message| match message {
        Message::Store(_, copy) => Some(copy.written().tag),
        _ => None,
    };
    bench.crash(N1, Image::Nothing);
    bench.lose_all();
    bench.restart(N1);
    let tags: Vec<Tag> = bench.wire.iter().filter_map(|(.., message)| store(message)).collect();
    assert_eq!(tags, [Tag { counter: 1, writer: N1 }; 3]);
    let effects = bench.ask(N1, request(1, 0), write("a"));
    assert!(sent(&effects).is_empty(), "it is under way");
    bench.settle(&[N1, N2, N3, N4]);
    assert_eq!(bench.answer(request(1, 0)), Some(&Response::Written));
}

/// Two writes that have asked before either is stored get two tags.
#[test]
fn no_tag_is_chosen_twice() {
    let mut bench = bench(Kind::Dissemination, 4);
    bench.ask(N1, request(1, 0), write("a"));
    bench.ask(N1, request(1, 1), write("b"));
    bench.settle(&[N1, N2, N3, N4]);
    bench.ask(N2, request(2, 0), read());
    bench.settle(&[N1, N2, N3, N4]);
    assert_eq!(bench.answer(request(2, 0)), Some(&value("b")));
}

/// A client writes through its own node.
#[test]
fn a_client_has_a_home() {
    let mut bench = bench(Kind::Dissemination, 4);
    bench.ask(N3, request(1, 0), write("a"));
    assert_eq!(bench.answer(request(1, 0)), Some(&Response::Elsewhere(N1)));
}
