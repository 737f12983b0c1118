//! Faults that are made of parts: each part is there, and together they do what their name says.

use seedfall::faults::classes;
use seedfall::report::FailureKind;
use seedfall::run::{Runnable, Trial};
use seedfall::sim::{Duration, Seed};
use seedfall::{Class, Entry, Fault, Swarm};
use seedfall_scenarios::{byzantine_generals, pbft, raft_byzantine, raft_kv, reliable_broadcast};

/// The swizzles of a seed.
fn swizzles(seed: u64) -> Vec<Entry> {
    let budget = raft_kv::five().fault_budget();
    Swarm { swizzles: 1, ..Swarm::NONE }.draw(Seed(seed), &budget).entries
}

#[test]
fn a_swizzle_clogs_one_after_another_and_unclogs_in_another_order() {
    let (mut several, mut other_order) = (0, 0);
    for seed in 0..200 {
        let mut entries = swizzles(seed);
        assert!(entries.iter().all(|entry| entry.fault.class() == Class::Swizzle));
        if entries.len() < 2 {
            continue;
        }
        several += 1;
        let order = |entries: &[Entry]| -> Vec<Fault> {
            entries.iter().map(|entry| entry.fault.clone()).collect()
        };
        entries.sort_by_key(|entry| entry.at);
        let clogged = order(&entries);
        let at_once = entries.windows(2).any(|two| two[0].at == two[1].at);
        entries.sort_by_key(|entry| entry.at + entry.lasts);
        let until = |entry: &Entry| entry.at + entry.lasts;
        let together = entries.windows(2).any(|two| until(&two[0]) == until(&two[1]));
        assert!(!at_once && !together, "seed {seed}: one after another");
        // All are clogged before the first is free again.
        let last = entries.iter().map(|entry| entry.at).max();
        assert!(last <= entries.iter().map(until).min(), "seed {seed}");
        other_order += u32::from(order(&entries) != clogged);
    }
    assert!(several > 60, "half of the seeds swizzle, and most of those several nodes: {several}");
    assert!(other_order * 2 > several, "{other_order} of {several} in another order");
}

/// In how many of these seeds the class was planned and had an effect, and the first failure.
fn sweep(
    scenario: &dyn Runnable,
    class: Class,
    seeds: std::ops::Range<u64>,
) -> (u32, Option<FailureKind>) {
    let (mut fired, mut failed) = (0, None);
    for seed in seeds {
        let report = scenario.run(&Trial::of(Seed(seed)));
        fired += u32::from(report.fired.contains(&(class, true)));
        if let Some(failure) = report.failure() {
            failed = failed.or(Some(failure.kind));
        }
    }
    (fired, failed)
}

#[test]
fn swizzled_messages_wait_and_raft_does_not_mind() {
    let mut scenario = raft_kv::three();
    scenario.faults = Swarm { swizzles: 2, ..Swarm::NONE };
    let (fired, failed) = sweep(&scenario, Class::Swizzle, 0..200);
    assert!(fired > 60, "in half of the seeds, less what hits nobody: {fired}");
    assert_eq!(failed, None);
}

#[test]
fn four_generals_agree_though_one_is_two() {
    let mut scenario = byzantine_generals::four();
    scenario.faults = Swarm { twins: 1, ..Swarm::NONE };
    let (fired, failed) = sweep(&scenario, Class::Twins, 0..400);
    assert!(fired > 130, "in half of the seeds, if anybody speaks while it lasts: {fired}");
    assert_eq!(failed, None);
}

#[test]
fn raft_is_not_safe_with_a_node_that_is_two() {
    let scenario = raft_byzantine::twins();
    let (fired, failed) = sweep(&scenario, Class::Twins, 0..400);
    assert!(fired > 130, "in half of the seeds: {fired}");
    assert_eq!(failed, Some(FailureKind::Safety));
}

#[test]
fn a_malicious_strategy_is_followed_and_bracha_does_not_mind() {
    let mut scenario = reliable_broadcast::four();
    scenario.faults = Swarm { strategies: 1, ..Swarm::NONE };
    let (fired, failed) = sweep(&scenario, Class::Strategy, 0..200);
    assert!(fired > 50, "in half of the seeds, if the node speaks: {fired}");
    assert_eq!(failed, None);
}

/// A replica that cheats clients is seen through by those who wait for `f + 1` answers that agree.
#[test]
fn a_client_that_believes_one_replica_is_cheated() {
    let mut scenario = pbft::four();
    scenario.faults = Swarm { strategies: 1, ..Swarm::NONE };
    assert_eq!(sweep(&scenario, Class::Strategy, 0..100).1, None);
    scenario.workload.agree = 1;
    assert_eq!(sweep(&scenario, Class::Strategy, 0..100).1, Some(FailureKind::Safety));
}

/// What a twin costs a protocol is counted against what it can spare, with lies and lost disks.
#[test]
fn no_more_nodes_are_two_than_can_be_spared() {
    let twins = |at: u64, node: u16| Entry {
        at: Duration::millis(at),
        lasts: Duration::millis(10),
        fault: Fault::Twins(classes::Twins {
            node: seedfall::sim::NodeId::new(node),
            round: Duration::millis(20),
        }),
        aim: seedfall::plan::Aim::Named,
        retargets: false,
    };
    let budget = byzantine_generals::four().fault_budget();
    let one = seedfall::FaultPlan { entries: vec![twins(0, 0)] };
    assert_eq!(one.check(&budget), Ok(()));
    let two = seedfall::FaultPlan { entries: vec![twins(0, 0), twins(20, 1)] };
    assert!(matches!(two.check(&budget), Err(seedfall::plan::PlanError::TooMany { spare: 1, .. })));
}
