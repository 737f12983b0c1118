//! Textbook histories of registers and replicas: what each weak model allows, and how it says no.

use seedfall_checkers::weak::{
    Access, Causal, Guarantee, RegisterHistory, Replica, Status, causal, convergence, k_atomic,
    regular, sequential, session_guarantees, staleness_time,
};
use seedfall_checkers::{History, Operation, Outcome};

const BUDGET: u64 = 1_000_000;

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
    let report = sequential(&long, 20_000).unwrap();
    assert!(report.holds() && report.configurations <= 10_001, "{report}");
    assert!(causal(&long, Causal::Convergent, BUDGET).unwrap().holds());
    assert!(session_guarantees(&long, &Guarantee::ALL, BUDGET).unwrap().holds());
    assert!(k_atomic(&long, 1, BUDGET).unwrap().holds());
    assert_eq!(sequential(&long, 10).unwrap().status(), Status::Unknown);
}

#[test]
fn duplicate_values_are_refused() {
    let twice = history(&[(0, 0, 1, 0, 1), (1, 0, 1, 0, 1)]);
    let refused = regular(&twice).unwrap_err();
    assert_eq!((refused.first, refused.second), (0, 1));
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
