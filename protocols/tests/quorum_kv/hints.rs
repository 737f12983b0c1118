//! Dynamo 4.6: hinted handoff, and what a sloppy quorum counts.

use crate::by_hand::{Bench, Image, request};
use crate::support::{CONFIG, KEY, bench, get, got, held, is_stored, order, put};
use seedfall_protocols::quorum_kv::{Config, QuorumKv, converged};
use seedfall_sim::{Duration, NodeId};

const SLOPPY: Config = Config { sloppy: true, ..CONFIG };

/// How many hints a node keeps.
fn hints(bench: &Bench<QuorumKv>, node: NodeId) -> usize {
    bench.at(node).hints().len()
}

/// The first home puts while the other two are cut off.
fn cut_off(config: Config) -> Bench<QuorumKv> {
    let [first, _, _, fourth, fifth] = order();
    let mut bench = bench(config);
    bench.ask(first, request(1, 0), put("a"));
    bench.lose_all();
    bench.wait(config.retransmit_after);
    bench.settle(&[first, fourth, fifth]);
    bench
}

/// 4.6: what would have gone to a home that is down goes to the next node, with a hint of whose it
/// is.
#[test]
fn a_stand_in_keeps_a_put_for_a_home_that_does_not_answer() {
    let [_, second, third, fourth, fifth] = order();
    let bench = cut_off(CONFIG);
    let kept_by = |node: NodeId| bench.at(node).hints().keys().next().map(|(home, _)| *home);
    assert_eq!((kept_by(fourth), kept_by(fifth)), (Some(second), Some(third)));
    assert!(bench.at(fourth).store().is_empty(), "kept apart from what is its own");
}

/// 4.6: in a sloppy quorum the first `N` healthy nodes count.
#[test]
fn a_hint_counts_in_a_sloppy_quorum_and_not_in_a_strict_one() {
    assert!(is_stored(&cut_off(SLOPPY), request(1, 0)));
    assert!(!is_stored(&cut_off(CONFIG), request(1, 0)));
}

/// So sloppy quorums need not meet: the put above is acknowledged, and the cut-off homes know
/// nothing of it.
#[test]
fn a_get_at_the_other_side_of_a_partition_misses_a_sloppy_put() {
    let [_, second, third, ..] = order();
    let mut bench = cut_off(SLOPPY);
    bench.lose_all();
    bench.ask(second, request(2, 0), get());
    bench.settle(&[second, third]);
    assert_eq!(got(&bench, request(2, 0)), Some(Vec::new()));
}

/// In a sloppy get a stand-in tells what it keeps for the homes.
#[test]
fn a_sloppy_get_hears_of_hints() {
    let [first, second, _, fourth, fifth] = order();
    let mut bench = cut_off(SLOPPY);
    bench.crash(first, Image::All);
    bench.ask(second, request(2, 0), get());
    bench.lose_all();
    bench.wait(SLOPPY.retransmit_after);
    bench.settle(&[second, fourth, fifth]);
    assert_eq!(got(&bench, request(2, 0)), Some(vec!["a".to_owned()]));
}

/// 4.6: upon recovery of the home the hint is delivered, and then deleted.
#[test]
fn a_hint_is_handed_over_and_dropped() {
    let config = Config { handoff_every: Duration::millis(70), ..CONFIG };
    let all = order();
    let mut bench = cut_off(config);
    bench.restart(all[3]);
    assert_eq!(hints(&bench, all[3]), 1, "it survives a crash of its keeper");
    bench.wait(config.handoff_every);
    bench.settle(&all);
    assert_eq!((held(&bench, all[1]), held(&bench, all[2])), (vec!["a".into()], vec!["a".into()]));
    assert_eq!((hints(&bench, all[3]), hints(&bench, all[4])), (0, 0));
    bench.restart(all[3]);
    assert_eq!(hints(&bench, all[3]), 0, "a crash does not bring it back");
    let nodes: Vec<_> = all.iter().map(|node| bench.at(*node)).collect();
    let mut by_id: Vec<Option<&QuorumKv>> = vec![None; 5];
    nodes.into_iter().for_each(|node| by_id[node.id().index()] = Some(node));
    assert_eq!(converged(&by_id), Ok(()));
}

/// A hint that grew while it was handed over is not dropped by the answer to what was sent.
#[test]
fn a_hint_that_has_grown_since_stays() {
    let config = Config { handoff_every: Duration::millis(70), ..CONFIG };
    let [first, second, third, fourth, fifth] = order();
    let mut bench = cut_off(config);
    bench.lose_all();
    bench.wait(config.handoff_every);
    bench.pass(fourth, second);
    let answer = bench.wire.iter().position(|(from, to, _)| (*from, *to) == (second, fourth));
    let answer = bench.wire.remove(answer.expect("the home answers"));
    bench.lose_all();
    bench.ask(first, request(2, 0), put("b"));
    bench.lose_all();
    bench.wait(config.retransmit_after);
    bench.settle(&[first, fourth, fifth]);
    bench.wire.push(answer);
    bench.pass(second, fourth);
    assert_eq!(hints(&bench, fourth), 1);
    assert!(bench.ignored.contains(&"store reply: the hint is gone, or has grown since"));
    assert!(held(&bench, third).is_empty());
    assert_eq!(bench.at(first).siblings(&KEY.into()).len(), 2);
}
