//! Two Generals (Akkoyunlu et al. 1975; Gray 1978): no number of messages suffices.

use crate::by_hand::{Bench, N1, N2, request};
use seedfall_protocols::two_generals::{Config, General, Request, Response, invariants};
use seedfall_sim::{Duration, Monitor};

const DAWN: Duration = Duration::millis(100);

/// An attack by `k` messages of which one is lost (zero: none): what the first did, and whether S1
/// holds.
fn attack(k: u32, lost: u32) -> (Response, bool) {
    let mut bench: Bench<General> = Bench::new(2, Config { until_dawn: DAWN });
    bench.ask(N1, request(1, 1), Request { messages: k });
    bench.settle_if(&[N1, N2], |message| message.number != lost);
    bench.wait(DAWN);
    let mut monitor = invariants();
    let holds = [N2, N1].iter().all(|id| monitor.observe(*id, bench.at(*id)).is_ok());
    (*bench.answer(request(1, 1)).expect("dawn has broken"), holds)
}

/// The induction of the header, step by step: an attack by `k` messages fails if the last is lost,
/// and nobody attacks if an earlier one is.
#[test]
fn whatever_k_is_the_loss_of_the_last_message_breaks_it() {
    for k in 1..=12 {
        assert_eq!(attack(k, 0), (Response::Attacked, true), "k = {k}, nothing lost");
        let (_, holds) = attack(k, k);
        assert!(!holds, "k = {k}, the last lost");
        for lost in 1..k {
            assert_eq!(attack(k, lost), (Response::Stayed, true), "k = {k}, {lost} lost");
        }
    }
}

/// Nothing is sent twice: a client that asks again, and a doubled message, make no messenger go.
#[test]
fn no_more_than_k_messengers_go() {
    let mut bench: Bench<General> = Bench::new(2, Config { until_dawn: DAWN });
    bench.ask(N1, request(1, 1), Request { messages: 2 });
    let (from, to, message) = bench.wire[0];
    bench.ask(N1, request(1, 1), Request { messages: 2 });
    bench.pass(from, to);
    bench.deliver(from, to, message);
    assert_eq!(bench.wire.len(), 1, "the acknowledgement");
    bench.wait(DAWN);
    bench.pass(N2, N1);
    bench.ask(N1, request(1, 1), Request { messages: 2 });
    assert_eq!(bench.told, [(request(1, 1), Response::Stayed); 2]);
    let late = ["request: asked before, and dawn is yet to come", "message: heard before"];
    assert_eq!(bench.ignored, [late[0], late[1], "message: dawn has broken"]);
}
