//! The versions that mended what `../../tests/found.rs` finds, over the same seeds and more.

use seedfall::Runnable;
use seedfall::sweep::{Meaning, Sweep, all_cores, sweep};
use seedfall_old::{gossip, quic, raft, redis};

/// 1,000 seeds hold, in which so many operations were answered.
fn holds(scenario: &impl Runnable, answered: u64) {
    scenario.alone(&mut || {
        let plan = Sweep { seeds: 0..1_000, keep_going: true, ..Sweep::new(all_cores()) };
        let summary = sweep(scenario, &plan, &|_| ());
        let (name, took) = (scenario.name(), summary.took);
        println!("{name}: {} operations answered, in {took:.1?}", summary.completed);
        for (runs, failure) in summary.ways.values() {
            println!("in {runs} runs: {failure}");
        }
        assert_eq!(summary.meaning(scenario), Meaning::AsExpected, "{summary:?}");
        assert_eq!(summary.passed, 1_000);
        assert!(answered < summary.completed, "{summary:?}");
    });
}

#[test]
fn redis_skips_the_answers_that_came_too_late() {
    holds(&redis::scenario(), 15_000);
}

#[test]
fn quinn_forgets_what_it_refused() {
    holds(&quic::scenario(), 5_000);
}

#[test]
fn openraft_asks_what_it_has_applied() {
    holds(&raft::scenario(), 10_000);
}

#[test]
fn chitchat_remembers_whom_it_forgot() {
    holds(&gossip::scenario(), 990);
}
