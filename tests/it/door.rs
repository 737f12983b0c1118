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
    let as_expected = std::env::var_os("SEEDFALL_TESTS_AS_EXPECTED").is_some();
    if std::env::var_os(CHILD).is_some() && !as_expected {
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
        // A few hundred runs are enough: it fails in one of the first.
        .env("SEEDFALL_EVENTS", "1")
        .env("RUST_BACKTRACE", "0")
        .envs(variables.iter().copied())
        .output()
        .expect("the test binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stderr) + &text(&output.stdout))
}

#[test]
fn a_failure_prints_what_broke_and_the_line_that_replays_it() {
    let (passed, text) = child(&[]);
    assert!(!passed);
    let seed = text.split("SEEDFALL_SEED=").nth(1).and_then(|rest| rest.split(' ').next());
    let seed = seed.unwrap_or_else(|| panic!("a line to paste:\n{text}"));
    assert!(
        text.contains("cargo test -p seedfall-tests -- --exact door::a_test_of_a_user"),
        "{text}"
    );
    assert!(text.contains("shrunk to  0 of "), "and the story:\n{text}");
    assert!(text.contains("always linearizable") && text.contains("hash       0x"), "{text}");
    let (passed, again) = child(&[("SEEDFALL_SEED", seed)]);
    assert!(!passed);
    let hash = |text: &str| text.split("hash       ").nth(1).map(|rest| rest[..18].to_owned());
    assert_eq!(hash(&text), hash(&again), "the same run:\n{again}");
    assert!(again.contains("shrunk to  0 of ") && again.contains("  broken: "), "{again}");
}

/// The file that a failure says to replay.
fn case_of(text: &str) -> String {
    let case = text.split("SEEDFALL_CASE=").nth(1).and_then(|rest| rest.split(' ').next());
    case.unwrap_or_else(|| panic!("a line to paste:\n{text}")).to_owned()
}

#[test]
fn a_failure_is_kept_with_its_report_and_its_case_replays_it() {
    let (_, text) = child(&[]);
    let case = case_of(&text);
    assert!(std::path::Path::new(&case).with_extension("html").is_file(), "{text}");
    let (passed, again) = child(&[("SEEDFALL_CASE", &case)]);
    assert!(!passed && again.contains("  broken: always linearizable"), "{again}");
    assert_eq!(case_of(&again), case, "{again}");
}

#[test]
fn kept_cases_are_replayed_first_and_written_anew_if_they_are_asked_to() {
    let (_, text) = child(&[]);
    let crate_folder = tempfile::tempdir().expect("a folder for a while");
    let kept = crate_folder.path().join("tests/regressions");
    std::fs::create_dir_all(&kept).expect("a folder");
    let kept = kept.join("crossed.json");
    std::fs::copy(case_of(&text), &kept).expect("the case is there");
    let manifest = ("CARGO_MANIFEST_DIR", crate_folder.path().to_str().expect("a plain path"));

    let (passed, red) = child(&[manifest]);
    assert!(!passed && red.contains("a kept case fails: tests/regressions/crossed.json"), "{red}");
    let (passed, expected) = child(&[manifest, ("SEEDFALL_TESTS_AS_EXPECTED", "1")]);
    assert!(
        passed && expected.contains("copied-register: 1 kept case replayed; 500"),
        "{expected}"
    );

    let stale =
        std::fs::read_to_string(&kept).expect("a case").replacen("\"seed\": ", "\"seed\": 9", 1);
    std::fs::write(&kept, stale).expect("a file");
    let (_, red) = child(&[manifest]);
    assert!(
        red.contains("stale: the replay diverges") && red.contains("`SEEDFALL_REFRESH=1"),
        "{red}"
    );
    let asked = [manifest, ("SEEDFALL_TESTS_AS_EXPECTED", "1"), ("SEEDFALL_REFRESH", "1")];
    let (passed, anew) = child(&asked);
    assert!(passed && anew.contains("written anew"), "{anew}");
    let (passed, after) = child(&[manifest, ("SEEDFALL_TESTS_AS_EXPECTED", "1")]);
    assert!(passed, "{after}");
}

#[test]
fn the_environment_chooses_seeds_or_a_case() {
    let (_, text) = child(&[("SEEDFALL_SEEDS", "1000..1001")]);
    assert!(text.contains("SEEDFALL_SEED=1000") || text.contains("; 1 seed, "), "{text}");
    let refused = |name, value| child(&[(name, value)]).1;
    assert!(refused("SEEDFALL_SEED", "x").contains("SEEDFALL_SEED: `x` is not a seed"));
    assert!(refused("SEEDFALL_SEEDS", "9..3").contains("runs backwards"));
    assert!(refused("SEEDFALL_EVENTS", "many").contains("SEEDFALL_EVENTS: `many`"));
    assert!(refused("SEEDFALL_TIME", "60").contains("`60` is not a span of time"));
    assert!(refused("SEEDFALL_HUNT", "60").contains("hunt       found by"));
    assert!(refused("SEEDFALL_HUNT", "long").contains("SEEDFALL_HUNT: `long` is not a span"));
    assert!(refused("SEEDFALL_CASE", "no/such.json").contains("no/such.json"));
}
