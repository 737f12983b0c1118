//! The model of what an engine may hold, and its values.

use super::*;

fn put(key: u8, number: u64) -> In {
    In::Commit(vec![(key, Some(Value { number, size: 12 }))])
}

/// An answer of the first life, which found nothing.
fn done() -> Option<Out> {
    Some(Out { life: 0, opened: State::new(), found: None })
}

/// What a life reads that did nothing else.
fn found(life: u64, state: &[(u8, u64)]) -> Option<Out> {
    let state: State = state.iter().copied().collect();
    let opened = if life == 0 { State::new() } else { state.clone() };
    Some(Out { life, opened, found: Some(state) })
}

/// Whether the model explains all of these.
fn explains(promise: Promise, operations: &[(In, Option<Out>)]) -> bool {
    let mut model = Model::new(promise);
    operations.iter().all(|(input, answer)| model.take(input, answer.as_ref()).is_ok())
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash() {
    let first = (put(1, 10), done());
    let lost = [first.clone(), (In::Read, found(2, &[]))];
    assert!(!explains(Promise::Commits, &lost));
    assert!(explains(Promise::Syncs, &lost), "nothing was synced");
    let synced = [first.clone(), (In::Sync, done()), (In::Read, found(2, &[]))];
    assert!(!explains(Promise::Syncs, &synced));
    let same_life = [first, (In::Read, found(0, &[]))];
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
    let two = [(put(1, 10), done()), (put(2, 20), done())];
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

#[test]
fn what_is_wrong_is_told_by_its_kind() {
    let finds = |state: &[(u8, u64)]| {
        let mut model = Model::new(Promise::Commits);
        model.take(&put(1, 10), done().as_ref()).expect("it is the first");
        let both = [(2, 20), (3, 30)].map(|(key, number)| (key, Some(Value { number, size: 12 })));
        model.take(&In::Commit(both.to_vec()), done().as_ref()).expect("it is the second");
        model.take(&In::Read, found(9, state).as_ref())
    };
    assert_eq!(finds(&[(1, 10), (2, 20), (3, 30)]), Ok(()));
    assert!(finds(&[(1, 10)]).is_err_and(|why| why.contains("lost")));
    assert!(finds(&[(1, 10), (2, 20)]).is_err_and(|why| why.contains("a part")));
    assert!(finds(&[(1, GARBLED)]).is_err_and(|why| why.contains("nobody wrote")));
}
