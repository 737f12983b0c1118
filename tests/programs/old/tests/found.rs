//! Bugs that others reported of their crates, at the old version: found within the seeds that are
//! said, by the property that the report is about, made small, told and replayed.

use seedfall::shrink::{Effort, Shrunk, shrink, story};
use seedfall::sweep::{Meaning, Sweep, all_cores, sweep};
use seedfall::{NEVER_PANICS, Runnable, Trial};
use seedfall_old::{gossip, postgres, quic, raft, redb, redis};

/// What was found: the first failing run, made small, and its story.
struct Found {
    small: Shrunk,
    story: Vec<String>,
}

impl Found {
    /// Whether some line has all of these words.
    fn tells(&self, words: &[&str]) {
        let told = self.story.iter().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(told, "{words:?} in {:#?}", self.story);
    }
}

/// Looks for the bug in so many seeds, by this property; says what it took.
fn found(scenario: &impl Runnable, seeds: u64, property: &str, check: impl Fn(&Found)) {
    scenario.alone(&mut || {
        let began = std::time::Instant::now();
        let summary =
            sweep(scenario, &Sweep { seeds: 0..seeds, ..Sweep::new(all_cores()) }, &|_| ());
        assert_eq!(summary.meaning(scenario), Meaning::AsExpected, "{summary:?}");
        let expected = || summary.expected.values();
        let (runs, failure) = expected().find(|(_, one)| one.property == property).expect("found");
        let trial = Trial::of(failure.seed);
        assert_eq!(scenario.run(&trial).hash, failure.hash, "the same run");
        let took = began.elapsed();
        let small = shrink(scenario, &trial, &Effort::runs(1_000)).expect("it fails");
        assert_eq!(scenario.run(&small.trial).hash, small.report.hash, "the small one, too");
        let told = story(&small);
        let (name, seed) = (scenario.name(), failure.seed.0);
        println!("{name}: in {runs} of {seeds} runs, first in seed {seed}, in {took:.1?}");
        println!("{failure}\n{}\n{}", small.summary(), told.join("\n"));
        check(&Found { small, story: told });
    });
}

#[test]
fn an_answer_of_redis_that_came_too_late_is_taken_for_that_of_the_next_command() {
    found(&redis::scenario(), 100, "always linearizable", |found| {
        assert!(found.small.after.faults <= 1, "{}", found.small.summary());
        found.tells(&["c1 has", "no answer"]);
        found.tells(&["n1 sends c1 OK"]);
        found.tells(&["broken: always linearizable"]);
    });
}

#[test]
fn a_copy_of_an_initial_that_was_refused_after_a_retry_makes_quinn_panic() {
    found(&quic::scenario(), 100, NEVER_PANICS, |found| {
        assert!(found.small.after.faults <= 1, "{}", found.small.summary());
        found.tells(&["n1 panics: invalid key", "quinn-proto-0.11.6/src/endpoint.rs"]);
        found.tells(&["n1 ends with code 134"]);
    });
}

#[test]
fn a_follower_of_openraft_that_was_restarted_takes_what_it_purged_for_a_conflict() {
    found(&raft::scenario(), 100, NEVER_PANICS, |found| {
        assert!(found.small.after.faults <= 2, "{}", found.small.summary());
        found.tells(&["comes back"]);
        found.tells(&["writes /work/store.new", "log []"]);
        found.tells(&["panics: assertion failed: index >= self.last_applied.index"]);
        found.tells(&["openraft-0.6.7/src/core/append_entries.rs"]);
    });
}

#[test]
fn an_incarnation_that_chitchat_has_forgotten_is_told_anew_for_ever() {
    found(&gossip::scenario(), 100, "always the dead are forgotten", |found| {
        found.tells(&["comes back"]);
        found.tells(&["c1 has c1#0", "knows: [\"node1/"]);
        found.tells(&["broken: always the dead are forgotten", "which is no more"]);
    });
}

/// Rare: in ten of 4,000 runs.
#[test]
fn a_header_of_redb_that_was_half_written_keeps_its_file_shut() {
    found(&redb::scenario(), 1_000, NEVER_PANICS, |found| {
        assert!(found.small.after.faults <= 1, "{}", found.small.summary());
        found.tells(&["n1 writes /work/data.redb, 320 bytes"]);
        found.tells(&["n1 crashes", "not durable"]);
        found.tells(&["n1 panics: assertion failed: storage.raw_file_len()?", "redb-4.1.0"]);
    });
}

#[test]
fn a_transaction_of_tokio_postgres_that_was_given_up_as_it_began_stays_open() {
    found(&postgres::scenario(), 100, "always linearizable", |found| {
        assert!(found.small.after.faults <= 1, "{}", found.small.summary());
        found.tells(&["c2 has", "no answer"]);
        found.tells(&["broken: always linearizable"]);
    });
}
