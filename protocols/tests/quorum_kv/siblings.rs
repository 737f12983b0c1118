//! Dynamo 4.4 and PODC 2012: versions, and what replaces them.

use crate::by_hand::request;
use crate::support::{CONFIG, KEY, bench, get, got, held, order, put};
use seedfall_protocols::quorum_kv::{Dot, Response};

/// 4.4: versions on parallel branches are both kept, and a get returns both.
#[test]
fn concurrent_puts_are_kept_as_siblings() {
    let all = order();
    let mut bench = bench(CONFIG);
    bench.ask(all[0], request(1, 0), put("a"));
    bench.ask(all[1], request(2, 0), put("b"));
    bench.settle(&all);
    bench.ask(all[2], request(3, 0), get());
    bench.settle(&all);
    assert_eq!(got(&bench, request(3, 0)), Some(vec!["a".to_owned(), "b".to_owned()]));
}

/// 4.4: a client that was shown all branches writes in the place of all.
#[test]
fn a_put_after_a_get_replaces_everything_that_the_get_showed() {
    let all = order();
    let mut bench = bench(CONFIG);
    bench.ask(all[0], request(1, 0), put("a"));
    bench.ask(all[1], request(2, 0), put("b"));
    bench.settle(&all);
    bench.ask(all[2], request(3, 0), get());
    bench.settle(&all);
    bench.ask(all[2], request(3, 1), put("both"));
    bench.settle(&all);
    for home in &all[..3] {
        assert_eq!(held(&bench, *home), ["both"]);
    }
    assert!(bench.reached.contains(&"put: several siblings were replaced by one"));
}

/// 4.4: a version that is an ancestor of what comes in is forgotten, in whatever order they come.
#[test]
fn an_ancestor_is_replaced_even_if_it_comes_later() {
    let [first, second, third, ..] = order();
    let mut bench = bench(CONFIG);
    bench.ask(first, request(1, 0), put("a"));
    let late = bench.wire.iter().find(|(_, to, _)| *to == third).cloned().expect("it was sent");
    bench.settle(&[first, second]);
    bench.lose_all();
    bench.ask(first, request(1, 1), put("b"));
    bench.settle(&[first, second, third]);
    bench.wire.push(late);
    bench.settle(&[first, third]);
    assert_eq!(held(&bench, third), ["b"]);
}

/// PODC 2012, the case for dots: two clients that were shown nothing put through one server. With
/// one entry a server, the second's vector would contain the first's.
#[test]
fn two_puts_through_one_home_without_a_context_are_siblings() {
    let all = order();
    let mut bench = bench(CONFIG);
    bench.ask(all[0], request(1, 0), put("a"));
    bench.ask(all[0], request(2, 0), put("b"));
    bench.settle(&all);
    for home in &all[..3] {
        assert_eq!(held(&bench, *home), ["a", "b"]);
    }
}

/// PODC 2012: the dot is a name for good. A home that crashes does not give it out again.
#[test]
fn a_dot_is_given_out_once_even_across_a_crash() {
    let all = order();
    let mut bench = bench(CONFIG);
    bench.ask(all[0], request(1, 0), put("a"));
    bench.lose_all();
    bench.restart(all[0]);
    bench.ask(all[0], request(2, 0), put("b"));
    bench.settle(&all);
    let dots: Vec<Dot> =
        bench.at(all[1]).siblings(&KEY.into()).iter().map(|version| version.dot).collect();
    assert_eq!(dots, [Dot { node: all[0], counter: 1 }, Dot { node: all[0], counter: 2 }]);
}

/// Deviation: the context is in the coordinator's memory. Without it a put replaces nothing, which
/// loses nothing.
#[test]
fn a_coordinator_that_crashed_has_forgotten_what_its_clients_were_shown() {
    let all = order();
    let mut bench = bench(CONFIG);
    bench.ask(all[0], request(1, 0), put("a"));
    bench.settle(&all);
    bench.restart(all[0]);
    bench.ask(all[0], request(1, 1), put("b"));
    bench.settle(&all);
    assert_eq!(held(&bench, all[2]), ["a", "b"]);
}

/// A put shows its client what is there after it, and what it has replaced.
#[test]
fn a_put_answers_with_its_name_and_the_siblings_beside_it() {
    let all = order();
    let mut bench = bench(CONFIG);
    bench.ask(all[0], request(1, 0), put("a"));
    bench.settle(&all);
    bench.ask(all[0], request(2, 0), put("b"));
    bench.settle(&all);
    let Some(Response::Stored { dot, past, siblings }) = bench.answer(request(2, 0)) else {
        panic!("it is stored")
    };
    assert_eq!(*dot, Dot { node: all[0], counter: 2 });
    assert_eq!(past.dots().count(), 0, "client c2 was shown nothing");
    assert_eq!(siblings.len(), 2);
}
