//! The replay contract of a foreign library: what it draws from the machine decides nothing.

use seedfall::sim::{Seed, StableHasher};
use seedfall::sweep::{Sweep, sweep};
use seedfall::{Runnable, Trial};
use seedfall_raft_rs::scenarios;
use std::num::NonZeroUsize;
use std::process::Command;

fn hash(scenario: &dyn Runnable, seed: u64) -> u64 {
    scenario.run(&Trial::of(Seed(seed))).hash
}

#[test]
fn a_seed_is_the_same_run_in_another_process() {
    for scenario in scenarios::all() {
        let name = scenario.name();
        let here: Vec<String> =
            (0..100).map(|seed| format!("{:#018x}", hash(scenario.as_ref(), seed))).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_raft-rs"))
            .args(["hash", name, "--seeds", "0..100"])
            .output()
            .expect("the binary of this crate");
        let text = String::from_utf8(output.stdout).expect("text");
        // A line is a name, a seed, a hash and a number of events.
        let hash = |line: &str| line.split_whitespace().nth(2).map(str::to_owned);
        let there: Vec<String> = text.lines().filter_map(hash).collect();
        assert_eq!(here, there, "{name}");
    }
}

#[test]
fn a_seed_is_the_same_run_alone_and_inside_a_parallel_sweep() {
    for scenario in scenarios::all() {
        let alone = (0..40).fold(0, |sum: u64, seed| {
            sum.wrapping_add(StableHasher::hash(&(seed, hash(scenario.as_ref(), seed))))
        });
        for jobs in [1, 2, 5] {
            let jobs = NonZeroUsize::new(jobs).expect("not zero");
            let plan = Sweep { seeds: 0..40, keep_going: true, ..Sweep::new(jobs) };
            let together = sweep(scenario.as_ref(), &plan, &|_| ());
            assert_eq!(together.hash, alone, "{} with {jobs} threads", scenario.name());
        }
    }
}
