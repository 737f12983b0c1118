//! Read repair (Dynamo, section 5) and anti-entropy (4.7).

use crate::by_hand::{Bench, Image, request};
use crate::support::{CONFIG, KEY, bench, get, held, order, put};
use seedfall_protocols::quorum_kv::{Config, Message, QuorumKv};
use seedfall_sim::Duration;

/// The first two homes hold a value that the third has missed.
fn third_missed_it(config: Config) -> Bench<QuorumKv> {
    let [first, second, third, ..] = order();
    let mut bench = bench(config);
    bench.ask(first, request(1, 0), put("a"));
    bench.settle(&[first, second]);
    bench.crash(first, Image::All);
    bench.restart(first);
    bench.lose_all();
    assert!(held(&bench, third).is_empty());
    bench
}

/// Section 5: a coordinator that sees stale versions in the answers updates those nodes.
#[test]
fn a_get_repairs_the_homes_that_were_behind() {
    let [first, second, third, ..] = order();
    let mut bench = third_missed_it(CONFIG);
    bench.ask(first, request(2, 0), get());
    bench.settle(&[first, second, third]);
    assert_eq!(held(&bench, third), ["a"]);
    assert!(bench.reached.contains(&"read repair: a home was behind"));
}

/// The coordinator is one of the homes.
#[test]
fn a_get_repairs_its_own_coordinator() {
    let [_, second, third, ..] = order();
    let mut bench = third_missed_it(CONFIG);
    bench.ask(third, request(2, 0), get());
    bench.settle(&[second, third]);
    assert_eq!(held(&bench, third), ["a"]);
    assert!(bench.reached.contains(&"read repair: the coordinator was behind"));
}

const OFTEN: Config = Config { anti_entropy_every: Duration::millis(60), ..CONFIG };

/// 4.7: replicas compare Merkle trees and exchange what differs, without any client.
#[test]
fn anti_entropy_brings_what_was_missed() {
    let all = order();
    let mut bench = third_missed_it(OFTEN);
    for _ in 0..4 {
        bench.wait(OFTEN.anti_entropy_every);
        bench.settle(&all);
    }
    assert_eq!(held(&bench, all[2]), ["a"]);
    assert!(bench.reached.contains(&"anti-entropy: brought a version"));
}

/// 4.7: equal roots end the comparison, whatever they stand for.
#[test]
fn homes_that_agree_exchange_one_hash() {
    let all = order();
    let mut bench = bench(OFTEN);
    bench.ask(all[0], request(1, 0), put("a"));
    bench.settle(&all);
    bench.lose_all();
    bench.wait(OFTEN.anti_entropy_every);
    assert_eq!(bench.wire.len(), all.len(), "one each");
    let is_one_hash =
        |message: &Message| matches!(message, Message::Tree { hashes } if hashes.len() == 1);
    assert!(bench.wire.iter().all(|(_, _, message)| is_one_hash(message)));
    while let Some((from, to, message)) = bench.wire.pop() {
        let before = bench.wire.len();
        bench.deliver(from, to, message);
        assert_eq!(bench.wire.len(), before, "nobody answers");
    }
}

/// Both sides of a difference learn what the other has.
#[test]
fn anti_entropy_goes_both_ways() {
    let all = order();
    let mut bench = bench(OFTEN);
    bench.ask(all[0], request(1, 0), put("a"));
    bench.ask(all[1], request(2, 0), put("b"));
    bench.lose_all();
    all[..2].iter().for_each(|node| bench.restart(*node));
    for _ in 0..4 {
        bench.wait(OFTEN.anti_entropy_every);
        bench.settle(&all[..2]);
    }
    assert_eq!(bench.at(all[0]).siblings(&KEY.into()), bench.at(all[1]).siblings(&KEY.into()));
    assert_eq!(bench.at(all[0]).siblings(&KEY.into()).len(), 2);
}
