//! What messages do that come late, twice or not at all.

use crate::by_hand::{Bench, Image, N1, N2, N3, request};
use seedfall_protocols::try_confirm_cancel::{
    self, BookingId, Config, Invariants, Message, Need, Node, Request, Response,
};
use seedfall_sim::Duration;

type Watched = Bench<Node, Invariants>;

const RETRY: Duration = Duration::millis(40);

/// A coordinator, n1, and two resources of ten units.
fn three() -> Watched {
    let config = Config { stock: 10, retry_interval: RETRY, attempts: 2 };
    Bench::watched(3, config, try_confirm_cancel::invariants())
}

fn booking() -> BookingId {
    request(1, 0)
}

/// So many units of each resource.
fn both(units: u32) -> Request {
    Request { needs: [N2, N3].map(|resource| Need { resource, units }).to_vec() }
}

fn available(bench: &Watched) -> [u32; 2] {
    [N2, N3].map(|id| bench.at(id).available())
}

#[test]
fn what_all_have_is_taken() {
    let mut bench = three();
    bench.ask(N1, booking(), both(4));
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.answer(booking()), Some(&Response::Confirmed));
    assert_eq!((available(&bench), bench.at(N1).open_count()), ([6, 6], 0));
}

#[test]
fn what_one_has_not_is_given_back_by_the_other() {
    let mut bench = three();
    bench.ask(N1, booking(), Request { needs: vec![Need { resource: N3, units: 8 }] });
    bench.settle(&[N1, N2, N3]);
    bench.ask(N1, request(2, 0), both(4));
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.answer(request(2, 0)), Some(&Response::Cancelled));
    assert_eq!(available(&bench), [10, 2]);
}

/// Nothing is locked: what is not reserved can be booked by others at once.
#[test]
fn a_booking_that_is_stuck_blocks_nobody() {
    let mut bench = three();
    bench.ask(N1, booking(), both(4));
    bench.pass(N1, N2);
    bench.lose_all();
    bench.ask(N1, request(2, 0), both(4));
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.answer(request(2, 0)), Some(&Response::Confirmed));
    assert_eq!(available(&bench), [2, 6]);
}

/// An empty cancel gives nothing back; the hanging try after it reserves nothing.
#[test]
fn a_try_that_comes_after_its_cancel_reserves_nothing() {
    let mut bench = three();
    bench.deliver(N1, N2, Message::Cancel { booking: booking(), units: 4 });
    assert_eq!(bench.at(N2).available(), 10);
    bench.crash(N2, Image::Nothing);
    bench.restart(N2);
    bench.lose_all();
    bench.deliver(N1, N2, Message::Try { booking: booking(), units: 4 });
    assert_eq!(bench.at(N2).available(), 10);
    assert_eq!(bench.wire[0].2, Message::Refused { booking: booking() });
}

#[test]
fn whatever_comes_twice_does_something_once() {
    let mut bench = three();
    for message in
        [Message::Try { booking: booking(), units: 4 }, Message::Confirm { booking: booking() }]
    {
        bench.deliver(N1, N2, message.clone());
        bench.deliver(N1, N2, message);
        assert_eq!(bench.at(N2).available(), 6);
    }
    let other = request(2, 0);
    bench.deliver(N1, N2, Message::Try { booking: other, units: 4 });
    for _ in 0..2 {
        bench.deliver(N1, N2, Message::Cancel { booking: other, units: 4 });
        assert_eq!(bench.at(N2).available(), 6);
    }
}

/// It tries so many times, and cancels until it is heard.
#[test]
fn a_coordinator_gives_up_trying_and_never_gives_up_cancelling() {
    let mut bench = three();
    bench.ask(N1, booking(), both(4));
    for _ in 0..5 {
        bench.lose_all();
        bench.wait(RETRY);
    }
    assert_eq!(bench.answer(booking()), Some(&Response::Cancelled));
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.at(N1).open_count(), 0);
}

/// What the coordinator was trying when it crashed, it cancels; what it decided, it tells again.
#[test]
fn a_coordinator_that_comes_back_ends_what_it_began() {
    let mut bench = three();
    bench.ask(N1, booking(), both(4));
    bench.pass(N1, N2);
    bench.crash(N1, Image::Nothing);
    bench.lose_all();
    bench.restart(N1);
    bench.settle(&[N1, N2, N3]);
    assert_eq!(available(&bench), [10, 10]);
    bench.ask(N1, request(2, 0), both(4));
    let is_for_trying =
        |message: &Message| matches!(message, Message::Try { .. } | Message::Reserved { .. });
    bench.settle_if(&[N1, N2, N3], is_for_trying);
    assert_eq!(bench.answer(request(2, 0)), Some(&Response::Confirmed));
    bench.crash(N1, Image::Nothing);
    bench.lose_all();
    bench.restart(N1);
    bench.settle(&[N1, N2, N3]);
    assert_eq!((available(&bench), bench.at(N1).open_count()), ([6, 6], 0));
}

#[test]
fn a_client_that_asks_again_is_told_again() {
    let mut bench = three();
    for _ in 0..2 {
        bench.ask(N1, booking(), both(4));
        bench.settle(&[N1, N2, N3]);
    }
    assert_eq!(bench.told.len(), 2);
    assert_eq!(available(&bench), [6, 6]);
    bench.ask(N2, booking(), both(4));
    assert_eq!(bench.told[2].1, Response::Elsewhere);
}
