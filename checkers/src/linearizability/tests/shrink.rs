//! Cores that are made smaller still contradict themselves.

use super::brute;
use super::random::{Random, Shape, history};
use crate::history::History;
use crate::linearizability::{linearizable, shrink};
use crate::models::{Register, RegisterInput as In, RegisterOutput as Out};
use crate::verdict::{Budget, Reason};

/// Few values and refused swaps that do not tell what they saw: only a search can judge it.
fn few_values(random: &mut Random, operations: usize, lies: u64) -> History<In<u64>, Out<u64>> {
    let clients = 1 + random.below(4);
    let shape = Shape { operations, clients, unknown: 10, lies, gap: 4 };
    history(
        random,
        &shape,
        &Register { initial: 0 },
        |random, _| match random.below(3) {
            0 => In::Read,
            1 => In::Write(random.below(4)),
            _ => In::Cas { expected: random.below(4), new: random.below(4) },
        },
        |state, input| match input {
            In::Read => Out::Value(*state),
            In::Cas { expected, .. } if expected != state => Out::Mismatch,
            _ => Out::Done,
        },
        |random, input| match input {
            In::Read => Out::Value(random.below(4)),
            _ => Out::Done,
        },
    )
}

#[test]
fn small_cores_contradict_themselves() {
    let model = Register { initial: 0 };
    let (mut smaller, mut violated) = (0, 0);
    for seed in 0..1_500 {
        let mut random = Random(seed);
        let operations = 2 + random.below(7) as usize;
        let history = few_values(&mut random, operations, 20);
        let verdict = linearizable(&model, &history, Budget::DEFAULT).expect("well-formed");
        let Some(witness) = verdict.witness() else { continue };
        let small = shrink(&model, &history, witness, Budget::DEFAULT);
        assert!(small.core.len() <= witness.core.len());
        assert!(!brute::is_explained(&model, &history, &small.core), "seed {seed}: {small:?}");
        violated += 1;
        smaller += u32::from(small.core.len() < witness.core.len());
    }
    assert!(violated > 200 && smaller > 100, "{violated} {smaller}");
}

#[test]
fn one_stale_read_leaves_a_core_of_four() {
    let model = Register { initial: 0 };
    let mut history = History::new();
    for n in 0..100_u64 {
        // One value is written twice: that leaves the whole to the searches.
        let value = |n: u64| if n == 20 { 10 } else { n };
        let write = history.invoke(1, n * 10, In::Write(value(n)));
        history.complete(write, n * 10 + 4, Out::Done);
        let read = history.invoke(2, n * 10 + 5, In::Read);
        history.complete(read, n * 10 + 9, Out::Value(if n == 60 { 57 } else { value(n) }));
    }
    let verdict = linearizable(&model, &history, Budget::DEFAULT).expect("well-formed");
    let witness = verdict.witness().expect("stale");
    assert_eq!(witness.reason, Reason::NoOrder);
    let small = shrink(&model, &history, witness, Budget::DEFAULT);
    assert!(witness.core.len() > 100 && small.core.len() <= 4, "{:?}", small.core);
}
