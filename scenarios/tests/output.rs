//! What the commands print fits the screen: no line is longer than there are columns, and no word
//! is broken.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What a command prints where there are so many columns; `None`: nobody says how many.
fn printed(folder: &Path, columns: Option<usize>, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedfall"));
    command.current_dir(folder).args(args).env_remove("COLUMNS");
    command.envs(columns.map(|columns| ("COLUMNS", columns.to_string())));
    let output = command.output().expect("the binary was built for this test");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(!text.trim().is_empty(), "{args:?}");
    text.into_owned()
}

/// The words of a text; numbers differ between runs that are measured.
fn words(text: &str) -> BTreeSet<&str> {
    let word = |word: &&str| word.chars().all(char::is_alphabetic);
    text.split_whitespace().filter(word).collect()
}

/// Whether a line may be longer: it is to be pasted, or has a single word after its name.
fn may_be_longer(line: &str) -> bool {
    line.contains("cargo ") || line.split_whitespace().skip(1).all(|word| word.len() > 30)
}

#[track_caller]
fn fits(folder: &Path, args: &[&str]) {
    // Not wider: a table may then be laid out in another way, with other words.
    let whole = printed(folder, Some(140), args);
    let known = words(&whole);
    for columns in [80, 100] {
        let text = printed(folder, Some(columns), args);
        for line in text.lines().filter(|line| !may_be_longer(line)) {
            let wide = line.chars().count();
            assert!(wide <= columns, "{args:?}: {wide} of {columns} columns:\n{line}\n\n{text}");
        }
        // The unit of a rate is the machine's affair.
        let is_unit = |word: &&str| ["k", "M"].contains(word);
        let text_words = words(&text);
        let broken = text_words.difference(&known).copied().filter(|word| !is_unit(word));
        let broken: Vec<&str> = broken.collect();
        assert!(broken.is_empty(), "{args:?}: not words: {broken:?}\n{text}");
    }
}

#[test]
fn every_command_fits_80_columns_and_100() {
    let here = tempfile::tempdir().expect("a folder");
    let here = here.path();
    let case = "target/seedfall/case.json";
    let history = r#"{"client":1,"key":"x","f":"write","value":1,"call":1,"return":2,"ok":true}
{"client":1,"key":"x","f":"write","value":2,"call":3,"return":4,"ok":true}
{"client":2,"key":"x","f":"read","output":1,"call":5,"return":6,"ok":true}
"#;
    fs::write(here.join("history.jsonl"), history).expect("a file");
    printed(here, None, &["shrink", "copied-register", "--seed", "0", "--save", case]);
    for args in [
        &["list"][..],
        &["sweep", "--seeds", "0..2", "--no-shrink"],
        &["sweep", "raft-kv-3", "--seeds", "0..20"],
        &["sweep", "copied-register", "--seeds", "0..20"],
        &["replay", "raft-kv", "--seed", "3"],
        &["replay", case],
        &["shrink", "copied-register", "--seed", "0"],
        &["explain", case],
        &["explain", "saga-orchestrated", "--seed", "3"],
        &["trace", "abd", "--seed", "3"],
        &["hash", "abd", "--seeds", "2"],
        &["point", case, "--futures", "5", "--no-shrink"],
        &["diff", "abd:1", "abd:2"],
        &["diff", case],
        &["keep", "--refresh", case],
        &["matrix", "--only", "copied", "--seeds", "3"],
        &["exhaust"],
        &["exhaust", "copied-register"],
        &["check", "history.jsonl"],
        &["check", "history.jsonl", "--model", "regular"],
    ] {
        fits(here, args);
    }
    let root = Path::new("..");
    fits(root, &["museum"]);
    fits(root, &["museum", "raft-21-local-read"]);
    // Once: it sweeps every scenario.
    let text = printed(root, Some(80), &["faults", "--seeds", "1"]);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn help_fits_80_columns_and_100() {
    let commands = [
        "list", "sweep", "replay", "shrink", "explain", "trace", "hash", "check", "faults",
        "matrix", "planted", "point", "diff", "keep", "museum", "exhaust", "hunt", "lineage",
    ];
    fits(Path::new("."), &["--help"]);
    commands.iter().for_each(|command| fits(Path::new("."), &[command, "--help"]));
}

#[test]
fn without_a_terminal_a_line_is_left_whole_for_whoever_searches_it() {
    let text = printed(Path::new("."), None, &["shrink", "copied-register", "--seed", "0"]);
    let shrunk = text.lines().find(|line| line.starts_with("  shrunk to")).expect("what is left");
    assert!(shrunk.ends_with(" runs"), "{shrunk}");
    // What a reader wants first: the property, who saw it, the story; then the faults.
    let place = |word: &str| text.find(&format!("\n  {word}")).unwrap_or(usize::MAX);
    let order = ["property", "but", "shrunk to", "story", "seen at", "hash", "replay"].map(place);
    assert!(order.is_sorted() && order[6] < usize::MAX, "{order:?}\n{text}");
}

#[test]
fn a_sweep_that_goes_on_counts_the_ways_of_failing_and_keeps_a_case_of_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let args = ["sweep", "generals-4", "--under", "arbitrary,byzantine,asynchronous"];
    let seeds = ["--seeds", "0..40", "--keep-going", "--json"];
    let text = printed(folder.path(), None, &[&args[..], &seeds].concat());
    let value: serde_json::Value = serde_json::from_str(&text).expect("a JSON object");
    let list = |name: &str| value[name].as_array().expect("a list").clone();
    let (ways, failures) = (list("ways"), list("failures"));
    assert!(!ways.is_empty());
    assert_eq!(failures.len() as u64, value["failed"], "all of them");
    let runs: u64 = ways.iter().filter_map(|way| way["runs"].as_u64()).sum();
    assert_eq!(runs, failures.len() as u64);
    let mut kinds: Vec<_> = failures.iter().map(|one| one["fingerprint"].to_string()).collect();
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds.len(), ways.len());
}

#[test]
fn the_line_to_paste_begins_with_what_the_environment_says() {
    let here = tempfile::tempdir().expect("a folder");
    let told = |said: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seedfall"));
        command.current_dir(here.path()).env("COLUMNS", "80").env_remove("SEEDFALL_COMMAND");
        command.envs(said.map(|said| ("SEEDFALL_COMMAND", said)));
        let output = command.args(["sweep", "copied-register", "--seeds", "4"]).output();
        let output = output.expect("the binary was built for this test");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let own = "cargo run -p a-crate-with-many-programs --bin one-of-them --profile fast --";
    for (said, start) in [(None, "cargo run --release --"), (Some(own), own)] {
        let text = told(said);
        let line = format!("{start} replay target/seedfall/copied-register-0.json");
        assert!(text.lines().any(|one| one.ends_with(&line)), "{line}\n{text}");
    }
}
