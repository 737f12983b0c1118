//! Dynamo 4.3 and 4.5: who stores a key, and how many must answer.

use crate::by_hand::{Image, request};
use crate::support::{CONFIG, KEY, bench, delete, get, got, held, is_stored, order, put};
use seedfall_protocols::quorum_kv::{Config, ConfigError, Response};
use seedfall_sim::Duration;

/// 4.3: each key is stored at its coordinator and the next `N - 1` nodes of the ring.
#[test]
fn a_key_is_stored_by_its_homes_and_nobody_else() {
    let mut bench = bench(CONFIG);
    let all = order();
    bench.ask(all[0], request(1, 0), put("a"));
    bench.settle(&all);
    for home in &all[..3] {
        assert_eq!(held(&bench, *home), ["a"]);
    }
    for other in &all[3..] {
        assert!(bench.at(*other).store().is_empty() && bench.at(*other).hints().is_empty());
    }
}

/// 4.5: a node that is not among the first `N` does not coordinate, and names the first.
#[test]
fn only_a_home_coordinates() {
    let mut bench = bench(CONFIG);
    bench.ask(order()[4], request(1, 0), put("a"));
    let first = Response::NotHome { home: order()[0] };
    assert_eq!(bench.answer(request(1, 0)), Some(&first));
    assert!(bench.wire.is_empty());
}

/// 4.5: a write counts as successful once `W - 1` others have answered.
#[test]
fn a_put_is_answered_when_w_homes_hold_it_the_coordinator_being_one() {
    let [first, second, third, ..] = order();
    let mut bench = bench(CONFIG);
    bench.ask(first, request(1, 0), put("a"));
    assert!(!is_stored(&bench, request(1, 0)));
    bench.settle(&[first, third]);
    assert!(is_stored(&bench, request(1, 0)));
    assert!(held(&bench, second).is_empty());
}

/// 4.5: a get asks all homes and waits for `R`.
#[test]
fn a_get_is_answered_with_the_siblings_of_r_homes() {
    let [first, second, third, ..] = order();
    let mut bench = bench(CONFIG);
    bench.ask(first, request(1, 0), put("a"));
    bench.settle(&[first, second]);
    bench.lose_all();
    bench.ask(third, request(2, 0), get());
    assert_eq!(got(&bench, request(2, 0)), None);
    bench.settle(&[third, second]);
    assert_eq!(got(&bench, request(2, 0)), Some(vec!["a".to_owned()]));
}

/// 4.5: `R + W > N` makes the homes of a get meet those of every put before it, whichever they are.
#[test]
fn with_r_plus_w_above_n_every_get_meets_every_put() {
    let homes = &order()[..3];
    for (writer, helper) in [(0, 1), (0, 2), (1, 2), (2, 0)] {
        for (reader, other) in [(0, 1), (1, 2), (2, 0), (2, 1)] {
            let mut bench = bench(CONFIG);
            bench.ask(homes[writer], request(1, 0), put("a"));
            bench.settle(&[homes[writer], homes[helper]]);
            bench.lose_all();
            bench.ask(homes[reader], request(2, 0), get());
            bench.settle(&[homes[reader], homes[other]]);
            assert_eq!(got(&bench, request(2, 0)), Some(vec!["a".to_owned()]));
        }
    }
}

/// What strict quorums do not give (and the paper does not claim): while a put is under way, a
/// later get may miss what an earlier one has returned.
#[test]
fn two_gets_in_a_row_may_go_back_while_a_put_is_under_way() {
    let [first, second, third, ..] = order();
    let mut bench = bench(CONFIG);
    bench.ask(first, request(1, 0), put("a"));
    bench.lose_all();
    bench.ask(first, request(2, 0), get());
    bench.pass(first, second);
    bench.pass(second, first);
    assert_eq!(got(&bench, request(2, 0)), Some(vec!["a".to_owned()]));
    bench.lose_all();
    bench.ask(third, request(3, 0), get());
    bench.settle(&[second, third]);
    assert_eq!(got(&bench, request(3, 0)), Some(Vec::new()), "it went back");
}

/// What was lost is sent again, to those who have not answered.
#[test]
fn a_home_that_does_not_answer_is_asked_again() {
    let [first, second, third, ..] = order();
    let mut bench = bench(CONFIG);
    bench.ask(first, request(1, 0), get());
    bench.lose_all();
    bench.wait(CONFIG.retransmit_after);
    let mut asked: Vec<_> = bench.wire.iter().map(|(_, to, _)| *to).collect();
    asked.sort_unstable();
    let mut others = [second, third];
    others.sort_unstable();
    assert_eq!(asked, others);
}

#[test]
fn a_repeated_request_is_answered_again_and_not_carried_out_again() {
    let mut bench = bench(CONFIG);
    let all = order();
    for _ in 0..2 {
        bench.ask(all[0], request(1, 0), put("a"));
        bench.settle(&all);
    }
    assert_eq!(bench.told.len(), 2);
    assert_eq!(bench.told[0], bench.told[1]);
    assert_eq!(held(&bench, all[1]), ["a"]);
    bench.ask(all[0], request(1, 1), delete());
    bench.settle(&all);
    bench.ask(all[0], request(1, 0), put("a"));
    assert_eq!(bench.ignored.last(), Some(&"request: its client has moved on"));
}

#[test]
fn a_reply_to_an_earlier_life_counts_for_nothing() {
    let [first, second, ..] = order();
    let mut bench = bench(CONFIG);
    bench.ask(first, request(1, 0), get());
    bench.pass(first, second);
    bench.crash(first, Image::All);
    bench.restart(first);
    bench.ask(first, request(2, 0), get());
    bench.pass(second, first);
    assert_eq!(got(&bench, request(2, 0)), None);
    assert!(bench.ignored.contains(&"get reply: of an earlier life or a finished get"));
}

#[test]
fn what_was_acknowledged_survives_a_crash_of_every_node() {
    let mut bench = bench(CONFIG);
    let all = order();
    bench.ask(all[0], request(1, 0), put("a"));
    bench.settle(&all);
    all.iter().for_each(|node| bench.restart(*node));
    bench.ask(all[1], request(2, 0), get());
    bench.settle(&all);
    assert_eq!(got(&bench, request(2, 0)), Some(vec!["a".to_owned()]));
    assert_eq!(bench.at(all[1]).siblings(&KEY.into()).len(), 1);
}

#[test]
fn a_config_that_cannot_work_is_refused_by_the_field_at_fault() {
    assert_eq!(CONFIG.check(5), Ok(()));
    let refused = |config: Config| config.check(5).expect_err("it cannot work");
    assert_eq!(refused(Config { homes: 6, ..CONFIG }), ConfigError::HomesOutOfRange);
    assert_eq!(refused(Config { read_quorum: 4, ..CONFIG }), ConfigError::ReadQuorumOutOfRange);
    assert_eq!(refused(Config { write_quorum: 0, ..CONFIG }), ConfigError::WriteQuorumOutOfRange);
    assert_eq!(refused(Config { virtual_nodes: 0, ..CONFIG }), ConfigError::VirtualNodesZero);
    let hasty = Config { handoff_every: Duration::ZERO, ..CONFIG };
    assert_eq!(refused(hasty), ConfigError::SpanZero);
}
