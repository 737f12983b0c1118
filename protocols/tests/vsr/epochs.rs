//! Section 7, by claim: how one epoch follows another.

use crate::by_hand::{Bench, N1, N2, N3, N4, N5, request};
use seedfall_protocols::kv::{Answer, Command};
use seedfall_protocols::vsr::reconfiguration::{
    self, AcrossEpochs, Config, GROUP, Member, Message, Request, Response, read, written,
};
use seedfall_protocols::vsr::{self, Replica};
use seedfall_sim::{Duration, NodeId};

type Watched = Bench<Member, AcrossEpochs>;

const INTERVAL: Duration = Duration::millis(20);
const REPLICA: vsr::Config =
    vsr::Config { interval: INTERVAL, view_change_after: Duration::millis(70), recovers: true };
const ALL: [NodeId; 5] = [N1, N2, N3, N4, N5];
const DONE: Response = Response::Done(Answer::Done);

/// Five nodes, of which the first three are the group.
fn five() -> Watched {
    Bench::watched(5, Config { replica: REPLICA, members: 3 }, reconfiguration::invariants())
}

fn append(value: &str) -> Request {
    Request::Ask(Command::Append { key: "x".into(), value: value.into() })
}

fn get(key: &str) -> Request {
    Request::Ask(Command::Get { key: key.into() })
}

fn value(text: &str) -> Response {
    Response::Done(Answer::Value(Some(text.into())))
}

fn change(group: &[NodeId]) -> Request {
    Request::Reconfigure(group.to_vec())
}

/// Time goes on while these alone can talk.
fn pass(bench: &mut Watched, among: &[NodeId], span: Duration) {
    for _ in 0..span.as_nanos() / INTERVAL.as_nanos() {
        bench.wait(INTERVAL);
        bench.settle(among);
        bench.lose_all();
    }
}

fn epochs(bench: &Watched) -> Vec<u32> {
    ALL.into_iter().map(|id| bench.at(id).configuration().epoch).collect()
}

/// An update of the first group, and then this group.
fn replaced_by(group: &[NodeId]) -> Watched {
    let mut bench = five();
    bench.ask(N1, request(1, 0), append("a"));
    bench.settle(&ALL);
    bench.ask(N1, request(1, 1), change(group));
    bench
}

/// 7.1: the epoch ends once a quorum of the *old* group has prepared the RECONFIGURATION; the new
/// group has all that came before, and serves.
#[test]
fn the_new_group_has_the_state_and_serves() {
    let mut bench = replaced_by(&[N3, N4, N5]);
    bench.settle(&ALL);
    pass(&mut bench, &ALL, Duration::millis(60));
    assert_eq!(bench.answer(request(1, 1)), Some(&DONE));
    assert_eq!(epochs(&bench), [1; 5]);
    assert!(bench.at(N1).replica().is_none() && bench.at(N4).replica().is_some());
    bench.ask(N3, request(2, 0), get("x"));
    bench.ask(N3, request(3, 0), get(GROUP));
    bench.settle(&ALL);
    assert_eq!(bench.answer(request(2, 0)), Some(&value("a")));
    assert_eq!(bench.answer(request(3, 0)), Some(&value("n3 n4 n5")));
}

/// 7.1: the primary takes no request more as soon as the RECONFIGURATION is in its log.
#[test]
fn nothing_is_accepted_behind_a_reconfiguration() {
    let mut bench = replaced_by(&[N3, N4, N5]);
    bench.ask(N1, request(2, 0), append("b"));
    assert_eq!(bench.answer(request(2, 0)), Some(&Response::Elsewhere(None)));
    assert_eq!(bench.at(N1).replica().map(|replica| replica.log().len()), Some(2));
}

/// 7.1: less than a quorum of the old group ends nothing, whoever else is reached.
#[test]
fn the_new_group_cannot_end_the_epoch_of_the_old_one() {
    let mut bench = replaced_by(&[N1, N4, N5]);
    pass(&mut bench, &[N1, N4, N5], Duration::millis(200));
    assert_eq!(epochs(&bench), [0; 5]);
    assert_eq!(bench.answer(request(1, 1)), None);
}

/// 7.1: the primary that was asked stops; the next one finds the RECONFIGURATION and ends the
/// epoch.
#[test]
fn the_next_primary_ends_the_epoch_that_the_first_one_was_to_end() {
    let mut bench = replaced_by(&[N2, N4, N5]);
    bench.pass(N1, N2);
    bench.lose_all();
    pass(&mut bench, &[N2, N3, N4, N5], Duration::millis(300));
    assert_eq!(epochs(&bench), [0, 1, 1, 1, 1]);
    assert!(bench.reached.contains(&"epoch: ended by another primary than the one that was asked"));
    bench.ask(N2, request(2, 0), get("x"));
    bench.settle(&[N2, N4, N5]);
    assert_eq!(bench.answer(request(2, 0)), Some(&value("a")));
}

/// The deviation: a primary commits, tells one new replica, and stops. The others have what it
/// committed and do not know it; if they stopped at the word of the new one, nobody had the state.
#[test]
fn who_is_told_of_an_epoch_without_its_state_finds_out_in_its_own() {
    let mut bench = replaced_by(&[N3, N4, N5]);
    bench.settle_if(&[N1, N2, N3], |message| {
        matches!(message, Message::Of { message: vsr::Message::Prepare { .. }, .. })
    });
    bench.pass(N2, N1);
    assert_eq!(epochs(&bench), [1, 0, 0, 0, 0]);
    bench.pass(N1, N4);
    bench.lose_all();
    pass(&mut bench, &[N2, N3, N4, N5], Duration::millis(400));
    assert_eq!(epochs(&bench), [1; 5]);
    bench.ask(N4, request(2, 0), get("x"));
    bench.ask(N3, request(2, 0), get("x"));
    bench.settle(&[N2, N3, N4, N5]);
    assert_eq!(bench.answer(request(2, 0)), Some(&value("a")));
}

/// 7.1.1: a new replica takes part once it has all that came before, not as soon as it is told.
#[test]
fn a_new_replica_takes_part_once_it_has_the_state() {
    let mut bench = replaced_by(&[N1, N2, N4]);
    bench.pass(N1, N2);
    bench.pass(N2, N1);
    assert_eq!(bench.at(N1).configuration().epoch, 1);
    bench.pass(N1, N4); // StartEpoch.
    assert!(bench.at(N4).replica().is_none());
    bench.settle(&[N1, N4]);
    assert_eq!(bench.at(N4).replica().map(|replica| replica.committed().len()), Some(2));
}

/// 7.1.2: who is replaced keeps the state until `f' + 1` have it, and shuts down then.
#[test]
fn a_replaced_replica_shuts_down_once_a_quorum_has_started() {
    let mut bench = replaced_by(&[N3, N4, N5]);
    bench.settle(&[N1, N2]);
    pass(&mut bench, &[N1, N2, N4], Duration::millis(60));
    assert!(bench.at(N1).is_replaced(), "one has it, of three");
    pass(&mut bench, &[N1, N2, N4, N5], Duration::millis(60));
    assert!(!bench.at(N1).is_replaced() && !bench.at(N2).is_replaced());
}

/// 7.1.2: EPOCHSTARTED may be lost; who is replaced asks, and is told again.
#[test]
fn a_replica_that_has_started_says_so_again() {
    let mut bench = replaced_by(&[N3, N4, N5]);
    bench.settle_if(&ALL, |message| !matches!(message, Message::EpochStarted { .. }));
    assert!(bench.at(N1).is_replaced());
    bench.lose_all();
    pass(&mut bench, &ALL, Duration::millis(40));
    assert!(!bench.at(N1).is_replaced());
}

/// 7.2: what comes from an earlier epoch is not heard, but answered with the present one; so a
/// replica that missed the end of its epoch learns of it.
#[test]
fn nothing_of_an_earlier_epoch_is_heard() {
    let mut bench = replaced_by(&[N1, N2, N4]);
    bench.settle(&[N1, N2, N4]);
    bench.lose_all();
    let log = bench.at(N1).replica().map(Replica::log).map(<[_]>::len);
    let message = vsr::Message::StartViewChange { view: 1 };
    bench.deliver(N3, N1, Message::Of { epoch: 0, message });
    assert_eq!(
        bench.at(N1).replica().map(|replica| (replica.view(), replica.log().len())),
        log.map(|len| (0, len))
    );
    bench.settle(&ALL);
    assert_eq!(bench.at(N3).configuration().epoch, 1);
}

/// 7.4: who has shut down says where the group is.
#[test]
fn who_has_shut_down_names_the_group() {
    let mut bench = replaced_by(&[N3, N4, N5]);
    bench.settle(&ALL);
    bench.ask(N1, request(2, 0), get("x"));
    assert_eq!(bench.answer(request(2, 0)), Some(&Response::Elsewhere(Some(N3))));
}

/// A request that is asked for again in the next epoch had its effect in the one before.
#[test]
fn the_client_table_survives_the_epoch() {
    let mut bench = replaced_by(&[N3, N4, N5]);
    bench.settle(&ALL);
    bench.ask(N3, request(1, 1), change(&[N3, N4, N5]));
    assert_eq!(bench.answer(request(1, 1)), Some(&DONE));
    pass(&mut bench, &ALL, Duration::millis(60));
    assert_eq!(epochs(&bench), [1; 5]);
}

/// Who was replaced is a new replica if it is added again.
#[test]
fn who_was_replaced_may_come_back() {
    let mut bench = replaced_by(&[N3, N4, N5]);
    bench.settle(&ALL);
    pass(&mut bench, &ALL, Duration::millis(60));
    bench.ask(N3, request(1, 2), change(&[N1, N2, N3, N4, N5]));
    bench.settle(&ALL);
    pass(&mut bench, &ALL, Duration::millis(60));
    assert_eq!(epochs(&bench), [2; 5]);
    bench.ask(N1, request(2, 0), append("b"));
    bench.settle(&ALL);
    assert_eq!(bench.answer(request(2, 0)), Some(&DONE));
    assert!(ALL.into_iter().all(|id| bench.at(id).replica().is_some()));
}

/// 7.1: a group of less than three is refused; so is what names nobody, or goes round the request.
#[test]
fn no_group_of_less_than_three() {
    let mut bench = five();
    let put = Command::Put { key: GROUP.into(), value: "n1 n2 n3".into() };
    let beyond = NodeId::new(5);
    let refused = [change(&[N1, N2]), change(&[N1, N2, beyond]), change(&[N1, N1, N2])];
    for (number, body) in refused.into_iter().chain([Request::Ask(put)]).enumerate() {
        bench.ask(N1, request(1, number as u32), body);
        assert_eq!(bench.answer(request(1, number as u32)), Some(&Response::Refused));
    }
}

#[test]
fn a_group_is_read_as_it_is_written() {
    let group = vec![N2, N4, N5];
    assert_eq!(read(&written(&group)), Some(group));
    assert_eq!([read(""), read("n0"), read("n1 x")], [None, None, None]);
}
