//! What the papers claim, by section.

use crate::by_hand::{Bench, Image, N1, N2, N3, request};
use seedfall_protocols::causal_memory::{
    self, Config, Invariants, Memory, Message, Request, Response,
};
use seedfall_sim::{Duration, NodeId};

type Watched = Bench<Memory, Invariants>;

const INTERVAL: Duration = Duration::millis(40);

fn three() -> Watched {
    let config = Config { have_interval: INTERVAL, writes_per_answer: 2 };
    Bench::watched(3, config, causal_memory::invariants())
}

fn read(key: &str) -> Request {
    Request::Read { key: key.into() }
}

fn write(key: &str, value: &str) -> Request {
    Request::Write { key: key.into(), value: value.into() }
}

/// What client `client`, whose home is the node of that place, reads under a key.
fn value(bench: &mut Watched, client: u16, number: u32, key: &str) -> Option<String> {
    let home = NodeId::new(client - 1);
    bench.ask(home, request(client, number), read(key));
    match bench.answer(request(client, number)) {
        Some(Response::Value(value)) => value.as_ref().map(ToString::to_string),
        other => panic!("{other:?} is no value"),
    }
}

/// The next update that a node has sent to another.
fn update(bench: &Watched, from: NodeId, to: NodeId) -> Message {
    let is_update = |(a, b, message): &&(NodeId, NodeId, Message)| {
        (*a, *b) == (from, to) && matches!(message, Message::Update(_))
    };
    bench.wire.iter().find(is_update).expect("it has sent one").2.clone()
}

/// Ahamad 1995: reads and writes return at once.
#[test]
fn nobody_waits_for_a_message() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), write("x", "1"));
    assert_eq!(bench.answer(request(1, 0)), Some(&Response::Written));
    assert_eq!(value(&mut bench, 1, 1, "x").as_deref(), Some("1"));
    assert_eq!(value(&mut bench, 2, 0, "x"), None, "nothing has arrived");
}

/// BSS 4.1: what overtakes its cause waits for it.
#[test]
fn an_effect_that_overtakes_its_cause_waits() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), write("x", "question"));
    let question = update(&bench, N1, N3);
    bench.pass(N1, N2);
    bench.ask(N2, request(2, 0), write("y", "answer"));
    let answer = update(&bench, N2, N3);
    bench.deliver(N2, N3, answer);
    assert_eq!(value(&mut bench, 3, 0, "y"), None, "the answer without the question");
    bench.deliver(N1, N3, question);
    assert_eq!(value(&mut bench, 3, 1, "x").as_deref(), Some("question"));
    assert_eq!(value(&mut bench, 3, 2, "y").as_deref(), Some("answer"));
}

/// The same for the writes of one node.
#[test]
fn the_writes_of_one_node_are_applied_in_its_order() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), write("x", "old"));
    let old = update(&bench, N1, N2);
    bench.lose_all();
    bench.ask(N1, request(1, 1), write("x", "new"));
    let new = update(&bench, N1, N2);
    for message in [&new, &new, &old, &old] {
        bench.deliver(N1, N2, message.clone());
    }
    assert_eq!(value(&mut bench, 2, 0, "x").as_deref(), Some("new"));
    assert_eq!(bench.at(N2).applied().len(), 2, "each once");
}

/// Ahamad 1995, section 2: concurrent writes need not be seen in one order.
#[test]
fn concurrent_writes_are_seen_in_either_order() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), write("x", "1"));
    bench.ask(N2, request(2, 0), write("x", "2"));
    bench.settle(&[N1, N2]);
    assert_eq!(value(&mut bench, 1, 1, "x").as_deref(), Some("2"));
    assert_eq!(value(&mut bench, 2, 1, "x").as_deref(), Some("1"));
}

/// BSS 4.2: what was lost is sent again, by whoever has it.
#[test]
fn what_is_lost_is_sent_again_by_a_third_node() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), write("x", "1"));
    bench.pass(N1, N2);
    bench.lose_all();
    bench.crash(N1, Image::All);
    bench.wait(INTERVAL);
    bench.settle(&[N2, N3]);
    assert_eq!(value(&mut bench, 3, 0, "x").as_deref(), Some("1"));
}

#[test]
fn an_answer_to_have_is_bounded_and_in_an_order_that_can_be_applied() {
    let mut bench = three();
    for number in 0..3 {
        bench.ask(N1, request(1, number), write("x", &number.to_string()));
    }
    bench.lose_all();
    bench.deliver(N2, N1, Message::Have(vec![0, 0, 0]));
    assert_eq!(bench.wire.len(), 2, "writes_per_answer");
    bench.settle(&[N1, N2]);
    assert_eq!(value(&mut bench, 2, 0, "x").as_deref(), Some("1"));
}

/// What a node has shown, it shows after a crash too, and it numbers its writes on.
#[test]
fn a_crash_takes_nothing_back() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), write("x", "1"));
    bench.crash(N1, Image::Nothing);
    bench.restart(N1);
    bench.ask(N1, request(1, 1), write("x", "2"));
    assert_eq!(bench.at(N1).clock(), &[2, 0, 0]);
    assert_eq!(value(&mut bench, 1, 2, "x").as_deref(), Some("2"));
}

/// A client that asks again, as it was told nothing, writes once.
#[test]
fn a_retry_has_no_second_effect() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), write("x", "1"));
    bench.ask(N1, request(4, 0), write("x", "2")); // Another client of the same home.
    bench.ask(N1, request(1, 0), write("x", "1"));
    assert_eq!(value(&mut bench, 1, 1, "x").as_deref(), Some("2"));
    bench.ask(N1, request(1, 2), write("x", "3"));
    bench.ask(N1, request(1, 0), write("x", "1"));
    assert_eq!(value(&mut bench, 1, 3, "x").as_deref(), Some("3"));
}

#[test]
fn a_client_has_one_home() {
    let mut bench = three();
    bench.ask(N2, request(1, 0), read("x"));
    assert_eq!(bench.answer(request(1, 0)), Some(&Response::Elsewhere { home: N1 }));
}
