//! What the paper claims, by section.

use crate::by_hand::{Bench, Image, N1, N2, N3, N4, request, written};
use seedfall_protocols::kv::{Answer, Command};
use seedfall_protocols::pbft::{
    self, Config, Invariants, Message, PrePrepare, Proposal, Record, Replica, Request, Response,
    digest, primary,
};
use seedfall_sim::{Context, Draws, Duration, NodeId, Seed, Signed, Signer, Time};

type Watched = Bench<Replica, Invariants>;

const CONFIG: Config = Config {
    faulty: 1,
    checkpoint_every: 4,
    window: 8,
    patience: Duration::millis(100),
    tick: Duration::millis(40),
};
const ALL: [NodeId; 4] = [N1, N2, N3, N4];

fn four() -> Watched {
    Bench::watched(4, CONFIG, pbft::invariants())
}

fn put(value: &str) -> Request {
    Request(Command::Put { key: "x".into(), value: value.into() })
}

fn get() -> Request {
    Request(Command::Get { key: "x".into() })
}

const DONE: Response = Response(Answer::Done);

fn value(text: &str) -> Response {
    Response(Answer::Value(Some(text.into())))
}

/// What signs for a node: a Byzantine one signs what it likes.
fn signer(id: NodeId) -> Signer {
    let (mut draws, mut effects) = (Draws::new(Seed(0), 4, 0), Vec::new());
    Context::<Replica>::new(id, 4, Time::ZERO, &mut draws, &mut effects).signer()
}

fn proposal(seq: u64) -> Proposal {
    let pre = signer(N1).sign(PrePrepare { view: 0, seq, digest: digest(&None) });
    Proposal { pre, ask: None }
}

fn executed(bench: &Watched) -> Vec<u64> {
    ALL.into_iter().map(|id| bench.at(id).executed()).collect()
}

/// 4.1, 4.2: a request is executed by all, and all of them answer.
#[test]
fn every_replica_answers() {
    let mut bench = four();
    bench.ask(N1, request(1, 0), put("a"));
    bench.settle(&ALL);
    assert_eq!(bench.told.iter().filter(|(_, told)| *told == DONE).count(), 4);
    assert_eq!(executed(&bench), [1; 4]);
}

/// 4.2: three replicas of four are enough, and two are not.
#[test]
fn a_quorum_is_two_f_plus_one() {
    let mut bench = four();
    bench.ask(N1, request(1, 0), put("a"));
    bench.settle(&[N1, N2, N3]);
    assert_eq!(bench.answer(request(1, 0)), Some(&DONE));
    let mut bench = four();
    bench.ask(N1, request(1, 0), put("a"));
    bench.settle(&[N1, N2]);
    assert_eq!(bench.answer(request(1, 0)), None);
}

/// 4.2: a backup accepts one request under a number, the primary's, within the water marks.
#[test]
fn a_backup_accepts_one_proposal_a_number() {
    let mut bench = four();
    bench.ask(N1, request(1, 0), put("a"));
    bench.pass(N1, N2); // the request
    bench.pass(N1, N2); // the pre-prepare
    bench.deliver(N1, N2, Message::PrePrepare(proposal(1)));
    assert!(bench.reached.contains(&"pre-prepare: the primary says two things"));
    bench.deliver(N1, N2, Message::PrePrepare(proposal(9)));
    assert!(bench.ignored.contains(&"pre-prepare: outside of the window"));
    let forged = signer(N3).sign(*proposal(2).pre.value());
    bench.deliver(N3, N2, Message::PrePrepare(Proposal { pre: forged, ask: None }));
    assert!(bench.ignored.contains(&"pre-prepare: not the primary's"));
    let pre = signer(N1).sign(PrePrepare { view: 0, seq: 2, digest: 7 });
    bench.deliver(N1, N2, Message::PrePrepare(Proposal { pre, ask: None }));
    assert_eq!(bench.ignored.iter().filter(|why| why.contains("not the primary's")).count(), 2);
}

/// 4.2, 4.5.1: what is prepared is durable before the commit leaves, what is accepted before the
/// prepare.
#[test]
fn nothing_is_said_before_it_is_durable() {
    let mut bench = four();
    bench.ask(N1, request(1, 0), put("a"));
    bench.pass(N1, N2);
    let accepted = written(&bench.pass(N1, N2));
    assert!(matches!(accepted[..], [(Record::Accepted(_), true)]), "{accepted:?}");
    bench.settle_if(&ALL, |message| !matches!(message, Message::Commit { .. }));
    let prepared = bench.journal(N2).iter().filter(|one| matches!(one, Record::Prepared(_)));
    assert_eq!(prepared.count(), 1);
}

/// 4.3: after some numbers a checkpoint is stable, and what comes before is forgotten.
#[test]
fn a_stable_checkpoint_cuts_the_log() {
    let mut bench = four();
    for number in 0..4 {
        bench.ask(N1, request(1, number), put("a"));
        bench.settle(&ALL);
    }
    for id in ALL {
        let stable = bench.at(id).stable();
        assert_eq!((stable.seq, stable.proof.len()), (4, 3), "{id}");
        assert_eq!(bench.at(id).decided().count(), 0);
    }
    bench.deliver(N1, N2, Message::PrePrepare(proposal(4)));
    assert!(bench.ignored.contains(&"pre-prepare: outside of the window"));
}

/// 4.4: a silent primary is replaced by the next.
#[test]
fn a_silent_primary_is_replaced() {
    let mut bench = four();
    bench.crash(N1, Image::All);
    bench.ask(N2, request(1, 0), put("a"));
    bench.run(Duration::millis(300));
    assert_eq!(bench.answer(request(1, 0)), Some(&DONE));
    for id in [N2, N3, N4] {
        assert_eq!(bench.at(id).view(), (1, true));
    }
    assert_eq!(primary(1, 4), N2);
}

/// 4.4: what one replica may have committed is proposed anew in the next view, under its number.
#[test]
fn what_is_prepared_survives_the_view() {
    let mut bench = four();
    bench.ask(N1, request(1, 0), put("a"));
    bench.settle_if(&ALL, |message| !matches!(message, Message::Commit { .. }));
    assert_eq!(executed(&bench), [0; 4]);
    // One hears of all commits; then the primary is gone, with it.
    for from in [N1, N3, N4] {
        bench.pass(from, N2);
    }
    assert_eq!(bench.at(N2).executed(), 1);
    bench.lose_all();
    bench.crash(N1, Image::All);
    bench.run(Duration::millis(400));
    bench.ask(N3, request(2, 0), get());
    bench.run(Duration::millis(400));
    assert_eq!(bench.answer(request(2, 0)), Some(&value("a")));
}

/// 4.4: nobody takes a new primary's word for what a view begins with.
#[test]
fn a_new_view_is_recomputed() {
    let mut bench = four();
    bench.ask(N1, request(1, 0), put("a"));
    bench.settle_if(&ALL, |message| !matches!(message, Message::Commit { .. }));
    bench.lose_all();
    bench.crash(N1, Image::All);
    bench.wait(Duration::millis(100));
    bench.settle_if(&ALL, |message| !matches!(message, Message::NewView(_)));
    let (_, _, message) = bench.wire.iter().find(|(_, to, _)| *to == N3).cloned().expect("one");
    let Message::NewView(honest) = message else { panic!("what else: {message:?}") };
    let mut said = honest.value().clone();
    assert_eq!(said.proposals.len(), 1);
    let null = PrePrepare { digest: digest(&None), ..*said.proposals[0].pre.value() };
    said.proposals[0] = Proposal { pre: signer(N2).sign(null), ask: None };
    bench.deliver(N2, N3, Message::NewView(signer(N2).sign(said.clone())));
    assert_eq!(bench.at(N3).view(), (1, false));
    said.proposals.clear();
    bench.deliver(N2, N3, Message::NewView(signer(N2).sign(said)));
    assert_eq!(bench.at(N3).view(), (1, false));
    let wrong = "new view: not what follows from the view changes";
    assert_eq!(bench.reached.iter().filter(|mark| **mark == wrong).count(), 2);
    bench.deliver(N2, N3, Message::NewView(honest));
    assert_eq!(bench.at(N3).view(), (1, true));
}

/// 4.4: of a view change everything must be proved.
#[test]
fn a_view_change_is_proved() {
    let mut bench = four();
    bench.ask(N1, request(1, 0), put("a"));
    bench.settle_if(&ALL, |message| !matches!(message, Message::Commit { .. }));
    bench.lose_all();
    bench.wait(Duration::millis(100));
    let of_n3 = |(from, to, message): &(NodeId, NodeId, Message)| match message {
        Message::ViewChange(change) if (*from, *to) == (N3, N4) => Some(change.clone()),
        _ => None,
    };
    let change = bench.wire.iter().find_map(of_n3).expect("one");
    let mut said = change.value().clone();
    said.prepared[0].prepares.truncate(1);
    bench.deliver(N3, N4, Message::ViewChange(signer(N3).sign(said)));
    let mut said = change.value().clone();
    said.stable = 4;
    bench.deliver(N3, N4, Message::ViewChange(signer(N3).sign(said)));
    assert_eq!(bench.ignored.iter().filter(|why| **why == "view change: not proved").count(), 2);
}

/// 4.5.2: who hears `f + 1` others ask for a later view asks too.
#[test]
fn f_plus_one_are_joined() {
    let mut bench = four();
    bench.ask(N1, request(1, 0), put("a"));
    bench.lose_all();
    bench.wait(Duration::millis(40));
    bench.lose_all();
    // Only two of them wait for a request.
    for id in [N2, N3] {
        bench.ask(id, request(1, 0), put("a"));
    }
    bench.lose_all();
    bench.wait(Duration::millis(100));
    bench.settle_if(&[N2, N3, N4], |message| matches!(message, Message::ViewChange(_)));
    assert_eq!(bench.at(N4).view().0, 1);
    assert!(bench.reached.contains(&"view change: f + 1 others ask for a later view"));
}

/// TOCS 2002, 5.3: who has missed a checkpoint is sent the state, with its proof.
#[test]
fn who_is_far_behind_is_sent_the_state() {
    let mut bench = four();
    for number in 0..5 {
        bench.ask(N1, request(1, number), put("a"));
        bench.settle(&[N1, N2, N3]);
    }
    bench.lose_all();
    assert_eq!(executed(&bench), [5, 5, 5, 0]);
    bench.ask(N4, request(2, 0), get());
    bench.run(Duration::millis(200));
    assert_eq!(executed(&bench), [6; 4]);
    assert!(bench.reached.contains(&"state: it leaps over what it has not executed"));
    let mut stable = bench.at(N1).stable().clone();
    stable.seq = 8;
    bench.deliver(N1, N4, Message::State(stable));
    assert!(bench.reached.contains(&"state: not what its proof is about"));
}

/// A replica that comes back says again what it said, and never anything else.
#[test]
fn a_replica_that_comes_back_is_correct() {
    for image in [Image::All, Image::Nothing] {
        let mut bench = four();
        bench.ask(N1, request(1, 0), put("a"));
        bench.settle_if(&ALL, |message| !matches!(message, Message::Commit { .. }));
        bench.lose_all();
        for id in ALL {
            bench.crash(id, image);
        }
        for id in ALL {
            bench.restart(id);
        }
        bench.run(Duration::millis(200));
        assert_eq!(executed(&bench), [1; 4]);
    }
}

/// 4.1: a request that comes twice is executed once, and answered again.
#[test]
fn a_retry_is_answered_from_memory() {
    let mut bench = four();
    let append = Request(Command::Append { key: "x".into(), value: "a".into() });
    for id in [N1, N3] {
        bench.ask(id, request(1, 0), append.clone());
        bench.settle(&ALL);
    }
    assert_eq!(executed(&bench), [1; 4]);
    bench.ask(N2, request(2, 0), get());
    bench.settle(&ALL);
    assert_eq!(bench.answer(request(2, 0)), Some(&value("a")));
}

/// Nobody's signature but one's own: the type does not let it happen.
#[test]
fn a_signature_says_whose_it_is() {
    let signed: Signed<u8> = signer(N2).sign(1);
    assert_eq!((signed.by(), *signed.value()), (N2, 1));
}
