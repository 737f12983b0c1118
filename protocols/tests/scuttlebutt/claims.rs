//! What van Renesse et al. claim, and what becomes of deletions.

use crate::by_hand::{Bench, Image, N1, N2, N3, request};
use seedfall_protocols::scuttlebutt::{
    self, Config, Entry, Extent, Invariants, Message, Node, Request, Response,
};
use seedfall_sim::{Duration, NodeId};

const CONFIG: Config = Config { interval: Duration::millis(30), remember: Duration::millis(60) };
const ALL: [NodeId; 3] = [N1, N2, N3];

fn three() -> Bench<Node, Invariants> {
    Bench::watched(3, CONFIG, scuttlebutt::invariants())
}

fn ask(bench: &mut Bench<Node, Invariants>, id: NodeId, body: Request) -> u64 {
    let number = bench.told.len() as u32;
    bench.ask(id, request(1, number), body);
    let Response(version) = *bench.answer(request(1, number)).expect("at once");
    version
}

fn set(key: &str, value: &str) -> Request {
    Request::Set(key.into(), value.into())
}

fn entry(bench: &Bench<Node, Invariants>, id: NodeId, key: &str) -> Option<Entry> {
    bench.at(id).known().get(&N1)?.entries.get(key).cloned()
}

/// Gossip among some, for so long.
fn gossip(bench: &mut Bench<Node, Invariants>, among: &[NodeId], span: u64) {
    for _ in 0..span / 10 {
        bench.wait(Duration::millis(10));
        bench.settle(among);
        bench.lose_all();
    }
}

/// Section 3: what a node says of itself all know in the end, in its last version.
#[test]
fn the_last_version_is_known_by_all() {
    let mut bench = three();
    assert_eq!(ask(&mut bench, N1, set("x", "1")), 1);
    gossip(&mut bench, &ALL, 300);
    assert_eq!(ask(&mut bench, N1, set("x", "2")), 2);
    gossip(&mut bench, &ALL, 300);
    for id in ALL {
        assert_eq!(entry(&bench, id, "x"), Some(Entry { version: 2, value: Some("2".into()) }));
    }
}

/// Section 3.1: only what the other lacks is sent.
#[test]
fn nothing_is_sent_that_is_known() {
    let mut bench = three();
    ask(&mut bench, N1, set("x", "1"));
    ask(&mut bench, N1, set("y", "1"));
    let extent = Extent { forgotten: 0, latest: 1 };
    bench.deliver(N2, N1, Message::Digest([(N1, extent)].into()));
    let (_, _, message) = bench.wire.pop().expect("an answer");
    let Message::Deltas(deltas, _) = message else { panic!("what else: {message:?}") };
    let delta = &deltas[&N1];
    assert_eq!((delta.after, delta.reset), (1, false));
    assert_eq!(delta.known.entries.keys().collect::<Vec<_>>(), ["y"]);
}

/// Who missed a deletion that is forgotten is sent all that there is.
#[test]
fn who_missed_a_deletion_begins_anew() {
    let mut bench = three();
    ask(&mut bench, N1, set("x", "1"));
    ask(&mut bench, N1, set("y", "1"));
    gossip(&mut bench, &ALL, 300);
    ask(&mut bench, N1, Request::Delete("x".into()));
    gossip(&mut bench, &[N1, N2], 300);
    assert_eq!(entry(&bench, N2, "x"), None, "forgotten");
    assert!(entry(&bench, N3, "x").is_some(), "not heard of");
    gossip(&mut bench, &ALL, 300);
    assert_eq!(entry(&bench, N3, "x"), None);
    assert!(entry(&bench, N3, "y").is_some());
    assert!(bench.reached.contains(&"delta: a reset"));
}

/// A reset that was cut some time ago is not applied by who knows more by now.
#[test]
fn a_late_reset_changes_nothing() {
    let mut bench = three();
    for key in ["x", "y"] {
        ask(&mut bench, N1, set(key, "1"));
    }
    ask(&mut bench, N1, Request::Delete("x".into()));
    gossip(&mut bench, &[N1], 200);
    bench.deliver(N3, N1, Message::Digest([].into()));
    let late = bench.wire.pop().expect("an answer").2;
    ask(&mut bench, N1, Request::Delete("y".into()));
    gossip(&mut bench, &[N1], 200);
    gossip(&mut bench, &ALL, 300);
    let before = bench.at(N3).known()[&N1].clone();
    bench.deliver(N1, N3, late);
    assert_eq!(bench.at(N3).known()[&N1], before);
    assert!(bench.reached.contains(&"delta: a reset to what is older"));
}

/// What a node has said of itself it says again after a crash, under the same version.
#[test]
fn versions_survive_a_crash() {
    let mut bench = three();
    ask(&mut bench, N1, set("x", "1"));
    bench.crash(N1, Image::Nothing);
    bench.restart(N1);
    assert_eq!(ask(&mut bench, N1, set("x", "2")), 2);
}
