//! What the sources claim, and the two stories by which Kafka came to leader epochs.

use crate::by_hand::{Bench, Image, N1, N2, N3, N4, request};
use seedfall_protocols::kv::{Answer, Command};
use seedfall_protocols::machine::Update;
use seedfall_protocols::primary_backup::{
    self, Acks, Config, Entry, Invariants, Message, Node, Request, Response, Truncation,
};
use seedfall_sim::{Duration, NodeId, Protocol as _};

type Watched = Bench<Node, Invariants>;

const INTERVAL: Duration = Duration::millis(20);
const CONFIG: Config = Config {
    interval: INTERVAL,
    remove_after: Duration::millis(90),
    acks: Acks::InSync,
    truncation: Truncation::Epoch,
};
const ALL: [NodeId; 4] = [N1, N2, N3, N4];

fn put(value: &str) -> Request {
    Request(Command::Put { key: "x".into(), value: value.into() })
}

fn get() -> Request {
    Request(Command::Get { key: "x".into() })
}

fn value(text: &str) -> Response {
    Response::Done(Answer::Value(Some(text.into())))
}

const DONE: Response = Response::Done(Answer::Done);

/// Time goes on while these alone can talk.
fn pass(bench: &mut Watched, among: &[NodeId], span: Duration) {
    for _ in 0..span.as_nanos() / INTERVAL.as_nanos() {
        bench.wait(INTERVAL);
        bench.settle(among);
        bench.lose_all();
    }
}

/// The controller n1, the primary n2, and its backups n3 and n4.
fn with(config: Config) -> Watched {
    let mut bench = Bench::watched(4, config, primary_backup::invariants());
    bench.settle(&ALL);
    bench
}

fn four() -> Watched {
    with(CONFIG)
}

fn len(bench: &Watched, of: NodeId) -> usize {
    bench.at(of).replica().expect("a replica").log().len()
}

fn primary(bench: &Watched) -> NodeId {
    bench.at(N1).view().primary
}

/// An update is answered once all in sync have it.
#[test]
fn an_update_is_answered_once_all_in_sync_have_it() {
    let mut bench = four();
    bench.ask(N2, request(1, 0), put("a"));
    bench.settle(&[N2, N3]);
    assert_eq!(bench.answer(request(1, 0)), None, "n4 does not have it");
    bench.settle(&ALL);
    assert_eq!(bench.answer(request(1, 0)), Some(&DONE));
}

/// Who is silent is taken out, and the others go on.
#[test]
fn a_silent_backup_is_taken_out_and_comes_back() {
    let mut bench = four();
    pass(&mut bench, &[N1, N2, N3], Duration::millis(200));
    assert_eq!(bench.at(N1).view().in_sync, [N2, N3]);
    bench.ask(N2, request(1, 0), put("a"));
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.answer(request(1, 0)), Some(&DONE));
    pass(&mut bench, &ALL, Duration::millis(200));
    assert_eq!(bench.at(N1).view().in_sync.len(), 3);
    assert_eq!(len(&bench, N4), 1);
}

/// A backup in sync takes over, with all that was answered.
#[test]
fn a_silent_primary_is_replaced() {
    let mut bench = four();
    bench.ask(N2, request(1, 0), put("a"));
    bench.settle(&ALL);
    bench.crash(N2, Image::All);
    pass(&mut bench, &[N1, N3, N4], Duration::millis(300));
    let primary = primary(&bench);
    assert_ne!(primary, N2);
    bench.ask(primary, request(2, 0), get());
    bench.settle(&[N1, N3, N4]);
    assert_eq!(bench.answer(request(2, 0)), Some(&value("a")));
}

/// A primary that was replaced and does not know commits nothing, and tells nothing old.
#[test]
fn a_primary_that_was_replaced_commits_nothing() {
    let mut bench = four();
    pass(&mut bench, &[N1, N3, N4], Duration::millis(200));
    bench.ask(N2, request(1, 0), put("late"));
    bench.ask(N2, request(2, 0), get());
    bench.settle(&[N2, N3, N4]);
    assert!(bench.told.is_empty(), "{:?}", bench.told);
    assert!(len(&bench, N3) == 0 && len(&bench, N4) == 0);
}

/// Nobody who is not in sync ever leads: with the last that is, the store waits.
#[test]
fn nobody_leads_who_is_not_in_sync() {
    let mut bench = four();
    pass(&mut bench, &[N1, N2], Duration::millis(300));
    assert_eq!(bench.at(N1).view().in_sync, [N2]);
    pass(&mut bench, &[N1, N3, N4], Duration::millis(300));
    assert_eq!(primary(&bench), N2);
}

/// The primary must not commit without somebody whom it has asked to be in sync: the controller may
/// have him in sync already.
#[test]
fn who_may_be_in_sync_in_a_moment_must_have_everything() {
    let mut bench = four();
    pass(&mut bench, &[N1, N2, N3], Duration::millis(200));
    let view = bench.at(N1).view().clone();
    bench.deliver(N1, N4, Message::View(view));
    for _ in 0..2 {
        bench.settle(&[N2, N3, N4]); // n4 catches up, and the controller hears nothing of it.
        bench.wait(INTERVAL);
    }
    bench.lose_all();
    bench.ask(N2, request(1, 0), put("a"));
    bench.settle(&[N2, N3]);
    assert_eq!(bench.answer(request(1, 0)), None);
}

/// A primary that was down does not know whom it had asked for.
#[test]
fn a_primary_that_was_down_commits_nothing_before_another_epoch() {
    let mut bench = four();
    bench.crash(N2, Image::All);
    bench.restart(N2);
    bench.settle(&[N2, N3, N4]);
    bench.ask(N2, request(1, 0), put("a"));
    bench.settle(&[N2, N3, N4]);
    assert_eq!(bench.answer(request(1, 0)), None);
    pass(&mut bench, &ALL, Duration::millis(100));
    assert_eq!(bench.answer(request(1, 0)), Some(&DONE));
}

/// KIP-101, scenario 1: a backup has an update that is committed, does not know it, and comes to an
/// epoch; then it leads.
fn kip_101(truncation: Truncation) -> Watched {
    let mut bench = with(Config { truncation, ..CONFIG });
    pass(&mut bench, &[N1, N2, N3], Duration::millis(200)); // n2 and n3 are in sync.
    bench.ask(N2, request(1, 0), put("a"));
    bench.pass(N2, N3);
    bench.pass(N3, N2);
    assert_eq!(bench.answer(request(1, 0)), Some(&DONE));
    bench.lose_all(); // n3 is not told that it is committed.
    bench.crash(N3, Image::All);
    bench.restart(N3);
    bench.crash(N2, Image::All);
    bench
}

#[test]
fn a_backup_that_comes_to_an_epoch_keeps_what_is_committed() {
    let mut bench = kip_101(Truncation::Epoch);
    pass(&mut bench, &[N1, N3, N4], Duration::millis(300));
    assert_eq!(primary(&bench), N3);
    bench.ask(N3, request(2, 0), get());
    pass(&mut bench, &[N1, N3, N4], Duration::millis(300));
    assert_eq!(bench.answer(request(2, 0)), Some(&value("a")));
}

#[test]
#[should_panic(expected = "P3: durability")]
fn the_high_watermark_is_not_enough() {
    let mut bench = kip_101(Truncation::HighWatermark);
    pass(&mut bench, &[N1, N3, N4], Duration::millis(300));
}

/// Asynchronous: what the primary alone has is lost with it.
#[test]
#[should_panic(expected = "P3: durability")]
fn asynchronous_replication_loses_what_was_answered() {
    let mut bench = with(Config { acks: Acks::Primary, ..CONFIG });
    bench.ask(N2, request(1, 0), put("a"));
    assert_eq!(bench.answer(request(1, 0)), Some(&DONE));
    bench.lose_all();
    bench.crash(N2, Image::All);
    pass(&mut bench, &[N1, N3, N4], Duration::millis(300));
}

/// KIP-101, scenario 2, and KIP-279: logs that differ are brought into line, an epoch at a time.
#[test]
fn a_backup_cuts_off_what_its_primary_does_not_have() {
    let mut bench = four();
    bench.ask(N2, request(1, 0), put("of nobody"));
    bench.lose_all();
    pass(&mut bench, &[N1, N3, N4], Duration::millis(300));
    let primary = primary(&bench);
    bench.ask(primary, request(2, 0), put("b"));
    pass(&mut bench, &ALL, Duration::millis(300));
    let log = |id: NodeId| bench.at(id).replica().expect("a replica").log().to_vec();
    assert_eq!(log(N2), log(primary));
    assert!(bench.at(primary).is_leader());
}

/// An answer to what the third node asked in this life, once it has acknowledged an update and was
/// started twice.
fn an_answer_of_life(life: u32) -> Watched {
    let mut bench = four();
    bench.crash(N3, Image::All);
    bench.restart(N3);
    bench.settle(&ALL);
    bench.ask(N2, request(1, 0), put("a"));
    bench.settle(&ALL);
    bench.crash(N3, Image::All);
    bench.restart(N3);
    bench.deliver(N2, N3, Message::EndsAt { epoch: 1, last: 0, at: 0, life });
    bench
}

/// An answer to what a backup asked before a crash cuts nothing off that it has acknowledged since.
#[test]
fn an_answer_to_an_earlier_life_cuts_nothing_off() {
    assert_eq!(len(&an_answer_of_life(1), N3), 1);
}

/// It would, were it taken for one of this life.
#[test]
#[should_panic(expected = "P4: in line")]
fn an_answer_of_this_life_that_is_wrong_is_seen() {
    an_answer_of_life(2);
}

/// Replication of an earlier epoch is refused.
#[test]
fn a_backup_takes_entries_of_its_epoch_alone() {
    let mut bench = four();
    pass(&mut bench, &[N1, N3, N4], Duration::millis(300));
    let update = Update { request: request(1, 0), command: put("late").0 };
    let entries = vec![Entry { epoch: 1, update }];
    for to in [N3, N4] {
        let entries = entries.clone();
        bench.deliver(N2, to, Message::Append { epoch: 1, after: 0, entries, commit: 1 });
        assert_eq!(len(&bench, to), 0);
    }
}

#[test]
fn a_retry_has_no_second_effect() {
    let mut bench = four();
    let append = Request(Command::Append { key: "x".into(), value: "a".into() });
    for _ in 0..2 {
        bench.ask(N2, request(1, 0), append.clone());
        bench.settle(&ALL);
    }
    assert_eq!(bench.told.len(), 2);
    bench.ask(N2, request(2, 0), get());
    bench.settle(&ALL);
    assert_eq!(bench.answer(request(2, 0)), Some(&value("a")));
}
