//! What Demers et al. claim, by section.

use crate::by_hand::{Bench, Image, N1, N2, N3, request, written};
use seedfall_protocols::gossip::{
    self, Config, Invariants, Message, Node, Request, Response, Style,
};
use seedfall_sim::{Duration, NodeId};

const ROUND: Duration = Duration::millis(30);
const CONFIG: Config =
    Config { style: Style::Push, round: ROUND, interest: None, backup: None, origin: None };
const ALL: [NodeId; 3] = [N1, N2, N3];

fn three(config: Config) -> Bench<Node, Invariants> {
    Bench::watched(3, config, gossip::invariants(None))
}

fn knows(bench: &Bench<Node, Invariants>, id: NodeId) -> bool {
    bench.at(id).known().contains_key(&request(1, 0))
}

fn rounds(bench: &mut Bench<Node, Invariants>, count: u64) {
    for _ in 0..count {
        bench.wait(ROUND);
        bench.settle(&ALL);
    }
}

/// Section 1.3: push, pull and both bring a rumor to all.
#[test]
fn anti_entropy_reaches_all() {
    for style in [Style::Push, Style::Pull, Style::PushPull] {
        let mut bench = three(Config { style, ..CONFIG });
        bench.ask(N1, request(1, 0), Request("a".into()));
        assert_eq!(bench.answer(request(1, 0)), Some(&Response));
        rounds(&mut bench, 20);
        assert!(ALL.into_iter().all(|id| knows(&bench, id)), "{style:?}");
    }
}

/// Section 1.3: who pushes is told nothing, and who pulls tells nothing.
#[test]
fn to_push_and_to_pull_are_two_things() {
    let mut push = three(CONFIG);
    push.ask(N2, request(1, 0), Request("a".into()));
    push.deliver(N1, N2, Message::Call(vec![], None));
    assert!(push.wire.is_empty());
    let mut pull = three(Config { style: Style::Pull, ..CONFIG });
    pull.ask(N1, request(1, 0), Request("a".into()));
    pull.wait(ROUND);
    let calls: Vec<_> = pull.wire.iter().filter(|(from, ..)| *from == N1).collect();
    assert!(matches!(&calls[..], [(_, _, Message::Call(rumors, Some(_)))] if rumors.is_empty()));
    pull.deliver(N2, N1, Message::Call(vec![], Some([].into())));
    let Some((_, to, Message::Answer(news, _))) = pull.wire.last() else { panic!("no answer") };
    assert_eq!((*to, news.len()), (N2, 1));
}

/// Section 1.4, feedback and counter: after k calls in vain it is pushed no more, and who has not
/// heard of it by then never does; section 1.5: but by anti-entropy.
#[test]
fn interest_is_lost_after_calls_in_vain() {
    let mut bench = three(Config { interest: Some(2), ..CONFIG });
    bench.ask(N1, request(1, 0), Request("a".into()));
    let rumor = bench.at(N1).known()[&request(1, 0)].clone();
    bench.deliver(N1, N2, Message::Call(vec![rumor.clone()], None));
    assert!(bench.wire.is_empty(), "it was news");
    for _ in 0..2 {
        bench.deliver(N1, N2, Message::Call(vec![rumor.clone()], None));
        bench.pass(N2, N1);
    }
    assert_eq!(bench.at(N1).hot().count(), 0);
    assert!(bench.reached.contains(&"rumor: it loses interest"));

    let mut backed_up = three(Config { interest: Some(1), backup: Some(4), ..CONFIG });
    backed_up.ask(N1, request(1, 0), Request("a".into()));
    for id in [N2, N3] {
        let rumor = backed_up.at(N1).known()[&request(1, 0)].clone();
        backed_up.deliver(N1, N2, Message::Call(vec![rumor], None));
        backed_up.settle(&[N1, N2]);
        assert!(!knows(&backed_up, N3), "{id}");
    }
    assert_eq!(backed_up.at(N1).hot().count(), 0);
    rounds(&mut backed_up, 40);
    assert!(knows(&backed_up, N3));
}

/// What a client has told a node is durable before it is answered.
#[test]
fn what_was_told_survives_a_crash() {
    let mut bench = three(CONFIG);
    let effects = bench.ask(N1, request(1, 0), Request("a".into()));
    assert!(written(&effects).iter().all(|(_, forced)| *forced));
    bench.crash(N1, Image::Nothing);
    bench.restart(N1);
    assert!(knows(&bench, N1));
    // Asked again, it is the same rumor.
    bench.ask(N1, request(1, 0), Request("a".into()));
    assert_eq!(bench.at(N1).known().len(), 1);
}
