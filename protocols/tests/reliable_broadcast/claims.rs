//! Bracha 1987, section 3.

use crate::by_hand::{Bench, N1, N2, N3, N4, request};
use seedfall_protocols::reliable_broadcast::{
    self, Config, Invariants, Message, Name, Node, Request, Response, Say,
};
use seedfall_sim::NodeId;

const ALL: [NodeId; 4] = [N1, N2, N3, N4];
const NAME: Name = Name { sender: N1, number: 1 };

fn four() -> Bench<Node, Invariants> {
    Bench::watched(4, Config { faulty: 1 }, reliable_broadcast::invariants())
}

fn say(say: Say, text: &str) -> Message {
    Message { name: NAME, say, text: text.into() }
}

fn delivered(bench: &Bench<Node, Invariants>, id: NodeId) -> Option<&str> {
    bench.at(id).instances().get(&NAME).and_then(|one| one.delivered.as_deref())
}

/// Validity: what a correct node broadcasts all deliver, one of four being silent.
#[test]
fn what_a_correct_node_broadcasts_is_delivered() {
    let mut bench = four();
    bench.ask(N1, request(1, 0), Request("a".into()));
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.answer(request(1, 0)), Some(&Response(NAME)));
    for id in [N1, N2, N3] {
        assert_eq!(delivered(&bench, id), Some("a"));
    }
}

/// Lemma 1: a sender that says two things makes nobody ready for both.
#[test]
fn a_sender_that_says_two_things_is_not_delivered() {
    let mut bench = four();
    for (to, text) in [(N2, "a"), (N3, "b"), (N4, "a")] {
        bench.deliver(N1, to, say(Say::Initial, text));
    }
    bench.settle(&[N2, N3, N4]);
    for id in [N2, N3, N4] {
        assert_eq!(bench.at(id).instances()[&NAME].ready, None);
    }
    // The sender itself decides for which of them; and then all deliver that.
    for to in [N2, N3, N4] {
        bench.deliver(N1, to, say(Say::Echo, "a"));
    }
    bench.settle(&[N2, N3, N4]);
    for id in [N2, N3, N4] {
        assert_eq!(delivered(&bench, id), Some("a"));
    }
    assert!(bench.reached.contains(&"deliver: another text than the sender told"));
}

/// Lemma 3, Totality: if one delivers, all do, though the sender said nothing to some.
#[test]
fn if_one_delivers_all_do() {
    let mut bench = four();
    for to in [N2, N3] {
        bench.deliver(N1, to, say(Say::Initial, "a"));
        bench.deliver(N1, to, say(Say::Echo, "a"));
    }
    bench.settle_if(&[N2, N3], |message| message.say == Say::Echo);
    bench.deliver(N1, N2, say(Say::Ready, "a"));
    bench.settle(&[N2, N3]);
    assert_eq!(delivered(&bench, N2), Some("a"));
    assert_eq!(delivered(&bench, N4), None);
    bench.settle(&ALL);
    for id in [N2, N3, N4] {
        assert_eq!(delivered(&bench, id), Some("a"), "{id}");
    }
    assert!(bench.reached.contains(&"ready: others are, and the echoes were not enough"));
}

/// Everybody has one voice, and the sender's is its own.
#[test]
fn nobody_counts_twice() {
    let mut bench = four();
    for _ in 0..3 {
        bench.deliver(N1, N2, say(Say::Ready, "a"));
        bench.deliver(N1, N2, say(Say::Echo, "a"));
    }
    bench.deliver(N1, N2, say(Say::Ready, "b"));
    bench.deliver(N3, N2, say(Say::Initial, "b"));
    assert_eq!(bench.at(N2).instances()[&NAME].ready, None);
    assert_eq!(bench.ignored, ["initial: not the sender's"]);
}
