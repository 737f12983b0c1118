//! Textbook histories of registers and replicas: what each weak model allows, and how it says no.

#![cfg(feature = "transactions")]

use seedfall_checkers::transactions::generate::{Isolation, Shape, generate};
use seedfall_checkers::transactions::{DataType, Micro};
use seedfall_checkers::weak::{
    Access, Causal, Guarantee, Refused, RegisterHistory, Replica, Status, causal, convergence,
    k_atomic, real_time, regular, safe, sequential, session_guarantees, staleness_time,
};
use seedfall_checkers::{Budget, History, HistoryError, Operation, Outcome};

const BUDGET: Budget = Budget::configurations(1_000_000);

/// `(client, call, return, key, value)`; writes are positive, reads negative or zero for nothing.
fn history(rows: &[(u32, u64, u64, u64, i64)]) -> RegisterHistory {
    let mut history = History::new();
    for &(client, call, returned, key, value) in rows {
        let (input, output) = match value {
            1.. => (Access::Write { key, value: value as u64 }, None),
            0 => (Access::Read { key }, None),
            _ => (Access::Read { key }, Some(value.unsigned_abs())),
        };
        let outcome = Outcome::Ok { returned, output };
        history.operations.push(Operation { client, call, input, outcome });
    }
    history.sort_by_call();
    history
}

#[test]
fn figure_3_of_bouajjani_2017_tells_the_causal_models_apart() {
    // CM but not CCv: each of two sessions overwrites and sees its own value last.
    let memory = history(&[(0, 0, 1, 0, 1), (0, 2, 3, 0, -2), (1, 0, 1, 0, 2), (1, 2, 3, 0, -1)]);
    let holds = |history: &RegisterHistory, kind| causal(history, kind, BUDGET).unwrap().holds();
    assert!(holds(&memory, Causal::Memory));
    let report = causal(&memory, Causal::Convergent, BUDGET).unwrap();
    assert!(report.breaks("CyclicCF"), "{report}");
    // CC alone: one session sees two values in both orders.
    let weak = history(&[(0, 0, 1, 0, 1), (1, 0, 1, 0, 2), (1, 2, 3, 0, -1), (1, 4, 5, 0, -2)]);
    assert!(holds(&weak, Causal::Weak));
    assert!(causal(&weak, Causal::Memory, BUDGET).unwrap().breaks("CyclicHB"));
    // Not even CC: the cause of what is seen is missing.
    let broken = history(&[
        (0, 0, 1, 0, 1),
        (0, 2, 3, 0, 2),
        (1, 4, 5, 0, -2),
        (1, 6, 7, 1, 3),
        (2, 8, 9, 1, -3),
        (2, 10, 11, 0, -1),
    ]);
    assert!(causal(&broken, Causal::Weak, BUDGET).unwrap().breaks("WriteCORead"));
    assert!(causal(&broken, Causal::Convergent, BUDGET).unwrap().breached == 1);
}

#[test]
fn store_buffering_is_causal_and_not_sequential() {
    let buffering = history(&[(0, 0, 1, 0, 1), (0, 2, 3, 1, 0), (1, 0, 1, 1, 2), (1, 2, 3, 0, 0)]);
    assert!(causal(&buffering, Causal::Memory, BUDGET).unwrap().holds());
    let report = sequential(&buffering, BUDGET).unwrap();
    assert_eq!(report.status(), Status::Violated);
    assert!(report.breached == 1);
}

#[test]
fn each_session_guarantee_names_its_breach() {
    let rule = |rows: &[_], guarantee: Guarantee| {
        let report = session_guarantees(&history(rows), &[guarantee], BUDGET).unwrap();
        report.breaks(guarantee.name())
    };
    assert!(rule(&[(0, 0, 1, 0, 1), (0, 2, 3, 0, 0)], Guarantee::ReadYourWrites));
    let back = [(0, 0, 1, 0, 1), (1, 2, 3, 0, -1), (1, 4, 5, 0, 0)];
    assert!(rule(&back, Guarantee::MonotonicReads));
    let missing = [(0, 0, 1, 0, 1), (0, 2, 3, 1, 2), (1, 4, 5, 1, -2), (1, 6, 7, 0, 0)];
    let all = session_guarantees(&history(&missing), &Guarantee::ALL, BUDGET).unwrap();
    assert!(all.breaks("session-guarantees"));
    assert!(!rule(&missing, Guarantee::MonotonicReads));
}

#[test]
fn a_new_old_inversion_is_regular_and_not_atomic() {
    let inversion = history(&[(0, 0, 100, 0, 1), (1, 10, 20, 0, -1), (1, 30, 40, 0, 0)]);
    assert!(regular(&inversion).unwrap().holds());
    assert!(!k_atomic(&inversion, 1, BUDGET).unwrap().holds());
    assert!(k_atomic(&inversion, 2, BUDGET).unwrap().holds());
    // Taken to begin at 20, beside the first read, the second read may come before it.
    assert_eq!(staleness_time(&inversion).unwrap(), Some(10));
}

#[test]
fn long_histories_are_decided_without_search() {
    // Two clients take turns on one register, 20 000 operations, all in order.
    let rows: Vec<(u32, u64, u64, u64, i64)> = (0..20_000i64)
        .map(|at| {
            let value = if at % 2 == 0 { at / 2 + 1 } else { -(at / 2 + 1) };
            (at as u32 % 2, at as u64 * 2, at as u64 * 2 + 1, 0, value)
        })
        .collect();
    let long = history(&rows);
    let report = sequential(&long, Budget::configurations(20_000)).unwrap();
    assert!(report.holds() && report.configurations <= 11_000, "{report:?}");
    assert!(causal(&long, Causal::Convergent, BUDGET).unwrap().holds());
    assert!(session_guarantees(&long, &Guarantee::ALL, BUDGET).unwrap().holds());
    assert!(k_atomic(&long, 1, BUDGET).unwrap().holds());
}

#[test]
fn what_is_too_much_is_unknown() {
    let rows: Vec<(u32, u64, u64, u64, i64)> = (0..2_000i64)
        .map(|at| {
            (at as u32 % 4, at as u64, at as u64 + 3, 0, if at % 3 == 0 { at + 1 } else { 0 })
        })
        .collect();
    let mut long = history(&rows);
    // Reads of something written not long before.
    let mut latest = None;
    for operation in &mut long.operations {
        match (operation.input, &mut operation.outcome) {
            (Access::Write { value, .. }, _) => latest = Some(value),
            (_, Outcome::Ok { output, .. }) => *output = latest,
            _ => {}
        }
    }
    let little = Budget::configurations(5);
    let memory = Budget { bytes: 1_000, ..Budget::DEFAULT };
    for budget in [little, memory] {
        let reports = [
            sequential(&long, budget).unwrap(),
            causal(&long, Causal::Memory, budget).unwrap(),
            k_atomic(&long, 2, budget).unwrap(),
            session_guarantees(&long, &[Guarantee::ReadYourWrites], budget).unwrap(),
        ];
        for report in &reports {
            assert_eq!(report.status(), Status::Unknown, "{reports:?}");
            assert!(report.configurations <= budget.configurations, "{report:?}");
        }
    }
}

#[test]
fn what_no_recorder_can_have_recorded_is_refused() {
    let overlapping = history(&[(0, 0, 5, 0, 1), (0, 4, 9, 0, 2)]);
    let error = HistoryError::TwoAtOnce { client: 0, earlier: 0, operation: 1 };
    assert_eq!(regular(&overlapping).unwrap_err(), Refused::Malformed(error));
}

#[test]
fn duplicate_values_are_refused() {
    let twice = history(&[(0, 0, 1, 0, 1), (1, 0, 1, 0, 1)]);
    let refused = regular(&twice).unwrap_err();
    let (first, second) = (0, 1);
    assert_eq!(refused, Refused::DuplicateWrite { key: 0, value: 1, first, second });
}

#[test]
fn replicas_converge_or_say_why() {
    let mut updates: History<u64, ()> = History::new();
    for update in 0..4 {
        let index = updates.invoke(0, update, update);
        updates.complete(index, update, ());
    }
    updates.fail(3, 9);
    let replica = |replica, delivered: &[u64], digest| Replica {
        replica,
        delivered: delivered.iter().copied().collect(),
        digest,
    };
    let good = [replica(0, &[0, 1, 2], 7), replica(1, &[0, 1, 2], 7)];
    assert!(convergence(&updates, &good).holds());
    let differ = [replica(0, &[0, 1, 2], 7), replica(1, &[0, 1, 2], 8)];
    assert!(convergence(&updates, &differ).breaks("strong-convergence"));
    let late = [replica(0, &[0, 1, 2], 7), replica(1, &[0, 1], 6)];
    assert!(convergence(&updates, &late).breaks("eventual-delivery"));
    let lost = [replica(0, &[0, 1], 7), replica(1, &[0, 1], 7)];
    assert!(convergence(&updates, &lost).breaks("durability"));
    let undone = [replica(0, &[0, 1, 2, 3], 7)];
    assert!(convergence(&updates, &undone).breaks("durability"));
    let strange = [replica(0, &[0, 1, 2, 9], 7)];
    assert!(convergence(&updates, &strange).breaks("validity"));
}

/// A run of an atomic store: every model here must accept it.
fn atomic_run(seed: u64, operations: u32) -> RegisterHistory {
    let shape = Shape {
        micros_max: 1,
        writes_per_key: u64::MAX,
        failed_percent: 3,
        indeterminate_percent: 3,
        ..Shape::usual(DataType::Register, Isolation::StrictSerializable, operations)
    };
    let run = generate(&shape, seed).expect("the shape is small").history;
    let mut history = History::new();
    for t in 0..run.len() as u32 {
        let (input, output) = match run.transaction(t)[..] {
            [Micro::Write { key, value }] => (Access::Write { key, value }, None),
            [Micro::Read { key, value }] => (Access::Read { key }, value),
            [Micro::Unread { key }] => (Access::Read { key }, None),
            _ => continue,
        };
        let outcome = match run.outcome(t) {
            Outcome::Ok { returned, .. } => Outcome::Ok { returned, output },
            Outcome::Failed { returned } => Outcome::Failed { returned },
            Outcome::Indeterminate => Outcome::Indeterminate,
        };
        let (client, call) = (run.process(t), run.call(t));
        history.operations.push(Operation { client, call, input, outcome });
    }
    history.sort_by_call();
    history
}

#[test]
fn runs_of_an_atomic_store_raise_no_alarm_anywhere() {
    for seed in 0..4 {
        let history = atomic_run(seed, 700);
        let mut reports = vec![
            regular(&history).unwrap(),
            safe(&history).unwrap(),
            real_time(&history).unwrap(),
            k_atomic(&history, 1, BUDGET).unwrap(),
            causal(&history, Causal::Weak, BUDGET).unwrap(),
            causal(&history, Causal::Convergent, BUDGET).unwrap(),
            session_guarantees(&history, &Guarantee::ALL, BUDGET).unwrap(),
        ];
        for guarantee in Guarantee::ALL {
            reports.push(session_guarantees(&history, &[guarantee], BUDGET).unwrap());
        }
        for report in reports {
            assert!(report.holds() && 0 < report.examined, "{seed}: {report}");
        }
        assert_eq!(staleness_time(&history).unwrap(), Some(0));
        for hard in [
            sequential(&history, BUDGET).unwrap(),
            causal(&history, Causal::Memory, Budget::configurations(10_000)).unwrap(),
            k_atomic(&history, 2, Budget::configurations(1_000)).unwrap(),
        ] {
            assert_ne!(hard.status(), Status::Violated, "{seed}: {hard}");
        }
        assert!(sequential(&atomic_run(seed, 200), BUDGET).unwrap().holds());
        assert!(causal(&atomic_run(seed, 100), Causal::Memory, BUDGET).unwrap().holds());
    }
}

#[test]
fn one_stale_read_in_a_long_run_is_found_by_the_models_that_forbid_it() {
    let mut found = 0;
    for seed in 0..20 {
        let mut history = atomic_run(seed, 800);
        // The last read that returned a value of some age returns the key's first one instead.
        let stale = history.operations.iter().rposition(
            |op| matches!(op.outcome, Outcome::Ok { output: Some(value), .. } if 5 < value),
        );
        let Some(Outcome::Ok { output, .. }) = stale.map(|at| &mut history.operations[at].outcome)
        else {
            continue;
        };
        *output = Some(1);
        let report = regular(&history).unwrap();
        if report.breaks("thin-air-read") {
            continue; // The first write of that key had failed.
        }
        assert_eq!(report.breached, 1, "{report}");
        assert!(report.breaks("stale-read"));
        assert!(!k_atomic(&history, 1, BUDGET).unwrap().holds());
        assert!(staleness_time(&history).unwrap().is_some_and(|time| 0 < time));
        found += 1;
    }
    assert!(10 < found);
}
