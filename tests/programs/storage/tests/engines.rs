//! Each engine, crashed before every change of its files: what it promises holds, or the loss that
//! is known is found by its place.

use seedfall::Runnable;
use seedfall::programs::Programs;
use seedfall::programs::storage::{In, Out};
use seedfall::shrink::{Effort, shrink, story};
use seedfall::sweep::{Meaning, Summary, Sweep, all_cores, sweep};
use seedfall_storage::{fjall, lmdb, redb, sled, sqlite};
use std::ops::Range;

/// Every crash so many times.
fn every(scenario: &dyn Runnable, times: u64) -> Summary {
    let seeds = 0..times * scenario.least_seeds();
    let plan = Sweep { seeds, keep_going: true, ..Sweep::new(all_cores()) };
    let summary = sweep(scenario, &plan, &|_| ());
    println!(
        "{}: {} places of 4 workloads, {} runs in {:.1?}: {} hold, {} break as expected, {} fail",
        scenario.name(),
        scenario.least_seeds(),
        summary.seeds,
        summary.took,
        summary.passed,
        summary.as_expected,
        summary.failed
    );
    summary
}

/// Does it in a process of its own.
fn alone(scenario: &Programs<In, Out>, body: impl Fn(&dyn Runnable)) {
    scenario.alone(&mut || body(scenario));
}

fn keeps(scenario: &Programs<In, Out>) {
    alone(scenario, |scenario| {
        let summary = every(scenario, 4);
        for (runs, failure) in summary.ways.values() {
            println!("in {runs} runs: {failure}");
        }
        assert_eq!(summary.meaning(scenario), Meaning::AsExpected);
        assert!(summary.completed > 5 * summary.seeds, "{summary:?}");
    });
}

/// The first loss, made small and told.
fn loses(scenario: &Programs<In, Out>, times: u64, words: &[&str]) {
    alone(scenario, |scenario| {
        let summary = every(scenario, times);
        assert_eq!(summary.meaning(scenario), Meaning::AsExpected, "{summary:?}");
        let (_, failure) = summary.expected.values().next().expect("it is found");
        let trial = seedfall::Trial::of(failure.seed);
        let small = shrink(scenario, &trial, &Effort::runs(3_000)).expect("it fails");
        let told = story(&small);
        println!("{failure}\n{}\n{}", small.summary(), told.join("\n"));
        assert!(small.after.faults <= 1, "{}", small.summary());
        assert_eq!(scenario.run(&small.trial).hash, small.report.hash, "the same run");
        assert!(told.iter().any(|line| words.iter().all(|word| line.contains(word))), "{told:#?}");
    });
}

#[test]
fn sqlite_that_syncs_the_removal_of_its_journal_keeps_what_it_acknowledges() {
    keeps(&sqlite::extra());
}

#[test]
fn sqlite_that_cuts_or_overwrites_its_journal_keeps_what_it_acknowledges() {
    keeps(&sqlite::truncate());
    keeps(&sqlite::persist());
}

#[test]
fn sqlite_with_a_log_keeps_what_it_acknowledges_where_sectors_are_safe() {
    keeps(&sqlite::wal());
}

#[test]
fn sqlite_whose_index_of_the_log_is_mapped_keeps_what_it_acknowledges() {
    keeps(&sqlite::shared());
}

#[test]
fn sqlite_as_it_is_by_default_loses_its_last_transaction() {
    loses(&sqlite::default(), 1, &["n1 removes /work/data.db-journal"]);
}

#[test]
fn sqlite_with_a_log_that_it_does_not_sync_loses_its_last_transactions() {
    loses(&sqlite::normal(), 1, &["n1 writes /work/data.db-wal"]);
}

#[test]
fn redb_keeps_what_it_acknowledges_where_sectors_are_safe() {
    keeps(&redb::redb());
    keeps(&redb::two_phases());
}

#[test]
fn redb_whose_file_is_being_made_is_not_opened_after_a_power_loss() {
    loses(&redb::new(), 1, &["n1 makes /work/data.redb"]);
}

/// Rare: one of 800 crashes falls so.
#[test]
fn redb_whose_file_ends_in_the_midst_of_a_page_is_not_opened() {
    loses(&redb::any_length(), 4, &["n1 crashes"]);
}

#[test]
fn lmdb_keeps_what_it_acknowledges_where_sectors_are_whole() {
    keeps(&lmdb::lmdb());
    keeps(&lmdb::write_map());
}

#[test]
fn lmdb_without_a_sync_of_its_meta_page_loses_its_last_transactions_and_no_more() {
    keeps(&lmdb::no_meta_sync());
}

#[test]
fn lmdb_that_leaves_its_map_to_the_system_loses_what_it_acknowledged() {
    loses(&lmdb::map_async(), 1, &["n1 writes /work/life-"]);
}

#[test]
fn lmdb_whose_file_is_being_made_is_not_opened_after_a_power_loss() {
    loses(&lmdb::new(), 4, &["MDB_INVALID"]);
}

/// Rare: two of 800 crashes fall so.
#[test]
fn lmdb_whose_meta_page_is_torn_is_damaged() {
    loses(&lmdb::torn(), 8, &["n1 crashes"]);
}

/// The first places alone, as a run takes a tenth of a second.
fn first(scenario: &dyn Runnable) -> Summary {
    some(scenario, 0..100)
}

/// Some of the places.
fn some(scenario: &dyn Runnable, seeds: Range<u64>) -> Summary {
    let plan = Sweep { seeds, keep_going: true, ..Sweep::new(all_cores()) };
    sweep(scenario, &plan, &|_| ())
}

#[test]
fn fjall_keeps_what_it_acknowledges_once_it_is_there() {
    for scenario in [fjall::sync_all(), fjall::default()] {
        alone(&scenario, |scenario| {
            let summary = first(scenario);
            assert_eq!(summary.passed, 100, "{summary:?}");
            assert!(summary.completed > 500, "{summary:?}");
        });
    }
}

#[test]
fn fjall_that_is_being_made_is_not_opened_after_a_crash() {
    alone(&fjall::new(), |scenario| {
        let summary = first(scenario);
        assert!(summary.failed == 0 && summary.as_expected > 10, "{summary:?}");
    });
}

/// Issue 1452 of sled.
#[test]
fn sled_loses_what_it_flushed() {
    alone(&sled::flushed(), |scenario| {
        let summary = first(scenario);
        assert!(summary.failed == 0 && summary.as_expected > 0, "{summary:?}");
    });
}

#[test]
fn sled_whose_files_are_synced_loses_a_large_value_of_a_batch() {
    alone(&sled::synced(), |scenario| {
        let summary = some(scenario, 200..300);
        assert!(summary.failed == 0 && summary.as_expected > 0, "{summary:?}");
        assert!(summary.passed > 50, "{summary:?}");
    });
}
