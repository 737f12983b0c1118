//! What the paper claims, by section, and what its fail-stop servers are replaced by.

use crate::by_hand::{Bench, Image, N1, N2, N3, N4, request};
use seedfall_protocols::chain::{
    self, Config, Invariants, MASTER, Message, Node, Reads, Request, Response,
};
use seedfall_protocols::kv::{Answer, Command};
use seedfall_sim::{Duration, NodeId};

type Watched = Bench<Node, Invariants>;

const INTERVAL: Duration = Duration::millis(20);
const CONFIG: Config = Config {
    interval: INTERVAL,
    lease: Duration::millis(100),
    remove_after: Duration::millis(130),
    updates_per_message: 2,
    reads: Reads::Tail,
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

/// A master, n1, and the chain n2, n3, n4, of which all have heard.
fn four() -> Watched {
    let mut bench = Bench::watched(4, CONFIG, chain::invariants());
    bench.settle(&ALL);
    assert_eq!((bench.at(N4).chain().head(), bench.at(N4).chain().tail()), (Some(N2), Some(N4)));
    bench
}

/// Time goes on while these alone can talk.
fn pass(bench: &mut Watched, among: &[NodeId], span: Duration) {
    for _ in 0..span.as_nanos() / INTERVAL.as_nanos() {
        bench.wait(INTERVAL);
        bench.settle(among);
        bench.lose_all();
    }
}

fn count(bench: &Watched, of: NodeId) -> usize {
    bench.at(of).server().expect("a server").updates().len()
}

/// Section 3: an update is answered once the tail has it; until then no query sees it.
#[test]
fn an_update_is_committed_when_it_reaches_the_tail() {
    let mut bench = four();
    bench.ask(N2, request(1, 0), put("a"));
    bench.pass(N2, N3);
    bench.ask(N4, request(2, 0), get());
    assert_eq!(bench.answer(request(1, 0)), None);
    assert_eq!(bench.answer(request(2, 0)), Some(&Response::Done(Answer::Value(None))));
    bench.settle(&ALL);
    bench.ask(N4, request(2, 1), get());
    assert_eq!(bench.answer(request(1, 0)), Some(&DONE));
    assert_eq!(bench.answer(request(2, 1)), Some(&value("a")));
}

#[test]
fn everybody_names_the_head_and_the_tail() {
    for asked in [MASTER, N3, N4] {
        let mut bench = four();
        bench.ask(asked, request(1, 0), put("a"));
        assert_eq!(bench.told[0].1, Response::Elsewhere(Some(N2)), "{asked}");
    }
    for asked in [MASTER, N2, N3] {
        let mut bench = four();
        bench.ask(asked, request(1, 0), get());
        assert_eq!(bench.told[0].1, Response::Elsewhere(Some(N4)), "{asked}");
    }
}

/// Sections 3.1, 3.2 and 3.3: whoever fails, what was committed is there, and the chain goes on.
#[test]
fn whoever_fails_the_chain_goes_on() {
    for failed in [N2, N3, N4] {
        let mut bench = four();
        bench.ask(N2, request(1, 0), put("a"));
        bench.settle(&ALL);
        bench.crash(failed, Image::All);
        let left: Vec<NodeId> = ALL.into_iter().filter(|id| *id != failed).collect();
        pass(&mut bench, &left, Duration::millis(200));
        let chain = bench.at(MASTER).chain().clone();
        let (head, tail) = (chain.head().expect("a head"), chain.tail().expect("a tail"));
        bench.ask(tail, request(2, 0), get());
        assert_eq!(bench.answer(request(2, 0)), Some(&value("a")), "{failed}");
        bench.ask(head, request(1, 1), put("b"));
        bench.settle(&left);
        assert_eq!(bench.answer(request(1, 1)), Some(&DONE), "{failed}");
    }
}

/// 3.3: what a middle server had not handed on is handed on by its predecessor.
#[test]
fn what_was_lost_with_the_middle_comes_from_the_head() {
    let mut bench = four();
    bench.ask(N2, request(1, 0), put("a"));
    bench.pass(N2, N3);
    bench.crash(N3, Image::All);
    bench.lose_all();
    assert_eq!(count(&bench, N4), 0);
    pass(&mut bench, &[N1, N2, N4], Duration::millis(200));
    assert_eq!(count(&bench, N4), 1);
    assert_eq!(bench.answer(request(1, 0)), Some(&DONE));
}

/// A tail that the master does not hear answers until its lease has run out, and the master waits
/// as long before it makes another the tail.
#[test]
fn a_tail_that_is_cut_off_answers_until_its_lease_has_run_out() {
    let mut bench = four();
    pass(&mut bench, &[N1, N2, N3], Duration::millis(80));
    assert_eq!(bench.at(MASTER).chain().tail(), Some(N4));
    bench.ask(N4, request(1, 0), get());
    assert_eq!(bench.answer(request(1, 0)), Some(&Response::Done(Answer::Value(None))));
    pass(&mut bench, &[N1, N2, N3], Duration::millis(60));
    assert_eq!(bench.at(MASTER).chain().tail(), Some(N3));
    bench.ask(N4, request(1, 1), get());
    assert_eq!(bench.answer(request(1, 1)), Some(&Response::Elsewhere(None)));
}

/// Who was out of the chain has what nobody else has, and begins with nothing.
#[test]
fn who_was_out_comes_back_as_the_tail_with_nothing_of_its_own() {
    let mut bench = four();
    pass(&mut bench, &[N1, N3, N4], Duration::millis(200));
    bench.ask(N2, request(1, 0), put("of nobody")); // It still takes itself for the head.
    bench.lose_all();
    bench.ask(N3, request(2, 0), put("a"));
    bench.settle(&[N1, N3, N4]);
    pass(&mut bench, &ALL, Duration::millis(100));
    assert_eq!(bench.at(N2).chain().tail(), Some(N2));
    bench.ask(N2, request(3, 0), get());
    assert_eq!(bench.answer(request(3, 0)), Some(&value("a")));
    assert_eq!(bench.answer(request(1, 0)), None, "it never took effect");
}

/// A crash between the two records of who comes back: it has nothing any more, and has not noted
/// the chain for which. It must not be taken for a member of the one before, in which it had more.
#[test]
fn who_has_emptied_itself_is_in_no_chain_until_it_has_noted_one() {
    let mut bench = four();
    bench.ask(N2, request(1, 0), put("a"));
    bench.settle(&ALL);
    pass(&mut bench, &[N1, N3, N4], Duration::millis(200));
    bench.wait(INTERVAL);
    bench.settle_if(&ALL, |message| !matches!(message, Message::Forward { .. }));
    assert_eq!(bench.journal(N2).len(), 4, "a chain, an update, emptied, the next chain");
    bench.crash_before(N2, 1);
    bench.restart(N2);
    assert_eq!((count(&bench, N2), bench.at(N2).chain().head()), (0, None));
    bench.ask(N2, request(2, 0), put("of nobody"));
    assert_eq!(bench.answer(request(2, 0)), Some(&Response::Elsewhere(None)));
    pass(&mut bench, &ALL, Duration::millis(100));
    assert_eq!((count(&bench, N2), bench.at(N2).chain().tail()), (1, Some(N2)));
}

/// Updates of a chain that was replaced are refused.
#[test]
fn a_server_takes_updates_of_its_epoch_alone() {
    let mut bench = four();
    let old = bench.at(N3).chain().epoch;
    pass(&mut bench, &[N1, N3, N4], Duration::millis(200));
    let update = chain::Update { request: request(1, 0), command: put("late").0 };
    let forward = Message::Forward { epoch: old, after: 0, updates: vec![update], total: 1 };
    bench.deliver(N2, N3, forward);
    assert_eq!(count(&bench, N3), 0);
}

/// The last server that has everything is never taken out: whoever else comes has nothing.
#[test]
fn the_last_that_is_ready_stays() {
    let mut bench = four();
    pass(&mut bench, &[N1, N2], Duration::millis(300));
    assert_eq!(bench.at(MASTER).chain().members.len(), 1);
    pass(&mut bench, &[N1, N3], Duration::millis(300));
    let chain = bench.at(MASTER).chain();
    assert!(chain.since(N2).is_some(), "{chain:?}");
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
    bench.ask(N4, request(2, 0), get());
    assert_eq!(bench.answer(request(2, 0)), Some(&value("a")));
}

const CRAQ: Config = Config { reads: Reads::Anywhere, ..CONFIG };

/// CRAQ 2.3: a clean key is answered where the query comes; of a dirty one the tail says which
/// version is committed, and that one is the answer.
#[test]
fn with_craq_every_server_answers_what_is_committed() {
    let mut bench = Bench::watched(4, CRAQ, chain::invariants());
    bench.settle(&ALL);
    for (number, server) in (0..).zip([N2, N3, N4]) {
        bench.ask(server, request(1, number), get());
        assert_eq!(bench.answer(request(1, number)), Some(&Response::Done(Answer::Value(None))));
    }
    bench.ask(N2, request(2, 0), put("a"));
    bench.settle(&ALL);
    bench.ask(N2, request(2, 1), put("b"));
    bench.pass(N2, N3); // It is dirty at n2 and n3.
    bench.ask(N3, request(1, 3), get());
    assert_eq!(bench.answer(request(1, 3)), None);
    bench.settle_if(&ALL, |message| {
        matches!(message, Message::VersionQuery { .. } | Message::Version { .. })
    });
    assert_eq!(bench.answer(request(1, 3)), Some(&value("a")));
    bench.settle(&ALL);
    bench.ask(N2, request(1, 4), get());
    assert_eq!(bench.answer(request(1, 4)), Some(&value("b")));
}

/// A server before the tail may have been taken out too: it answers under a lease.
#[test]
fn with_craq_every_server_needs_a_lease() {
    let mut bench = Bench::watched(4, CRAQ, chain::invariants());
    bench.settle(&ALL);
    pass(&mut bench, &[N1, N2, N4], Duration::millis(200));
    bench.ask(N2, request(2, 0), put("a"));
    bench.settle(&[N1, N2, N4]);
    assert_eq!(bench.answer(request(2, 0)), Some(&DONE));
    bench.ask(N3, request(1, 0), get());
    assert_eq!(bench.answer(request(1, 0)), Some(&Response::Elsewhere(None)));
}

/// What the tail of another chain says does not count: this server may begin with nothing.
#[test]
fn with_craq_the_version_of_another_epoch_is_ignored() {
    let mut bench = Bench::watched(4, CRAQ, chain::invariants());
    bench.settle(&ALL);
    bench.ask(N2, request(2, 0), put("a"));
    bench.lose_all();
    bench.ask(N2, request(1, 0), get());
    let epoch = bench.at(N2).chain().epoch + 1;
    bench.deliver(N4, N2, Message::Version { epoch, id: request(1, 0), committed: 1 });
    assert_eq!(bench.answer(request(1, 0)), None);
}
