//! What Gray and Cheriton, Burrows, and Kleppmann claim.

use crate::by_hand::{Bench, Image, N1, N2, N3, N4, N5, request};
use seedfall_protocols::lock_service::{
    Config, Data, Message, Node, RESOURCE, Request, Response, SERVER, Stamp,
};
use seedfall_sim::{Duration, NodeId, Protocol};

const CONFIG: Config = Config {
    lease: Duration::millis(80),
    keep_alive: Duration::millis(25),
    retry: Duration::millis(30),
    drift: 0,
    fenced: true,
};
const ALL: [NodeId; 5] = [N1, N2, N3, N4, N5];
const ADD: Request = Request { add: Some(1) };

fn five(config: Config) -> Bench<Node> {
    Bench::new(5, config)
}

fn token(bench: &Bench<Node>, id: NodeId) -> Option<u64> {
    let Node::Worker(worker) = bench.at(id) else { panic!("{id} is no worker") };
    worker.grants().last().map(|held| held.token)
}

fn value(bench: &Bench<Node>, number: u32) -> Option<i64> {
    match bench.answer(request(1, number))? {
        Response::Value(value) => Some(*value),
        Response::Elsewhere(whom) => panic!("ask {whom}"),
    }
}

/// One after the other does what it is asked, under greater and greater tokens.
#[test]
fn the_lock_goes_round() {
    let mut bench = five(CONFIG);
    for (number, worker) in (0..).zip([N3, N4, N5, N3]) {
        bench.ask(worker, request(1, number), ADD);
        bench.run(Duration::millis(5));
        assert_eq!(value(&bench, number), Some(i64::from(number) + 1));
        assert_eq!(token(&bench, worker), Some(u64::from(number) + 1));
        assert!(!bench.at(worker).is_leader(), "it gave the lock back");
    }
}

/// Two that want it: one waits.
#[test]
fn one_holds_it_and_the_others_queue() {
    let mut bench = five(CONFIG);
    bench.ask(N3, request(1, 0), ADD);
    bench.settle(&[SERVER, N3]);
    bench.ask(N4, request(1, 1), ADD);
    bench.settle(&[SERVER, N4]);
    assert!(bench.at(N3).is_leader() && !bench.at(N4).is_leader());
    bench.run(Duration::millis(20));
    assert_eq!((value(&bench, 0), value(&bench, 1)), (Some(1), Some(2)));
}

/// Gray and Cheriton: a holder that is not heard loses the lock when its lease is over, not before.
#[test]
fn a_lease_runs_out() {
    let mut bench = five(CONFIG);
    bench.ask(N3, request(1, 0), ADD);
    bench.settle(&[SERVER, N3]);
    bench.crash(N3, Image::All);
    bench.ask(N4, request(1, 1), ADD);
    bench.settle(&[SERVER, N4]);
    for _ in 0..3 {
        bench.wait(Duration::millis(25));
        bench.settle(&[SERVER, N4]);
        assert!(!bench.at(N4).is_leader());
    }
    bench.wait(Duration::millis(10));
    bench.settle(&[SERVER, N4]);
    assert!(bench.at(N4).is_leader());
}

/// Kleppmann: a holder that wakes up too late is refused, and begins anew. Without fencing it
/// undoes what the next one did.
#[test]
fn a_late_write_is_refused_if_there_is_a_fence() {
    for fenced in [true, false] {
        let mut bench = five(Config { fenced, ..CONFIG });
        bench.ask(N3, request(1, 0), ADD);
        bench.settle_if(&ALL, |message| !matches!(message, Message::Write(..)));
        let late = bench.wire.pop().expect("the write");
        bench.ask(N4, request(2, 0), ADD);
        for _ in 0..5 {
            bench.wait(Duration::millis(25));
            bench.settle(&[SERVER, RESOURCE, N4]);
        }
        assert_eq!(bench.answer(request(2, 0)), Some(&Response::Value(1)));
        bench.lose_all();
        bench.deliver(late.0, late.1, late.2);
        bench.settle(&ALL);
        bench.run(Duration::millis(300));
        bench.ask(N5, request(3, 0), ADD);
        bench.run(Duration::millis(300));
        // Without the fence what n4 had added is lost.
        let expected = if fenced { 3 } else { 2 };
        assert_eq!(bench.answer(request(3, 0)), Some(&Response::Value(expected)), "{fenced}");
        let refused = bench.reached.contains(&"resource: a smaller token than it has seen");
        assert_eq!(refused, fenced);
    }
}

/// Chubby 2.9: a server that comes back waits out the leases of before, unless the holder turns up.
#[test]
fn a_server_that_comes_back_waits() {
    let mut bench = five(CONFIG);
    bench.ask(N3, request(1, 0), ADD);
    bench.settle(&[SERVER, N3]);
    bench.crash(SERVER, Image::Nothing);
    bench.restart(SERVER);
    bench.ask(N4, request(1, 1), ADD);
    bench.settle(&[SERVER, N4]);
    assert!(!bench.at(N4).is_leader(), "n3 holds it still");
    bench.wait(Duration::millis(25));
    bench.run(Duration::millis(20));
    assert!(bench.reached.contains(&"server: the holder of a life before turns up"));
    assert_eq!((value(&bench, 0), value(&bench, 1)), (Some(1), Some(2)));
    assert_eq!((token(&bench, N3), token(&bench, N4)), (Some(1), Some(2)));
}

/// A copy of what a holder said before comes too late as well.
#[test]
fn accesses_under_one_token_are_numbered() {
    let mut bench = five(CONFIG);
    let stamp = |number| Stamp { token: 1, number };
    let data = |value| Data { value, ..Data::default() };
    bench.deliver(N3, RESOURCE, Message::Write(stamp(2), data(1)));
    bench.deliver(N3, RESOURCE, Message::Write(stamp(4), data(2)));
    bench.deliver(N3, RESOURCE, Message::Write(stamp(2), data(1)));
    let answers: Vec<_> = bench.wire.drain(..).map(|(_, _, message)| message).collect();
    assert_eq!(
        answers,
        [Message::Written(stamp(2)), Message::Written(stamp(4)), Message::Refused(stamp(2))]
    );
    bench.crash(RESOURCE, Image::Nothing);
    bench.restart(RESOURCE);
    bench.deliver(N3, RESOURCE, Message::Read(stamp(3)));
    assert_eq!(bench.wire[0].2, Message::Refused(stamp(3)), "it does not forget what it has seen");
}
