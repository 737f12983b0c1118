//! What is gone through: step by step, and against closed formulas.

use seedfall_protocols::twins::{Round, Space};
use std::collections::BTreeSet;

fn one(rounds: usize) -> Space {
    Space { replicas: 4, twins: 1, parts: 2, rounds }
}

/// Step 1: five machines in two parts, `S(5, 2)` ways, or in one; in three, `S(5, 3)` more.
#[test]
fn machines_are_split_in_all_ways() {
    assert_eq!(one(1).partitions().len(), 15 + 1);
    assert_eq!(Space { parts: 3, ..one(1) }.partitions().len(), 25 + 15 + 1);
    assert_eq!(Space { twins: 2, ..one(1) }.partitions().len(), 31 + 1);
    let different: BTreeSet<Vec<u8>> = one(1).partitions().into_iter().collect();
    assert_eq!(different.len(), 16);
}

/// Steps 2 and 3: each with each leader, in each round.
#[test]
fn every_round_is_like_any_pair() {
    assert_eq!(one(1).pairs().len(), 16 * 4);
    assert_eq!(one(7).all(), 4_398_046_511_104);
}

/// Burnside's lemma over the twelve renamings of four replicas of which one runs twice: three trade
/// places, two halves do. A split into at most two parts stays as it is in `2^(cycles - 1)` ways,
/// as a cycle of five machines is odd; a leader does if its replica keeps its name.
fn formula(rounds: u32) -> u64 {
    let of = |pairs: u64| pairs.pow(rounds);
    let straight = of(16 * 4) + 3 * of(8 * 2) + 2 * of(4);
    let swapped = of(8 * 4) + 3 * of(4 * 2) + 2 * of(2);
    (straight + swapped) / 12
}

#[test]
fn arrangements_are_as_many_as_the_formula_says() {
    let count = |rounds| one(rounds).arrangements().count();
    let counts: Vec<u64> = (1..=7).map(count).collect();
    assert_eq!(counts, (1..=7).map(formula).collect::<Vec<_>>());
    assert_eq!(counts[..3], [15, 510, 25_740]);
    assert_eq!(counts[6], 369_434_823_360);
}

/// A renaming, applied to an arrangement: the machine `n` becomes `machines[n]`.
fn renamed(rounds: &[Round], machines: &[usize; 5]) -> Vec<Round> {
    let of = |round: &Round| {
        let mut parts = [0; 5];
        for (old, part) in round.parts.iter().enumerate() {
            parts[machines[old]] = *part;
        }
        // The part of the first machine is the first.
        let parts = parts.iter().map(|part| u8::from(*part != parts[0])).collect();
        let leader = if round.leader == 0 { 0 } else { machines[round.leader] };
        Round { leader, parts }
    };
    rounds.iter().map(of).collect()
}

fn renamings() -> Vec<[usize; 5]> {
    let orders = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
    let halves = [[0, 4], [4, 0]];
    let of = |[a, b, c]: [usize; 3]| halves.map(|[first, second]| [first, a, b, c, second]);
    orders.into_iter().flat_map(of).collect()
}

/// By brute force: of every arrangement over two rounds exactly one is kept that comes to the same.
#[test]
fn one_of_those_that_come_to_the_same_is_kept() {
    let space = one(2);
    let arrangements = space.arrangements();
    let name = |rounds: &[Round]| {
        let names = renamings().into_iter().map(|machines| renamed(rounds, &machines));
        names.min().expect("there are renamings")
    };
    let kept: Vec<_> = (0..arrangements.count()).map(|one| name(&arrangements.at(one))).collect();
    let different: BTreeSet<Vec<Round>> = kept.iter().cloned().collect();
    assert_eq!(different.len(), kept.len(), "none is kept twice");
    let pairs = space.pairs();
    let all = pairs.iter().flat_map(|a| pairs.iter().map(|b| name(&[a.clone(), b.clone()])));
    assert_eq!(different, all.collect(), "and none is missing");
}

/// As many seeds as there are arrangements have all of them, in an order that is spread evenly.
#[test]
fn seeds_have_all_numbers() {
    let arrangements = one(2).arrangements();
    let numbers: BTreeSet<u64> = (0..510).map(|seed| arrangements.number_of(seed)).collect();
    assert_eq!(numbers, (0..510).collect());
    // Of thirty seeds in a row some are in each tenth.
    let arrangements = one(7).arrangements();
    let tenth = arrangements.count() / 10 + 1;
    let tenths: BTreeSet<u64> =
        (1_000..1_030).map(|seed| arrangements.number_of(seed) / tenth).collect();
    assert_eq!(tenths.len(), 10);
}

/// A round tells itself: who leads, and who hears whom.
#[test]
fn a_round_tells_itself() {
    let round = Round { leader: 0, parts: vec![0, 1, 1, 0, 1] };
    assert_eq!(round.to_string(), "n1 leads, n1 n4 | n2 n3 n5");
}
