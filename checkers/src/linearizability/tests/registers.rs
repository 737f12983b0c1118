//! Registers and key-value stores: zones and both searches against brute force.

use super::brute;
use super::random::{Random, Shape, Wrongs, cases, history};
use crate::history::History;
use crate::linearizability::depth_first::{self, Found, Pending};
use crate::linearizability::fast::{self, Fast};
use crate::linearizability::machine::{Machine, ModelMachine};
use crate::linearizability::part::{Part, split};
use crate::linearizability::register_machine::RegisterMachine;
use crate::linearizability::{breadth_first, linearizable, verify};
use crate::meter::Meter;
use crate::models::{
    Abstraction, Kv, KvInput, KvOutput, Model, Register, RegisterInput, RegisterOutput,
};
use crate::verdict::{Budget, Path, Verdict};

type In = RegisterInput<Option<u64>>;
type Out = RegisterOutput<Option<u64>>;

/// A register history: values unique or among three, swaps or none, some that hide what they saw.
fn register(random: &mut Random, n: usize) -> History<In, Out> {
    let shape = Shape {
        operations: n,
        clients: 1 + random.below(5),
        unknown: [0, 0, 15, 40][random.below(4) as usize],
        lies: [0, 5, 15, 40][random.below(4) as usize],
        gap: 1 + random.below(4),
    };
    let (unique, swaps) = (random.percent(60), random.percent(60));
    let shows = [100, 100, 50, 0][random.below(4) as usize];
    let count = n as u64;
    let some = |random: &mut Random| {
        let v = random.below(if unique { count + 1 } else { 3 });
        (v < count).then_some(v)
    };
    let hide = std::cell::Cell::new(0_u64);
    history(
        random,
        &shape,
        &Register { initial: None },
        |random, asked| {
            let new = Some(if unique { asked } else { random.below(3) });
            hide.set(random.below(100));
            match random.below(if swaps { 4 } else { 2 }) {
                0 => In::Read,
                1 => In::Write(new),
                _ => {
                    // Expect something recent, or the swap would never succeed.
                    let back = random.below(3);
                    let expected = if unique { asked.checked_sub(back + 1) } else { some(random) };
                    In::Cas { expected, new }
                }
            }
        },
        |state, input| match input {
            In::Read => Out::Value(*state),
            In::Cas { expected, .. } if expected != state => {
                if hide.get() < shows {
                    Out::MismatchSaw(*state)
                } else {
                    Out::Mismatch
                }
            }
            In::Write(_) | In::Cas { .. } => Out::Done,
        },
        |random, input| match input {
            In::Read => Out::Value(some(random)),
            In::Write(_) => Out::Done,
            In::Cas { .. } => match random.below(3) {
                0 => Out::Done,
                1 => Out::Mismatch,
                _ => Out::MismatchSaw(some(random)),
            },
        },
    )
}

fn answer(found: Option<Found>, why: &str) -> Option<bool> {
    match found? {
        Found::Order(_) => Some(true),
        Found::Stuck { .. } => Some(false),
        other => panic!("{why}: {other:?}"),
    }
}

fn both_searches(part: &Part<'_>, machine: &mut impl Machine, truth: bool, why: &str) {
    let as_called = Pending::AsCalled;
    let deep = depth_first::search(part, machine, &mut Meter::new(Budget::DEFAULT), as_called);
    let broad = breadth_first::search(part, machine, &mut Meter::new(Budget::DEFAULT));
    if let (Found::Stuck { operation: a, .. }, Some(Found::Stuck { operation: b, .. })) =
        (&deep, &broad)
    {
        assert_eq!(a, b, "{why}: the searches fail at different responses");
    }
    assert_eq!(answer(Some(deep), why), Some(truth), "{why}: depth-first");
    assert_eq!(answer(broad, why), Some(truth), "{why}: breadth-first");
}

fn abstraction_of<'a, M: Model>(
    model: &'a M,
    history: &'a History<M::Input, M::Output>,
    part: &Part<'_>,
) -> Option<Abstraction<'a>> {
    model.abstraction(&mut part.spans.iter().map(|span| {
        let operation = &history.operations[span.index as usize];
        (&operation.input, operation.outcome.output())
    }))
}

/// Everything that can judge a register history must agree with brute force.
fn all_agree(history: &History<In, Out>, why: &str) -> (bool, bool) {
    let model = Register { initial: None };
    let truth = brute::linearizable(&model, history);
    let parts = split(&model, history).expect("well-formed");
    let Some(part) = &parts.iter().next() else { return (truth, false) };
    both_searches(part, &mut ModelMachine::new(&model, history, part), truth, why);
    let Some(abstraction) = abstraction_of(&model, history, part) else { panic!("no view") };
    if let Abstraction::Register(view) = &abstraction {
        both_searches(part, &mut RegisterMachine::new(part, view), truth, why);
    }
    let Some((_, fast)) = fast::decide(part, &abstraction) else { panic!("no zones") };
    match &fast {
        Fast::Order(_) => {
            assert!(truth, "{why}: zones found an order: {history:?}");
        }
        Fast::Contradiction { core, .. } => {
            assert!(!truth, "{why}: zones found {core:?}: {history:?}");
        }
        Fast::NotApplicable => {}
    }
    let verdict = linearizable(&model, history, Budget::DEFAULT).expect("well-formed");
    let evidence = verify(&model, history, &verdict);
    assert!(evidence.is_ok(), "{why}: {evidence:?} {verdict:?} {history:?}");
    match verdict {
        Verdict::Holds(_) => assert!(truth, "{why}"),
        Verdict::Violated(witness) => {
            assert!(!truth, "{why}");
            let core = &witness.core;
            assert!(!brute::is_explained(&model, history, core), "{why}: {witness:?} {history:?}");
            let before = brute::before_response(history, witness.operation as usize);
            assert!(brute::linearizable(&model, &before), "{why}: {witness:?} {history:?}");
        }
        Verdict::Unknown(out) => panic!("{why}: {out:?}"),
    }
    (truth, fast != Fast::NotApplicable)
}

#[test]
fn registers_agree_with_brute_force() {
    let (mut count, mut wrongs) = ([0_u32; 4], Wrongs::default());
    for seed in 0..cases(6_000) {
        let mut random = Random(seed);
        let n = 1 + random.below(7) as usize;
        let history = register(&mut random, n);
        let why = format!("seed {seed}");
        let (truth, fast) = all_agree(&history, &why);
        count[usize::from(truth) * 2 + usize::from(fast)] += 1;
        if truth && seed % 4 == 0 {
            wrongs.judge(&mut random, &history, |mutant| all_agree(mutant, &why).0);
        }
    }
    wrongs.assert_each(cases(6_000) as u32 / 400);
    // Both answers, by both ways, or this test shows nothing.
    assert!(count.iter().all(|count| u64::from(*count) > cases(6_000) / 80), "{count:?}");
}

#[test]
fn key_value_stores_with_appends_agree_with_brute_force() {
    let mut holding = 0;
    for seed in 0..cases(2_500) {
        let mut random = Random(seed);
        let n = 1 + random.below(7) as usize;
        let history = appends(&mut random, n);
        let model = Kv::with_initial(String::new());
        let truth = brute::linearizable(&model, &history);
        holding += u32::from(truth);
        let why = format!("seed {seed}");
        let parts = split(&model, &history).expect("well-formed");
        let Some(part) = &parts.iter().next() else { continue };
        both_searches(part, &mut ModelMachine::new(&model, &history, part), truth, &why);
        let Some(Abstraction::Register(view)) = abstraction_of(&model, &history, part) else {
            panic!("no view")
        };
        both_searches(part, &mut RegisterMachine::new(part, &view), truth, &why);
    }
    let all = cases(2_500) as u32;
    assert!((all / 5..all / 20 * 19).contains(&holding), "{holding} of {all}");
}

fn appends(random: &mut Random, n: usize) -> History<KvInput<u8, String>, KvOutput<String>> {
    let shape = Shape {
        operations: n,
        clients: 1 + random.below(5),
        unknown: [0, 20][random.below(2) as usize],
        lies: [0, 10, 30][random.below(3) as usize],
        gap: 1 + random.below(4),
    };
    let text = |random: &mut Random| ["a", "b", "ab", ""][random.below(4) as usize].to_owned();
    history(
        random,
        &shape,
        &Kv::with_initial(String::new()),
        |random, _| match random.below(8) {
            0 | 1 => KvInput::Get { key: 0 },
            2 => KvInput::Put { key: 0, value: text(random) },
            3 => KvInput::Cas { key: 0, expected: Some(text(random)), new: text(random) },
            4 if random.percent(30) => KvInput::Delete { key: 0 },
            _ => KvInput::Append { key: 0, value: text(random) },
        },
        |state, input| match input {
            KvInput::Get { .. } => KvOutput::Value(state.clone()),
            KvInput::Cas { expected, .. } if expected != state => KvOutput::Mismatch,
            _ => KvOutput::Done,
        },
        |random, input| match input {
            KvInput::Get { .. } => KvOutput::Value(Some([text(random), text(random)].concat())),
            KvInput::Cas { .. } if random.percent(50) => KvOutput::Mismatch,
            _ => KvOutput::Done,
        },
    )
}

#[test]
fn a_busy_register_with_unique_values_is_decided_by_zones() {
    let mut random = Random(7);
    let history = register_unique(&mut random, 2_000, 20);
    let verdict =
        linearizable(&Register { initial: None }, &history, Budget::configurations(1_000))
            .expect("well-formed");
    assert!(verdict.holds(), "{verdict}");
    assert_eq!(verdict.statistics().decided_by(Path::Zones), 1);
}

fn register_unique(random: &mut Random, n: usize, clients: u64) -> History<In, Out> {
    let shape = Shape { operations: n, clients, unknown: 5, lies: 0, gap: 10 };
    history(
        random,
        &shape,
        &Register { initial: None },
        |random, asked| if random.percent(50) { In::Read } else { In::Write(Some(asked)) },
        |state, input| match input {
            In::Read => Out::Value(*state),
            In::Write(_) | In::Cas { .. } => Out::Done,
        },
        |_, _| Out::Done,
    )
}

/// Every way in which `n` operations can overlap, as calls and responses at distinct times.
fn overlaps(n: usize) -> Vec<Vec<(u64, u64)>> {
    let mut all = vec![vec![]];
    for _ in 0..n {
        let mut longer = Vec::new();
        for spans in all {
            // The new operation is called last; its response may fall anywhere after its call.
            let before: Vec<(u64, u64)> = spans;
            let later = before.len() as u64 * 2;
            let first_call = before.last().map_or(0, |span| span.0 + 1);
            for call in first_call..=later {
                let shift = |time: u64| if time >= call { time + 1 } else { time };
                let moved: Vec<(u64, u64)> =
                    before.iter().map(|(c, r)| (shift(*c), shift(*r))).collect();
                for ret in call + 1..=later + 1 {
                    let again = |time: u64| if time >= ret { time + 1 } else { time };
                    let mut spans: Vec<_> =
                        moved.iter().map(|(c, r)| (again(*c), again(*r))).collect();
                    spans.push((call, ret));
                    longer.push(spans);
                }
            }
        }
        all = longer;
    }
    all
}

#[test]
fn every_small_register_history_is_judged_as_brute_force_does() {
    use crate::history::{Operation, Outcome};
    let kinds: [(In, Option<Out>); 7] = [
        (In::Read, Some(Out::Value(None))),
        (In::Read, Some(Out::Value(Some(1)))),
        (In::Read, Some(Out::Value(Some(2)))),
        (In::Write(Some(1)), Some(Out::Done)),
        (In::Write(Some(2)), Some(Out::Done)),
        (In::Cas { expected: Some(1), new: Some(2) }, Some(Out::Done)),
        (In::Write(Some(1)), None),
    ];
    let mut judged = 0;
    for spans in overlaps(3) {
        for choice in 0..kinds.len().pow(3) {
            let operations = spans.iter().enumerate().map(|(at, &(call, returned))| {
                let (input, output) =
                    kinds[choice / kinds.len().pow(at as u32) % kinds.len()].clone();
                let outcome = match output {
                    Some(output) => Outcome::Ok { returned, output },
                    None => Outcome::Indeterminate,
                };
                Operation { client: at as u32, call, input, outcome }
            });
            let history = History { operations: operations.collect() };
            all_agree(&history, "exhaustive");
            judged += 1;
        }
    }
    // 1 * 3 * 5 ways to overlap.
    assert_eq!(judged, 15 * 343);
}
