//! The models without an algorithm of their own, by search, against brute force; and claimed
//! orders.

use std::fmt::Debug;

use super::brute;
use super::random::{Random, Shape, Wrongs, cases, history};
use crate::history::History;
use crate::linearizability::{Deviation, Evidence, linearizable, linearizable_as_claimed, verify};
use crate::models::{
    Bag, BagInput, BagOutput, Counter, CounterInput, CounterOutput, Lock, LockInput, LockOutput,
    Log, LogInput, LogOutput, Model, Register, RegisterInput, RegisterOutput,
};
use crate::verdict::{Budget, Path, Verdict};

/// Judges random histories of a model; both answers must come often.
fn agree<M: Model>(
    model: &M,
    ask: impl Fn(&mut Random) -> M::Input,
    answer: impl Fn(&M::State, &M::Input) -> M::Output,
    lie: impl Fn(&mut Random, &M::Input) -> M::Output,
) where
    M::Input: Clone + Debug,
    M::Output: Clone + Debug,
{
    let (mut counts, mut wrongs) = ([0_u32; 2], Wrongs::default());
    for seed in 0..cases(2_500) {
        let mut random = Random(seed);
        let shape = Shape {
            operations: 1 + random.below(7) as usize,
            clients: 1 + random.below(4),
            unknown: [0, 25][random.below(2) as usize],
            lies: [0, 20, 50][random.below(3) as usize],
            gap: 1 + random.below(4),
        };
        let history = history(&mut random, &shape, model, |random, _| ask(random), &answer, &lie);
        let why = format!("seed {seed}");
        let mut judge = |history: &_| one_agrees(model, history, &why, &mut counts);
        if judge(&history) && seed % 4 == 0 {
            wrongs.judge(&mut random, &history, judge);
        }
    }
    wrongs.assert_each(cases(2_500) as u32 / 400);
    assert!(counts.iter().all(|count| u64::from(*count) > cases(2_500) / 10), "{counts:?}");
}

/// Judges one history; whether it holds.
fn one_agrees<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    why: &str,
    counts: &mut [u32; 2],
) -> bool
where
    M::Input: Clone + Debug,
    M::Output: Clone + Debug,
{
    let truth = brute::linearizable(model, history);
    let verdict = linearizable(model, history, Budget::DEFAULT).expect("well-formed");
    assert_eq!(verdict.holds(), truth, "{why}: {verdict} {history:?}");
    assert!(!matches!(verdict, Verdict::Unknown(_)), "{why}: {verdict}");
    // These are small: the verifier can try every order itself.
    let evidence = verify(model, history, &verdict);
    assert_eq!(evidence, Ok(Evidence::Proof), "{why}: {verdict:?} {history:?}");
    if let Verdict::Violated(witness) = &verdict {
        let core = &witness.core;
        assert!(!brute::is_explained(model, history, core), "{why}: {witness:?}");
    }
    counts[usize::from(truth)] += 1;
    truth
}

#[test]
fn counters_agree_with_brute_force() {
    agree(
        &Counter::default(),
        |random| match random.below(3) {
            0 => CounterInput::Read,
            1 => CounterInput::Add(random.below(3) as i64 - 1),
            _ => CounterInput::AddAndRead(random.below(3) as i64 - 1),
        },
        |state, input| match input {
            CounterInput::Read => CounterOutput::Value(*state),
            CounterInput::Add(_) => CounterOutput::Done,
            CounterInput::AddAndRead(n) => CounterOutput::Value(state + n),
        },
        |random, input| match input {
            CounterInput::Add(_) => CounterOutput::Done,
            _ => CounterOutput::Value(random.below(4) as i64 - 1),
        },
    );
}

#[test]
fn bags_agree_with_brute_force() {
    agree(
        &Bag::new(),
        |random| match random.below(3) {
            0 => BagInput::Add(random.below(2)),
            1 => BagInput::Remove(random.below(2)),
            _ => BagInput::Count(random.below(2)),
        },
        |state, input| match input {
            BagInput::Add(_) => BagOutput::Done,
            BagInput::Remove(_) => BagOutput::Removed(*state > 0),
            BagInput::Count(_) => BagOutput::Copies(*state),
        },
        |random, input| match input {
            BagInput::Add(_) => BagOutput::Done,
            BagInput::Remove(_) => BagOutput::Removed(random.percent(50)),
            BagInput::Count(_) => BagOutput::Copies(random.below(3)),
        },
    );
}

#[test]
fn locks_agree_with_brute_force() {
    agree(
        &Lock,
        |random| {
            let owner = random.below(2) as u32;
            match random.below(5) {
                0 | 1 => LockInput::Acquire { owner },
                2 | 3 => LockInput::Release { owner },
                _ => LockInput::Guarded { token: random.below(3) },
            }
        },
        |state, input| match input {
            LockInput::Acquire { .. } if state.holder.is_some() => LockOutput::Busy,
            LockInput::Acquire { .. } => {
                LockOutput::Granted { token: Some(state.granted.map_or(0, |token| token + 1)) }
            }
            LockInput::Release { owner } if state.holder == Some(*owner) => LockOutput::Released,
            LockInput::Release { .. } => LockOutput::NotHeld,
            LockInput::Guarded { token } if state.accepted > Some(*token) => LockOutput::Rejected,
            LockInput::Guarded { .. } => LockOutput::Accepted,
        },
        |random, input| match (input, random.percent(50)) {
            (LockInput::Acquire { .. }, true) => LockOutput::Busy,
            (LockInput::Acquire { .. }, false) => {
                LockOutput::Granted { token: Some(random.below(3)) }
            }
            (LockInput::Release { .. }, true) => LockOutput::Released,
            (LockInput::Release { .. }, false) => LockOutput::NotHeld,
            (LockInput::Guarded { .. }, true) => LockOutput::Accepted,
            (LockInput::Guarded { .. }, false) => LockOutput::Rejected,
        },
    );
}

#[test]
fn logs_agree_with_brute_force() {
    agree(
        &Log::new(),
        |random| match random.below(5) {
            0 | 1 => LogInput::Append(random.below(2)),
            2 => LogInput::Read(random.below(2)),
            3 => LogInput::Length,
            _ => LogInput::ReadAll,
        },
        |state, input| match input {
            LogInput::Append(_) => LogOutput::Offset(state.len() as u64),
            LogInput::Read(offset) => LogOutput::Record(state.get(*offset as usize).copied()),
            LogInput::Length => LogOutput::Length(state.len() as u64),
            LogInput::ReadAll => LogOutput::Records(state.clone()),
        },
        |random, input| match input {
            LogInput::Append(_) => LogOutput::Offset(random.below(3)),
            LogInput::Read(_) => LogOutput::Record(Some(random.below(2))),
            LogInput::Length => LogOutput::Length(random.below(3)),
            LogInput::ReadAll => LogOutput::Records(vec![random.below(2)]),
        },
    );
}

fn two_writes_and_a_read(seen: u8) -> History<RegisterInput<u8>, RegisterOutput<u8>> {
    let mut history = History::new();
    for value in [1, 2] {
        history.invoke(u32::from(value), 0, RegisterInput::Write(value));
    }
    history.complete(0, 9, RegisterOutput::Done);
    history.complete(1, 9, RegisterOutput::Done);
    let read = history.invoke(3, 10, RegisterInput::Read);
    history.complete(read, 11, RegisterOutput::Value(seen));
    history
}

#[test]
fn a_claimed_order_decides_or_is_reported_beside_the_verdict() {
    let model = Register { initial: 0 };
    let history = two_writes_and_a_read(1);
    let judge = |order: &[u32]| {
        let (verdict, deviation) =
            linearizable_as_claimed(&model, &history, order, Budget::DEFAULT).expect("well-formed");
        assert!(verdict.holds() && verify(&model, &history, &verdict).is_ok(), "{verdict}");
        let claimed = verdict.statistics().decided_by(Path::ClaimedOrder);
        assert_eq!(claimed == 1, deviation.is_none());
        deviation
    };
    assert_eq!(judge(&[1, 0, 2]), None);
    assert_eq!(judge(&[0, 1, 2]), Some(Deviation::WrongAnswer(2)));
    assert_eq!(judge(&[1, 0]), Some(Deviation::Missing(2)));
    assert_eq!(judge(&[1, 1]), Some(Deviation::Twice(1)));
    assert_eq!(judge(&[7]), Some(Deviation::Unknown(7)));
    assert_eq!(judge(&[2]), Some(Deviation::WrongAnswer(2)));

    let stale = two_writes_and_a_read(0);
    let (verdict, deviation) =
        linearizable_as_claimed(&model, &stale, &[2, 0, 1], Budget::DEFAULT).expect("well-formed");
    assert_eq!(deviation, Some(Deviation::AgainstTime(2, 0)));
    assert_eq!(verdict.witness().map(|witness| witness.operation), Some(2));
}
