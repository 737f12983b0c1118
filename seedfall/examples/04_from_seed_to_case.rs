//! 04: a bug is found, shrunk, kept and replayed.
//!
//! You learn: what [`check`] and the command line do with a failure, step by step, for when you
//! want to do it yourself.
//!
//! `cargo run -p seedfall --example 04_from_seed_to_case` shows each step.

#![allow(clippy::print_stdout, reason = "an example prints")]

use seedfall::case::{Case, Replayed};
use seedfall::prelude::*;
use seedfall::run::Runnable;
use seedfall::shrink::{Shrunk, story};

#[path = "01_register.rs"]
mod register;

type Wrong = Scenario<register::Node, models::RegisterInput<u64>, models::RegisterOutput<u64>>;

/// Found: the first seed that fails. (A sweep uses all cores; this is what it does on one.)
fn found(scenario: &Wrong) -> u64 {
    (0..500).find(|seed| Run::new(scenario).seed(*seed).run().failed()).expect("it is wrong")
}

/// Shrunk: the same failure with as few faults, operations and random draws as can be.
fn shrunk(scenario: &Wrong, seed: u64) -> Shrunk {
    Run::new(scenario).seed(seed).shrink(5_000).expect("it fails")
}

/// Kept, and replayed: a file says all that decides the run, and a hash of each event.
fn kept(scenario: &Wrong, small: &Shrunk) -> Replayed {
    let folder = tempfile::tempdir().expect("a folder for a while");
    let path = folder.path().join("register.json");
    let case = Case::of(&small.trial, &small.report, "each copy answers as it likes");
    case.save(&path).expect("a folder that can be written to");

    let scenarios: [Box<dyn Runnable>; 1] = [Box::new(scenario.clone())];
    let (case, scenario) = Case::load(&path, &scenarios).expect("what was just written");
    case.compare(&scenario.run(&case.trial()))
}

#[test]
fn a_bug_is_found_shrunk_kept_and_replayed() {
    let scenario = register::scenario(register::Version::Copies);
    let seed = found(&scenario);
    let first = Run::new(&scenario).seed(seed).run();
    assert_eq!(first.hash, Run::new(&scenario).seed(seed).run().hash, "one seed is one run");

    let small = shrunk(&scenario, seed);
    assert!(small.after.operations < small.before.operations);
    assert_eq!(kept(&scenario, &small), Replayed::Same);
}

fn main() {
    let scenario = register::scenario(register::Version::Copies);
    let seed = found(&scenario);
    println!("{}\n", Run::new(&scenario).seed(seed).run().failure().expect("it fails"));
    let small = shrunk(&scenario, seed);
    println!("shrunk to {}", small.summary());
    println!("{}\n", story(&small).join("\n"));
    println!("kept and replayed: {:?}", kept(&scenario, &small));
}
