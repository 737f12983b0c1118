//! The replay contract of a foreign library: what it draws from the machine decides nothing.

use seedfall::Trial;
use seedfall::sim::{Seed, StableHasher};
use seedfall::sweep::{Sweep, sweep};
use seedfall_raft_rs::scenarios;
use std::num::NonZeroUsize;

/// All seeds of a scenario in one number.
fn hashes(name: &str, seeds: u64) -> u64 {
    let scenarios = scenarios::all();
    let scenario = scenarios.iter().find(|one| one.name() == name).expect("a scenario of ours");
    (0..seeds).fold(0, |sum: u64, seed| {
        let hash = scenario.run(&Trial::of(Seed(seed))).hash;
        sum.wrapping_add(StableHasher::hash(&(seed, hash)))
    })
}

/// Another process wrote these numbers down, so the test is of two processes each time. They change
/// with the engine, the wrapper and the version of raft-rs; on 32-bit machines they are others.
#[test]
fn a_seed_is_the_same_run_in_another_process() {
    for (name, golden) in [
        ("raft-rs-kv", 0x0579_8338_dc30_a4d6),
        ("raft-rs-kv-3", 0xb0c7_439c_fa59_73ff),
        ("raft-rs-snapshot", 0xfc56_7366_a6fa_88e7),
    ] {
        let now = hashes(name, 100);
        assert_eq!(now, golden, "{name}: {now:#018x}");
    }
}

#[test]
fn a_seed_is_the_same_run_alone_and_inside_a_parallel_sweep() {
    for scenario in scenarios::all() {
        let alone = hashes(scenario.name(), 40);
        for jobs in [1, 2, 5] {
            let jobs = NonZeroUsize::new(jobs).expect("not zero");
            let plan = Sweep { seeds: 0..40, keep_going: true, ..Sweep::new(jobs) };
            let together = sweep(scenario.as_ref(), &plan, &|_, _| ());
            assert_eq!(together.hash, alone, "{} with {jobs} threads", scenario.name());
        }
    }
}
