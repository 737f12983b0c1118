//! What the survey claims of a fixed sequencer, and what its failure leaves open.

use crate::by_hand::{Bench, Image, N1, N2, N3, request};
use seedfall_protocols::sequencer::{
    self, Config, Invariants, Item, Message, Request, Response, Sequenced,
};
use seedfall_sim::{Duration, NodeId, Protocol as _};

type Watched = Bench<Sequenced, Invariants>;

const CONFIG: Config = Config {
    interval: Duration::millis(20),
    suspect_min: Duration::millis(60),
    suspect_max: Duration::millis(120),
    copies: 2,
};
const ALL: [NodeId; 3] = [N1, N2, N3];

/// Three nodes, of which n1 is the sequencer. Client 1 is at home at n1, client 2 at n2, and so on.
fn three(copies: usize) -> Watched {
    let config = Config { copies, ..CONFIG };
    let mut bench = Bench::watched(3, config, sequencer::invariants());
    bench.settle(&ALL);
    assert!(bench.at(N1).is_leader());
    bench
}

/// Time goes on while these alone can talk.
fn pass(bench: &mut Watched, among: &[NodeId], span: Duration) {
    for _ in 0..span.as_nanos() / Duration::millis(10).as_nanos() {
        bench.wait(Duration::millis(10));
        bench.settle(among);
        bench.lose_all();
    }
}

fn texts(bench: &Watched, of: NodeId) -> Vec<&str> {
    bench.at(of).delivered().iter().map(|item| item.text.as_str()).collect()
}

fn say(bench: &mut Watched, home: NodeId, number: u32, text: &str) {
    let client = home.index() as u16 + 1;
    bench.ask(home, request(client, number), Request(text.into()));
}

/// Figure 6: the sender asks the sequencer, which gives a number; all deliver in that order.
#[test]
fn all_deliver_in_the_order_of_the_sequencer() {
    let mut bench = three(2);
    say(&mut bench, N2, 0, "b");
    say(&mut bench, N3, 0, "c");
    bench.pass(N3, N1);
    bench.settle(&ALL);
    pass(&mut bench, &ALL, Duration::millis(40));
    for id in ALL {
        assert_eq!(texts(&bench, id), ["c", "b"], "{id}");
    }
    assert_eq!(bench.answer(request(3, 0)), Some(&Response::Delivered { place: 0 }));
}

/// Uniformity: nothing is delivered that a majority has not written down.
#[test]
fn nothing_is_delivered_that_the_sequencer_alone_has() {
    let mut bench = three(2);
    say(&mut bench, N1, 0, "a");
    assert_eq!(texts(&bench, N1), Vec::<&str>::new());
    bench.pass(N1, N2);
    bench.pass(N2, N1);
    assert_eq!(texts(&bench, N1), ["a"]);
}

/// What is stable keeps its number, though the next sequencer has not delivered it.
#[test]
fn the_next_sequencer_knows_what_is_stable() {
    let mut bench = three(2);
    say(&mut bench, N1, 0, "a");
    bench.pass(N1, N3);
    bench.pass(N3, N1);
    assert_eq!(texts(&bench, N1), ["a"]);
    bench.crash(N1, Image::Nothing);
    bench.lose_all();
    pass(&mut bench, &[N2, N3], Duration::millis(300));
    say(&mut bench, N2, 0, "b");
    pass(&mut bench, &[N2, N3], Duration::millis(100));
    assert_eq!(texts(&bench, N2), ["a", "b"]);
    assert_eq!(texts(&bench, N3), ["a", "b"]);
}

/// With one copy it does not.
#[test]
#[should_panic(expected = "TO1")]
fn one_copy_is_not_enough() {
    let mut bench = three(1);
    say(&mut bench, N1, 0, "a");
    bench.lose_all();
    pass(&mut bench, &[N2, N3], Duration::millis(300));
    say(&mut bench, N2, 0, "b");
    pass(&mut bench, &[N2, N3], Duration::millis(100));
}

/// A sequencer that was replaced gives numbers to nobody.
#[test]
fn who_follows_a_later_sequencer_takes_nothing_from_an_earlier_one() {
    let mut bench = three(2);
    pass(&mut bench, &[N2, N3], Duration::millis(300));
    let epoch = bench.at(N1).epoch();
    assert!(epoch < bench.at(N3).epoch());
    let slot = Some(Item { id: request(1, 0), text: "late".into() });
    bench.deliver(N1, N3, Message::Order { epoch, number: 0, slot, stable: 1 });
    assert!(bench.at(N3).slots().is_empty());
}

/// What the old sequencer gave a number, and nobody else knows of, is ordered anew.
#[test]
fn a_number_that_nobody_knows_of_is_given_again() {
    let mut bench = three(2);
    say(&mut bench, N1, 0, "a");
    bench.lose_all();
    pass(&mut bench, &[N2, N3], Duration::millis(300));
    say(&mut bench, N3, 0, "c");
    pass(&mut bench, &[N2, N3], Duration::millis(100));
    pass(&mut bench, &ALL, Duration::millis(400));
    for id in ALL {
        assert_eq!(texts(&bench, id), ["c", "a"], "{id}");
    }
}

/// What is delivered stays, and comes back after a crash.
#[test]
fn what_is_delivered_survives_a_crash() {
    let mut bench = three(2);
    say(&mut bench, N2, 0, "b");
    pass(&mut bench, &ALL, Duration::millis(60));
    bench.crash(N2, Image::Nothing);
    bench.restart(N2);
    assert_eq!(texts(&bench, N2), ["b"]);
    say(&mut bench, N2, 0, "b");
    assert_eq!(bench.answer(request(2, 0)), Some(&Response::Delivered { place: 0 }));
    pass(&mut bench, &ALL, Duration::millis(300));
    assert_eq!(texts(&bench, N2), ["b"]);
}
