//! Richardson, sections 3.3.7 and 4.2.1: services that pass a saga on, without an orchestrator.

use crate::by_hand::{Bench, Image, N1, N2, N3, request, sent, written};
use crate::support::{config, saga, step};
use seedfall_protocols::saga::choreographed::{
    EventId, Message, Record, Request, Response, Service, Turn, service_of,
};
use seedfall_protocols::saga::{self as sagas, Books, Invariants, Isolation, Kind, Outcome, Plan};
use seedfall_sim::{Duration, NodeId};

type Nodes = Bench<Service, Invariants>;

/// An account of each service, in the order of the plan.
const ACCOUNTS: [&str; 4] = ["c", "a", "b", "f"];
const ALL: [NodeId; 3] = [N1, N2, N3];

fn nodes() -> Nodes {
    assert_eq!(ACCOUNTS.map(|account| service_of(account, 3)), [N1, N2, N3, N1]);
    Bench::watched(3, config(Isolation::None), sagas::invariants())
}

/// Two payers, a pivot, and a step that cannot be refused, which the initiator takes.
fn plan(amount: i64) -> Plan {
    let kinds = [Kind::Compensatable, Kind::Compensatable, Kind::Pivot, Kind::Retriable];
    let amounts = [-amount, -amount, amount, amount];
    let steps = kinds.into_iter().zip(ACCOUNTS).zip(amounts);
    let stages = steps.map(|((kind, account), amount)| vec![step(kind, account, amount)]);
    Plan { stages: stages.collect() }
}

fn run(nodes: &mut Nodes, amount: i64) {
    nodes.ask(N1, request(1, 1), Request::Run { sequence: 1, plan: plan(amount) });
}

fn ended(nodes: &Nodes) -> Option<Outcome> {
    match nodes.answer(request(1, 1))? {
        Response::Ended(outcome) => Some(*outcome),
        other => panic!("told {other:?}"),
    }
}

fn standing(nodes: &Nodes) -> [i64; 4] {
    ACCOUNTS.map(|account| {
        let ledger = nodes.at(service_of(account, 3)).ledger().expect("all have accounts");
        ledger.standing(account).iter().map(|(_, amount)| amount).sum()
    })
}

fn event(turn: Turn, index: u32) -> EventId {
    EventId { saga: saga(1), turn, index }
}

/// The one event that is under way, and where to.
fn under_way(nodes: &Nodes) -> (NodeId, EventId) {
    let events = nodes.wire.iter().filter_map(|(_, to, message)| match message {
        Message::Event { id, .. } => Some((*to, *id)),
        Message::Acknowledge { .. } => None,
    });
    let events: Vec<_> = events.collect();
    assert_eq!(events.len(), 1, "one event at a time: {events:?}");
    events[0]
}

/// 4.2.1: each service takes its step and passes the saga on; the last tells the first.
#[test]
fn a_saga_is_passed_on_from_step_to_step() {
    let mut nodes = nodes();
    run(&mut nodes, 10);
    assert_eq!(under_way(&nodes), (N2, event(Turn::Advance, 1)));
    nodes.pass(N1, N2);
    nodes.pass(N2, N3);
    nodes.pass(N3, N1);
    // The initiator takes the last step too, and tells itself.
    assert_eq!(ended(&nodes), Some(Outcome::Completed));
    nodes.settle(&ALL);
    assert_eq!(standing(&nodes), [-10, -10, 10, 10]);
    assert!(ALL.iter().all(|node| nodes.at(*node).unfinished().is_none()));
}

/// A refusal is passed back, and each service compensates its step: last first.
#[test]
fn a_refusal_is_passed_back() {
    let mut nodes = nodes();
    run(&mut nodes, 60);
    nodes.pass(N1, N2);
    nodes.pass(N2, N3);
    nodes.wire.retain(|(_, _, message)| matches!(message, Message::Event { .. }));
    assert_eq!(under_way(&nodes), (N2, event(Turn::Retreat, 1)));
    nodes.pass(N3, N2);
    nodes.wire.retain(|(_, _, message)| matches!(message, Message::Event { .. }));
    assert_eq!(under_way(&nodes), (N1, event(Turn::Retreat, 0)));
    nodes.pass(N2, N1);
    assert_eq!(ended(&nodes), Some(Outcome::Compensated));
    assert_eq!(standing(&nodes), [0; 4]);
}

/// 3.3.7, transactional outbox: what was done and the event that follows are one record, forced
/// before the event leaves and before the event that led to it is acknowledged.
#[test]
fn a_step_and_its_event_are_one_record() {
    let mut nodes = nodes();
    run(&mut nodes, 10);
    let effects = nodes.pass(N1, N2);
    let records = written(&effects);
    let [(Record::Handled { entry: Some(_), event: next, .. }, true)] = &records[..] else {
        panic!("one record: {records:?}");
    };
    assert_eq!(*next, Some((Turn::Advance, 2)));
    let sent = sent(&effects);
    assert!(matches!(&sent[..], [(N3, Message::Event { .. }), (N1, Message::Acknowledge { .. })]));
}

/// 3.3.7: an event is sent until it is acknowledged, across crashes; twice received, done once.
#[test]
fn an_event_arrives_and_is_done_once() {
    let mut nodes = nodes();
    run(&mut nodes, 10);
    nodes.lose_all();
    nodes.wait(Duration::millis(30));
    assert_eq!(under_way(&nodes), (N2, event(Turn::Advance, 1)), "sent again");
    nodes.crash(N1, Image::Nothing);
    nodes.restart(N1);
    assert!(nodes.reached.contains(&"recovery: an event is sent again"));
    nodes.settle(&ALL);
    assert!(nodes.reached.contains(&"advance: repeated, it had its one effect"));
    assert_eq!(standing(&nodes), [-10, -10, 10, 10]);
}

/// A cancellation overtakes the saga: it leaves a tombstone, and the event that comes after it
/// nothing.
#[test]
fn a_cancellation_that_overtakes_leaves_a_tombstone() {
    let mut nodes = nodes();
    run(&mut nodes, 10);
    let late = nodes.wire.remove(0);
    // The initiator waits three times the longest backoff.
    for _ in 0..6 {
        nodes.wait(Duration::millis(50));
        nodes.wire.retain(|(_, _, message)| {
            !matches!(message, Message::Event { id, .. } if id.turn == Turn::Advance)
        });
    }
    assert!(nodes.reached.contains(&"timeout: the initiator cancels"));
    nodes.settle(&ALL);
    assert!(nodes.reached.contains(&"cancel: before its step, it left a tombstone"));
    assert_eq!(ended(&nodes), Some(Outcome::Compensated));
    nodes.deliver(late.0, late.1, late.2);
    assert!(nodes.reached.contains(&"advance: behind its tombstone, it came to nothing"));
    assert_eq!(standing(&nodes), [0; 4]);
    nodes.run(Duration::millis(500));
    assert!(ALL.iter().all(|node| nodes.at(*node).unfinished().is_none()));
}

/// A cancellation that comes to a pivot that took place is too late.
#[test]
fn past_its_pivot_a_saga_is_not_cancelled() {
    let mut nodes = nodes();
    run(&mut nodes, 10);
    nodes.pass(N1, N2);
    nodes.pass(N2, N3);
    nodes.lose_all();
    nodes.crash(N3, Image::Nothing);
    nodes.wait(Duration::millis(300));
    assert!(nodes.reached.contains(&"timeout: the initiator cancels"));
    nodes.settle(&[N1, N2]);
    nodes.restart(N3);
    nodes.run(Duration::millis(500));
    assert!(nodes.reached.contains(&"cancel: too late, the saga is past its pivot"));
    assert_eq!(ended(&nodes), Some(Outcome::Completed));
    assert_eq!(standing(&nodes), [-10, -10, 10, 10]);
}

/// The request names the saga: it runs once.
#[test]
fn a_retried_request_runs_once() {
    let mut nodes = nodes();
    nodes.ask(N2, request(1, 1), Request::Run { sequence: 1, plan: plan(10) });
    assert_eq!(nodes.answer(request(1, 1)), Some(&Response::Elsewhere(N1)));
    run(&mut nodes, 10);
    nodes.crash(N1, Image::Nothing);
    nodes.restart(N1);
    run(&mut nodes, 10);
    assert!(nodes.ignored.contains(&"run: under way"));
    nodes.settle(&ALL);
    assert_eq!(ended(&nodes), Some(Outcome::Completed));
    run(&mut nodes, 10);
    assert!(nodes.reached.contains(&"run: a retry was answered without a second run"));
    assert_eq!(standing(&nodes), [-10, -10, 10, 10]);
}

/// One run with crashes at these effects; the client asks until it is answered.
fn run_with_crashes(amount: i64, crashes: &[usize], image: Image, down: Duration) -> usize {
    let mut nodes = nodes();
    let body = Request::Run { sequence: 1, plan: plan(amount) };
    let asked = (N1, request(1, 1), &body);
    let effects = nodes.ask_through_crashes(asked, 30, (crashes, image), down);
    let context = format!("{amount}, {image:?}, down {down}");
    for node in ALL {
        assert_eq!(nodes.at(node).unfinished(), None, "{context}: {node}");
    }
    let wanted = match ended(&nodes) {
        Some(Outcome::Completed) => [-amount, -amount, amount, amount],
        Some(Outcome::Compensated) => [0; 4],
        None => panic!("{context}: it did not end"),
    };
    assert_eq!(standing(&nodes), wanted, "{context}");
    effects
}

#[test]
fn a_crash_at_any_effect_leaves_all_or_compensated() {
    let mut points = 0;
    for amount in [10, 60] {
        let effects = run_with_crashes(amount, &[], Image::All, Duration::millis(1));
        assert!(effects > 20, "a whole saga: {effects}");
        for at in 0..effects {
            for image in [Image::Nothing, Image::All] {
                for down in [1, 50, 400].map(Duration::millis) {
                    run_with_crashes(amount, &[at], image, down);
                    points += 1;
                }
            }
            for next in 0..10 {
                let down = Duration::millis(50);
                run_with_crashes(amount, &[at, next], Image::Nothing, down);
            }
        }
    }
    assert!(points > 300, "{points} crash points");
}
