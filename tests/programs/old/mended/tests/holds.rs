//! The versions that mended what `../../tests/found.rs` finds, over the same seeds and more.

use seedfall::Runnable;
use seedfall::sweep::{Meaning, Sweep, all_cores, sweep};
use seedfall_old::{gossip, postgres, quic, raft, redb, redis};

/// All of these seeds hold, and so many operations were answered in them.
fn holds(scenario: &impl Runnable, seeds: u64, answered: u64) {
    scenario.alone(&mut || {
        let plan = Sweep { seeds: 0..seeds, keep_going: true, ..Sweep::new(all_cores()) };
        let summary = sweep(scenario, &plan, &|_| ());
        let (name, took) = (scenario.name(), summary.took);
        println!("{name}: {seeds} seeds, {} operations answered, in {took:.1?}", summary.completed);
        for (runs, failure) in summary.ways.values() {
            println!("in {runs} runs: {failure}");
        }
        assert_eq!(summary.meaning(scenario), Meaning::AsExpected, "{summary:?}");
        assert_eq!(summary.passed, seeds);
        assert!(answered < summary.completed, "{summary:?}");
    });
}

#[test]
fn redis_skips_the_answers_that_came_too_late() {
    holds(&redis::scenario(), 1_000, 15_000);
}

#[test]
fn quinn_forgets_what_it_refused() {
    holds(&quic::scenario(), 1_000, 15_000);
}

#[test]
fn openraft_asks_what_it_has_applied() {
    holds(&raft::scenario(), 1_000, 20_000);
}

#[test]
fn chitchat_remembers_whom_it_forgot() {
    holds(&gossip::scenario(), 1_000, 990);
}

/// Four times as many seeds, as it is rare in the old version.
#[test]
fn redb_goes_by_the_length_of_its_file() {
    holds(&redb::scenario(), 4_000, 30_000);
}

#[test]
fn tokio_postgres_rolls_back_what_was_given_up() {
    holds(&postgres::scenario(), 1_000, 10_000);
}
