//! What the book claims of links, with Bracha's broadcast above them, which says everything once.

use crate::by_hand::{Bench, N1, N2, N3, N4, request};
use seedfall_protocols::layers::perfect::{self, Message};
use seedfall_protocols::layers::{self, Authenticated, Invariants, Layer, Order, Perfect};
use seedfall_protocols::reliable_broadcast::{Config, Name, Node, Request};
use seedfall_sim::{Draw, Duration, NodeId, Protocol};

const ALL: [NodeId; 4] = [N1, N2, N3, N4];
const AGAIN: Duration = Duration::millis(20);

fn four(order: Order) -> Bench<Perfect<Node>, Invariants> {
    let config = perfect::Config { order, retransmit_after: AGAIN, above: Config { faulty: 1 } };
    Bench::watched(4, config, layers::invariants())
}

fn delivered(node: &Node) -> Vec<&str> {
    node.instances().values().filter_map(|one| one.delivered.as_deref()).collect()
}

/// PL1 (2.4.3): what is lost comes again, until it is acknowledged, and no longer.
#[test]
fn a_message_is_sent_again_until_it_is_acknowledged() {
    let mut bench = four(Order::Free);
    bench.ask(N1, request(1, 0), Request("a".into()));
    for _ in 0..3 {
        bench.lose_all();
        bench.wait(AGAIN);
    }
    bench.run(AGAIN.scale(4, 1));
    for node in ALL {
        assert_eq!(delivered(bench.at(node).above()), ["a"], "{node}");
    }
    bench.wait(AGAIN.scale(4, 1));
    assert!(bench.wire.is_empty(), "all is acknowledged");
}

/// PL2 (2.4.4): a message that comes twice is handed up once, and acknowledged twice.
#[test]
fn what_comes_twice_is_handed_up_once() {
    let mut bench = four(Order::Free);
    bench.ask(N1, request(1, 0), Request("a".into()));
    let (from, to, message) = bench.wire[0].clone();
    bench.lose_all();
    for _ in 0..2 {
        bench.deliver(from, to, message.clone());
    }
    assert_eq!(bench.at(to).handed_up()[&from], [1]);
    let acks = bench.wire.iter().filter(|(.., message)| matches!(message, Message::Ack { .. }));
    assert_eq!(acks.count(), 2);
}

/// 3.9: what is early waits for what is missing, if the order is kept.
#[test]
fn what_is_early_waits_if_the_order_is_kept() {
    for (order, first, then) in
        [(Order::Fifo, vec![], vec![1, 2]), (Order::Free, vec![2], vec![2, 1])]
    {
        let mut bench = four(order);
        bench.ask(N1, request(1, 0), Request("a".into()));
        bench.ask(N1, request(2, 0), Request("b".into()));
        let to_n2 = |(from, to, _): &&(NodeId, NodeId, _)| (*from, *to) == (N1, N2);
        let data: Vec<_> = bench.wire.iter().filter(to_n2).cloned().collect();
        let numbered = |wanted: u32| {
            let number = |message: &Message<_>| match message {
                Message::Data { number, .. } => *number,
                Message::Ack { .. } => 0,
            };
            let mut sent = data.iter().map(|(.., message)| message);
            sent.find(|message| number(message) == wanted).expect("it was sent").clone()
        };
        let handed_up = |bench: &Bench<Perfect<Node>, Invariants>| {
            bench.at(N2).handed_up().get(&N1).cloned().unwrap_or_default()
        };
        bench.deliver(N1, N2, numbered(2));
        assert_eq!(handed_up(&bench), first, "{order:?}");
        bench.deliver(N1, N2, numbered(1));
        assert_eq!(handed_up(&bench), then, "{order:?}");
    }
}

/// 2.4.6: what was changed on the wire, or is said in another's name, or was meant for another, is
/// not handed up.
#[test]
fn what_is_not_authentic_is_not_handed_up() {
    type Node4 = Authenticated<Node>;
    let heard = |from: NodeId, to: NodeId, flip: bool| {
        let mut bench = Bench::<Node4>::new(4, Config { faulty: 1 });
        bench.ask(N1, request(1, 0), Request("a".into()));
        let sent = bench.wire.iter().find(|(_, to, _)| *to == N2).expect("n1 tells n2");
        let mut message = sent.2.clone();
        let mut draw = Draw::from_words([1, 2, 3, 4]);
        assert!(!flip || Node4::mutate(&mut message, &mut draw), "it can be changed");
        bench.deliver(from, to, message);
        !bench.at(to).above().instances().is_empty()
    };
    assert!(heard(N1, N2, false));
    assert!(!heard(N1, N2, true), "changed");
    assert!(!heard(N3, N2, false), "in another's name");
    assert!(!heard(N1, N4, false), "meant for another");
}

/// A layer keeps apart what is the layer's and what is the protocol's.
#[test]
fn each_broadcast_is_known_above_by_its_name() {
    let mut bench = four(Order::Fifo);
    bench.ask(N2, request(1, 0), Request("a".into()));
    bench.settle(&ALL);
    let name = Name { sender: N2, number: 1 };
    assert!(ALL.iter().all(|id| bench.at(*id).above().instances().contains_key(&name)));
    assert_eq!(bench.told.len(), 1);
}
