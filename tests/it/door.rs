//! The `cargo test` door: what the environment asks for is what is run, and what is printed can be
//! pasted.

use seedfall::{Expect, check};
use seedfall_scenarios::copied_register;
use std::process::Command;

/// Set for the child processes of the tests below.
const CHILD: &str = "SEEDFALL_TESTS_CHILD";

/// What a user's test looks like. It fails, so it does so only where a test below expects it.
#[test]
fn a_test_of_a_user() {
    let mut scenario = copied_register::scenario();
    if std::env::var_os(CHILD).is_some() {
        scenario.expect = Expect::Holds;
    }
    check(scenario);
}

/// Runs the test above in a process of its own, and returns what it printed.
fn child(variables: &[(&str, &str)]) -> (bool, String) {
    let own = std::env::current_exe().expect("the test binary has a path");
    let output = Command::new(own)
        .args(["--exact", "door::a_test_of_a_user", "--nocapture"])
        .env(CHILD, "1")
        .env("RUST_BACKTRACE", "0")
        .envs(variables.iter().copied())
        .output()
        .expect("the test binary runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_failure_prints_what_broke_and_the_line_that_replays_it() {
    let (passed, text) = child(&[]);
    assert!(!passed);
    let seed = text.split("SEEDFALL_SEED=").nth(1).and_then(|rest| rest.split(' ').next());
    let seed = seed.unwrap_or_else(|| panic!("a line to paste:\n{text}"));
    assert!(text.contains("cargo test door::a_test_of_a_user"), "{text}");
    assert!(text.contains("shrunk to  0 faults"), "and the story:\n{text}");
    assert!(text.contains("always linearizable") && text.contains("hash       0x"), "{text}");
    let (passed, again) = child(&[("SEEDFALL_SEED", seed)]);
    assert!(!passed);
    let hash = |text: &str| text.split("hash       ").nth(1).map(|rest| rest[..18].to_owned());
    assert_eq!(hash(&text), hash(&again), "the same run:\n{again}");
}

#[test]
fn the_environment_chooses_seeds_or_a_case() {
    let (_, text) = child(&[("SEEDFALL_SEEDS", "1000..1001")]);
    assert!(text.contains("SEEDFALL_SEED=1000") || text.is_empty(), "{text}");
    let refused = |name, value| child(&[(name, value)]).1;
    assert!(refused("SEEDFALL_SEED", "x").contains("SEEDFALL_SEED: `x` is not a seed"));
    assert!(refused("SEEDFALL_SEEDS", "9..3").contains("runs backwards"));
    assert!(refused("SEEDFALL_CASE", "no/such.json").contains("no/such.json"));
}
