//! What the book claims, by section.

use crate::by_hand::{Bench, Image, N1, N2, request};
use seedfall_protocols::links::{
    self, Config, Invariants, Links, Message, Order, Request, Response,
};
use seedfall_sim::Duration;

type Watched = Bench<Links, Invariants>;

const AFTER: Duration = Duration::millis(30);

fn two(order: Order) -> Watched {
    Bench::watched(2, Config { order, retransmit_after: AFTER }, links::invariants())
}

fn hello(text: &str) -> Request {
    Request { from: N1, to: N2, text: text.into() }
}

fn data(number: u32, text: &str) -> Message {
    Message::Data { number, text: text.into() }
}

/// What n2 has delivered.
fn delivered(bench: &Watched) -> Vec<&str> {
    bench.at(N2).delivered().iter().map(|(_, _, text)| text.as_str()).collect()
}

/// 2.4.3: what is lost is sent again, until it is acknowledged.
#[test]
fn a_stubborn_link_sends_until_it_is_heard() {
    let mut bench = two(Order::Free);
    bench.ask(N1, request(1, 0), hello("a"));
    for _ in 0..3 {
        bench.lose_all();
        bench.wait(AFTER);
        assert_eq!(bench.wire.len(), 1);
    }
    bench.settle(&[N1, N2]);
    assert_eq!(delivered(&bench), ["a"]);
    bench.wait(AFTER);
    assert!(bench.wire.is_empty(), "it was acknowledged");
}

/// 2.4.4: duplicates are eliminated, and acknowledged all the same.
#[test]
fn a_perfect_link_delivers_once() {
    let mut bench = two(Order::Free);
    for number in [1, 2, 3, 4, 5, 6, 1, 6] {
        bench.deliver(N1, N2, data(number, "a"));
    }
    assert_eq!(delivered(&bench).len(), 6);
    assert_eq!(bench.wire.len(), 8);
}

/// 2.4.5: a crash of either end neither loses nor doubles anything.
#[test]
fn a_logged_link_survives_crashes() {
    let mut bench = two(Order::Free);
    bench.ask(N1, request(1, 0), hello("a"));
    bench.crash(N1, Image::Nothing);
    bench.lose_all();
    bench.restart(N1);
    bench.wait(AFTER);
    bench.pass(N1, N2);
    bench.crash(N2, Image::Nothing);
    bench.lose_all();
    bench.restart(N2);
    bench.wait(AFTER);
    bench.settle(&[N1, N2]);
    assert_eq!(delivered(&bench), ["a"]);
    assert_eq!(bench.at(N1).unacknowledged_count(), 0);
}

#[test]
fn a_number_is_never_given_twice() {
    let mut bench = two(Order::Free);
    bench.ask(N1, request(1, 0), hello("a"));
    bench.crash(N1, Image::Nothing);
    bench.restart(N1);
    bench.lose_all();
    bench.ask(N1, request(1, 1), hello("b"));
    assert_eq!(bench.wire[0].2, data(2, "b"));
}

/// A free link delivers what comes first; a FIFO link what was sent first.
#[test]
fn what_is_early_waits_where_order_is_asked_for() {
    let mut bench = two(Order::Free);
    bench.deliver(N1, N2, data(2, "b"));
    assert_eq!(delivered(&bench), ["b"]);
    let mut bench = two(Order::Fifo);
    bench.deliver(N1, N2, data(3, "c"));
    bench.deliver(N1, N2, data(2, "b"));
    assert!(delivered(&bench).is_empty() && bench.wire.is_empty(), "it may still be forgotten");
    bench.deliver(N1, N2, data(1, "a"));
    assert_eq!(delivered(&bench), ["a", "b", "c"]);
    assert_eq!(bench.wire.len(), 3);
}

#[test]
fn a_retry_is_not_sent_twice() {
    let mut bench = two(Order::Fifo);
    for _ in 0..2 {
        bench.ask(N1, request(1, 0), hello("a"));
    }
    bench.settle(&[N1, N2]);
    assert_eq!((delivered(&bench).len(), bench.told.len()), (1, 2));
    bench.ask(N2, request(2, 0), hello("b"));
    assert_eq!(bench.answer(request(2, 0)), Some(&Response::Elsewhere(N1)));
}
