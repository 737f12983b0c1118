//! What the papers claim of nodes that do not crash.

use crate::by_hand::{Bench, N1, N2, N3, N4, N5, request};
use seedfall_protocols::abd::{
    Abd, Config, ConfigError, Message, OperationId, Request, Response, Tag, Tagged, Timer, Writers,
};
use seedfall_sim::{Duration, NodeId};

pub(crate) const MANY: Config =
    Config { writers: Writers::Many, write_back: true, retransmit_after: Duration::millis(40) };
const SINGLE: Config = Config { writers: Writers::Single(N1), ..MANY };

pub(crate) fn read() -> Request {
    Request::Read { key: "x".into() }
}

pub(crate) fn write(value: &str) -> Request {
    Request::Write { key: "x".into(), value: value.into() }
}

pub(crate) fn value(text: &str) -> Response {
    Response::Value(Some(text.into()))
}

pub(crate) fn tagged(counter: u64, writer: NodeId, value: &str) -> Tagged {
    Tagged { tag: Tag { counter, writer }, value: Some(value.into()) }
}

/// The first operation of a node's first life.
const FIRST: OperationId = OperationId { life: 1, number: 0 };

fn query_reply(held: Tagged) -> Message {
    Message::QueryReply { operation: FIRST, held }
}

const ACK: Message = Message::StoreAck { operation: FIRST };

fn store(tagged: Tagged) -> Message {
    Message::Store { operation: FIRST, key: "x".into(), tagged }
}

/// JACM 1995, the unbounded emulation: a read takes the value with the largest label that it hears
/// of from a majority.
#[test]
fn a_read_returns_the_newest_value_of_a_majority() {
    let mut bench = Bench::<Abd>::new(5, MANY);
    bench.ask(N1, request(1, 0), read());
    bench.deliver(N2, N1, query_reply(tagged(3, N2, "newest")));
    bench.deliver(N3, N1, query_reply(tagged(2, N5, "older")));
    bench.deliver(N4, N1, ACK);
    assert_eq!(bench.ignored.len(), 0, "n1 has heard of a majority and stores");
    bench.deliver(N5, N1, ACK);
    assert_eq!(bench.answer(request(1, 0)), Some(&value("newest")));
}

/// The same: a reader makes a majority store the value before it returns it.
#[test]
fn a_read_stores_at_a_majority_what_it_returns_before_it_returns() {
    let mut bench = Bench::<Abd>::new(5, MANY);
    bench.ask(N1, request(1, 0), read());
    bench.lose_all();
    bench.deliver(N2, N1, query_reply(tagged(1, N2, "a")));
    bench.deliver(N3, N1, query_reply(Tagged::NOTHING));
    assert_eq!(bench.at(N1).held(&"x".into()), &tagged(1, N2, "a"), "its own copy too");
    let stores = bench.wire.iter().filter(|(_, _, message)| *message == store(tagged(1, N2, "a")));
    assert_eq!(stores.count(), 4, "to all others");
    bench.deliver(N4, N1, ACK);
    assert_eq!(bench.answer(request(1, 0)), None, "two of five are no majority");
    bench.deliver(N5, N1, ACK);
    assert_eq!(bench.answer(request(1, 0)), Some(&value("a")));
}

/// FTCS 1997: a writer asks a majority, and adds one to the highest counter.
#[test]
fn one_of_many_writers_chooses_a_tag_above_all_that_a_majority_holds() {
    let mut bench = Bench::<Abd>::new(3, MANY);
    bench.ask(N1, request(1, 0), write("a"));
    bench.lose_all();
    bench.deliver(N3, N1, query_reply(tagged(7, N2, "old")));
    let stored = store(tagged(8, N1, "a"));
    assert!(bench.wire.contains(&(N1, N2, stored.clone())), "{:?}", bench.wire);
    assert!(bench.wire.contains(&(N1, N3, stored)));
}

/// JACM 1995: the single writer's write is one round, as it knows its own latest label.
#[test]
fn a_single_writer_does_not_ask() {
    let mut bench = Bench::<Abd>::new(3, SINGLE);
    bench.ask(N1, request(2, 0), write("a"));
    assert!(bench.wire.contains(&(N1, N2, store(tagged(1, N1, "a")))), "{:?}", bench.wire);
    bench.settle(&[N1, N2]);
    assert_eq!(bench.answer(request(2, 0)), Some(&Response::Written));
    bench.ask(N2, request(2, 1), write("b"));
    assert_eq!(bench.answer(request(2, 1)), Some(&Response::NotProxy { proxy: N1 }));
}

/// Two clients of one proxy ask at the same time: both hear the same highest tag.
#[test]
fn a_node_never_chooses_a_tag_twice() {
    let mut bench = Bench::<Abd>::new(3, MANY);
    bench.ask(N1, request(1, 0), write("a"));
    bench.ask(N1, request(4, 0), write("b"));
    bench.settle(&[N1, N2]);
    assert_eq!(bench.at(N2).held(&"x".into()).tag, Tag { counter: 2, writer: N1 });
    assert_eq!(bench.answer(request(1, 0)), Some(&Response::Written));
    assert_eq!(bench.answer(request(4, 0)), Some(&Response::Written));
}

/// FTCS 1997: tags are pairs, compared by counter and then by writer.
#[test]
fn concurrent_writes_are_ordered_by_their_writers_everywhere_alike() {
    for first_to_arrive in [N1, N2] {
        let mut bench = Bench::<Abd>::new(3, MANY);
        bench.ask(N1, request(1, 0), write("a"));
        bench.ask(N2, request(2, 0), write("b"));
        for node in [N1, N2] {
            bench.pass(node, N3);
            bench.pass(N3, node);
        }
        let second = if first_to_arrive == N1 { N2 } else { N1 };
        bench.pass(first_to_arrive, N3);
        bench.pass(second, N3);
        assert_eq!(bench.at(N3).held(&"x".into()), &tagged(1, N2, "b"));
    }
}

/// The receivers' part: adopt what is newer, acknowledge in any case.
#[test]
fn an_older_value_is_acknowledged_and_not_adopted() {
    let mut bench = Bench::<Abd>::new(3, MANY);
    bench.deliver(N2, N1, store(tagged(5, N2, "new")));
    bench.deliver(N3, N1, store(tagged(4, N3, "old")));
    assert_eq!(bench.at(N1).held(&"x".into()), &tagged(5, N2, "new"));
    assert_eq!(bench.wire, [(N1, N2, ACK), (N1, N3, ACK)]);
}

/// *communicate* waits for a majority of processors, not of messages.
#[test]
fn a_doubled_reply_counts_once() {
    let mut bench = Bench::<Abd>::new(5, MANY);
    bench.ask(N1, request(1, 0), read());
    bench.lose_all();
    for _ in 0..3 {
        bench.deliver(N2, N1, query_reply(tagged(1, N2, "a")));
    }
    assert!(bench.wire.is_empty(), "n1 and n2 are no majority of five");
    bench.deliver(N3, N1, query_reply(Tagged::NOTHING));
    assert!(!bench.wire.is_empty());
}

/// JACM 1995, on new/old inversion: with the write-back left out, of two reads in a row the later
/// may return the older value. The same story, with it and without.
#[test]
fn without_the_write_back_a_later_read_returns_an_older_value() {
    for write_back in [true, false] {
        let mut bench = Bench::<Abd>::new(3, Config { write_back, ..SINGLE });
        bench.ask(N1, request(1, 0), write("new"));
        bench.lose_all(); // The write has reached its writer alone, and goes on.
        bench.ask(N1, request(2, 0), read());
        bench.settle(&[N1, N3]);
        assert_eq!(bench.answer(request(2, 0)), Some(&value("new")));
        bench.lose_all();
        bench.ask(N2, request(3, 0), read());
        bench.settle(&[N2, N3]);
        let later = if write_back { value("new") } else { Response::Value(None) };
        assert_eq!(bench.answer(request(3, 0)), Some(&later));
    }
}

/// Stubborn links: what is not answered is sent again, to those who have not answered.
#[test]
fn a_lost_message_is_sent_again_until_a_majority_has_answered() {
    let mut bench = Bench::<Abd>::new(5, MANY);
    bench.ask(N1, request(1, 0), read());
    bench.pass(N1, N2);
    bench.pass(N2, N1);
    bench.lose_all();
    bench.wait(MANY.retransmit_after);
    let to: Vec<_> = bench.wire.iter().map(|(_, to, _)| *to).collect();
    assert_eq!(to, [N3, N4, N5]);
    bench.settle(&[N1, N3]);
    bench.lose_all();
    bench.wait(MANY.retransmit_after);
    bench.settle(&[N1, N4, N5]);
    assert_eq!(bench.answer(request(1, 0)), Some(&Response::Value(None)));
    bench.lose_all();
    bench.wait(Duration::secs(1));
    assert!(bench.wire.is_empty(), "a completed operation is silent");
}

/// JACM 1995: a majority must remain connected; without one nothing is answered, and nothing wrong.
#[test]
fn half_of_the_nodes_cannot_answer() {
    let mut bench = Bench::<Abd>::new(4, MANY);
    bench.ask(N1, request(1, 0), write("a"));
    bench.settle(&[N1, N2]);
    bench.wait(Duration::secs(1));
    bench.settle(&[N1, N2]);
    assert!(bench.told.is_empty());
    bench.wait(MANY.retransmit_after);
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.answer(request(1, 0)), Some(&Response::Written));
}

#[test]
fn a_cluster_of_one_answers_by_itself() {
    let mut bench = Bench::<Abd>::new(1, MANY);
    bench.ask(N1, request(1, 0), write("a"));
    bench.ask(N1, request(1, 1), read());
    assert_eq!(bench.answer(request(1, 1)), Some(&value("a")));
}

#[test]
fn a_config_that_cannot_work_is_refused_by_the_field_at_fault() {
    assert_eq!(SINGLE.check(1), Ok(()));
    let stranger = Config { writers: Writers::Single(N4), ..MANY };
    assert_eq!(stranger.check(3), Err(ConfigError::WriterNotInCluster));
    let hasty = Config { retransmit_after: Duration::ZERO, ..MANY };
    assert_eq!(hasty.check(3), Err(ConfigError::RetransmitAfterZero));
}

/// The timer's value names the operation, so that operations do not restart each other's.
#[test]
fn operations_retransmit_each_on_their_own() {
    assert_ne!(Timer::Retransmit(0), Timer::Retransmit(1));
    let mut bench = Bench::<Abd>::new(3, MANY);
    bench.ask(N1, request(1, 0), read());
    bench.wait(Duration::millis(20));
    bench.ask(N1, request(4, 0), read());
    bench.lose_all();
    bench.wait(Duration::millis(20));
    assert_eq!(bench.wire.len(), 2, "the first, to both others");
    bench.wait(Duration::millis(20));
    assert_eq!(bench.wire.len(), 4, "and then the second");
}
