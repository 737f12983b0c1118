//! What the book claims of each broadcast, and the runs that separate one from the next.

use crate::by_hand::{Bench, Image, N1, N2, N3, N4, N5, request};
use seedfall_protocols::broadcast::{
    self, Broadcaster, Config, Invariants, Item, Kind, Message, Request, Response,
};
use seedfall_sim::{Duration, NodeId};

type Watched = Bench<Broadcaster, Invariants>;

const ALL: [NodeId; 5] = [N1, N2, N3, N4, N5];
const LEFT: [NodeId; 4] = [N2, N3, N4, N5];

fn five(kind: Kind, fifo: bool) -> Watched {
    let config = Config { kind, fifo, retransmit_after: Duration::millis(40) };
    Bench::watched(5, config, broadcast::invariants(kind == Kind::Uniform, fifo))
}

/// Time goes on while these alone can talk.
fn pass(bench: &mut Watched, among: &[NodeId]) {
    for _ in 0..5 {
        bench.wait(Duration::millis(40));
        bench.settle(among);
        bench.lose_all();
    }
}

fn say(bench: &mut Watched, number: u32, text: &str) {
    bench.ask(N1, request(1, number), Request(text.into()));
}

fn delivered(bench: &Watched, of: NodeId) -> Vec<&str> {
    bench.at(of).delivered().iter().map(|item| item.text.as_str()).collect()
}

/// 3.2: with a sender that stays up, all deliver, whatever is lost.
#[test]
fn all_deliver_what_a_sender_that_stays_up_broadcasts() {
    for kind in [Kind::BestEffort, Kind::Reliable, Kind::Uniform] {
        let mut bench = five(kind, false);
        say(&mut bench, 0, "a");
        bench.lose_all();
        pass(&mut bench, &ALL);
        assert!(ALL.into_iter().all(|id| delivered(&bench, id) == ["a"]), "{kind:?}");
        assert_eq!(bench.answer(request(1, 0)), Some(&Response::Delivered));
    }
}

/// A sender whose message reaches one node, and which then stops.
fn one_has_it(kind: Kind) -> Watched {
    let mut bench = five(kind, false);
    say(&mut bench, 0, "a");
    bench.pass(N1, N2);
    bench.lose_all();
    bench.crash(N1, Image::Nothing);
    pass(&mut bench, &LEFT);
    bench
}

/// 3.2: best effort does not promise agreement.
#[test]
fn with_best_effort_a_sender_that_stops_divides_the_others() {
    let bench = one_has_it(Kind::BestEffort);
    assert_eq!(delivered(&bench, N2), ["a"]);
    assert!([N3, N4, N5].into_iter().all(|id| delivered(&bench, id).is_empty()));
}

/// 3.3: reliable broadcast does.
#[test]
fn with_reliable_broadcast_who_has_it_sends_it_on() {
    for kind in [Kind::Reliable, Kind::Uniform] {
        let bench = one_has_it(kind);
        assert!(LEFT.into_iter().all(|id| delivered(&bench, id) == ["a"]), "{kind:?}");
    }
}

/// 3.4: but not of those that stop: the sender has delivered what nobody else ever hears of.
#[test]
fn reliable_broadcast_is_not_uniform() {
    let mut bench = five(Kind::Reliable, false);
    say(&mut bench, 0, "a");
    assert_eq!(delivered(&bench, N1), ["a"]);
    bench.lose_all();
    bench.crash(N1, Image::Nothing);
    pass(&mut bench, &LEFT);
    assert!(LEFT.into_iter().all(|id| delivered(&bench, id).is_empty()));
}

/// 3.4: with uniform broadcast nobody delivers before a majority has it.
#[test]
fn uniform_broadcast_waits_for_a_majority() {
    let mut bench = five(Kind::Uniform, false);
    say(&mut bench, 0, "a");
    bench.settle(&[N1, N2]);
    assert!(delivered(&bench, N1).is_empty() && delivered(&bench, N2).is_empty());
    bench.lose_all();
    pass(&mut bench, &[N1, N2, N3]);
    assert!([N1, N2, N3].into_iter().all(|id| delivered(&bench, id) == ["a"]));
}

/// 3.9: a later message waits for those of its sender before it; without, it does not.
#[test]
fn first_in_first_out_holds_a_later_message_back() {
    for (fifo, expected) in [(true, vec![]), (false, vec!["b"])] {
        let mut bench = five(Kind::Reliable, fifo);
        say(&mut bench, 0, "a");
        bench.lose_all();
        say(&mut bench, 1, "b");
        bench.pass(N1, N2);
        assert_eq!(delivered(&bench, N2), expected);
        pass(&mut bench, &ALL);
        let last = if fifo { ["a", "b"] } else { ["b", "a"] };
        assert_eq!(delivered(&bench, N2), last);
    }
}

/// B2: a message that comes again is not delivered again.
#[test]
fn nothing_is_delivered_twice() {
    let mut bench = five(Kind::Reliable, false);
    let item = Item { id: request(1, 0), sender: N1, number: 0, text: "a".into() };
    for from in [N1, N3, N1] {
        bench.deliver(from, N2, Message::Data(item.clone()));
    }
    assert_eq!(delivered(&bench, N2), ["a"]);
}
