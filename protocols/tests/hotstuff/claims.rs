//! What the paper claims, by section.

use crate::by_hand::{Bench, Image, N1, N2, N3, N4, request, written};
use seedfall_protocols::hotstuff::{
    self, Block, Certificate, Config, Invariants, Message, Record, Replica, Request, Response, Vote,
};
use seedfall_protocols::kv::{Answer, Command};
use seedfall_sim::{Context, Draws, Duration, NodeId, Seed, Signer, Time};

const CONFIG: Config =
    Config { faulty: 1, leads: 4, leaders: Vec::new(), patience: Duration::millis(60) };
/// Leads the first three views.
const FIRST: NodeId = N1;
/// Leads the next four.
const SECOND: NodeId = N2;
const ALL: [NodeId; 4] = [N1, N2, N3, N4];
const DONE: Response = Response(Answer::Done);

fn four() -> Bench<Replica, Invariants> {
    Bench::watched(4, CONFIG, hotstuff::invariants())
}

fn put(value: &str) -> Request {
    Request(Command::Put { key: "x".into(), value: value.into() })
}

fn signer(id: NodeId) -> Signer {
    let (mut draws, mut effects) = (Draws::new(Seed(0), 4, 0), Vec::new());
    Context::<Replica>::new(id, 4, Time::ZERO, &mut draws, &mut effects).signer()
}

/// That these three have voted for a block.
fn certificate(view: u64, block: &Block) -> Certificate {
    let block = block.hash();
    let votes = [N1, N2, N3].map(|id| signer(id).sign(Vote { view, block })).to_vec();
    Certificate { view, block, votes }
}

/// A block with nothing in it, by the leader of its view, behind what is certified.
fn block(view: u64, justify: Certificate) -> Block {
    Block { view, parent: justify.block, justify: Some(justify), ask: None }
}

fn propose(bench: &mut Bench<Replica, Invariants>, to: NodeId, block: &Block) {
    let leader = if block.view < 4 { FIRST } else { SECOND };
    bench.deliver(leader, to, Message::Propose(signer(leader).sign(block.clone())));
}

/// Section 5: a request is decided by the third certificate behind it, and all answer.
#[test]
fn three_chains_decide() {
    let mut bench = four();
    bench.ask(N1, request(1, 0), put("a"));
    bench.settle(&ALL);
    bench.run(Duration::millis(100));
    assert!(3 <= bench.told.iter().filter(|(_, told)| *told == DONE).count());
}

/// Section 5: three certified blocks decide only if their views follow one another.
#[test]
fn views_between_them_decide_nothing() {
    for (views, decides) in [([1, 2, 3, 4], true), ([1, 3, 4, 5], false), ([1, 2, 4, 5], false)] {
        let mut bench = four();
        let mut justify = Certificate::default();
        for view in views {
            let block = block(view, justify);
            propose(&mut bench, N4, &block);
            justify = certificate(view, &block);
        }
        assert_eq!(bench.at(N4).decided().len(), usize::from(decides), "{views:?}");
    }
}

/// Algorithm 1: a replica votes once a view, and not against its lock, unless shown a later
/// certificate.
#[test]
fn a_vote_is_not_against_the_lock() {
    let mut bench = four();
    let first = block(1, Certificate::default());
    let second = block(2, certificate(1, &first));
    let third = block(3, certificate(2, &second));
    for block in [&first, &second, &third] {
        propose(&mut bench, N4, block);
    }
    assert_eq!(bench.at(N4).certificates()[1].view, 1, "locked on the first");
    let votes = |bench: &Bench<Replica, Invariants>| bench.journal(N4).len();
    assert_eq!(votes(&bench), 3);
    let beside = block(4, Certificate::default());
    propose(&mut bench, N4, &beside);
    assert!(bench.reached.contains(&"proposal: against the lock"));
    assert_eq!(votes(&bench), 3);
    propose(&mut bench, N4, &block(4, certificate(2, &second)));
    assert_eq!(votes(&bench), 4, "it extends what it is locked on");
    propose(&mut bench, N4, &block(4, certificate(3, &third)));
    assert_eq!(votes(&bench), 4, "one vote a view");
    let missing = Block { justify: None, ..block(5, certificate(3, &third)) };
    propose(&mut bench, N4, &missing);
    assert_eq!(votes(&bench), 4);
    assert!(bench.ignored.contains(&"proposal: without a certificate"));
}

/// The lock and the highest certificate are durable before the vote leaves.
#[test]
fn a_vote_is_durable_with_its_lock() {
    let mut bench = four();
    let first = block(1, Certificate::default());
    let second = block(2, certificate(1, &first));
    propose(&mut bench, N4, &first);
    let proposal = Message::Propose(signer(FIRST).sign(second));
    let records = written(&bench.deliver(FIRST, N4, proposal));
    let [(Record::Voted { high, .. }, true)] = &records[..] else { panic!("{records:?}") };
    assert_eq!(high.view, 1);
    bench.crash(N4, Image::Nothing);
    bench.restart(N4);
    propose(&mut bench, N4, &block(2, Certificate::default()));
    assert_eq!(bench.journal(N4).len(), 2, "it does not vote again in that view");
}

/// Section 7: a leader that is gone costs a view, and no more.
#[test]
fn a_silent_leader_is_passed_over() {
    let mut bench = four();
    bench.crash(FIRST, Image::All);
    bench.ask(N2, request(1, 0), put("a"));
    bench.run(Duration::millis(800));
    assert_eq!(bench.answer(request(1, 0)), Some(&DONE));
}

/// Section 2, lemma 1: what is not signed by a quorum proves nothing.
#[test]
fn a_certificate_is_signed_by_a_quorum() {
    let mut bench = four();
    let first = block(1, Certificate::default());
    propose(&mut bench, N4, &first);
    let mut few = certificate(1, &first);
    few.votes[2] = few.votes[1];
    propose(&mut bench, N4, &block(2, few));
    assert!(bench.ignored.contains(&"proposal: its certificate proves nothing"));
    let wrong = signer(N3).sign(block(2, certificate(1, &first)));
    bench.deliver(N3, N4, Message::Propose(wrong));
    assert!(bench.ignored.contains(&"proposal: not the leader's"));
}
