//! What the paper says of twins, with `HotStuff` above them.

use crate::by_hand::{Bench, N1, N2, N3, N4, N5, request};
use seedfall_protocols::hotstuff::{self, Message, Replica, Request};
use seedfall_protocols::kv::Command;
use seedfall_protocols::layers;
use seedfall_protocols::twins::{Config, Machine, Response, Round};
use seedfall_sim::{Duration, NodeId};

type Watched = Bench<Machine<Replica>, layers::Above<hotstuff::Invariants>>;

/// Of five machines the first and the last are one replica, which leads.
fn five(parts: &[[u8; 5]]) -> Watched {
    let rounds = parts.iter().map(|parts| Round { leader: 0, parts: parts.to_vec() });
    let above = hotstuff::Config {
        faulty: 1,
        leads: 4,
        leaders: vec![N1; parts.len()],
        patience: Duration::millis(60),
    };
    let config = Config { replicas: 4, rounds: rounds.collect(), above };
    Bench::watched(5, config, layers::above(hotstuff::invariants()))
}

fn put(value: &str) -> Request {
    Request(Command::Put { key: "x".into(), value: value.into() })
}

fn receivers(bench: &Watched, is_one: impl Fn(&Message) -> bool) -> Vec<NodeId> {
    bench.wire.iter().filter(|(.., message)| is_one(message)).map(|(_, to, _)| *to).collect()
}

fn is_proposal(message: &Message) -> bool {
    matches!(message, Message::Propose(_))
}

/// To equivocate: both halves of a leader propose, each to its part, under one name.
#[test]
fn both_halves_of_a_leader_propose() {
    let mut bench = five(&[[0, 0, 1, 1, 1]]);
    bench.ask(N1, request(1, 0), put("a"));
    assert_eq!(receivers(&bench, is_proposal), [N2], "its part");
    bench.lose_all();
    bench.ask(N5, request(5, 0), put("b"));
    assert_eq!(receivers(&bench, is_proposal), [N3, N4]);
    let said = bench.wire.iter().filter_map(|(.., message)| match message {
        Message::Propose(proposal) => Some(proposal.by()),
        _ => None,
    });
    assert!(said.collect::<Vec<_>>().iter().all(|by| *by == N1), "under the name of the first");
}

/// One name: what is said to a replica that runs twice reaches both machines, in one part.
#[test]
fn a_message_reaches_both_halves_in_one_part() {
    for (parts, to) in [([0, 0, 0, 0, 0], vec![N1, N5]), ([0, 1, 1, 1, 1], vec![N5])] {
        let mut bench = five(&[parts, parts]);
        bench.ask(N5, request(5, 0), put("a"));
        let (from, _, proposal) = bench.wire[0].clone();
        bench.lose_all();
        bench.deliver(from, N2, proposal);
        assert_eq!(receivers(&bench, |one| matches!(one, Message::Vote(_))), to, "{parts:?}");
    }
}

/// A request stays where it was asked, and a client asks one machine.
#[test]
fn requests_are_kept_back() {
    let mut bench = five(&[[0, 0, 0, 0, 0]]);
    bench.ask(N3, request(3, 0), put("a"));
    assert!(bench.wire.is_empty(), "it is told to nobody");
    bench.ask(N3, request(4, 0), put("b"));
    assert_eq!(bench.told.last().map(|(_, told)| told), Some(&Response::Elsewhere(N4)));
}

/// That a round is over passes from part to part, and no certificate with it.
#[test]
fn the_end_of_a_round_passes_bare() {
    let mut bench = five(&[[0, 0, 1, 1, 1]]);
    bench.ask(N3, request(3, 0), put("a"));
    bench.wait(Duration::millis(60));
    let bare = |one: &Message| matches!(one, Message::Timeout { high, .. } if high.view == 0);
    assert_eq!(receivers(&bench, bare), [N1, N2, N4, N5]);
}

/// Once the arrangement is over, all hear all, and what was asked is done.
#[test]
fn afterwards_all_hear_all() {
    let mut bench = five(&[[0, 0, 1, 1, 1], [0, 1, 0, 1, 0]]);
    bench.ask(N1, request(1, 0), put("a"));
    bench.ask(N5, request(5, 0), put("b"));
    bench.settle(&[N1, N2, N3, N4, N5]);
    bench.run(Duration::secs(2));
    let told = |client| bench.told.iter().filter(|(id, _)| *id == request(client, 0)).count();
    assert!(3 <= told(1) && 3 <= told(5), "{:?}", bench.told);
}
