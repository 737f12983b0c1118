//! The replay contract: one seed is one run, wherever and however it is run.
//!
//! (That it holds in a second process is shown in `scenarios/tests/commands.rs`, which has the
//! binary; that it holds in release as in debug, by `.ci/run`, which compares the release binary
//! with the same golden file.)

use crate::root;
use seedfall::case::{Case, Replayed};
use seedfall::sim::{DrawAddress, Recording, Seed, StableHasher};
use seedfall::sweep::{Sweep, sweep};
use seedfall::{Runnable, Trial};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::num::NonZeroUsize;

const GOLDEN: &str = "tests/golden/hashes.txt";
const SEEDS: u64 = 10;

/// The golden file: a line for each scenario and seed, as `seedfall hash` prints it.
fn hashes() -> String {
    let mut text = String::new();
    for scenario in seedfall_scenarios::all() {
        for seed in 0..SEEDS {
            let report = scenario.run(&Trial::of(Seed(seed)));
            let (name, hash, events) = (scenario.name(), report.hash, report.events);
            writeln!(text, "{name} {seed} {hash:#018x} {events}").expect("a string takes all");
        }
    }
    text
}

#[test]
fn hashes_are_the_golden_ones() {
    let path = root().join(GOLDEN);
    let now = hashes();
    assert!(now.lines().count() >= 20, "at least twenty pairs");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &now).expect("the golden file can be written");
    }
    let golden = fs::read_to_string(&path).expect("the golden file");
    for (now, golden) in now.lines().zip(golden.lines()) {
        assert_eq!(
            now, golden,
            "the engine, a protocol or a scenario changed: if that is meant, run the test once \
             with UPDATE_GOLDEN=1 and say so in CHANGELOG.md"
        );
    }
    assert_eq!(now.lines().count(), golden.lines().count());
}

#[test]
fn a_seed_is_the_same_run_alone_and_inside_a_parallel_sweep() {
    // Threads take sixteen seeds at a time: fewer than seventeen would be one thread's.
    let seeds = 0..20;
    for (index, scenario) in seedfall_scenarios::all().iter().enumerate() {
        let alone = seeds.clone().fold(0_u64, |sum, seed| {
            let hash = scenario.run(&Trial::of(Seed(seed))).hash;
            sum.wrapping_add(StableHasher::hash(&(seed, hash)))
        });
        let jobs = NonZeroUsize::new([2, 5][index % 2]).expect("not zero");
        let plan = Sweep { seeds: seeds.clone(), keep_going: true, ..Sweep::new(jobs) };
        let together = sweep(scenario.as_ref(), &plan, &|_| ());
        assert_eq!(together.hash, alone, "{} with {jobs} threads", scenario.name());
    }
}

#[test]
fn recording_does_not_change_a_run() {
    for scenario in seedfall_scenarios::all() {
        let hash = |recording| scenario.run(&Trial { recording, ..Trial::of(Seed(3)) }).hash;
        let plain = hash(Recording::Hash);
        assert_eq!(plain, hash(Recording::Ring(16)), "{}", scenario.name());
        assert_eq!(plain, hash(Recording::Full), "{}", scenario.name());
        let trial = Trial { log_draws: true, spans: true, ..Trial::of(Seed(3)) };
        assert_eq!(plain, scenario.run(&trial).hash, "{}", scenario.name());
    }
}

fn draws(scenario: &dyn Runnable, trial: &Trial) -> BTreeMap<DrawAddress, [u32; 4]> {
    let report = scenario.run(&Trial { log_draws: true, ..trial.clone() });
    report.draws.into_iter().collect()
}

/// A hundred deletions of one fault or one operation: what is drawn at the same address stays the
/// same.
#[test]
fn leaving_one_thing_out_moves_no_other_draw() {
    let scenarios = seedfall_scenarios::all();
    let (mut deletions, mut changed) = (0, 0);
    let mut shared_share = Vec::new();
    for seed in 0..100 {
        let scenario = scenarios[seed as usize % scenarios.len()].as_ref();
        let whole = Trial { plan: Some(scenario.plan(Seed(seed))), ..Trial::of(Seed(seed)) };
        let mut less = whole.clone();
        let pick = StableHasher::hash(&("what to leave out", seed)) as usize;
        match &mut less.plan {
            Some(plan) if !plan.entries.is_empty() && pick.is_multiple_of(2) => {
                let which = pick / 2 % plan.entries.len();
                plan.entries.remove(which);
            }
            _ => {
                let operations = scenario.operations();
                less.skip.insert(operations[pick / 2 % operations.len()]);
            }
        }
        deletions += 1;
        let (before, after) = (draws(scenario, &whole), draws(scenario, &less));
        changed += usize::from(before != after);
        let shared = before.keys().filter(|address| after.contains_key(address)).count();
        let same = before.iter().filter(|(address, words)| after.get(address) == Some(words));
        let same = same.count();
        assert!(shared > 0, "the two runs have draws in common");
        assert!(95 * shared <= 100 * same, "seed {seed}: {same} of {shared} draws are the same");
        shared_share.push(shared * 100 / before.len());
    }
    shared_share.sort_unstable();
    let median = shared_share[shared_share.len() / 2];
    assert!(changed * 2 > deletions, "most deletions matter: {changed} of {deletions}");
    assert!(median >= 50, "most of the run is still the same run: {median} %");
}

fn some_case() -> (Case, Trial) {
    let scenarios = seedfall_scenarios::all();
    let scenario = scenarios[0].as_ref();
    let trial = Trial { recording: Recording::Full, ..Trial::of(Seed(5)) };
    let report = scenario.run(&trial);
    let case = Case::of(&trial, &report, "");
    (case.clone(), case.trial())
}

#[test]
fn a_case_replays_to_the_same_run() {
    let (case, trial) = some_case();
    let report = seedfall_scenarios::all()[0].run(&trial);
    assert_eq!(case.compare(&report), Replayed::Same);
}

#[test]
fn a_replay_that_differs_names_the_first_differing_event() {
    let (mut case, trial) = some_case();
    let report = seedfall_scenarios::all()[0].run(&trial);
    let diverged = |case: &Case| match case.compare(&report) {
        Replayed::Diverged { event, now } => (event, now),
        Replayed::Same => panic!("the runs differ"),
    };
    // The case says something else of event 101, then of the end.
    let digit = if case.expect.chain.as_bytes()[400] == b'0' { "1" } else { "0" };
    case.expect.chain.replace_range(400..401, digit);
    let (event, now) = diverged(&case);
    assert_eq!((event, now), (101, Some(report.trace[100].to_string())));
    let (mut case, _) = some_case();
    case.expect.chain.push_str("0000");
    assert_eq!(diverged(&case), (report.events + 1, None));
    let (mut case, _) = some_case();
    case.expect.hash = "0x0000000000000000".to_owned();
    assert_eq!(diverged(&case).0, report.events + 1, "the hash alone differs");
}

#[test]
fn another_plan_parts_where_its_first_fault_begins() {
    let (case, mut trial) = some_case();
    trial.plan = Some(seedfall::FaultPlan::default());
    assert!(!case.plan.entries.is_empty(), "the stored run has faults");
    let report = seedfall_scenarios::all()[0].run(&trial);
    let Replayed::Diverged { event, .. } = case.compare(&report) else {
        panic!("a run without faults is another run");
    };
    assert!(1 <= event && event <= report.events);
}
