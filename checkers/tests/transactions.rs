//! Textbook anomalies, one test each; correct stores raise no alarm; broken histories are found.

#![cfg(feature = "transactions")]

use seedfall_checkers::Budget;
use seedfall_checkers::transactions::generate::{Generated, Isolation, Random, Shape, generate};
use seedfall_checkers::transactions::timestamps::{self, Axiom, Property};
use seedfall_checkers::transactions::weak::{self, Relation, WeakLevel};
use seedfall_checkers::transactions::{
    Anomaly, DataType, Dependency, HistoryError, Level, Micro, OrderError, Pattern, Report, Scope,
    Status, TransactionHistory, check, check_with, serial_order, verify_cycle, verify_order,
};
use seedfall_checkers::{History, Outcome};

fn append(key: u64, value: u64) -> Micro {
    Micro::Append { key, value }
}

fn list(key: u64, values: &[u64]) -> Micro {
    Micro::ReadList { key, values: values.to_vec() }
}

fn write(key: u64, value: u64) -> Micro {
    Micro::Write { key, value }
}

fn read(key: u64, value: u64) -> Micro {
    Micro::Read { key, value: Some(value) }
}

fn initial(key: u64) -> Micro {
    Micro::Read { key, value: None }
}

const OK: Outcome<()> = Outcome::Ok { returned: 100, output: () };
const FAILED: Outcome<()> = Outcome::Failed { returned: 100 };

/// Concurrent transactions, each of a process of its own.
fn history(transactions: &[(Outcome<()>, &[Micro])]) -> TransactionHistory {
    let mut history = TransactionHistory::new();
    for (process, (outcome, micros)) in (0u32..).zip(transactions) {
        history.push(process, 0, outcome, micros).expect("times go forward");
    }
    history
}

fn ok(transactions: &[&[Micro]]) -> TransactionHistory {
    history(&transactions.iter().map(|micros| (OK, *micros)).collect::<Vec<_>>())
}

/// The anomaly is found, and breaks the given level and no weaker one of the data-only levels.
fn assert_breaks(history: &TransactionHistory, anomaly: Anomaly, weakest: Level) -> Report {
    let judge = |level| check(history, level).expect("values are unique");
    let report = judge(Level::StrictSerializable);
    assert!(report.of(anomaly).next().is_some(), "no {anomaly:?} in {report}");
    for level in [
        Level::ReadUncommitted,
        Level::ReadCommitted,
        Level::SnapshotIsolation,
        Level::Serializable,
    ] {
        let expected = if level < weakest { Status::Holds } else { Status::Violated };
        assert_eq!(judge(level).status(), expected, "{level:?} {report}");
    }
    report
}

#[test]
fn g0_dirty_write_adya_1999_section_4_1() {
    let history = ok(&[
        &[append(1, 1), append(2, 1)],
        &[append(1, 2), append(2, 2)],
        &[list(1, &[1, 2]), list(2, &[2, 1])],
    ]);
    let report = assert_breaks(&history, Anomaly::G0, Level::ReadUncommitted);
    let found = report.of(Anomaly::G0).next().unwrap();
    assert_eq!(found.steps.len(), 2);
    assert!(found.steps.iter().all(|step| step.dependency == Dependency::WriteWrite));
    assert!(found.explanation.contains("T0 appended 1 to key 1 and T1 appended 2 after it"));
}

#[test]
fn g1a_aborted_read_adya_1999_section_4_2() {
    let lists = history(&[(FAILED, &[append(1, 1)]), (OK, &[list(1, &[1])])]);
    assert_breaks(&lists, Anomaly::G1a, Level::ReadCommitted);
    let registers = history(&[(FAILED, &[write(1, 1)]), (OK, &[read(1, 1)])]);
    assert_breaks(&registers, Anomaly::G1a, Level::ReadCommitted);
}

#[test]
fn g1b_intermediate_read_adya_1999_section_4_2() {
    let registers = ok(&[&[write(1, 1), write(1, 2)], &[read(1, 1)]]);
    assert_breaks(&registers, Anomaly::G1b, Level::ReadCommitted);
    let lists = ok(&[&[append(1, 1), append(1, 2)], &[list(1, &[1])]]);
    assert_breaks(&lists, Anomaly::G1b, Level::ReadCommitted);
}

#[test]
fn g1c_circular_information_flow_adya_1999_section_4_2() {
    let history = ok(&[&[append(1, 1), list(2, &[1])], &[append(2, 1), list(1, &[1])]]);
    let report = assert_breaks(&history, Anomaly::G1c, Level::ReadCommitted);
    let found = report.of(Anomaly::G1c).next().unwrap();
    assert!(found.steps.iter().all(|step| step.dependency == Dependency::WriteRead));
    let registers = ok(&[&[write(1, 1), read(2, 1)], &[write(2, 1), read(1, 1)]]);
    assert_breaks(&registers, Anomaly::G1c, Level::ReadCommitted);
}

#[test]
fn read_skew_a5a_berenson_1995() {
    let history = ok(&[&[list(1, &[]), list(2, &[1])], &[append(1, 1), append(2, 1)]]);
    let report = assert_breaks(&history, Anomaly::GSingle, Level::SnapshotIsolation);
    let found = report.of(Anomaly::GSingle).next().unwrap();
    assert_eq!(found.pattern, Some(Pattern::ReadSkew));
    let registers = ok(&[&[initial(1), read(2, 1)], &[write(1, 1), write(2, 1)]]);
    assert_breaks(&registers, Anomaly::GSingle, Level::SnapshotIsolation);
}

#[test]
fn lost_update_p4_berenson_1995() {
    let lists =
        ok(&[&[list(1, &[]), append(1, 1)], &[list(1, &[]), append(1, 2)], &[list(1, &[1, 2])]]);
    let report = assert_breaks(&lists, Anomaly::LostUpdate, Level::SnapshotIsolation);
    assert_eq!(report.of(Anomaly::LostUpdate).next().unwrap().transactions, [0, 1]);
    // Nobody sees the second update: it is lost all the same.
    let unseen = ok(&[&[list(1, &[]), append(1, 1)], &[list(1, &[]), append(1, 2)]]);
    assert_breaks(&unseen, Anomaly::LostUpdate, Level::SnapshotIsolation);
    let registers = ok(&[&[initial(1), write(1, 1)], &[initial(1), write(1, 2)]]);
    assert_breaks(&registers, Anomaly::LostUpdate, Level::SnapshotIsolation);
}

#[test]
fn write_skew_a5b_berenson_1995() {
    let lists = ok(&[&[list(1, &[]), append(2, 1)], &[list(2, &[]), append(1, 1)]]);
    let report = assert_breaks(&lists, Anomaly::G2Item, Level::Serializable);
    let found = report.of(Anomaly::G2Item).next().unwrap();
    assert_eq!(found.pattern, Some(Pattern::WriteSkew));
    assert!(found.is_shortest);
    let registers = ok(&[&[initial(1), write(2, 1)], &[initial(2), write(1, 1)]]);
    assert_breaks(&registers, Anomaly::G2Item, Level::Serializable);
}

#[test]
fn long_fork_sovran_2011() {
    let lists = ok(&[
        &[append(1, 1)],
        &[append(2, 1)],
        &[list(1, &[1]), list(2, &[])],
        &[list(1, &[]), list(2, &[1])],
    ]);
    let report = assert_breaks(&lists, Anomaly::GNonadjacent, Level::SnapshotIsolation);
    let found = report.of(Anomaly::GNonadjacent).next().unwrap();
    assert_eq!(found.pattern, Some(Pattern::LongFork));
    let registers =
        ok(&[&[write(1, 1)], &[write(2, 1)], &[read(1, 1), initial(2)], &[initial(1), read(2, 1)]]);
    assert_breaks(&registers, Anomaly::GNonadjacent, Level::SnapshotIsolation);
}

#[test]
fn read_only_anomaly_fekete_oneil_2004() {
    // Withdrawal (0) misses the deposit (1); the report (2) sees the deposit and no withdrawal.
    let history = ok(&[
        &[list(1, &[]), list(2, &[]), append(1, 1)],
        &[list(2, &[]), append(2, 1)],
        &[list(1, &[]), list(2, &[1])],
    ]);
    let report = assert_breaks(&history, Anomaly::G2Item, Level::Serializable);
    assert_eq!(report.of(Anomaly::G2Item).next().unwrap().steps.len(), 3);
}

#[test]
fn dirty_update_elle_2020() {
    let history =
        history(&[(FAILED, &[append(1, 1)]), (OK, &[append(1, 2)]), (OK, &[list(1, &[1, 2])])]);
    let report = assert_breaks(&history, Anomaly::DirtyUpdate, Level::ReadCommitted);
    assert_eq!(report.of(Anomaly::DirtyUpdate).next().unwrap().transactions, [0, 1]);
}

#[test]
fn internal_inconsistency_elle_2020() {
    let forgets = ok(&[&[append(1, 1), list(1, &[])]]);
    assert_breaks(&forgets, Anomaly::Internal, Level::SnapshotIsolation);
    let changes = ok(&[&[write(1, 1)], &[read(1, 1), initial(1)]]);
    assert_breaks(&changes, Anomaly::Internal, Level::SnapshotIsolation);
    let foresees = ok(&[&[list(1, &[1]), append(1, 1)]]);
    assert_breaks(&foresees, Anomaly::Internal, Level::SnapshotIsolation);
}

#[test]
fn duplicate_elements_and_incompatible_orders_elle_2020() {
    let twice = ok(&[&[append(1, 1)], &[list(1, &[1, 1])]]);
    assert_breaks(&twice, Anomaly::Duplicates, Level::ReadUncommitted);
    let orders = ok(&[&[append(1, 1)], &[append(1, 2)], &[list(1, &[1, 2])], &[list(1, &[2, 1])]]);
    assert_breaks(&orders, Anomaly::IncompatibleOrder, Level::ReadUncommitted);
}

#[test]
fn appends_of_one_transaction_keep_their_order() {
    let reversed = ok(&[&[append(1, 1), append(1, 2)], &[list(1, &[2, 1])]]);
    assert_breaks(&reversed, Anomaly::IncompatibleOrder, Level::ReadUncommitted);
    let missing = ok(&[&[append(1, 1), append(1, 2)], &[list(1, &[2])]]);
    assert_breaks(&missing, Anomaly::IncompatibleOrder, Level::ReadUncommitted);
}

#[test]
fn values_out_of_thin_air() {
    let lists = ok(&[&[list(1, &[7])]]);
    assert_breaks(&lists, Anomaly::Unwritten, Level::ReadUncommitted);
    let registers = ok(&[&[read(1, 7)]]);
    assert_breaks(&registers, Anomaly::Unwritten, Level::ReadUncommitted);
}

#[test]
fn versions_in_a_circle_elle_2020() {
    let history = ok(&[&[read(1, 2), write(1, 1)], &[read(1, 1), write(1, 2)]]);
    assert_breaks(&history, Anomaly::CyclicVersions, Level::ReadUncommitted);
}

#[test]
fn process_order_and_real_time_tell_levels_apart() {
    let mut stale = TransactionHistory::new();
    let ended = |returned| Outcome::Ok { returned, output: () };
    stale.push(0, 0, &ended(1), &[append(1, 1)]).unwrap();
    stale.push(1, 2, &ended(3), &[list(1, &[])]).unwrap();
    assert_eq!(check(&stale, Level::StrongSessionSerializable).unwrap().status(), Status::Holds);
    let report = check(&stale, Level::StrictSerializable).unwrap();
    assert_eq!(report.findings[0].scope, Scope::RealTime);
    assert_eq!(report.findings[0].anomaly, Anomaly::GSingle);
    assert!(report.findings[0].explanation.contains("returned at 1, before T1 was called at 2"));
    assert_eq!(check(&stale, Level::StrongSnapshotIsolation).unwrap().status(), Status::Violated);

    let mut own = TransactionHistory::new();
    own.push(0, 0, &ended(1), &[append(1, 1)]).unwrap();
    own.push(0, 2, &ended(3), &[list(1, &[])]).unwrap();
    assert_eq!(check(&own, Level::Serializable).unwrap().status(), Status::Holds);
    let report = check(&own, Level::StrongSessionSerializable).unwrap();
    assert_eq!(report.findings[0].scope, Scope::Process);

    // Equal stamps are concurrent.
    let mut touching = TransactionHistory::new();
    touching.push(0, 0, &ended(2), &[append(1, 1)]).unwrap();
    touching.push(1, 2, &ended(3), &[list(1, &[])]).unwrap();
    assert_eq!(check(&touching, Level::StrictSerializable).unwrap().status(), Status::Holds);
}

#[test]
fn an_indeterminate_transaction_counts_once_it_is_seen() {
    let unseen = history(&[(Outcome::Indeterminate, &[append(1, 1)]), (OK, &[list(1, &[])])]);
    assert_eq!(check(&unseen, Level::StrictSerializable).unwrap().status(), Status::Holds);
    let half_seen = history(&[
        (Outcome::Indeterminate, &[append(1, 1), append(2, 1)]),
        (OK, &[list(1, &[1]), list(2, &[])]),
    ]);
    assert_breaks(&half_seen, Anomaly::GSingle, Level::SnapshotIsolation);
}

#[test]
fn bad_input_is_named() {
    let twice = ok(&[&[append(1, 1)], &[append(1, 1)]]);
    assert_eq!(
        check(&twice, Level::Serializable).unwrap_err(),
        HistoryError::DuplicateWrite { key: 1, value: 1, first: 0, second: 1 }
    );
    let mut history = TransactionHistory::new();
    let early = Outcome::Ok { returned: 3, output: () };
    assert_eq!(
        history.push(0, 4, &early, &[]).unwrap_err(),
        HistoryError::ReturnsBeforeCall { transaction: 0 }
    );
    history.push(0, 0, &OK, &[append(1, 1)]).unwrap();
    assert_eq!(
        history.push(0, 50, &OK, &[]).unwrap_err(),
        HistoryError::Overlap { process: 0, transaction: 1 }
    );
    assert_eq!(
        history.push(1, 0, &OK, &[write(1, 1)]).unwrap_err(),
        HistoryError::MixedTypes { transaction: 1 }
    );
    assert!(weak::check(&history, WeakLevel::Causal, Budget::DEFAULT).is_err());
    let empty = TransactionHistory::new();
    assert_eq!(check(&empty, Level::StrictSerializable).unwrap().status(), Status::Holds);
    assert_eq!(
        weak::check(&empty, WeakLevel::Causal, Budget::DEFAULT).unwrap().status(),
        Status::Holds
    );
}

#[test]
fn a_generic_history_of_transactions_is_taken_over() {
    let mut recorded: History<Vec<Micro>, Vec<Micro>> = History::new();
    let unread = |key| Micro::Unread { key };
    let first = recorded.invoke(0, 0, vec![append(1, 1), unread(2)]);
    recorded.complete(first, 5, vec![append(1, 1), list(2, &[])]);
    recorded.invoke(1, 1, vec![unread(1), append(2, 1)]);
    let failed = recorded.invoke(2, 2, vec![append(1, 9)]);
    recorded.fail(failed, 3);
    let history = TransactionHistory::from_history(&recorded).unwrap();
    assert_eq!(history.transaction(0), [append(1, 1), list(2, &[])]);
    assert_eq!(history.transaction(1), [unread(1), append(2, 1)]);
    assert_eq!(history.outcome(1), Outcome::Indeterminate);
    assert_eq!(history.outcome(2), Outcome::Failed { returned: 3 });
    assert_eq!(check(&history, Level::StrictSerializable).unwrap().counters.committed, 1);
}

#[test]
fn values_of_any_size_keep_their_names() {
    let big = u64::MAX - 1;
    let history = ok(&[&[append(big, big)], &[list(big, &[big, 5])]]);
    let report = check(&history, Level::Serializable).unwrap();
    assert_eq!(report.findings[0].anomaly, Anomaly::Unwritten);
    assert_eq!(history.transaction(1), [list(big, &[big, 5])]);
}

/// A store of each level, at its level, over lists and registers, with failures and timeouts.
#[test]
fn correct_stores_raise_no_alarm() {
    for data_type in [DataType::List, DataType::Register] {
        for seed in 0..12 {
            let shape = |isolation| Shape {
                failed_percent: 5,
                indeterminate_percent: 5,
                ..Shape::usual(data_type, isolation, 1_500)
            };
            for (isolation, level) in [
                (Isolation::StrictSerializable, Level::StrictSerializable),
                (Isolation::Snapshot, Level::StrongSnapshotIsolation),
                (Isolation::ReadCommitted, Level::ReadCommitted),
            ] {
                let Generated { history, stamps } = generate(&shape(isolation), seed).unwrap();
                let report = check(&history, level).unwrap();
                assert_eq!(report.status(), Status::Holds, "{data_type:?} {seed}: {report}");
                if isolation == Isolation::ReadCommitted {
                    continue;
                }
                let property = Property::SnapshotIsolation;
                let replay = timestamps::replay(&history, &stamps, property).unwrap();
                assert!(replay.holds(), "{data_type:?} {seed}: {replay:?}");
                if data_type == DataType::Register {
                    for level in WeakLevel::ALL {
                        let report = weak::check(&history, level, Budget::DEFAULT).unwrap();
                        assert_eq!(report.status(), Status::Holds, "{seed}: {report:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn weaker_stores_are_told_from_stronger_ones() {
    let shape = |isolation| Shape::usual(DataType::List, isolation, 2_000);
    let snapshot = generate(&shape(Isolation::Snapshot), 1).unwrap().history;
    let report = check(&snapshot, Level::Serializable).unwrap();
    assert_eq!(report.status(), Status::Violated);
    assert!(report.findings.iter().all(|found| found.anomaly == Anomaly::G2Item));
    assert!(report.findings.iter().any(|found| found.pattern == Some(Pattern::WriteSkew)));
    let committed = generate(&shape(Isolation::ReadCommitted), 1).unwrap().history;
    let report = check(&committed, Level::SnapshotIsolation).unwrap();
    assert_eq!(report.status(), Status::Violated);
    assert!(report.of(Anomaly::LostUpdate).next().is_some());
}

/// Takes a history apart, changes it, and puts it together again.
fn changed(
    history: &TransactionHistory,
    change: impl Fn(u32, &mut Vec<Micro>, &mut Outcome<()>),
) -> TransactionHistory {
    let mut copy = TransactionHistory::new();
    for t in 0..history.len() as u32 {
        let (mut micros, mut outcome) = (history.transaction(t), history.outcome(t));
        change(t, &mut micros, &mut outcome);
        let pushed = copy.push(history.process(t), history.call(t), &outcome, &micros);
        pushed.expect("the times are those of a history");
    }
    copy
}

#[test]
fn damage_to_a_correct_history_is_found() {
    let shape = Shape::usual(DataType::List, Isolation::StrictSerializable, 400);
    let mut random = Random::new(31);
    let mut damaged = [0; 3];
    let mut found = [0; 3];
    for seed in 0..30 {
        let history = generate(&shape, seed).unwrap().history;
        let victim = 50 + random.below(200) as u32;
        for (way, damaged) in damaged.iter_mut().enumerate() {
            let broken = changed(&history, |t, micros, outcome| {
                if t != victim {
                    return;
                }
                match way {
                    // A read loses its last element.
                    0 => micros.iter_mut().for_each(|micro| {
                        if let Micro::ReadList { values, .. } = micro {
                            values.pop();
                        }
                    }),
                    // Two elements trade places in a read.
                    1 => micros.iter_mut().for_each(|micro| {
                        if let Micro::ReadList { values, .. } = micro
                            && 1 < values.len()
                        {
                            values.swap(0, 1);
                        }
                    }),
                    // The client is told that a commit failed.
                    _ => {
                        if let Outcome::Ok { returned, .. } = *outcome {
                            *outcome = Outcome::Failed { returned };
                        }
                    }
                }
            });
            let same =
                (0..history.len() as u32).all(|t| broken.transaction(t) == history.transaction(t));
            let appends = |micro: &Micro| matches!(micro, Micro::Append { .. });
            let told = way != 2 || history.transaction(victim).iter().any(appends);
            if way == 2 && told || way != 2 && !same {
                *damaged += 1;
                let report = check(&broken, Level::StrictSerializable).unwrap();
                // A read that loses one element may still fit, if the append ran beside it.
                assert!(
                    way == 0 || report.status() == Status::Violated,
                    "way {way}, seed {seed}: {report}"
                );
                found[way] += u32::from(report.status() == Status::Violated);
            }
        }
    }
    assert!(damaged.iter().all(|damaged| 8 <= *damaged), "{damaged:?}");
    assert!(damaged[0] * 3 <= found[0] * 4, "{found:?} of {damaged:?}");
}

#[test]
fn a_stale_register_read_is_found_by_the_claimed_order() {
    let shape = Shape::usual(DataType::Register, Isolation::Snapshot, 300);
    let mut found = 0;
    for seed in 0..30 {
        let Generated { history, stamps } = generate(&shape, seed).unwrap();
        let victim = 100 + seed as u32;
        let broken = changed(&history, |t, micros, _| {
            if t == victim
                && let Some(Micro::Read { value: Some(value), .. }) = micros.first_mut()
                && 1 < *value
            {
                *value -= 1;
            }
        });
        if broken.transaction(victim) != history.transaction(victim)
            && stamps[victim as usize].is_some()
        {
            let property = Property::SnapshotIsolation;
            let replay = timestamps::replay(&broken, &stamps, property).unwrap();
            assert_eq!(replay.breaches[0].transaction, victim);
            assert!(matches!(replay.breaches[0].axiom, Axiom::External | Axiom::Internal));
            found += 1;
        }
    }
    assert!(8 <= found);
}

#[test]
fn timestamps_find_overlapping_writes_and_stale_sessions() {
    let stamp = |start, commit| Some(timestamps::Stamp { start, commit });
    let overlap = ok(&[&[write(1, 1)], &[write(1, 2)]]);
    let property = Property::SnapshotIsolation;
    let replay = timestamps::replay(&overlap, &[stamp(1, 5), stamp(2, 6)], property).unwrap();
    assert_eq!(replay.breaches[0].axiom, Axiom::NoConflict);
    let serial = Property::Serializability;
    assert!(timestamps::replay(&overlap, &[stamp(1, 5), stamp(2, 6)], serial).unwrap().holds());

    let mut session = TransactionHistory::new();
    let ended = |returned| Outcome::Ok { returned, output: () };
    session.push(0, 0, &ended(1), &[write(1, 1)]).unwrap();
    session.push(0, 2, &ended(3), &[initial(1)]).unwrap();
    let replay = timestamps::replay(&session, &[stamp(1, 5), stamp(4, 6)], property).unwrap();
    assert_eq!(replay.breaches[0].axiom, Axiom::Session);
    let replay = timestamps::replay(&session, &[stamp(1, 5), None], property).unwrap();
    assert_eq!(replay.breaches[0].axiom, Axiom::Order);
}

#[test]
fn a_monitor_that_forgets_judges_the_same() {
    let shape = Shape::usual(DataType::Register, Isolation::Snapshot, 2_000);
    let Generated { history, stamps } = generate(&shape, 5).unwrap();
    let mut order: Vec<(timestamps::Stamp, u32)> =
        (0u32..).zip(&stamps).filter_map(|(t, stamp)| stamp.map(|stamp| (stamp, t))).collect();
    order.sort_by_key(|(stamp, _)| stamp.commit);
    let mut monitor = timestamps::Monitor::new(Property::SnapshotIsolation);
    for (at, (stamp, t)) in order.iter().enumerate() {
        let sound = monitor.commit(*t, history.process(*t), *stamp, &history.transaction(*t));
        assert!(sound);
        let oldest = order[at..].iter().map(|(stamp, _)| stamp.start).min();
        if at % 50 == 0 {
            monitor.forget_before(oldest.unwrap_or(0));
        }
    }
    assert!(monitor.finish().holds());
}

#[test]
fn weak_levels_show_their_cycles() {
    // Biswas and Enea 2019, figure 3: one transaction half seen.
    let fractured = ok(&[&[write(1, 1), write(2, 1)], &[read(1, 1), initial(2)]]);
    for level in WeakLevel::ALL {
        let report = weak::check(&fractured, level, Budget::DEFAULT).unwrap();
        assert_eq!(report.status(), Status::Violated, "{level:?}");
        let forced = report.cycle.iter().find(|step| step.relation == Relation::CommitOrder);
        let forced = forced.unwrap();
        assert_eq!((forced.from, forced.to), (Some(0), None));
        assert!(forced.reason.contains("T1 knew of T0"), "{}", forced.reason);
        let text = report.to_string();
        assert!(text.contains("T0 must commit before the initial state, because"), "{text}");
    }
    // Causality through a third transaction: only the causal level minds.
    let ended = |returned| Outcome::Ok { returned, output: () };
    let mut relayed = TransactionHistory::new();
    relayed.push(0, 0, &ended(1), &[write(1, 1)]).unwrap();
    relayed.push(1, 2, &ended(3), &[read(1, 1), write(2, 1)]).unwrap();
    relayed.push(2, 4, &ended(5), &[read(2, 1), initial(1)]).unwrap();
    let status = |level| weak::check(&relayed, level, Budget::DEFAULT).unwrap().status();
    assert_eq!(status(WeakLevel::ReadAtomic), Status::Holds);
    assert_eq!(status(WeakLevel::Causal), Status::Violated);
}

#[test]
fn certificates_of_large_histories_verify_and_forged_ones_do_not() {
    let shape = Shape {
        failed_percent: 5,
        indeterminate_percent: 5,
        ..Shape::usual(DataType::List, Isolation::StrictSerializable, 3_000)
    };
    let history = generate(&shape, 8).unwrap().history;
    let level = Level::StrictSerializable;
    let mut order = serial_order(&history, level).unwrap().unwrap();
    assert_eq!(verify_order(&history, &order, level.scope()), Ok(()));
    let last = order.pop().unwrap();
    assert_eq!(verify_order(&history, &order, level.scope()), Err(OrderError::Missing(last)));
    order.push(order[0]);
    assert_eq!(verify_order(&history, &order, level.scope()), Err(OrderError::Stray(order[0])));
    order.pop();
    order.insert(0, last);
    assert!(verify_order(&history, &order, level.scope()).is_err());
    let mut apart = TransactionHistory::new();
    for time in [0, 2] {
        let ended = Outcome::Ok { returned: time + 1, output: () };
        apart.push(7, time, &ended, &[append(time, 1), list(time, &[1])]).unwrap();
    }
    assert_eq!(verify_order(&apart, &[1, 0], Scope::Data), Ok(()));
    assert_eq!(verify_order(&apart, &[1, 0], Scope::Process), Err(OrderError::OutOfOrder(0)));
    assert_eq!(verify_order(&apart, &[1, 0], Scope::RealTime), Err(OrderError::OutOfOrder(0)));
    assert_eq!(verify_order(&apart, &[0, 1], Scope::RealTime), Ok(()));

    let shape = Shape::usual(DataType::Register, Isolation::ReadCommitted, 500);
    let history = generate(&shape, 8).unwrap().history;
    let report = check(&history, level).unwrap();
    let mut cycles = report.findings.into_iter().filter(|finding| !finding.steps.is_empty());
    let mut finding = cycles.next().unwrap();
    assert!(verify_cycle(&history, &finding) && cycles.all(|f| verify_cycle(&history, &f)));
    finding.steps.pop();
    assert!(!verify_cycle(&history, &finding));
}

#[test]
fn reports_are_the_same_every_time() {
    let shape = Shape::usual(DataType::List, Isolation::ReadCommitted, 800);
    let history = generate(&shape, 3).unwrap().history;
    let first = check(&history, Level::StrictSerializable).unwrap();
    for _ in 0..5 {
        let again = generate(&shape, 3).unwrap().history;
        assert_eq!(check(&again, Level::StrictSerializable).unwrap(), first);
    }
    // A small allowance changes the witness, never the answer.
    let hurried = check_with(&history, Level::StrictSerializable, 10).unwrap();
    assert_eq!(hurried.status(), first.status());
    assert!(hurried.counters.visited < first.counters.visited);
}
