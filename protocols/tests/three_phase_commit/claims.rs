//! What the papers claim, by section.

use crate::by_hand::{Bench, Image, N1, N2, N3, request};
use seedfall_protocols::three_phase_commit::{
    self, Config, Invariants, Message, Request, Response, Site, State, Termination, TransactionId,
};
use seedfall_sim::{Duration, NodeId};

type Watched = Bench<Site, Invariants>;

const SITES: Config = Config { termination: Termination::Sites, delay_max: Duration::millis(10) };
const QUORUM: Config = Config { termination: Termination::Quorum, ..SITES };
/// By when every site has had its turn.
const TURNS: Duration = Duration::millis(200);
const WILLING: Request = Request { refused_by: None };

fn three(config: Config) -> Watched {
    Bench::watched(3, config, three_phase_commit::invariants())
}

/// The transaction of the first client, which n1 coordinates.
fn first() -> TransactionId {
    request(1, 0)
}

fn states(bench: &Watched, of: &[NodeId]) -> Vec<Option<State>> {
    of.iter().map(|id| bench.at(*id).state(first())).collect()
}

fn is_vote(message: &Message) -> bool {
    matches!(message, Message::VoteRequest { .. } | Message::Vote { .. })
}

/// All have voted yes, and n1, which knows it, has told nobody.
fn voted(config: Config) -> Watched {
    let mut bench = three(config);
    bench.ask(N1, first(), WILLING);
    bench.settle_if(&[N1, N2, N3], is_vote);
    assert_eq!(bench.at(N1).state(first()), Some(State::Committable));
    bench
}

/// BHG 7.5: all sites vote yes, and nothing fails.
#[test]
fn what_nobody_refuses_is_committed_everywhere() {
    for config in [SITES, QUORUM] {
        let mut bench = three(config);
        bench.ask(N1, first(), WILLING);
        bench.settle(&[N1, N2, N3]);
        assert_eq!(bench.answer(first()), Some(&Response::Committed));
        assert_eq!(states(&bench, &[N1, N2, N3]), [Some(State::Committed); 3]);
    }
}

/// QBC: a site takes part in one quorum only, the coordinator too: the last vote comes when another
/// coordinator has brought it to the abort.
#[test]
fn the_last_vote_calls_no_coordinator_back_from_an_abort() {
    let (transaction, yes) = (first(), true);
    let mut bench = three(QUORUM);
    bench.ask(N1, transaction, WILLING);
    bench.deliver(N2, N1, Message::Vote { transaction, yes });
    bench.deliver(N3, N1, Message::Prepare { transaction, to: State::Abortable });
    bench.deliver(N3, N1, Message::Vote { transaction, yes });
    assert_eq!(bench.at(N1).state(transaction), Some(State::Abortable));
    bench.run(TURNS);
    assert_eq!(states(&bench, &[N1, N2, N3]), [Some(State::Aborted); 3]);
}

#[test]
fn what_one_site_refuses_is_aborted_everywhere() {
    for refuses in [N1, N2, N3] {
        let mut bench = three(SITES);
        bench.ask(N1, first(), Request { refused_by: Some(refuses) });
        bench.settle(&[N1, N2, N3]);
        assert_eq!(bench.answer(first()), Some(&Response::Aborted), "{refuses}");
        assert!(!states(&bench, &[N1, N2, N3]).contains(&Some(State::Uncertain)), "{refuses}");
    }
}

/// BHG 7.5: the coordinator commits only after all that are up are committable.
#[test]
fn nobody_commits_while_a_site_is_uncertain() {
    let mut bench = voted(SITES);
    bench.pass(N1, N2);
    bench.pass(N2, N1);
    assert_eq!(
        states(&bench, &[N1, N2, N3]),
        [Some(State::Committable), Some(State::Committable), Some(State::Uncertain),]
    );
}

/// BHG 7.5, time-out actions: votes that are missing abort, acknowledgements that are missing are
/// those of failed sites.
#[test]
fn a_coordinator_waits_two_delays() {
    let mut bench = three(SITES);
    bench.ask(N1, first(), WILLING);
    bench.lose_all();
    bench.wait(Duration::millis(20));
    assert_eq!(bench.answer(first()), Some(&Response::Aborted));
    let mut bench = voted(SITES);
    bench.pass(N1, N2);
    bench.wait(Duration::millis(20));
    assert_eq!(bench.answer(first()), Some(&Response::Committed));
}

/// TR3: if all that are up are uncertain, none has committed, and they abort.
#[test]
fn uncertain_sites_abort() {
    let mut bench = voted(SITES);
    bench.crash(N1, Image::All);
    bench.lose_all();
    bench.run(TURNS);
    assert_eq!(states(&bench, &[N2, N3]), [Some(State::Aborted); 2]);
}

/// TR4: if one is committable, none has aborted, and they commit.
#[test]
fn a_committable_site_makes_the_others_commit() {
    let mut bench = voted(SITES);
    bench.pass(N1, N3);
    bench.crash(N1, Image::All);
    bench.lose_all();
    bench.run(TURNS);
    assert_eq!(states(&bench, &[N2, N3]), [Some(State::Committed); 2]);
}

/// QBC: one site of three is no quorum, whatever it knows; two are.
#[test]
fn without_a_quorum_a_site_waits() {
    let mut bench = voted(QUORUM);
    bench.crash(N1, Image::All);
    bench.crash(N2, Image::All);
    bench.lose_all();
    bench.run(TURNS);
    assert_eq!(states(&bench, &[N3]), [Some(State::Uncertain)]);
    bench.restart(N2);
    bench.run(TURNS);
    assert_eq!(states(&bench, &[N2, N3]), [Some(State::Aborted); 2]);
    bench.restart(N1);
    bench.run(TURNS);
    assert_eq!(states(&bench, &[N1]), [Some(State::Aborted)], "though it was committable");
}

/// QBC: a site takes part in one quorum only, across a crash.
#[test]
fn who_takes_part_in_an_abort_takes_part_in_no_commit() {
    let mut bench = voted(QUORUM);
    bench.lose_all();
    bench.deliver(N2, N3, Message::Prepare { transaction: first(), to: State::Abortable });
    bench.crash(N3, Image::Nothing);
    bench.restart(N3);
    bench.lose_all();
    bench.deliver(N1, N3, Message::Prepare { transaction: first(), to: State::Committable });
    assert_eq!(states(&bench, &[N3]), [Some(State::Abortable)]);
    assert!(bench.wire.is_empty(), "it acknowledges nothing");
}

/// Who has not voted when it is asked where it is will not vote yes any more.
#[test]
fn who_has_not_voted_aborts_when_it_is_asked() {
    let mut bench = three(QUORUM);
    bench.deliver(N2, N3, Message::StateRequest { transaction: first() });
    bench.lose_all();
    bench.deliver(N1, N3, Message::VoteRequest { transaction: first(), refused_by: None });
    assert_eq!(states(&bench, &[N3]), [Some(State::Aborted)]);
    assert!(bench.wire.is_empty(), "it votes no more");
}

/// QBC: before a quorum is committable nobody commits; who watches sees who was not.
#[test]
#[should_panic(expected = "P2")]
fn a_commit_that_nobody_was_prepared_for_is_seen() {
    let transaction = first();
    let mut bench = three(QUORUM);
    bench.ask(N1, transaction, WILLING);
    bench.settle_if(&[N1, N2, N3], |message| matches!(message, Message::VoteRequest { .. }));
    bench.deliver(N1, N2, Message::Decision { transaction, commit: true });
    for uncertain in [N1, N3] {
        bench.deliver(N2, uncertain, Message::StateRequest { transaction });
    }
}
