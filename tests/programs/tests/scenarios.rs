//! Services of axum and tonic as scenarios: the right ones hold, the bugs of the wrong ones are
//! found, made small, told and replayed.

use seedfall_programs::{journal, payments, raft, sqlite, tally};
use seedfall_trials::{alone, found, found_in, holds, tells};

#[test]
fn a_service_of_axum_that_keeps_its_keys_holds() {
    alone(payments::right(), holds);
}

#[test]
fn a_payment_that_is_booked_twice_after_a_crash_is_found_and_told() {
    alone(payments::forgetful(), |scenario| {
        let (small, story) = found(scenario);
        assert!(small.after.faults <= 2, "{}", small.summary());
        assert!(tells(&story, &["n1 crashes"]), "{story:#?}");
        assert!(tells(&story, &["POST /payments HTTP/1.1"]), "{story:#?}");
        assert!(tells(&story, &["n1 writes /work/ledger"]), "{story:#?}");
        assert!(tells(&story, &["broken: always linearizable"]), "{story:#?}");
    });
}

#[test]
fn a_payment_that_is_booked_twice_as_its_request_was_dropped_is_found_and_told() {
    alone(payments::stopped(), |scenario| {
        let (_, story) = found(scenario);
        assert!(tells(&story, &["n1 writes /work/ledger"]), "{story:#?}");
        assert!(tells(&story, &["broken: always linearizable"]), "{story:#?}");
    });
}

#[test]
fn a_payment_that_goes_with_the_sector_of_the_next_one_is_found_and_told() {
    alone(payments::unpadded(), |scenario| {
        let (_, story) = found(scenario);
        assert!(tells(&story, &["n1 syncs /work/ledger"]), "{story:#?}");
        assert!(tells(&story, &["n1 crashes"]), "{story:#?}");
    });
}

#[test]
fn raft_over_its_driver_holds() {
    alone(raft::right(), holds);
}

#[test]
fn raft_over_files_that_are_never_synced_is_found_and_told() {
    alone(raft::unsynced(), |scenario| {
        let (_, story) = found_in(scenario, 0..5_000);
        assert!(story.iter().any(|line| line.contains("crashes")), "{story:#?}");
        assert!(tells(&story, &["broken: "]), "{story:#?}");
    });
}

#[test]
fn a_service_of_tonic_that_syncs_holds() {
    alone(journal::right(), holds);
}

#[test]
fn a_record_that_is_acknowledged_and_lost_in_a_crash_is_found_and_told() {
    alone(journal::wrong(), |scenario| {
        let (small, story) = found(scenario);
        assert!(small.after.faults <= 2, "{}", small.summary());
        assert!(tells(&story, &["n1 crashes", "not durable"]), "{story:#?}");
        assert!(tells(&story, &["HTTP/2", "DATA", "of stream"]), "{story:#?}");
        assert!(tells(&story, &["n1 writes /work/records"]), "{story:#?}");
    });
}

#[test]
fn what_sqlite_acknowledges_is_there_after_a_power_loss_if_it_syncs() {
    alone(sqlite::extra(), holds);
}

#[test]
fn a_journal_that_comes_back_after_a_power_loss_takes_what_was_acknowledged() {
    alone(sqlite::default(), |scenario| {
        let (small, story) = found(scenario);
        assert!(small.after.faults <= 2, "{}", small.summary());
        assert!(tells(&story, &["n1 removes /work/db-journal"]), "{story:#?}");
        assert!(tells(&story, &["broken: always linearizable"]), "{story:#?}");
    });
}

#[test]
fn a_sector_that_two_transactions_share_takes_one_that_was_synced() {
    alone(sqlite::wal(), |scenario| {
        let (small, story) = found(scenario);
        assert!(small.after.faults <= 2, "{}", small.summary());
        assert!(tells(&story, &["n1 syncs /work/db-wal"]), "{story:#?}");
    });
}

/// In two runs of 2,800: it takes two crashes.
#[test]
fn a_log_that_goes_on_in_the_middle_of_a_sector_loses_what_was_synced() {
    alone(sqlite::padded(), |scenario| drop(found_in(scenario, 2_000..2_400)));
}

#[test]
fn what_sqlite_did_not_sync_of_its_write_ahead_log_is_lost_in_a_power_loss() {
    alone(sqlite::normal(), |scenario| {
        let (small, story) = found(scenario);
        assert!(small.after.faults <= 2, "{}", small.summary());
        assert!(tells(&story, &["n1 writes /work/db-wal"]), "{story:#?}");
        assert!(tells(&story, &["broken: always linearizable"]), "{story:#?}");
    });
}

#[test]
fn a_database_that_syncs_nothing_is_lost_or_broken() {
    alone(sqlite::off(), |scenario| drop(found(scenario)));
}

#[test]
fn a_service_that_ends_as_it_is_told_loses_nothing() {
    alone(tally::right(), holds);
}

#[test]
fn a_service_that_listens_to_another_signal_is_found_and_told() {
    alone(tally::deaf(), |scenario| {
        let (small, story) = found(scenario);
        assert_eq!(small.after.faults, 1, "{}", small.summary());
        assert!(tells(&story, &["n1 is ended by SIGTERM"]), "{story:#?}");
        assert!(tells(&story, &["broken: always linearizable"]), "{story:#?}");
    });
}

#[test]
fn a_service_that_writes_before_it_has_answered_is_found_and_told() {
    alone(tally::hasty(), |scenario| {
        let (_, story) = found(scenario);
        assert!(tells(&story, &["n1 is told SIG"]), "{story:#?}");
        assert!(tells(&story, &["n1 renames /work/count.new"]), "{story:#?}");
    });
}
