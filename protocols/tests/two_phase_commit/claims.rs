//! Bernstein, Hadzilacos and Goodman, sections 3.5, 7.3 and 7.4; what this implementation adds
//! (*Deviations*).

use crate::by_hand::{Image, N1, N2, N3, request, sent, written};
use crate::support::*;
use seedfall_protocols::two_phase_commit::{
    Decision, Message, Presumption, Record, Request, Response, Vote, coordinator_of,
};
use seedfall_sim::{ClientId, Duration};

/// 7.4: the coordinator asks everybody; all vote yes; it decides commit, and everybody does.
/// AC4: without failures, all yes means commit.
#[test]
fn all_yes_and_no_failure_means_commit() {
    for presumption in [Presumption::Abort, Presumption::Commit] {
        let mut sites = sites(presumption);
        ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y"), put(K1, "z")]);
        sites.settle(&ALL);
        assert_eq!(sites.answer(request(1, 3)), Some(&committed(3)));
        let values = [(N1, K1), (N2, K2), (N3, K3)].map(|(node, key)| value(&sites, node, key));
        assert_eq!(values.map(Option::unwrap), ["z", "x", "y"]);
        assert!(ALL.iter().all(|node| sites.at(*node).is_quiet()), "nothing is left to do");
    }
}

/// 7.4, step 2: a participant writes its yes down before it sends it: it could not keep its word.
#[test]
fn a_yes_is_forced_before_it_is_sent() {
    let mut sites = sites(Presumption::Abort);
    let transaction = ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y")]);
    execute(&mut sites, N1, &[N2, N3]);
    let effects = sites.pass(N1, N2);
    let records = written(&effects);
    assert!(matches!(&records[..], [(Record::Prepared { .. }, true)]), "{records:?}");
    assert_eq!(sent(&effects), [(N1, vote(transaction, Vote::Yes))]);
}

/// 7.4, step 3: the decision is forced before anybody is told: it is what restarts go by.
#[test]
fn a_commit_is_forced_before_it_is_told() {
    let mut sites = sites(Presumption::Abort);
    let transaction = ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y")]);
    execute(&mut sites, N1, &[N2, N3]);
    sites.pass(N1, N2);
    sites.pass(N1, N3);
    sites.pass(N2, N1);
    let effects = sites.pass(N3, N1);
    let records = written(&effects);
    assert!(matches!(&records[..], [(Record::Committed { .. }, true)]), "{records:?}");
    let commit = decision(transaction, Decision::Commit);
    assert_eq!(sent(&effects), [(N2, commit.clone()), (N3, commit)]);
}

/// AC3, 7.4 step 3: one no is enough; who voted no is not told, having decided by its vote.
#[test]
fn one_no_aborts() {
    let mut sites = sites(Presumption::Abort);
    let transaction = ask(&mut sites, 3, &[put(K2, "x"), cas(K3, "expected", "y")]);
    sites.pass(N1, N2);
    sites.pass(N2, N1);
    let effects = sites.pass(N1, N3);
    assert_eq!(sent(&effects), [(N1, vote(transaction, Vote::No))], "the condition does not hold");
    let effects = sites.pass(N3, N1);
    assert_eq!(sent(&effects), [(N2, decision(transaction, Decision::Abort))]);
    assert_eq!(sites.answer(request(1, 3)), Some(&Response::Aborted));
    sites.settle(&ALL);
    assert_eq!((value(&sites, N2, K2), value(&sites, N3, K3)), (None, None));
    assert!(ALL.iter().all(|node| sites.at(*node).is_quiet()));
}

/// 7.4: a coordinator that waits in vain for a vote decides to abort.
#[test]
fn a_vote_that_does_not_come_aborts() {
    let mut sites = sites(Presumption::Abort);
    ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y")]);
    execute(&mut sites, N1, &[N2, N3]);
    sites.crash(N3, Image::All);
    sites.run(config(Presumption::Abort).retry_interval.scale(5, 1));
    assert_eq!(sites.answer(request(1, 3)), Some(&Response::Aborted));
    assert!(sites.reached.contains(&"coordinator: not all answered in time"));
    assert_eq!(sites.at(N2).in_doubt().count(), 0, "and says so");
}

/// 7.3: until it votes, a participant may abort at any time, and does if nobody asks.
#[test]
fn who_has_not_voted_may_abort() {
    let mut sites = sites(Presumption::Abort);
    let transaction = ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y")]);
    execute(&mut sites, N1, &[N2, N3]);
    let asked = sites.wire.clone();
    sites.crash(N1, Image::All);
    sites.lose_all();
    sites.run(Duration::millis(300));
    assert!(sites.at(N2).is_quiet() && sites.at(N3).is_quiet(), "the locks are free");
    // The question arrives after all, and the answer must be no.
    let (from, to, prepare) = asked[0].clone();
    let effects = sites.deliver(from, to, prepare);
    assert_eq!(sent(&effects), [(N1, vote(transaction, Vote::No))]);
}

/// 7.4: in doubt and with nobody to ask but others in doubt, a participant is blocked. It keeps its
/// locks; the coordinator's return ends it.
#[test]
fn in_doubt_blocks_until_the_coordinator_is_back() {
    let mut sites = sites(Presumption::Abort);
    let transaction = ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y")]);
    execute(&mut sites, N1, &[N2, N3]);
    sites.pass(N1, N2);
    sites.pass(N1, N3);
    sites.crash(N1, Image::Nothing);
    sites.run(Duration::secs(5));
    for node in [N2, N3] {
        assert_eq!(sites.at(node).in_doubt().collect::<Vec<_>>(), [transaction]);
    }
    assert!(sites.ignored.contains(&"termination: asked while in doubt too"));
    assert!(!sites.at(N2).is_quiet(), "what it promised to write stays locked");
    sites.restart(N1);
    sites.run(Duration::millis(100));
    assert!(sites.reached.contains(&"no information: presumed aborted"));
    assert!(sites.at(N2).is_quiet() && sites.at(N3).is_quiet());
}

/// 7.4, cooperative termination: a fellow that was told tells.
#[test]
fn a_fellow_that_knows_ends_the_doubt() {
    let mut sites = sites(Presumption::Abort);
    ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y")]);
    execute(&mut sites, N1, &[N2, N3]);
    sites.pass(N1, N2);
    sites.pass(N1, N3);
    sites.pass(N2, N1);
    sites.pass(N3, N1);
    sites.pass(N1, N2);
    sites.crash(N1, Image::All);
    sites.lose_all();
    sites.run(Duration::millis(100));
    assert!(sites.reached.contains(&"termination: a fellow participant told the decision"));
    assert_eq!(value(&sites, N3, K3).as_deref(), Some("y"));
}

/// 7.4, cooperative termination: a fellow that has not voted aborts, which ends the doubt, and the
/// transaction: the fellow votes no from then on.
#[test]
fn a_fellow_that_has_not_voted_aborts_for_both() {
    let mut sites = sites(Presumption::Abort);
    let transaction = ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y")]);
    execute(&mut sites, N1, &[N2, N3]);
    sites.pass(N1, N2);
    // What goes from n1 to n3, and n2's vote, take long.
    let late: Vec<_> = sites.wire.drain(..).collect();
    sites.wait(Duration::millis(40));
    sites.settle(&[N2, N3]);
    assert!(sites.reached.contains(&"termination: who had not voted aborted"));
    assert!(sites.at(N2).is_quiet() && sites.at(N3).is_quiet());
    sites.lose_all();
    sites.wire = late;
    sites.settle(&ALL);
    assert_eq!(sites.answer(request(1, 3)), Some(&Response::Aborted));
    let no = sites.at(N3).votes().find(|(other, _)| *other == transaction);
    assert_eq!(no, Some((transaction, Vote::No)));
}

/// AC5, 7.4 recovery: who comes back in doubt keeps what it promised and asks.
#[test]
fn a_participant_in_doubt_comes_back_in_doubt() {
    let mut sites = sites(Presumption::Abort);
    let transaction = ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y")]);
    execute(&mut sites, N1, &[N2, N3]);
    sites.pass(N1, N2);
    sites.pass(N1, N3);
    sites.crash(N2, Image::Nothing);
    sites.lose_all();
    sites.restart(N2);
    let asks = (N2, N1, Message::DecisionRequest { transaction });
    assert!(sites.wire.contains(&asks), "it asks at once: {:?}", sites.wire);
    sites.run(Duration::millis(300));
    assert_eq!(value(&sites, N2, K2).as_deref(), Some("x"), "the votes are asked for again");
    assert_eq!(sites.answer(request(1, 3)), Some(&committed(2)));
}

/// 3.5, strictness: nobody sees a write before it is committed, nor after that anything else.
#[test]
fn nobody_reads_what_is_not_decided() {
    let mut sites = sites(Presumption::Abort);
    ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y")]);
    execute(&mut sites, N1, &[N2, N3]);
    // An older one (n1's first is older than n2's first) holds the lock: the reader dies.
    ask(&mut sites, 1, &[get(K2)]);
    assert_eq!(sites.answer(request(1, 1)), Some(&Response::Aborted));
    sites.settle(&ALL);
    ask(&mut sites, 4, &[get(K2)]);
    sites.settle(&ALL);
    let Some(Response::Committed(answers)) = sites.answer(request(1, 4)) else {
        panic!("nothing is locked any more");
    };
    assert_eq!(format!("{answers:?}"), r#"[Value(Some("x"))]"#);
}

/// Deviation: read locks, and all that was not prepared, end with a life; another life votes no.
#[test]
fn what_was_executed_before_a_crash_is_not_prepared_after_it() {
    let mut sites = sites(Presumption::Abort);
    let transaction = ask(&mut sites, 3, &[get(K2), put(K3, "y")]);
    execute(&mut sites, N1, &[N2, N3]);
    sites.crash(N2, Image::All);
    sites.restart(N2);
    let effects = sites.pass(N1, N2);
    assert_eq!(sent(&effects), [(N1, vote_in(2, transaction, Vote::No))]);
    sites.settle(&ALL);
    assert_eq!(sites.answer(request(1, 3)), Some(&Response::Aborted));
}

/// Deviation: a site that refused to execute may execute in its next life, and vote yes. The
/// refusal, if it comes late, must not pass for its vote: presumed commit would then not tell it of
/// the abort, and forget. (Found by the simulator: bank-presumed-commit.)
#[test]
fn a_refusal_of_an_earlier_life_is_not_a_vote() {
    let mut sites = sites(Presumption::Commit);
    // n2 lies behind a lock of n1's first transaction, which is older.
    ask(&mut sites, 3, &[put(K2, "x"), put(K1, "x")]);
    sites.pass(N1, N2);
    let transaction = ask(&mut sites, 2, &[put(K2, "y"), put(K3, "y")]);
    sites.pass(N3, N2);
    let place = sites.wire.iter().position(|(from, to, _)| (*from, *to) == (N2, N3));
    let refusal = sites.wire.remove(place.expect("n2 refuses"));
    assert_eq!(refusal.2, vote(transaction, Vote::No));
    sites.crash(N2, Image::All);
    sites.restart(N2);
    sites.wait(Duration::millis(40));
    sites.pass(N3, N2);
    sites.pass(N2, N3);
    sites.pass(N3, N2);
    assert_eq!(sites.at(N2).in_doubt().collect::<Vec<_>>(), [transaction]);
    sites.deliver(refusal.0, refusal.1, refusal.2);
    assert!(sites.reached.contains(&"vote: refused in a life before the one that executed"));
    sites.settle(&ALL);
    assert_eq!(value(&sites, N2, K2).as_deref(), Some("y"));
    assert_eq!(value(&sites, N3, K3).as_deref(), Some("y"));
}

/// Deviation: a late copy of what was aborted does not run again.
#[test]
fn a_late_copy_of_an_aborted_share_is_refused() {
    let mut sites = sites(Presumption::Abort);
    let transaction = ask(&mut sites, 3, &[put(K2, "x"), cas(K3, "expected", "y")]);
    let copy = sites.wire.iter().find(|(_, to, _)| *to == N2).expect("n2 is asked").clone();
    sites.settle(&ALL);
    let effects = sites.deliver(copy.0, copy.1, copy.2);
    assert_eq!(sent(&effects), [(N1, vote(transaction, Vote::No))]);
    assert!(sites.at(N2).is_quiet());
}

/// Deviation: a request has one coordinator, and an answer, whatever is retried and whoever
/// crashes.
#[test]
fn a_retried_request_runs_once() {
    let commands = [put(K2, "x"), put(K3, "y")];
    let refused = [put(K2, "x"), cas(K3, "expected", "y")];
    for (commands, expected) in [(commands, committed(2)), (refused, Response::Aborted)] {
        let mut sites = sites(Presumption::Abort);
        let first = ask(&mut sites, 3, &commands);
        assert_eq!(ask(&mut sites, 3, &commands), first, "while it is under way");
        assert!(sites.ignored.contains(&"request: under way"));
        sites.settle(&ALL);
        sites.crash(N1, Image::Nothing);
        sites.restart(N1);
        assert_eq!(ask(&mut sites, 3, &commands), first, "after it is answered");
        assert_eq!(sites.answer(request(1, 3)), Some(&expected));
        assert_eq!(sites.told.len(), 2);
    }
    assert_eq!(coordinator_of(ClientId::new(0), 3, 3), N1);
}

/// Deviation: what its client has left behind does not run any more.
#[test]
fn a_request_older_than_its_session_is_ignored() {
    let mut sites = sites(Presumption::Abort);
    ask(&mut sites, 6, &[put(K2, "new")]);
    sites.settle(&ALL);
    let body = Request { sequence: 3, commands: vec![put(K2, "old")] };
    sites.ask(N1, request(1, 3), body);
    assert_eq!(sites.ignored, ["request: older than its session's latest"]);
    assert_eq!(value(&sites, N2, K2).as_deref(), Some("new"));
}
