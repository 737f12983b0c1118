//! What the papers claim of each object, and of how replicas tell each other.

use crate::by_hand::{Bench, Image, N1, N2, N3, request};
use seedfall_protocols::crdt::{
    self, Config, Invariants, Message, Mode, Replica, Request, Response, Shown,
};
use seedfall_sim::{Duration, NodeId};

const ALL: [NodeId; 3] = [N1, N2, N3];
const INTERVAL: Duration = Duration::millis(50);

fn three(mode: Mode) -> Bench<Replica, Invariants> {
    Bench::watched(3, Config { mode, interval: INTERVAL }, crdt::invariants())
}

fn ask(bench: &mut Bench<Replica, Invariants>, id: NodeId, body: Request) -> Shown {
    let number = bench.told.len() as u32;
    bench.ask(id, request(1, number), body);
    let Response(shown) = bench.answer(request(1, number)).expect("at once").clone();
    shown
}

fn shown(bench: &Bench<Replica, Invariants>, id: NodeId) -> Shown {
    bench.at(id).state().shown()
}

/// Gossips until nothing is new.
fn gossip(bench: &mut Bench<Replica, Invariants>) {
    bench.run(Duration::millis(50 * 30));
    for pair in ALL.windows(2) {
        assert_eq!(shown(bench, pair[0]), shown(bench, pair[1]));
    }
}

fn modes() -> [Bench<Replica, Invariants>; 3] {
    [Mode::States, Mode::Deltas, Mode::Operations].map(three)
}

/// RR-7506, 3.1.3: additions and subtractions anywhere add up.
#[test]
fn a_counter_adds_up() {
    for mut bench in modes() {
        for (id, amount) in [(N1, 5), (N2, -2), (N3, 4), (N1, -1)] {
            ask(&mut bench, id, Request::Add(amount));
        }
        gossip(&mut bench);
        assert_eq!(shown(&bench, N2).counter, 6);
    }
}

/// RR-7506, 3.3.5: who inserts what another removes at the same time wins; what the remover had
/// seen is gone.
#[test]
fn additions_win() {
    for mut bench in modes() {
        ask(&mut bench, N1, Request::Insert("a".into()));
        ask(&mut bench, N1, Request::Insert("b".into()));
        gossip(&mut bench);
        ask(&mut bench, N1, Request::Remove("a".into()));
        ask(&mut bench, N1, Request::Remove("b".into()));
        ask(&mut bench, N2, Request::Insert("a".into()));
        gossip(&mut bench);
        assert_eq!(shown(&bench, N3).set, ["a".into()].into());
    }
}

/// RR-7506, 3.2: one register keeps the last value, the other all that are concurrent.
#[test]
fn registers_keep_the_last_or_all() {
    for mut bench in modes() {
        for (id, value) in [(N1, "a"), (N2, "b")] {
            ask(&mut bench, id, Request::Write(value.into()));
            ask(&mut bench, id, Request::Assign(value.into()));
        }
        gossip(&mut bench);
        assert_eq!(shown(&bench, N3).values, ["a".into(), "b".into()].into());
        assert_eq!(shown(&bench, N3).last.as_deref(), Some("b"), "of two at once, the later name");
        ask(&mut bench, N3, Request::Write("c".into()));
        ask(&mut bench, N3, Request::Assign("c".into()));
        gossip(&mut bench);
        assert_eq!(shown(&bench, N1).values, ["c".into()].into());
        assert_eq!(shown(&bench, N1).last.as_deref(), Some("c"));
    }
}

/// Roh et al.: what each types at one place stays together, and is the same everywhere.
#[test]
fn a_text_is_typed_by_several() {
    for mut bench in modes() {
        for (place, char) in [(0, 'a'), (1, 'z')] {
            ask(&mut bench, N1, Request::Type(place, char));
        }
        gossip(&mut bench);
        for (place, char) in [(1, 'b'), (2, 'c')] {
            ask(&mut bench, N1, Request::Type(place, char));
        }
        for (place, char) in [(1, 'x'), (2, 'y')] {
            ask(&mut bench, N2, Request::Type(place, char));
        }
        ask(&mut bench, N3, Request::Erase(1));
        gossip(&mut bench);
        assert_eq!(shown(&bench, N3).text, "axybc");
    }
}

/// SSS 2011, 2.2: an operation waits for its causes, and counts once.
#[test]
fn an_operation_waits_for_its_causes() {
    let mut bench = three(Mode::Operations);
    ask(&mut bench, N1, Request::Insert("a".into()));
    ask(&mut bench, N1, Request::Remove("a".into()));
    let updates: Vec<Message> = [N2, N3]
        .into_iter()
        .flat_map(|to| bench.wire.iter().filter(move |one| one.1 == to).map(|one| one.2.clone()))
        .collect();
    bench.lose_all();
    bench.deliver(N1, N2, updates[1].clone());
    assert!(bench.reached.contains(&"update: its causes are missing"));
    assert_eq!(shown(&bench, N2), Shown::default());
    for _ in 0..2 {
        bench.deliver(N1, N2, updates[0].clone());
    }
    assert_eq!(bench.at(N2).state().context(), bench.at(N1).state().context());
    assert_eq!(bench.ignored, ["update: received before"]);
}

/// Almeida et al. 2018, section 5: a delta is not merged by who lacks what comes before it.
#[test]
fn a_delta_is_not_merged_behind_a_gap() {
    let mut bench = three(Mode::Deltas);
    ask(&mut bench, N1, Request::Add(1));
    let since = bench.at(N1).state().context().clone();
    ask(&mut bench, N1, Request::Add(1));
    let delta = bench.at(N1).state().delta(&since);
    bench.deliver(N1, N2, Message::Merge(Box::new(delta)));
    assert!(bench.reached.contains(&"merge: something before it is missing"));
    assert_eq!(shown(&bench, N2).counter, 0);
}

/// What is erased is forgotten once all have received that, and not before.
#[test]
fn tombstones_go_when_they_are_stable() {
    for mode in [Mode::States, Mode::Deltas, Mode::Operations] {
        let mut bench = three(mode);
        ask(&mut bench, N1, Request::Type(0, 'a'));
        ask(&mut bench, N1, Request::Erase(0));
        bench.settle(&[N1, N2]);
        let mark = "collect: characters whose erasure all have received";
        assert!(!bench.reached.contains(&mark), "n3 has not");
        gossip(&mut bench);
        assert!(bench.reached.contains(&mark), "{mode:?}");
        let of = |id| bench.at(id).state().clone();
        assert_eq!((of(N1), of(N2)), (of(N3), of(N3)), "{mode:?}: nothing is left of it");
    }
}

/// What a client was told of is there after a crash.
#[test]
fn an_update_survives_a_crash() {
    for mut bench in modes() {
        ask(&mut bench, N1, Request::Add(3));
        bench.lose_all();
        bench.crash(N1, Image::Nothing);
        bench.restart(N1);
        assert_eq!(shown(&bench, N1).counter, 3);
        ask(&mut bench, N1, Request::Add(1));
        gossip(&mut bench);
        assert_eq!(shown(&bench, N3).counter, 4);
    }
}
