//! Each system holds under its faults, and what was found in it is found again.

use seedfall_systems::{gossip, mqtt, open_raft, pool, postgres, quic, redis_server, sqlx};
use seedfall_trials::{alone, found, found_in, holds, seen_in, tells};

#[test]
fn openraft_over_a_careful_store_holds() {
    alone(open_raft::careful(), holds);
}

/// In 2 runs of 1,500: the crash falls between two syncs.
#[test]
fn openraft_purges_a_log_before_the_snapshot_that_replaces_it_is_durable() {
    alone(open_raft::as_told(), |scenario| {
        let (small, story) = found(scenario);
        assert!(small.after.faults <= 3, "{}", small.summary());
        assert!(tells(&story, &["POST /snapshot HTTP/1.1"]), "{story:#?}");
        assert!(tells(&story, &["panics", "Failed to get log entries"]), "{story:#?}");
    });
}

#[test]
fn openraft_answers_from_an_old_snapshot_if_what_is_committed_is_not_saved() {
    alone(open_raft::forgets(), |scenario| drop(seen_in(scenario, 2_000..2_200)));
}

#[test]
fn a_write_that_openraft_does_not_answer_may_be_done_twice() {
    alone(open_raft::repeats(), |scenario| drop(found(scenario)));
}

#[test]
fn mini_redis_holds_until_it_crashes() {
    alone(redis_server::right(), holds);
    alone(redis_server::crashes(), |scenario| {
        let (small, story) = found(scenario);
        assert!(small.after.faults <= 1, "{}", small.summary());
        assert!(tells(&story, &["n1 crashes"]), "{story:#?}");
    });
}

#[test]
fn a_pool_of_connections_below_retries_holds_if_the_service_knows_them() {
    alone(pool::right(), holds);
    alone(pool::repeats(), |scenario| {
        let (_, story) = found(scenario);
        assert!(tells(&story, &["POST /add/"]), "{story:#?}");
    });
}

#[test]
fn tokio_postgres_below_a_pool_holds_if_commits_are_durable_and_known() {
    alone(postgres::right(), holds);
    alone(postgres::off(), |scenario| {
        let (small, story) = found(scenario);
        assert!(small.after.faults <= 1, "{}", small.summary());
        assert!(tells(&story, &["n1 crashes"]), "{story:#?}");
    });
    alone(postgres::repeats(), |scenario| drop(found(scenario)));
}

#[test]
fn what_is_read_of_sqlx_holds_if_what_is_given_back_to_its_pool_is_rolled_back() {
    alone(sqlx::rolled_back(), holds);
}

#[test]
fn a_transaction_of_sqlx_that_was_given_up_as_it_began_stays_open() {
    alone(sqlx::begins(), |scenario| {
        let (small, story) = found(scenario);
        assert!(small.after.faults <= 3, "{}", small.summary());
        assert!(tells(&story, &["broken: always linearizable"]), "{story:#?}");
    });
}

#[test]
fn a_pool_of_sqlx_waits_for_ever_for_connections_whose_server_was_lost() {
    alone(sqlx::waits(), |scenario| {
        let (_, story) = found(scenario);
        assert!(tells(&story, &["n1 crashes"]), "{story:#?}");
    });
}

#[test]
fn quic_with_tls_holds_if_the_server_knows_what_it_has_added() {
    alone(quic::right(), holds);
    alone(quic::repeats(), |scenario| drop(found_in(scenario, 0..100)));
}

#[test]
fn what_a_broker_of_mqtt_acknowledges_is_delivered_unless_the_session_is_clean() {
    alone(mqtt::right(), holds);
    alone(mqtt::clean(), |scenario| {
        let (_, story) = found(scenario);
        assert!(tells(&story, &["what was acknowledged is delivered"]), "{story:#?}");
    });
}

#[test]
fn chitchat_holds_if_what_is_deleted_is_remembered_for_longer_than_faults_last() {
    alone(gossip::right(), holds);
    alone(gossip::same_generation(), |scenario| drop(seen_in(scenario, 0..20)));
}

/// In one run of some thousand.
#[test]
fn chitchat_shows_a_key_for_ever_that_was_deleted_in_a_partition() {
    alone(gossip::forgets_early(), |scenario| drop(seen_in(scenario, 500..600)));
}
