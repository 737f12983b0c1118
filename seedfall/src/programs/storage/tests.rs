//! The model of what an engine may hold, and its values.

use super::*;

fn put(key: u8, number: u64) -> In {
    In::Commit(vec![(key, Some(Value { number, size: 12 }))])
}

fn done(life: u64) -> Option<Out> {
    Some(Out { life, found: None })
}

fn found(life: u64, state: &[(u8, u64)]) -> Option<Out> {
    Some(Out { life, found: Some(state.iter().copied().collect()) })
}

/// Whether the model explains all of these.
fn explains(promise: Promise, operations: &[(In, Option<Out>)]) -> bool {
    let mut model = Model::new(promise);
    operations.iter().all(|(input, answer)| model.take(input, answer.as_ref()).is_ok())
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash() {
    let first = (put(1, 10), done(1));
    let lost = [first.clone(), (In::Read, found(2, &[]))];
    assert!(!explains(Promise::Commits, &lost));
    assert!(explains(Promise::Syncs, &lost), "nothing was synced");
    let synced = [first.clone(), (In::Sync, done(1)), (In::Read, found(2, &[]))];
    assert!(!explains(Promise::Syncs, &synced));
    let same_life = [first, (In::Read, found(1, &[]))];
    assert!(!explains(Promise::Syncs, &same_life), "without a crash nothing is lost");
}

#[test]
fn what_was_not_acknowledged_is_there_or_not_and_stays_so() {
    for (state, other) in [(&[][..], &[(1, 10)][..]), (&[(1, 10)], &[])] {
        let one = [(put(1, 10), None), (In::Read, found(2, state))];
        assert!(explains(Promise::Commits, &one), "{state:?}");
        let both = [&one[..], &[(In::Read, found(3, other))]].concat();
        assert!(!explains(Promise::Commits, &both), "{state:?}, then {other:?}");
    }
}

#[test]
fn a_part_of_a_transaction_is_nothing_that_may_be_found() {
    let values = [10, 11].map(|number| Some(Value { number, size: 12 }));
    let both = (In::Commit(vec![(1, values[0]), (2, values[1])]), None);
    for promise in [Promise::Commits, Promise::Syncs] {
        assert!(explains(promise, &[both.clone(), (In::Read, found(2, &[(1, 10), (2, 11)]))]));
        assert!(!explains(promise, &[both.clone(), (In::Read, found(2, &[(1, 10)]))]));
    }
}

#[test]
fn what_comes_later_is_not_there_without_what_came_before() {
    let two = [(put(1, 10), done(1)), (put(2, 20), done(1))];
    let finds = |state: &[(u8, u64)]| [&two[..], &[(In::Read, found(2, state))]].concat();
    assert!(explains(Promise::Syncs, &finds(&[(1, 10)])));
    assert!(!explains(Promise::Syncs, &finds(&[(2, 20)])));
}

#[test]
fn bytes_that_nobody_wrote_are_known() {
    let value = Value { number: 7, size: 5_000 };
    let mut bytes = value.bytes();
    assert_eq!(Value::number_of(&bytes), 7);
    bytes[4_321] ^= 1;
    assert_eq!(Value::number_of(&bytes), GARBLED);
    assert_eq!(Value::number_of(&bytes[..11]), GARBLED);
}
