//! Mohan, Lindsay and Obermarck (R\*): what each presumption writes down, forces, acknowledges and
//! forgets.

use crate::by_hand::{Image, N1, N2, N3, request, sent, written};
use crate::support::*;
use seedfall_protocols::two_phase_commit::{Decision, Message, Presumption, Record, Vote};
use seedfall_sim::Duration;

/// Presumed abort: a commit is forced on both sides, acknowledged, and then forgotten.
#[test]
fn presumed_abort_acknowledges_commits() {
    let mut sites = sites(Presumption::Abort);
    ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y")]);
    sites.settle(&ALL);
    assert_eq!(journal(&sites, N1), ["Started", "Committed", "Ended"]);
    assert_eq!(journal(&sites, N2), ["Started", "Prepared", "Decided"]);
    assert!(sites.at(N1).is_quiet());
}

#[test]
fn presumed_abort_tells_a_commit_until_all_have_acknowledged() {
    let mut sites = sites(Presumption::Abort);
    let transaction = ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y")]);
    execute(&mut sites, N1, &[N2, N3]);
    sites.settle(&[N1, N2]);
    sites.pass(N1, N3);
    sites.pass(N3, N1);
    let effects = sites.pass(N1, N2);
    let records = written(&effects);
    assert!(matches!(&records[..], [(Record::Decided { .. }, true)]), "{records:?}");
    assert_eq!(sent(&effects), [(N1, Message::Acknowledge { transaction })]);
    sites.settle(&[N1, N2]);
    sites.lose_all();
    // n3 was not told. The coordinator crashes, and remembers.
    sites.crash(N1, Image::Nothing);
    sites.restart(N1);
    assert!(sites.reached.contains(&"recovery: a commit is told again"));
    sites.settle(&ALL);
    assert_eq!(value(&sites, N3, K3).as_deref(), Some("y"));
    assert!(sites.at(N1).is_quiet());
    sites.wait(Duration::secs(61));
    sites.crash(N1, Image::Nothing);
    sites.reached.clear();
    sites.restart(N1);
    assert!(!sites.reached.contains(&"recovery: a commit is told again"), "it has ended");
}

/// Presumed abort: an abort is neither forced by a participant nor acknowledged, and the
/// coordinator forgets it at once; whoever asks is told so for want of information.
#[test]
fn presumed_abort_forgets_aborts() {
    let mut sites = sites(Presumption::Abort);
    let transaction = ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y")]);
    execute(&mut sites, N1, &[N2, N3]);
    sites.pass(N1, N2);
    sites.crash(N3, Image::Nothing);
    sites.restart(N3);
    sites.pass(N1, N3);
    let effects = sites.pass(N3, N1);
    assert_eq!(sent(&effects), [(N2, decision(transaction, Decision::Abort))]);
    assert_eq!(sites.at(N1).notices().count(), 0, "forgotten");
    sites.lose_all();
    sites.wait(Duration::millis(40));
    sites.pass(N2, N1);
    assert!(sites.reached.contains(&"no information: presumed aborted"));
    let effects = sites.pass(N1, N2);
    let records = written(&effects);
    assert!(matches!(&records[..], [(Record::Decided { .. }, false)]), "{records:?}");
    assert_eq!(sent(&effects), [], "and nobody waits for an acknowledgement");
}

/// Presumed commit: before the votes are asked for, the coordinator notes whom it will ask.
#[test]
fn presumed_commit_notes_whom_it_asks() {
    let mut sites = sites(Presumption::Commit);
    ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y")]);
    sites.pass(N1, N2);
    sites.pass(N2, N1);
    sites.pass(N1, N3);
    let effects = sites.pass(N3, N1);
    let records = written(&effects);
    assert!(matches!(&records[..], [(Record::Collecting { .. }, true)]), "{records:?}");
    assert!(matches!(&sent(&effects)[..], [(N2, Message::Prepare { .. }), (N3, _)]));
}

/// Presumed commit: a commit is forgotten at once, neither forced by a participant nor
/// acknowledged; whoever asks is told so for want of information.
#[test]
fn presumed_commit_forgets_commits() {
    let mut sites = sites(Presumption::Commit);
    ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y")]);
    execute(&mut sites, N1, &[N2, N3]);
    sites.pass(N1, N2);
    sites.pass(N1, N3);
    sites.pass(N2, N1);
    sites.pass(N3, N1);
    let effects = sites.pass(N1, N2);
    let records = written(&effects);
    assert!(matches!(&records[..], [(Record::Decided { .. }, false)]), "{records:?}");
    assert_eq!(sent(&effects), []);
    assert!(sites.at(N1).is_quiet(), "forgotten");
    // n2 loses what was not forced, and asks.
    sites.crash(N2, Image::Nothing);
    sites.lose_all();
    sites.restart(N2);
    assert_eq!(sites.at(N2).in_doubt().count(), 1);
    sites.pass(N2, N1);
    assert!(sites.reached.contains(&"no information: presumed committed"));
    sites.settle(&ALL);
    assert_eq!(value(&sites, N2, K2).as_deref(), Some("x"));
    assert_eq!(journal(&sites, N1), ["Started", "Collecting", "Committed"]);
}

/// Presumed commit: an abort is acknowledged by all that may have voted yes; before that, to forget
/// it would be to commit it.
#[test]
fn presumed_commit_acknowledges_aborts() {
    let mut sites = sites(Presumption::Commit);
    ask(&mut sites, 3, &[put(K2, "x"), put(K3, "y")]);
    execute(&mut sites, N1, &[N2, N3]);
    sites.pass(N1, N2);
    sites.lose_all();
    sites.crash(N1, Image::Nothing);
    sites.restart(N1);
    assert!(sites.reached.contains(&"recovery: what was being voted on is aborted"));
    let effects = sites.pass(N1, N2);
    let records = written(&effects);
    assert!(matches!(&records[..], [(Record::Decided { .. }, true)]), "{records:?}");
    sites.lose_all();
    sites.wait(Duration::millis(40));
    assert_eq!(sites.at(N1).notices().count(), 1, "told again until all have acknowledged");
    sites.settle(&ALL);
    assert!(ALL.iter().all(|node| sites.at(*node).is_quiet()));
    assert_eq!(journal(&sites, N1), ["Started", "Collecting", "Started", "Ended"]);
}

/// R\*: who only read writes nothing down, lets go of its locks, and is left out of the second
/// phase. If all only read, nobody writes anything, whatever the presumption.
#[test]
fn who_only_read_is_left_out_of_the_second_phase() {
    for presumption in [Presumption::Abort, Presumption::Commit] {
        let mut sites = sites(presumption);
        let transaction = ask(&mut sites, 3, &[get(K2), put(K3, "y")]);
        execute(&mut sites, N1, &[N2, N3]);
        let effects = sites.pass(N1, N2);
        assert_eq!(sent(&effects), [(N1, vote(transaction, Vote::ReadOnly))]);
        assert!(sites.at(N2).is_quiet());
        sites.settle(&ALL);
        assert_eq!(journal(&sites, N2), ["Started"]);
        assert_eq!(value(&sites, N3, K3).as_deref(), Some("y"));

        ask(&mut sites, 6, &[get(K2), get(K3)]);
        let before = journal(&sites, N1);
        sites.settle(&ALL);
        assert_eq!(journal(&sites, N1), before, "{:?}", sites.answer(request(1, 6)));
    }
}
