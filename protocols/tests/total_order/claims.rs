//! What Birman and Joseph claim in section 4.

use crate::by_hand::{Bench, Image, N1, N2, N3, request};
use seedfall_protocols::total_order::{
    self, Broadcast, Config, Invariants, Message, MessageId, Request, Response,
};
use seedfall_sim::{Duration, NodeId};

type Watched = Bench<Broadcast, Invariants>;

const AFTER: Duration = Duration::millis(40);
const ALL: [NodeId; 3] = [N1, N2, N3];

fn three() -> Watched {
    Bench::watched(3, Config { retransmit_after: AFTER }, total_order::invariants())
}

fn say(text: &str) -> Request {
    Request(text.into())
}

fn propose(id: MessageId, text: &str) -> Message {
    Message::Propose { id, text: text.into() }
}

fn delivered(bench: &Watched, of: NodeId) -> Vec<&str> {
    bench.at(of).delivered().iter().map(|one| one.text.as_str()).collect()
}

/// Messages that cross are delivered in one order.
#[test]
fn messages_that_cross_are_delivered_in_one_order() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), say("a"));
    bench.ask(N2, request(2, 0), say("b"));
    bench.ask(N3, request(3, 0), say("c"));
    bench.settle(&ALL);
    let order = delivered(&bench, N1);
    assert_eq!(order.len(), 3);
    assert!(ALL.iter().all(|id| delivered(&bench, *id) == order));
}

/// "The sender ... takes the maximum": nobody delivers under a timestamp that some node has passed.
#[test]
fn the_highest_tentative_timestamp_is_final() {
    let mut bench = three();
    for number in 0..3 {
        bench.deliver(N2, N3, propose(request(2, number), "b"));
    }
    bench.lose_all();
    bench.ask(N1, request(1, 0), say("a"));
    bench.settle_if(&ALL, |message| !matches!(message, Message::Ack { .. }));
    assert_eq!(bench.at(N1).delivered()[0].at, 4);
}

/// A message is delivered only when none that is tentative has a lower timestamp.
#[test]
fn a_final_message_waits_for_a_lower_one_that_is_not() {
    let mut bench = three();
    bench.deliver(N2, N3, propose(request(2, 0), "b"));
    bench.lose_all();
    bench.ask(N1, request(1, 0), say("a"));
    bench.settle(&ALL);
    assert_eq!(delivered(&bench, N1), ["a"]);
    assert!(delivered(&bench, N3).is_empty(), "b may come first");
    bench.deliver(N2, N3, Message::Final { id: request(2, 0), at: 3 });
    assert_eq!(delivered(&bench, N3), ["a", "b"]);
}

/// What comes after a final timestamp is to be delivered later: the clock follows.
#[test]
fn a_tentative_timestamp_is_above_the_final_ones_that_were_told() {
    let mut bench = three();
    bench.deliver(N2, N3, propose(request(2, 0), "b"));
    bench.deliver(N2, N3, Message::Final { id: request(2, 0), at: 7 });
    bench.lose_all();
    bench.deliver(N1, N3, propose(request(1, 0), "a"));
    assert_eq!(bench.wire[0].2, Message::Tentative { id: request(1, 0), at: 8 });
}

#[test]
fn a_message_that_comes_twice_has_one_timestamp_across_a_crash() {
    let mut bench = three();
    for _ in 0..2 {
        bench.deliver(N2, N3, propose(request(2, 0), "b"));
        assert_eq!(bench.wire[0].2, Message::Tentative { id: request(2, 0), at: 1 });
        bench.lose_all();
        bench.crash(N3, Image::Nothing);
        bench.restart(N3);
    }
}

/// What is lost is asked and told again, by a sender that has crashed too.
#[test]
fn a_sender_that_comes_back_goes_on() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), say("a"));
    bench.pass(N1, N2);
    bench.lose_all();
    bench.crash(N1, Image::Nothing);
    bench.restart(N1);
    bench.settle_if(&ALL, |message| !matches!(message, Message::Final { .. }));
    assert_eq!(bench.answer(request(1, 0)), Some(&Response::Delivered { place: 0 }));
    bench.lose_all();
    bench.crash(N1, Image::Nothing);
    bench.restart(N1);
    bench.settle(&ALL);
    assert!(ALL.iter().all(|id| delivered(&bench, *id) == ["a"]));
}

/// One node that is down stops all delivery, and none is lost.
#[test]
fn nothing_is_delivered_without_an_answer_of_all() {
    let mut bench = three();
    bench.crash(N3, Image::All);
    bench.ask(N1, request(1, 0), say("a"));
    bench.settle(&[N1, N2]);
    assert!(delivered(&bench, N1).is_empty());
    bench.restart(N3);
    bench.wait(AFTER);
    bench.settle(&ALL);
    assert_eq!(delivered(&bench, N3), ["a"]);
}

#[test]
fn a_retry_is_not_broadcast_twice() {
    let mut bench = three();
    for _ in 0..2 {
        bench.ask(N1, request(1, 0), say("a"));
        bench.settle(&ALL);
    }
    assert_eq!((bench.told.len(), delivered(&bench, N2).len()), (2, 1));
    bench.ask(N2, request(1, 0), say("a"));
    assert_eq!(bench.told[2].1, Response::Elsewhere { home: N1 });
}
