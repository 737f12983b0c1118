//! What this implementation adds: nodes that crash and come back, clients that ask twice.

use crate::by_hand::{Bench, Image, N1, N2, N3, request};
use crate::claims::{MANY, read, tagged, value, write};
use seedfall_protocols::abd::{self, Abd, Record, Response, Tag};
use seedfall_sim::Monitor;

/// S3. That it is synced before it is acknowledged, the bench checks at every handler.
#[test]
fn what_was_acknowledged_survives_a_crash() {
    let mut bench = Bench::<Abd>::new(3, MANY);
    bench.ask(N1, request(1, 0), write("a"));
    bench.settle(&[N1, N2]);
    assert_eq!(bench.answer(request(1, 0)), Some(&Response::Written));
    bench.crash(N1, Image::All);
    bench.restart(N2);
    bench.ask(N3, request(2, 0), read());
    bench.settle(&[N2, N3]);
    assert_eq!(bench.answer(request(2, 0)), Some(&value("a")));
}

/// A write that was cut off by the crash of its proxy has stored its value at some node. The retry
/// must not give it a second tag, above a write that came between.
#[test]
fn a_retry_after_a_crash_goes_on_under_the_first_tag() {
    let mut bench = Bench::<Abd>::new(3, MANY);
    bench.ask(N1, request(1, 0), write("a"));
    bench.pass(N1, N3);
    bench.pass(N3, N1);
    bench.lose_all();
    assert_eq!(bench.at(N1).held(&"x".into()), &tagged(1, N1, "a"), "the tag is chosen");
    bench.crash(N1, Image::All);
    bench.ask(N2, request(2, 0), write("b"));
    bench.settle(&[N2, N3]);
    assert_eq!(bench.answer(request(2, 0)), Some(&Response::Written));
    bench.restart(N1);
    bench.ask(N1, request(1, 0), write("a"));
    bench.settle(&[N1, N3]);
    assert_eq!(bench.answer(request(1, 0)), Some(&Response::Written));
    assert!(
        bench.reached.contains(&"write: a retry goes on under the tag that it got before a crash")
    );
    bench.ask(N3, request(3, 0), read());
    bench.settle(&[N2, N3]);
    assert_eq!(bench.answer(request(3, 0)), Some(&value("b")), "the later write stays the later");
}

#[test]
fn a_retry_while_the_write_is_under_way_begins_nothing() {
    let mut bench = Bench::<Abd>::new(3, MANY);
    bench.ask(N1, request(1, 0), write("a"));
    bench.ask(N1, request(1, 0), write("a"));
    assert_eq!(bench.at(N1).under_way_count(), 1);
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.told.len(), 1);
}

#[test]
fn a_late_copy_of_an_older_write_has_no_effect() {
    let mut bench = Bench::<Abd>::new(3, MANY);
    for (number, text) in [(0, "a"), (1, "b"), (0, "a")] {
        bench.ask(N1, request(1, number), write(text));
        bench.settle(&[N1, N2, N3]);
    }
    assert_eq!(bench.at(N2).held(&"x".into()), &tagged(2, N1, "b"));
    assert!(bench.ignored.contains(&"write: its client has written since"));
}

/// A write that is given up while it still asks, and overtaken by the client's next.
#[test]
fn a_write_that_was_overtaken_while_it_asked_never_gets_a_tag() {
    let mut bench = Bench::<Abd>::new(3, MANY);
    bench.ask(N1, request(1, 0), write("a"));
    let late = bench.wire.remove(0);
    bench.lose_all();
    bench.ask(N1, request(1, 1), write("b"));
    bench.settle(&[N1, N2]);
    bench.wire.push(late);
    bench.settle(&[N1, N2]);
    assert_eq!(bench.at(N2).held(&"x".into()), &tagged(1, N1, "b"));
    assert_eq!(bench.at(N1).under_way_count(), 0);
}

/// Replies are matched by life and number: the new life's first operation has the number of the old
/// life's first.
#[test]
fn a_reply_to_an_earlier_life_counts_for_nothing() {
    let mut bench = Bench::<Abd>::new(3, MANY);
    bench.ask(N1, request(1, 0), read());
    bench.pass(N1, N2);
    bench.crash(N1, Image::All);
    bench.restart(N1);
    bench.deliver(N3, N2, store_of(5));
    bench.ask(N1, request(4, 0), read());
    bench.pass(N2, N1);
    assert_eq!(bench.ignored, ["query reply: of an earlier life or phase"]);
    bench.lose_all();
    bench.wait(MANY.retransmit_after);
    bench.settle(&[N1, N2]);
    assert_eq!(bench.answer(request(4, 0)), Some(&value("v")));
}

fn store_of(counter: u64) -> abd::Message {
    let operation = abd::OperationId { life: 1, number: 9 };
    abd::Message::Store { operation, key: "x".into(), tagged: tagged(counter, N3, "v") }
}

#[test]
fn a_tag_that_was_chosen_is_in_the_journal_before_anybody_hears_of_it() {
    let mut bench = Bench::<Abd>::new(3, MANY);
    bench.ask(N1, request(1, 0), write("a"));
    bench.pass(N1, N2);
    bench.pass(N2, N1);
    let last = bench.journal(N1).last().expect("a record");
    assert!(matches!(last, Record::Write { write, .. } if write.tagged == tagged(1, N1, "a")));
    bench.lose_all();
    bench.restart(N1);
    bench.ask(N1, request(4, 0), write("b"));
    bench.settle(&[N1, N2]);
    assert_eq!(bench.at(N2).held(&"x".into()).tag, Tag { counter: 2, writer: N1 });
}

/// The monitor sees what it is there for.
#[test]
fn the_invariants_catch_a_node_that_forgets_and_two_values_under_one_tag() {
    let mut bench = Bench::<Abd>::new(3, MANY);
    let empty = bench.at(N1).clone();
    bench.deliver(N3, N1, store_of(5));
    let mut watch = abd::invariants();
    assert_eq!(watch.observe(N1, &empty), Ok(()));
    assert_eq!(watch.observe(N1, bench.at(N1)), Ok(()));
    let forgot = watch.observe(N1, &empty).expect_err("it went back");
    assert_eq!(forgot.property, "Durability");
    let operation = abd::OperationId { life: 1, number: 9 };
    let other = abd::Message::Store { operation, key: "x".into(), tagged: tagged(5, N3, "w") };
    bench.deliver(N3, N2, other);
    let twice = watch.observe(N2, bench.at(N2)).expect_err("another value");
    assert_eq!(twice.property, "One value a tag");
}
