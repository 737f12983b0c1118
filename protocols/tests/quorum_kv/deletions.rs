//! Tombstones: how long they are kept, and what protects a deletion when they are gone.

use crate::by_hand::{Bench, request};
use crate::support::{CONFIG, KEY, bench, delete, get, got, held, is_stored, order, put, values};
use seedfall_protocols::quorum_kv::{
    self, Config, Dot, Message, QuorumKv, Ticket, Version, VersionVector, Versions,
};
use seedfall_sim::{Duration, Monitor, NodeId};

const GRACE: Config = Config { grace: Duration::millis(200), ..CONFIG };

/// Puts "a" everywhere, then deletes it at these nodes alone.
fn deleted_at(among: &[NodeId]) -> Bench<QuorumKv> {
    let all = order();
    let mut bench = bench(GRACE);
    bench.ask(all[0], request(1, 0), put("a"));
    bench.settle(&all);
    bench.ask(all[0], request(1, 1), delete());
    bench.settle(among);
    assert!(is_stored(&bench, request(1, 1)));
    bench
}

/// Lets this much time pass, in steps, while these nodes talk.
fn pass_time(bench: &mut Bench<QuorumKv>, span: Duration, among: &[NodeId]) {
    for _ in 0..span.as_nanos() / GRACE.retransmit_after.as_nanos() {
        bench.wait(GRACE.retransmit_after);
        bench.settle(among);
        bench.lose_all();
    }
}

#[test]
fn a_deletion_replaces_what_its_client_was_shown() {
    let all = order();
    let mut bench = deleted_at(&all);
    bench.ask(all[1], request(2, 0), get());
    bench.settle(&all);
    assert_eq!(got(&bench, request(2, 0)), Some(vec!["-".to_owned()]));
}

#[test]
fn a_tombstone_is_kept_for_the_grace_period_and_then_forgotten_by_all() {
    let all = order();
    let mut bench = deleted_at(&all);
    pass_time(&mut bench, Duration::millis(160), &all);
    assert_eq!(held(&bench, all[1]), ["-"]);
    pass_time(&mut bench, Duration::millis(200), &all);
    for home in &all[..3] {
        assert!(held(&bench, *home).is_empty());
    }
    assert!(bench.reached.contains(&"tombstone: forgotten by all"));
}

/// The hazard of a fixed grace period: a home that was away for longer still has the value.
#[test]
fn a_tombstone_is_kept_until_every_node_holds_it() {
    let all = order();
    let away = all[2];
    let others: Vec<NodeId> = all.into_iter().filter(|node| *node != away).collect();
    let mut bench = deleted_at(&others);
    pass_time(&mut bench, Duration::secs(2), &others);
    assert_eq!((held(&bench, all[1]), held(&bench, away)), (vec!["-".into()], vec!["a".into()]));
    pass_time(&mut bench, Duration::millis(200), &all);
    for home in &all[..3] {
        assert!(held(&bench, *home).is_empty());
    }
}

/// A message from before the deletion that arrives when its tombstone is forgotten.
#[test]
fn what_was_sent_before_a_tombstone_was_forgotten_is_refused_after() {
    let all = order();
    let mut bench = bench(GRACE);
    bench.ask(all[0], request(1, 0), put("a"));
    let late = bench.wire.iter().find(|(_, to, _)| *to == all[1]).cloned().expect("it was sent");
    bench.settle(&all);
    bench.ask(all[0], request(1, 1), delete());
    bench.settle(&all);
    pass_time(&mut bench, Duration::millis(400), &all);
    assert!(held(&bench, all[1]).is_empty());
    let (from, to, message) = late;
    bench.deliver(from, to, message);
    assert!(held(&bench, all[1]).is_empty(), "it does not come back");
    assert!(
        bench.reached.contains(&"store: refused, as it was sent before a tombstone was forgotten")
    );
    assert_eq!(bench.at(all[1]).epoch(), 1);
}

/// A refusal tells the epoch, and the sender tries again with what it holds now.
#[test]
fn what_is_refused_is_sent_anew() {
    let all = order();
    let mut bench = deleted_at(&all);
    pass_time(&mut bench, Duration::millis(400), &all);
    bench.restart(all[0]);
    bench.ask(all[0], request(2, 0), put("b"));
    bench.settle(&all);
    assert_eq!(held(&bench, all[1]), ["b"]);
}

/// The name of a version is given out once, even if the key was forgotten in between.
#[test]
fn the_names_of_versions_outlive_a_forgotten_key() {
    let all = order();
    let mut bench = deleted_at(&all);
    pass_time(&mut bench, Duration::millis(400), &all);
    bench.restart(all[0]);
    bench.ask(all[0], request(2, 0), put("b"));
    bench.settle(&all);
    let dots: Vec<Dot> =
        bench.at(all[1]).siblings(&KEY.into()).iter().map(|version| version.dot).collect();
    assert_eq!(dots, [Dot { node: all[0], counter: 3 }]);
}

/// A hint of the value that reaches a stand-in after the tombstone has: found by seed 272 while the
/// protocol was written.
#[test]
fn a_hint_of_what_a_tombstone_here_has_deleted_does_not_outlive_it() {
    let [first, second, _, fourth, _] = order();
    let all = order();
    let mut bench = bench(GRACE);
    bench.ask(first, request(1, 0), put("a"));
    let old = bench.at(first).siblings(&KEY.into());
    bench.settle(&all);
    bench.ask(first, request(1, 1), delete());
    bench.settle(&all);
    bench.wait(GRACE.grace + GRACE.retransmit_after);
    bench.pass(first, fourth); // The tombstone, to be held by everybody.
    let hint = Message::Store {
        ticket: Ticket::AntiEntropy,
        key: KEY.into(),
        versions: old,
        home: second,
        epoch: 0,
    };
    bench.deliver(first, fourth, hint);
    let kept = bench.at(fourth).hints().values().next().expect("it keeps a hint");
    assert!(kept.iter().all(|version| version.value.is_none()), "{kept:?}");
}

/// A get that has heard of the value before the tombstone was forgotten must not answer with it.
#[test]
fn a_get_asks_again_if_a_tombstone_is_forgotten_meanwhile() {
    let all = order();
    let [first, second, third, ..] = all;
    let mut bench = deleted_at(&[first, second]);
    bench.lose_all();
    // The third home, which knows of no deletion, answers a get, and the answer is late.
    bench.ask(second, request(2, 0), get());
    bench.pass(second, third);
    let stale = bench.wire.iter().position(|(from, to, _)| (*from, *to) == (third, second));
    let stale = bench.wire.remove(stale.expect("it answers"));
    bench.lose_all();
    // Meanwhile everybody comes to hold the tombstone and forgets it. The get hears nothing.
    let is_not_of_get =
        |message: &Message| !matches!(message, Message::Get { .. } | Message::GetReply { .. });
    for _ in 0..10 {
        bench.wait(GRACE.retransmit_after);
        bench.settle_if(&all, is_not_of_get);
    }
    assert!(held(&bench, second).is_empty());
    assert_eq!(got(&bench, request(2, 0)), None);
    assert!(bench.reached.contains(&"get: asks again, as a tombstone was forgotten meanwhile"));
    let (from, to, message) = stale;
    bench.deliver(from, to, message);
    bench.wait(GRACE.retransmit_after);
    bench.settle(&all);
    assert_eq!(got(&bench, request(2, 0)), Some(Vec::new()));
}

/// The coordinator of a get was told of the deletion meanwhile, and the others have forgotten it:
/// found by seed 11326 of quorum-kv-deletes.
#[test]
fn a_get_answers_with_what_its_coordinator_holds_by_then() {
    let all = order();
    let [first, second, third, ..] = all;
    let mut bench = deleted_at(&[first, third]);
    bench.ask(second, request(2, 0), get()); // It still holds "a".
    bench.lose_all();
    let is_of_burial = |message: &Message| match message {
        Message::Store { ticket, .. } | Message::StoreReply { ticket, .. } => {
            matches!(ticket, Ticket::Burial(_))
        }
        _ => false,
    };
    for _ in 0..8 {
        bench.wait(GRACE.retransmit_after);
        bench.settle_if(&all, is_of_burial);
    }
    assert_eq!(held(&bench, second), ["-"]);
    let others: Vec<NodeId> = all.into_iter().filter(|node| *node != second).collect();
    bench.settle_if(&others, |message| matches!(message, Message::Purge { .. }));
    assert!(held(&bench, third).is_empty());
    bench.lose_all();
    bench.wait(GRACE.retransmit_after);
    bench.pass(second, third);
    bench.pass(third, second);
    assert_eq!(got(&bench, request(2, 0)), Some(vec!["-".to_owned()]));
}

/// Lets everybody hold the tombstone that the first home leads, and all but one forget it. No get
/// hears anything meanwhile.
fn forgotten_by_all_but(bench: &mut Bench<QuorumKv>, one: NodeId) {
    let all = order();
    bench.wait(GRACE.grace + GRACE.retransmit_after);
    let of_burial = |message: &Message| {
        !matches!(message, Message::Purge { .. } | Message::Get { .. } | Message::GetReply { .. })
    };
    bench.settle_if(&all, of_burial);
    let others: Vec<NodeId> = all.into_iter().filter(|node| *node != one).collect();
    bench.settle(&others);
    bench.lose_all();
}

/// The first home puts what replaces a tombstone of its own that it has forgotten, as the dot of
/// that is one of those before. The second home hears of it.
fn put_over_what_was_forgotten(bench: &mut Bench<QuorumKv>) {
    let [first, second, ..] = order();
    bench.ask(first, request(3, 0), put("b"));
    bench.lose_all();
    bench.ask(first, request(3, 1), put("c"));
    bench.settle(&[first, second]);
    bench.lose_all();
    bench.ask(first, request(3, 2), get());
    bench.settle(&[first, second]);
    bench.ask(first, request(3, 3), put("d"));
}

/// "a", put at the second home, is deleted at the first. The third home still holds the tombstone
/// when the others have forgotten it, and "a" is still under way to it.
fn forgotten_by_all_but_the_third() -> (Bench<QuorumKv>, (NodeId, NodeId, Message)) {
    let all = order();
    let [first, second, third, ..] = all;
    let mut bench = bench(GRACE);
    bench.ask(second, request(2, 0), put("a"));
    let late = bench.wire.iter().find(|(_, to, _)| *to == third).cloned().expect("it was sent");
    bench.settle(&all);
    bench.ask(third, request(5, 0), get()); // It has heard of "a", and is not answered.
    bench.lose_all();
    bench.ask(first, request(1, 0), get());
    bench.settle(&all);
    bench.ask(first, request(1, 1), delete());
    bench.settle(&all);
    forgotten_by_all_but(&mut bench, third);
    assert_eq!((held(&bench, first), held(&bench, third)), (Vec::new(), vec!["-".to_owned()]));
    (bench, late)
}

/// A tombstone may be replaced, at a home that has not been told to forget it, by a version whose
/// writer was shown the siblings after it was forgotten, and which therefore does not mean what the
/// tombstone meant. What was sent before must not come in then: found by seed 5061 of
/// quorum-kv-deletes.
#[test]
fn a_tombstone_replaced_by_what_was_written_after_it_was_forgotten_is_forgotten_too() {
    let (mut bench, (from, third, message)) = forgotten_by_all_but_the_third();
    put_over_what_was_forgotten(&mut bench);
    bench.settle(&order());
    assert_eq!(held(&bench, third), ["d"]);
    bench.deliver(from, third, message);
    assert_eq!(held(&bench, third), ["d"], "what the tombstone deleted is not back");
}

/// The same, and the third home comes to hold a later version of the node that wrote the deleted
/// one. That does not mean that it covers the deleted one: found by seed 7000041066 of
/// quorum-kv-deletes.
#[test]
fn a_later_version_does_not_hide_that_what_a_tombstone_deleted_is_not_covered_any_more() {
    let (mut bench, (from, third, message)) = forgotten_by_all_but_the_third();
    put_over_what_was_forgotten(&mut bench);
    let [first, second, ..] = order();
    bench.settle(&[first, second]);
    bench.lose_all();
    bench.ask(second, request(4, 0), put("e"));
    bench.settle(&order());
    let mut values = held(&bench, third);
    values.sort_unstable();
    assert_eq!(values, ["d", "e"]);
    assert_eq!(bench.at(third).epoch(), 1, "it covers less than with the tombstone");
    bench.deliver(from, third, message);
    assert_eq!(held(&bench, third).len(), 2, "what the tombstone deleted is not back");
}

/// Nor does it hide that from a get that has heard of the deleted version before: found by seed
/// 7000076741 of quorum-kv-sloppy.
#[test]
fn a_get_asks_again_also_if_a_later_version_could_hide_that_less_is_covered() {
    let (mut bench, (_, third, _)) = forgotten_by_all_but_the_third();
    put_over_what_was_forgotten(&mut bench);
    let [first, second, ..] = order();
    bench.settle(&[first, second]);
    bench.lose_all();
    bench.ask(second, request(4, 0), put("e"));
    bench.settle(&[second, third]);
    bench.wait(GRACE.retransmit_after);
    bench.settle(&order());
    assert_eq!(got(&bench, request(5, 0)), Some(vec!["d".to_owned(), "e".to_owned()]));
    assert_eq!(held(&bench, third).len(), 2, "what the tombstone deleted is not back");
}

/// A stand-in that holds the tombstone takes in a hint that replaces it without meaning what it
/// meant, and after that a hint of what it deleted, which would come home with the other.
#[test]
fn a_tombstone_here_keeps_out_what_it_deleted_also_beside_a_hint_that_replaces_it() {
    let all = order();
    let [first, second, _, fourth, _] = all;
    let config = Config { handoff_every: Duration::millis(70), ..GRACE };
    let mut bench = bench(config);
    bench.ask(second, request(2, 0), put("a"));
    let old = bench.at(second).siblings(&KEY.into());
    bench.settle(&all);
    bench.ask(first, request(1, 0), get());
    bench.settle(&all);
    bench.ask(first, request(1, 1), delete());
    bench.settle(&all);
    forgotten_by_all_but(&mut bench, fourth);
    put_over_what_was_forgotten(&mut bench);
    let new = bench.at(first).siblings(&KEY.into());
    bench.lose_all();
    for versions in [new, old] {
        let (ticket, key) = (Ticket::AntiEntropy, KEY.into());
        let hint = Message::Store { ticket, key, versions, home: second, epoch: 0 };
        bench.deliver(first, fourth, hint);
    }
    let kept = bench.at(fourth).hints().values().next().expect("it keeps a hint");
    assert_eq!(values(kept), ["d"]);
    for _ in 0..2 {
        bench.wait(config.handoff_every); // The first time, it is told the epoch of the home.
        bench.settle(&all);
    }
    assert_eq!(held(&bench, second), ["d"]);
}

/// The monitor sees what it is there for.
#[test]
fn the_invariants_catch_a_lost_write_and_a_resurrection() {
    let all = order();
    let mut bench = bench(GRACE);
    let empty = bench.at(all[1]).clone();
    bench.ask(all[0], request(1, 0), put("a"));
    bench.settle(&all);
    let before = bench.at(all[1]).clone();
    bench.ask(all[0], request(1, 1), delete());
    bench.settle(&all);
    let after = bench.at(all[1]).clone();

    let mut watch = quorum_kv::invariants();
    assert_eq!(watch.observe(all[1], &before), Ok(()));
    let lost = watch.observe(all[1], &empty).expect_err("it is gone");
    assert_eq!(lost.property, "No lost write");

    let mut watch = quorum_kv::invariants();
    for state in [&before, &after] {
        assert_eq!(watch.observe(all[1], state), Ok(()));
    }
    let back = watch.observe(all[1], &before).expect_err("it is back");
    assert_eq!(back.property, "No resurrection");
}

/// A home that holds these siblings, having been told them one after the other.
fn holding(all: Vec<Vec<Version>>) -> QuorumKv {
    let [first, second, ..] = order();
    let mut bench = bench(GRACE);
    for versions in all {
        let (versions, ticket) = (Versions::of(versions), Ticket::AntiEntropy);
        let store = Message::Store { ticket, key: KEY.into(), versions, home: second, epoch: 0 };
        bench.deliver(first, second, store);
    }
    bench.at(second).clone()
}

/// And it asks for each dot by itself.
#[test]
fn the_invariants_catch_a_loss_that_a_later_version_could_hide() {
    let [first, second, ..] = order();
    let version = |node, counter, past: &[Dot], value: Option<&str>| {
        let mut vector = VersionVector::default();
        past.iter().for_each(|dot| vector.add(*dot));
        Version { dot: Dot { node, counter }, past: vector, value: value.map(Into::into) }
    };
    let deleted = Dot { node: second, counter: 1 };
    let tombstone = version(first, 1, &[deleted], None);
    let later = version(second, 2, &[], Some("later"));
    let over_the_dot = version(first, 2, &[tombstone.dot], Some("new"));
    let over_both = version(first, 2, &[tombstone.dot, deleted], Some("new"));
    let before = holding(vec![vec![tombstone], vec![later.clone()]]);
    for (new, is_less) in [(over_the_dot, true), (over_both, false)] {
        let mut watch = quorum_kv::invariants();
        assert_eq!(watch.observe(second, &before), Ok(()));
        let now = holding(vec![vec![later.clone(), new]]);
        let told = watch.observe(second, &now).map_err(|violation| violation.property);
        assert_eq!(told, if is_less { Err("An epoch for each loss") } else { Ok(()) });
    }
}
