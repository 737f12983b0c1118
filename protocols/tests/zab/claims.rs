//! What the papers claim, by section, and what `ZooKeeper` promises its clients.

use crate::by_hand::{Bench, Image, N1, N2, N3, request};
use seedfall_protocols::zab::{
    self, Answer, Config, Connection, Invariants, Message, Operation, Request, Response, Server,
    Standing, Vote, Zxid,
};
use seedfall_sim::{Duration, NodeId, Protocol as _};

type Watched = Bench<Server, Invariants>;

const INTERVAL: Duration = Duration::millis(20);
const CONFIG: Config = Config {
    interval: INTERVAL,
    decide_after: Duration::millis(10),
    timeout: Duration::millis(80),
    session_timeout: Duration::millis(400),
    snapshot_after: 3,
};
const ALL: [NodeId; 3] = [N1, N2, N3];

fn create(path: &str, ephemeral: bool) -> Request {
    Request(Operation::Create { path: path.into(), data: "a".into(), ephemeral })
}

fn set(path: &str, data: &str) -> Request {
    Request(Operation::Set { path: path.into(), data: data.into() })
}

fn get(path: &str, seen: Zxid) -> Request {
    Request(Operation::Get { path: path.into(), seen })
}

/// Time goes on while these alone can talk.
fn pass(bench: &mut Watched, among: &[NodeId], span: Duration) {
    for _ in 0..span.as_nanos() / Duration::millis(10).as_nanos() {
        bench.wait(Duration::millis(10));
        bench.settle(among);
        bench.lose_all();
    }
}

/// Three servers, of which n3 leads.
fn three() -> Watched {
    let mut bench = Bench::watched(3, CONFIG, zab::invariants());
    pass(&mut bench, &ALL, Duration::millis(60));
    assert_eq!(leader(&bench, &ALL), Some(N3), "of equal histories the highest number");
    bench
}

fn leader(bench: &Watched, among: &[NodeId]) -> Option<NodeId> {
    among.iter().copied().find(|id| bench.at(*id).is_leader())
}

/// A client asks, and is answered.
fn done(bench: &mut Watched, asked: NodeId, client: u16, number: u32, body: Request) -> Answer {
    bench.ask(asked, request(client, number), body);
    bench.settle(&ALL);
    match bench.answer(request(client, number)) {
        Some(Response::Done { answer, .. }) => answer.clone(),
        other => panic!("{other:?}"),
    }
}

fn data(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Node(znode) => znode.as_ref().map(|znode| znode.data.as_str()),
        other => panic!("{other:?}"),
    }
}

/// Phase 3: a transaction is delivered once a quorum has it, by all in order.
#[test]
fn an_update_is_answered_once_a_quorum_has_it() {
    let mut bench = three();
    bench.ask(N3, request(1, 0), create("/a", false));
    assert_eq!(bench.answer(request(1, 0)), None);
    bench.pass(N3, N1);
    bench.settle(&[N1, N3]);
    assert!(bench.answer(request(1, 0)).is_some());
    assert!(bench.at(N1).tree().get("/a").is_some());
}

/// Phase 0: the leader has the best history: a later epoch counts more than a longer history.
#[test]
fn who_has_the_best_history_leads() {
    let mut bench = three();
    assert_eq!(done(&mut bench, N3, 1, 0, create("/a", false)), Answer::Done);
    pass(&mut bench, &[N1, N2], Duration::millis(300));
    assert_eq!(leader(&bench, &[N1, N2]), Some(N2));
    bench.ask(N2, request(1, 1), set("/a", "b"));
    bench.settle(&[N1, N2]);
    bench.crash(N2, Image::All);
    pass(&mut bench, &[N1, N3], Duration::millis(300));
    assert_eq!(leader(&bench, &[N1, N3]), Some(N1), "it has what was committed without n3");
}

/// Phase 2: what a follower has and nobody else is cut off, and its history is the leader's.
#[test]
fn what_was_proposed_to_nobody_is_cut_off() {
    let mut bench = three();
    assert_eq!(done(&mut bench, N3, 1, 0, create("/a", false)), Answer::Done);
    bench.ask(N3, request(1, 1), set("/a", "of nobody"));
    bench.lose_all();
    pass(&mut bench, &[N1, N2], Duration::millis(300));
    assert_eq!(done_among(&mut bench, &[N1, N2], N2, 2, set("/a", "b")), Answer::Done);
    pass(&mut bench, &ALL, Duration::millis(300));
    assert_eq!(bench.at(N3).history().last(), bench.at(N2).history().last());
    assert!(bench.reached.contains(&"synchronisation: what the leader does not have is cut off"));
}

fn done_among(
    bench: &mut Watched,
    among: &[NodeId],
    asked: NodeId,
    client: u16,
    body: Request,
) -> Answer {
    bench.ask(asked, request(client, 0), body);
    bench.settle(among);
    match bench.answer(request(client, 0)) {
        Some(Response::Done { answer, .. }) => answer.clone(),
        other => panic!("{other:?}"),
    }
}

/// A follower that is far behind gets a snapshot, which a restart does not take from it.
#[test]
fn who_is_far_behind_gets_a_snapshot_durably() {
    let mut bench = three();
    bench.crash(N1, Image::All);
    assert_eq!(done(&mut bench, N3, 1, 0, create("/a", false)), Answer::Done);
    for number in 1..5 {
        assert_eq!(done(&mut bench, N3, 1, number, set("/a", "b")), Answer::Done);
    }
    bench.restart(N1);
    pass(&mut bench, &ALL, Duration::millis(200));
    assert!(bench.reached.contains(&"synchronisation: by a snapshot"));
    assert_eq!(bench.at(N1).tree().zxid(), bench.at(N3).tree().zxid());
    bench.crash(N1, Image::Nothing);
    bench.restart(N1);
    assert_eq!(bench.at(N1).history().last(), bench.at(N3).history().last());
}

/// Phase 1: a server follows nobody of an earlier epoch than it has agreed to, crash or no crash.
#[test]
fn an_epoch_is_promised_durably() {
    let mut bench = three();
    bench.crash(N1, Image::Nothing);
    bench.restart(N1);
    let info = |bench: &Watched| {
        let mut sent = bench.wire.iter().rev();
        sent.find_map(|(from, _, message)| match message {
            Message::FollowerInfo { promised, .. } if *from == N1 => Some(*promised),
            _ => None,
        })
    };
    for from in [N2, N3] {
        let standing = if from == N3 { Standing::Leading } else { Standing::Following };
        let vote = Vote { epoch: 1, zxid: Zxid::default(), leader: N3 };
        bench.deliver(from, N1, Message::Notification { round: 1, vote, standing });
    }
    assert_eq!(info(&bench), Some(1));
}

/// What a follower says over a connection to an earlier reign of its leader is not taken for an
/// answer to this one.
#[test]
fn a_connection_is_of_one_reign() {
    let mut bench = three();
    let attempt = u64::from(u32::MAX);
    bench.deliver(N1, N3, Message::FollowerInfo { attempt, promised: 1 });
    let reign = bench.wire.iter().rev().find_map(|(_, to, message)| match message {
        Message::Stream { connection, .. } if *to == N1 => Some(connection.reign),
        _ => None,
    });
    let reign = reign.expect("the leader has told the epoch");
    bench.lose_all();
    for (reign, counts) in [(reign + 1, false), (reign, true)] {
        let connection = Connection { attempt, reign };
        let (current, last) = (0, Zxid::default());
        bench.deliver(N1, N3, Message::AckEpoch { connection, is_new: false, current, last });
        let is_sent = bench.wire.iter().any(|(_, to, _)| *to == N1);
        assert_eq!(is_sent, counts, "the history");
    }
}

/// A follower that has promised a later epoch, to somebody who did not come to lead, would be left
/// out as long as the leader is there.
#[test]
fn a_leader_steps_down_for_a_follower_that_has_promised_a_later_epoch() {
    let mut bench = three();
    let late = Message::FollowerInfo { attempt: u64::MAX, promised: 99 };
    bench.deliver(N1, N3, late);
    assert_eq!(leader(&bench, &ALL), None);
    let later = Message::Notification {
        round: 50,
        vote: Vote { epoch: 1, zxid: Zxid::default(), leader: N3 },
        standing: Standing::Looking,
    };
    bench.deliver(N1, N3, later);
    pass(&mut bench, &ALL, Duration::millis(400));
    assert!(leader(&bench, &ALL).is_some());
}

/// A vote of before that is heard of late takes a quorum away; it counts again when it is back.
#[test]
fn a_quorum_that_was_gone_for_a_moment_decides() {
    let mut bench: Watched = Bench::watched(3, CONFIG, zab::invariants());
    let says = |leader| Message::Notification {
        round: 1,
        vote: Vote { epoch: 0, zxid: Zxid::default(), leader },
        standing: Standing::Looking,
    };
    for leader in [N3, N1] {
        bench.deliver(N1, N3, says(leader));
    }
    bench.wait(CONFIG.decide_after);
    bench.deliver(N1, N3, says(N3));
    bench.wait(CONFIG.decide_after);
    bench.lose_all();
    bench.deliver(N1, N3, says(N3));
    let leads = |message: &Message| {
        matches!(message, Message::Notification { standing: Standing::Leading, .. })
    };
    assert!(bench.wire.iter().any(|(_, to, message)| *to == N1 && leads(message)));
}

/// ZK 2.3: reads are local and may be old, but never older than what the client has seen.
#[test]
fn a_read_is_never_older_than_what_its_client_has_seen() {
    let mut bench = three();
    assert_eq!(done(&mut bench, N3, 1, 0, create("/a", false)), Answer::Done);
    bench.ask(N3, request(1, 1), set("/a", "b"));
    bench.settle(&[N2, N3]);
    let seen = match bench.answer(request(1, 1)) {
        Some(Response::Done { zxid, .. }) => *zxid,
        other => panic!("{other:?}"),
    };
    bench.lose_all();
    let old = done(&mut bench, N1, 2, 0, get("/a", Zxid::default()));
    assert_eq!(data(&old), Some("a"), "another client may read what is old");
    bench.ask(N1, request(1, 2), get("/a", seen));
    assert_eq!(bench.answer(request(1, 2)), Some(&Response::Elsewhere(None)));
}

/// ZK 2.1: a watch is answered when the znode changes, and once.
#[test]
fn a_watch_is_answered_when_the_znode_changes() {
    let mut bench = three();
    assert_eq!(done(&mut bench, N3, 1, 0, create("/a", false)), Answer::Done);
    let seen = bench.at(N1).tree().zxid();
    bench.ask(N1, request(2, 0), Request(Operation::Watch { path: "/a".into(), seen }));
    assert_eq!(bench.answer(request(2, 0)), None);
    for number in 1..3 {
        assert_eq!(done(&mut bench, N3, 1, number, set("/a", "b")), Answer::Done);
    }
    let told = bench.told.iter().filter(|(id, _)| *id == request(2, 0)).count();
    assert_eq!(told, 1);
}

/// ZK 2.2: an ephemeral znode goes with its session, which ends by the client, or by its silence.
#[test]
fn an_ephemeral_znode_goes_with_its_session() {
    let mut bench = three();
    assert_eq!(done(&mut bench, N3, 1, 0, create("/a", true)), Answer::Done);
    assert_eq!(done(&mut bench, N3, 2, 0, create("/a/x", false)), Answer::NoChildren);
    assert_eq!(done(&mut bench, N3, 1, 1, Request(Operation::Close)), Answer::Done);
    assert!(bench.at(N3).tree().get("/a").is_none());
    assert_eq!(done(&mut bench, N3, 1, 2, create("/b", true)), Answer::Done);
    pass(&mut bench, &ALL, Duration::millis(300));
    assert!(bench.at(N2).tree().get("/b").is_some());
    pass(&mut bench, &ALL, Duration::millis(200));
    assert!(bench.at(N2).tree().get("/b").is_none());
}

/// The answers of a tree.
#[test]
fn znodes_stand_in_a_tree() {
    let mut bench = three();
    let delete = |path: &str| Request(Operation::Delete { path: path.into() });
    assert_eq!(done(&mut bench, N3, 1, 0, create("/a/x", false)), Answer::NoNode);
    assert_eq!(done(&mut bench, N3, 1, 1, create("/a", false)), Answer::Done);
    assert_eq!(done(&mut bench, N3, 1, 2, create("/a", false)), Answer::NodeExists);
    assert_eq!(done(&mut bench, N3, 1, 3, create("/a/x", false)), Answer::Done);
    assert_eq!(done(&mut bench, N3, 1, 4, delete("/a")), Answer::NotEmpty);
    assert_eq!(done(&mut bench, N3, 1, 5, delete("/a/x")), Answer::Done);
    assert_eq!(done(&mut bench, N3, 1, 6, delete("/a")), Answer::Done);
    assert_eq!(done(&mut bench, N3, 1, 7, set("/a", "b")), Answer::NoNode);
}

/// Retries are recognised, by whichever leader.
#[test]
fn a_retry_has_no_second_effect() {
    let mut bench = three();
    for _ in 0..2 {
        assert_eq!(done(&mut bench, N3, 1, 0, create("/a", false)), Answer::Done);
    }
    pass(&mut bench, &[N1, N2], Duration::millis(300));
    bench.ask(N2, request(1, 0), create("/a", false));
    bench.settle(&[N1, N2]);
    assert!(matches!(bench.told.last(), Some((_, Response::Done { answer: Answer::Done, .. }))));
}
