//! What a check refuses, and where it gives up.

use crate::history::{History, HistoryError, Operation, Outcome};
use crate::linearizability::{linearizable, linearizable_as_claimed};
use crate::models::{Model, Register, RegisterInput, RegisterOutput};
use crate::verdict::{Budget, Limit, Verdict};

/// A log of numbers that answers how many there are; its state grows with every one.
struct Growing {
    filler: usize,
}

impl Model for Growing {
    type Input = u64;
    type Output = usize;
    type State = Vec<u64>;
    type Key = ();

    fn initial(&self) -> Vec<u64> {
        vec![0; self.filler]
    }

    fn step(&self, state: &Vec<u64>, n: &u64, length: Option<&usize>) -> Option<Vec<u64>> {
        let mut after = state.clone();
        after.push(*n);
        length.is_none_or(|length| *length == after.len()).then_some(after)
    }
}

/// As many lost appends, all different, and one that none of their orders explains.
fn hopeless(lost: u32) -> History<u64, usize> {
    let mut history = History::new();
    for client in 0..lost {
        history.invoke(client, u64::from(client), u64::from(client));
    }
    let append = history.invoke(lost, 1_000, 7);
    history.complete(append, 1_001, usize::MAX);
    history
}

#[test]
fn a_hopeless_check_gives_up_and_says_what_was_too_much() {
    let judge = || {
        let budget = Budget::configurations(4_000);
        linearizable(&Growing { filler: 0 }, &hopeless(30), budget).expect("well-formed")
    };
    let verdict = judge();
    assert_eq!(verdict, judge(), "no clock decides");
    let Verdict::Unknown(exhausted) = &verdict else { panic!("{verdict}") };
    assert_eq!((exhausted.limit, exhausted.statistics.partitions), (Limit::Configurations, 1));
    let counted = (exhausted.operations, exhausted.indeterminate, exhausted.undecided);
    assert_eq!(counted, (31, 30, 1));
    assert_eq!(exhausted.statistics.configurations, 4_000);
    assert_eq!(
        verdict.to_string(),
        "unknown: 4000 configurations were not enough for 31 operations, 30 of them \
         indeterminate, in 1 of 1 partitions; what helps: a partition key in the model \
         (`Model::partition`), fewer clients, a shorter patience (fewer operations \
         indeterminate), or a larger budget"
    );
}

#[test]
fn what_a_state_holds_on_the_heap_is_counted() {
    let budget = Budget { configurations: 100_000, bytes: 1 << 20 };
    let check = |filler| linearizable(&Growing { filler }, &hopeless(30), budget);
    let verdict = check(1 << 12).expect("well-formed");
    let Verdict::Unknown(exhausted) = &verdict else { panic!("{verdict}") };
    assert_eq!(exhausted.limit, Limit::Bytes);
    assert!((1 << 20..1 << 21).contains(&exhausted.statistics.bytes), "{exhausted:?}");
    // A hundred states of 32 KB each are more than a megabyte.
    assert!(exhausted.statistics.configurations < 1_000, "{exhausted:?}");
    assert!(exhausted.to_string().contains(" bytes were not enough"), "{exhausted}");
}

#[test]
fn one_key_that_is_too_hard_hides_no_violation_in_another() {
    /// Every client has a key of its own.
    struct PerKey;
    impl Model for PerKey {
        type Input = (u8, u64);
        type Output = usize;
        type State = Vec<u64>;
        type Key = u8;

        fn initial(&self) -> Vec<u64> {
            Vec::new()
        }
        fn step(
            &self,
            state: &Vec<u64>,
            input: &(u8, u64),
            seen: Option<&usize>,
        ) -> Option<Vec<u64>> {
            Growing { filler: 0 }.step(state, &input.1, seen)
        }
        fn partition<'a>(&self, input: &'a (u8, u64)) -> Option<&'a u8> {
            Some(&input.0)
        }
    }
    let mut history = History::new();
    for operation in hopeless(30).operations {
        let Operation { client, call, input, outcome } = operation;
        history.operations.push(Operation { client, call, input: (0, input), outcome });
    }
    let budget = Budget::configurations(50_000);
    let unknown = linearizable(&PerKey, &history, budget).expect("well-formed");
    assert!(matches!(&unknown, Verdict::Unknown(out) if out.undecided == 1), "{unknown}");
    let wrong = history.invoke(99, 2_000, (1, 5));
    history.complete(wrong, 2_001, 3);
    let verdict = linearizable(&PerKey, &history, budget).expect("well-formed");
    assert_eq!(verdict.witness().map(|witness| witness.operation), Some(wrong as u32));
}

#[test]
fn what_no_recorder_can_have_recorded_is_refused() {
    let write = |client, call, returned| Operation {
        client,
        call,
        input: RegisterInput::Write(call),
        outcome: Outcome::Ok { returned, output: RegisterOutput::Done },
    };
    let judge = |operations: Vec<_>| {
        let (model, history) = (Register { initial: 0 }, History { operations });
        let told = linearizable(&model, &history, Budget::DEFAULT);
        let claimed = linearizable_as_claimed(&model, &history, &[], Budget::DEFAULT);
        assert_eq!(claimed.map(|(verdict, _)| verdict), told);
        assert_eq!(history.validate().err(), told.clone().err());
        told.map(|verdict| verdict.holds())
    };
    assert_eq!(judge(vec![write(1, 0, 5), write(1, 5, 9), write(2, 5, 7)]), Ok(true));
    assert_eq!(
        judge(vec![write(1, 0, 5), write(2, 4, 3)]),
        Err(HistoryError::ResponseBeforeCall { operation: 1 })
    );
    assert_eq!(
        judge(vec![write(1, 3, 5), write(2, 2, 9)]),
        Err(HistoryError::CallsOutOfOrder { operation: 1 })
    );
    // Of a client with a place in the table, and of one without.
    for client in [1, 1 << 20] {
        assert_eq!(
            judge(vec![write(client, 0, 5), write(7, 1, 2), write(client, 4, 9)]),
            Err(HistoryError::TwoAtOnce { client, earlier: 0, operation: 2 })
        );
        // An operation without an answer holds nobody up, whatever came before it.
        let lost = Operation { outcome: Outcome::Indeterminate, ..write(client, 5, 5) };
        assert_eq!(judge(vec![write(client, 0, 5), lost.clone(), write(client, 6, 9)]), Ok(true));
        assert_eq!(
            judge(vec![write(client, 0, 8), lost, write(client, 9, 9)]),
            Err(HistoryError::TwoAtOnce { client, earlier: 0, operation: 1 })
        );
        let failed = Operation { outcome: Outcome::Failed { returned: 8 }, ..write(client, 5, 5) };
        assert_eq!(
            judge(vec![failed, write(client, 7, 9)]),
            Err(HistoryError::TwoAtOnce { client, earlier: 0, operation: 1 })
        );
    }
}
