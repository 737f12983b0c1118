//! Garcia-Molina and Salem, sections 2 to 5 and 7; Richardson on pivots, retriable steps and the
//! semantic lock; driven by an orchestrator.

use crate::by_hand::{Image, N1, N2, N3, request, sent, written};
use crate::support::*;
use seedfall_protocols::saga::orchestrated::{Message, Record, Request, Response};
use seedfall_protocols::saga::{Isolation, Kind, Outcome, Plan};
use seedfall_sim::Duration;

/// Section 2: `T1, T2, .. Tn`, one after the other.
#[test]
fn all_steps_take_place_in_order() {
    let mut nodes = nodes(Isolation::None);
    run(&mut nodes, 1, &sequence(10));
    for (service, index) in [(N2, 0), (N3, 1), (N4, 2)] {
        assert_eq!(nodes.wire.len(), 1, "one step at a time");
        assert!(asks_to_do(&nodes.wire[0].2, index));
        nodes.pass(N1, service);
        nodes.pass(service, N1);
    }
    assert_eq!(ended(&nodes, 1), Some(Outcome::Completed));
    assert_eq!(all_standing(&nodes), [-10, -10, 20, 0]);
}

/// Section 2: `T1 .. Tj, Cj .. C1`: what took place is compensated, last first.
#[test]
fn a_refusal_compensates_what_took_place_last_first() {
    let mut nodes = nodes(Isolation::None);
    // 2 * 40 is more than the payee may have.
    run(&mut nodes, 1, &sequence(40));
    for service in [N2, N3, N4] {
        nodes.pass(N1, service);
        nodes.pass(service, N1);
    }
    assert!(nodes.reached.contains(&"do: refused, for the balance"));
    for (service, index) in [(N3, 1), (N2, 0)] {
        assert_eq!(nodes.wire.len(), 1, "one compensation at a time");
        assert!(asks_to_undo(&nodes.wire[0].2, index));
        nodes.pass(N1, service);
        nodes.pass(service, N1);
    }
    assert_eq!(ended(&nodes, 1), Some(Outcome::Compensated));
    assert_eq!(all_standing(&nodes), [0; 4]);
}

/// Section 7: the steps of a stage at the same time, and so their compensations.
#[test]
fn the_steps_of_a_stage_are_parallel() {
    let mut nodes = nodes(Isolation::None);
    run(&mut nodes, 1, &branches(60));
    assert!(asks_to_do(&nodes.wire[0].2, 0) && asks_to_do(&nodes.wire[1].2, 1));
    for service in [N3, N2, N4] {
        nodes.pass(N1, service);
        nodes.pass(service, N1);
    }
    assert!(asks_to_undo(&nodes.wire[0].2, 0) && asks_to_undo(&nodes.wire[1].2, 1));
    nodes.settle(&ALL);
    assert_eq!(ended(&nodes, 1), Some(Outcome::Compensated));
}

/// Section 4: the log comes first. The plan before any step, a stage before the next, the turn
/// before any compensation, the end before the client.
#[test]
fn the_orchestrator_writes_before_it_acts() {
    let mut nodes = nodes(Isolation::None);
    let body = Request::Run { sequence: 1, plan: branches(60) };
    let effects = nodes.ask(N1, request(1, 1), body);
    assert!(matches!(&written(&effects)[..], [(Record::Began { .. }, true)]));
    nodes.pass(N1, N2);
    nodes.pass(N1, N3);
    let effects = nodes.pass(N2, N1);
    assert!(matches!(&written(&effects)[..], [(Record::Done { .. }, false)]));
    let effects = nodes.pass(N3, N1);
    assert!(matches!(&written(&effects)[..], [(Record::Done { .. }, true)]));
    let effects = nodes.pass(N1, N4);
    assert!(matches!(&written(&effects)[..], [(Record::Entered(_), true)]));
    let effects = nodes.pass(N4, N1);
    assert!(matches!(&written(&effects)[..], [(Record::TurnedBack { .. }, true)]));
    nodes.pass(N1, N2);
    nodes.pass(N1, N3);
    nodes.pass(N2, N1);
    let effects = nodes.pass(N3, N1);
    assert!(matches!(&written(&effects)[..], [(Record::Ended { .. }, true)]));
}

/// Idempotency: a step or a compensation that is asked for twice has one effect and two answers.
#[test]
fn what_is_repeated_has_one_effect() {
    let mut nodes = nodes(Isolation::None);
    run(&mut nodes, 1, &sequence(40));
    let copy = nodes.wire[0].2.clone();
    nodes.pass(N1, N2);
    let again = nodes.deliver(N1, N2, copy);
    assert_eq!(sent(&again), [(N1, Message::Done { saga: saga(1), index: 0 })]);
    assert_eq!(standing(&nodes, K2), -40);
    nodes.settle(&[N1, N2, N3]);
    nodes.pass(N1, N4);
    nodes.pass(N4, N1);
    nodes.pass(N1, N3);
    let late = nodes.wire.clone();
    nodes.pass(N3, N1);
    let undo = nodes.wire[0].2.clone();
    nodes.settle(&ALL);
    let again = nodes.deliver(N1, N2, undo);
    assert_eq!(sent(&again), [(N1, Message::Undone { saga: saga(1), index: 0 })]);
    assert!(nodes.reached.contains(&"undo: repeated, it had its one effect"));
    assert_eq!(standing(&nodes, K2), 0);
    for (from, to, message) in late {
        nodes.deliver(from, to, message);
    }
    assert_eq!(ended(&nodes, 1), Some(Outcome::Compensated), "a late answer changes nothing");
}

/// A tombstone: the compensation comes before its step, and the step comes to nothing.
#[test]
fn a_step_behind_its_compensation_comes_to_nothing() {
    let mut nodes = nodes(Isolation::None);
    run(&mut nodes, 1, &sequence(10));
    nodes.settle(&[N1, N2]);
    let late = hold(&mut nodes, N1, N3);
    // The orchestrator gives the second step up: 30, 60 and 100 ms after it asked.
    for _ in 0..3 {
        nodes.wait(Duration::millis(100));
        nodes.wire.retain(|(_, _, message)| !asks_to_do(message, 1));
    }
    assert!(nodes.reached.contains(&"timeout: a step whose fate is unknown is compensated"));
    nodes.settle(&ALL);
    assert!(nodes.reached.contains(&"undo: before its step, it left a tombstone"));
    assert_eq!(ended(&nodes, 1), Some(Outcome::Compensated));
    let effects = nodes.deliver(late.0, late.1, late.2);
    assert_eq!(sent(&effects), [(N1, Message::Refused { saga: saga(1), index: 1 })]);
    assert_eq!(all_standing(&nodes), [0; 4]);
}

/// Retries wait twice as long each time, up to a limit.
#[test]
fn retries_back_off() {
    let mut nodes = nodes(Isolation::None);
    run(&mut nodes, 1, &Plan { stages: vec![vec![step(Kind::Pivot, K2, 10)]] });
    let mut asked = Vec::new();
    for millis in 1..=400 {
        nodes.lose_all();
        nodes.wait(Duration::millis(1));
        if !nodes.wire.is_empty() {
            asked.push(millis);
        }
    }
    assert_eq!(asked, [30, 90, 190, 290, 390]);
}

/// Mehrotra et al.: with its pivot a saga is decided. It is asked for until it is known whether it
/// took place, and what comes after cannot be refused, only be late.
#[test]
fn after_its_pivot_a_saga_only_goes_forward() {
    let mut nodes = nodes(Isolation::None);
    let mut plan = branches(10);
    // More than the account may have: it must take it all the same.
    plan.stages[2] = vec![step(Kind::Retriable, "d", 1_000)];
    run(&mut nodes, 1, &plan);
    nodes.settle(&[N1, N2]);
    nodes.pass(N1, N3);
    nodes.pass(N3, N1);
    nodes.pass(N1, N4);
    nodes.crash(N3, Image::Nothing);
    for _ in 0..20 {
        nodes.lose_all();
        nodes.wait(Duration::millis(100));
    }
    nodes.settle(&[N1, N4]);
    assert_eq!(ended(&nodes, 1), None, "it neither ends nor turns back");
    nodes.restart(N3);
    nodes.run(Duration::millis(300));
    assert_eq!(ended(&nodes, 1), Some(Outcome::Completed));
    assert_eq!(standing(&nodes, "d"), 1_000);
}

/// The request names the saga: it runs once, whatever is retried and whoever crashes.
#[test]
fn a_retried_request_runs_once() {
    let mut nodes = nodes(Isolation::None);
    run(&mut nodes, 1, &sequence(10));
    nodes.crash(N1, Image::Nothing);
    nodes.restart(N1);
    run(&mut nodes, 1, &sequence(10));
    assert!(nodes.ignored.contains(&"run: under way"));
    nodes.settle(&ALL);
    assert_eq!(ended(&nodes, 1), Some(Outcome::Completed));
    nodes.crash(N1, Image::Nothing);
    nodes.restart(N1);
    run(&mut nodes, 1, &sequence(10));
    nodes.settle(&ALL);
    assert_eq!(nodes.told.len(), 2);
    assert_eq!(all_standing(&nodes), [-10, -10, 20, 0]);
    run(&mut nodes, 5, &sequence(1));
    run(&mut nodes, 3, &sequence(1));
    assert!(nodes.ignored.contains(&"run: its client has gone on"));
}

/// Sagas are not isolated: a reader sees a step that is compensated later.
#[test]
fn without_isolation_a_reader_sees_what_is_taken_back() {
    let mut nodes = nodes(Isolation::None);
    run(&mut nodes, 1, &sequence(40));
    nodes.pass(N1, N2);
    nodes.ask(N2, request(2, 1), Request::Read(K2.into()));
    assert_eq!(nodes.answer(request(2, 1)), Some(&Response::Standing(vec![(saga(1), -40)])));
    nodes.settle(&ALL);
    assert_eq!(ended(&nodes, 1), Some(Outcome::Compensated));
}

/// Richardson 4.3.2: a pending account makes readers wait and other sagas turn back, until the saga
/// is over, one way or the other.
#[test]
fn a_semantic_lock_hides_what_may_be_taken_back() {
    for (amount, outcome, seen) in
        [(40, Outcome::Compensated, vec![]), (10, Outcome::Completed, vec![(saga(1), -10)])]
    {
        let mut nodes = nodes(Isolation::SemanticLock);
        run(&mut nodes, 1, &sequence(amount));
        nodes.pass(N1, N2);
        nodes.ask(N2, request(2, 1), Request::Read(K2.into()));
        assert_eq!(nodes.answer(request(2, 1)), None, "the reader waits");
        run(&mut nodes, 2, &sequence(1));
        let place = nodes.wire.iter().position(|(_, to, _)| *to == N2);
        let (from, to, message) = nodes.wire.remove(place.expect("the second saga begins"));
        let effects = nodes.deliver(from, to, message);
        assert_eq!(sent(&effects), [(N1, Message::Refused { saga: saga(2), index: 0 })]);
        nodes.settle(&ALL);
        assert_eq!(
            (ended(&nodes, 1), ended(&nodes, 2)),
            (Some(outcome), Some(Outcome::Compensated))
        );
        assert_eq!(nodes.answer(request(2, 1)), Some(&Response::Standing(seen)));
    }
}

/// A client may ask any node, and is told whom to ask.
#[test]
fn who_cannot_help_says_who_can() {
    let mut nodes = nodes(Isolation::None);
    nodes.ask(N2, request(1, 1), Request::Run { sequence: 1, plan: sequence(1) });
    assert_eq!(nodes.answer(request(1, 1)), Some(&Response::Elsewhere(N1)));
    for asked in [N1, N3] {
        nodes.ask(asked, request(1, 2), Request::Read(K2.into()));
        assert_eq!(nodes.answer(request(1, 2)), Some(&Response::Elsewhere(N2)));
    }
}
