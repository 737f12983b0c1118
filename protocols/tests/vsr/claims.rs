//! What the paper claims, by section, and what it leaves open.

use crate::by_hand::{Bench, Image, N1, N2, N3, N4, N5, request};
use seedfall_protocols::kv::{Answer, Command};
use seedfall_protocols::machine::Update;
use seedfall_protocols::vsr::{
    self, Config, Invariants, Message, Replica, Request, Response, Status, View,
};
use seedfall_sim::{Duration, NodeId};

type Watched = Bench<Replica, Invariants>;

const INTERVAL: Duration = Duration::millis(20);
const CONFIG: Config =
    Config { interval: INTERVAL, view_change_after: Duration::millis(70), recovers: true };
const ALL: [NodeId; 3] = [N1, N2, N3];

fn append(value: &str) -> Request {
    Request(Command::Append { key: "x".into(), value: value.into() })
}

fn get() -> Request {
    Request(Command::Get { key: "x".into() })
}

fn value(text: &str) -> Response {
    Response::Done(Answer::Value(Some(text.into())))
}

const DONE: Response = Response::Done(Answer::Done);

fn three() -> Watched {
    Bench::watched(3, CONFIG, vsr::invariants())
}

/// Time goes on while these alone can talk.
fn pass(bench: &mut Watched, among: &[NodeId], span: Duration) {
    for _ in 0..span.as_nanos() / INTERVAL.as_nanos() {
        bench.wait(INTERVAL);
        bench.settle(among);
        bench.lose_all();
    }
}

/// An update of the first primary that all have.
fn with_one() -> Watched {
    let mut bench = three();
    bench.ask(N1, request(1, 0), append("a"));
    bench.settle(&ALL);
    assert_eq!(bench.answer(request(1, 0)), Some(&DONE));
    bench
}

fn views(bench: &Watched, of: &[NodeId]) -> Vec<View> {
    of.iter().map(|id| bench.at(*id).normal_view()).collect()
}

/// 4.1: an operation is committed once `f` backups have prepared it.
#[test]
fn an_operation_is_answered_once_a_quorum_has_it() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), append("a"));
    bench.pass(N1, N2);
    assert_eq!(bench.answer(request(1, 0)), None);
    bench.pass(N2, N1);
    assert_eq!(bench.answer(request(1, 0)), Some(&DONE));
}

/// 4.1: "backups process Prepare messages in order"; what is missing is fetched (5.2).
#[test]
fn a_backup_prepares_nothing_out_of_order() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), append("a"));
    bench.lose_all();
    bench.ask(N1, request(2, 0), append("b"));
    bench.pass(N1, N2);
    assert!(bench.at(N2).log().is_empty());
    bench.settle(&ALL);
    assert_eq!(bench.at(N2).log().len(), 2);
}

/// 4.1: a request that is not newer than what the client-table says is dropped, or answered anew.
#[test]
fn a_retry_has_no_second_effect() {
    let mut bench = with_one();
    bench.ask(N1, request(1, 0), append("a"));
    bench.settle(&ALL);
    assert_eq!(bench.told.len(), 2);
    bench.ask(N1, request(1, 1), get());
    bench.settle(&ALL);
    assert_eq!(bench.answer(request(1, 1)), Some(&value("a")));
}

/// 4.2: what was committed is in the next view, though only one of those who form it has it.
#[test]
fn what_was_committed_survives_the_primary() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), append("a"));
    bench.pass(N1, N3);
    bench.pass(N3, N1);
    assert_eq!(bench.answer(request(1, 0)), Some(&DONE));
    bench.lose_all();
    pass(&mut bench, &[N2, N3], Duration::millis(200));
    assert_eq!(views(&bench, &[N2, N3]), [1, 1]);
    bench.ask(N2, request(2, 0), get());
    bench.settle(&[N2, N3]);
    assert_eq!(bench.answer(request(2, 0)), Some(&value("a")));
}

/// 4.2: the log of the latest normal view wins, not the longest one.
#[test]
fn the_log_of_the_latest_view_is_the_best() {
    let mut bench = three();
    for number in 0..3 {
        bench.ask(N1, request(1, number), append("of nobody")); // Nobody else has these.
    }
    bench.lose_all();
    pass(&mut bench, &[N2, N3], Duration::millis(200));
    bench.ask(N2, request(2, 0), append("b"));
    bench.settle(&[N2, N3]);
    assert_eq!(bench.answer(request(2, 0)), Some(&DONE));
    pass(&mut bench, &[N1, N3], Duration::millis(300));
    let primary = ALL
        .into_iter()
        .find(|id| bench.at(*id).normal_view() > 1 && bench.at(*id).log().len() == 1);
    assert!(primary.is_some(), "{:?}", views(&bench, &ALL));
    pass(&mut bench, &ALL, Duration::millis(300));
    assert!(ALL.into_iter().all(|id| bench.at(id).log().len() == 1));
}

/// 4.2: a primary that was replaced commits nothing more.
#[test]
fn a_primary_alone_commits_nothing() {
    let mut bench = with_one();
    pass(&mut bench, &[N2, N3], Duration::millis(200));
    bench.ask(N1, request(2, 0), append("late"));
    let ok = Message::PrepareOk { view: 1, op: 2 };
    bench.deliver(N2, N1, ok);
    assert_eq!(bench.answer(request(2, 0)), None);
}

/// 4.3: a replica that lost its state says nothing of any view before it has it again.
#[test]
fn a_replica_that_was_down_fetches_its_state_first() {
    let mut bench = with_one();
    bench.crash(N2, Image::Nothing);
    bench.restart(N2);
    assert_eq!((bench.at(N2).status(), bench.at(N2).log().len()), (Status::Recovering, 0));
    let update = Update { request: request(2, 0), command: append("b").0 };
    bench.deliver(N1, N2, Message::Prepare { view: 0, op: 1, update, commit: 0 });
    assert!(bench.at(N2).log().is_empty());
    bench.settle(&ALL);
    assert_eq!((bench.at(N2).status(), bench.at(N2).log().len()), (Status::Normal, 1));
}

/// 4.3, step 3: not without the primary of the latest view that anybody names.
#[test]
fn recovery_waits_for_the_primary_of_the_latest_view() {
    let mut bench = Bench::watched(5, CONFIG, vsr::invariants());
    bench.crash(N5, Image::Nothing);
    bench.restart(N5);
    bench.lose_all();
    let answer = |view, state| Message::RecoveryResponse { view, nonce: 1, state };
    bench.deliver(N1, N5, answer(0, Some((Vec::new(), 0))));
    bench.deliver(N3, N5, answer(1, None));
    bench.deliver(N4, N5, answer(1, None));
    assert_eq!(bench.at(N5).status(), Status::Recovering);
    bench.deliver(N2, N5, answer(1, Some((Vec::new(), 0))));
    assert_eq!((bench.at(N5).status(), bench.at(N5).view()), (Status::Normal, 1));
}

/// 4.3: "the nonce": what was said to an earlier life does not count.
#[test]
fn an_answer_to_an_earlier_life_does_not_count() {
    let mut bench = with_one();
    for _ in 0..2 {
        bench.crash(N3, Image::Nothing);
        bench.restart(N3);
    }
    bench.lose_all();
    for from in [N1, N2] {
        let state = (from == N1).then(|| (Vec::new(), 0));
        bench.deliver(from, N3, Message::RecoveryResponse { view: 0, nonce: 1, state });
    }
    assert_eq!(bench.at(N3).status(), Status::Recovering);
}

/// The paper keeps nothing durable. Then a replica that asked for a view and crashed would help to
/// commit in the view before, and what it had said counted for the one after (Michael et al. 2017).
#[test]
fn a_replica_that_asked_for_a_view_recovers_in_no_earlier_one() {
    let mut bench = Bench::watched(5, CONFIG, vsr::invariants());
    bench.deliver(N2, N3, Message::StartViewChange { view: 1 });
    bench.crash(N3, Image::Nothing);
    bench.lose_all();
    bench.restart(N3);
    bench.settle(&[N1, N3, N4, N5]);
    assert!(0 < bench.at(N1).view(), "whoever hears of it begins the view");
    bench.lose_all();
    for from in [N1, N4, N5] {
        let state = (from == N1).then(|| (Vec::new(), 0));
        bench.deliver(from, N3, Message::RecoveryResponse { view: 0, nonce: 1, state });
    }
    assert_eq!(bench.at(N3).status(), Status::Recovering);
}

/// 5.2 cuts the log of a replica that hears of a later view at once. Here it keeps it until the new
/// one has come: it may be needed.
#[test]
fn a_replica_that_is_behind_keeps_its_log_until_it_has_the_new_one() {
    let mut bench = three();
    bench.ask(N1, request(1, 0), append("a"));
    bench.pass(N1, N2); // It has this, and does not know that it is committed.
    bench.lose_all();
    bench.deliver(N3, N2, Message::Commit { view: 2, commit: 1 });
    assert_eq!((bench.at(N2).log().len(), bench.at(N2).normal_view()), (1, 0));
    let updates = vec![Update { request: request(2, 0), command: append("b").0 }];
    bench.deliver(N3, N2, Message::NewState { view: 2, after: 0, updates, commit: 1 });
    assert_eq!(bench.at(N2).log()[0].request, request(2, 0));
    assert_eq!(bench.at(N2).normal_view(), 2);
}

/// 4.3: with more than `f` failed, nothing wrong is told, and nothing at all.
#[test]
fn who_has_lost_the_state_of_all_says_nothing() {
    let mut bench = with_one();
    for id in [N1, N2] {
        bench.crash(id, Image::Nothing);
        bench.restart(id);
    }
    pass(&mut bench, &ALL, Duration::secs(1));
    bench.told.clear();
    for id in ALL {
        bench.ask(id, request(2, 0), get());
    }
    bench.settle(&ALL);
    assert!(bench.told.iter().all(|(_, told)| matches!(told, Response::Elsewhere(_))));
}
