//! What the machine does to a campaign: its clock jumps, it kills who eats up its memory, and one
//! machine runs something else than the others.

use super::{command, folder, output, result, run, tests_of_a_user, undisturbed};
use seedfall::campaign::{Entry, Runs, corpus, decode, encode};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A library that lies about the wall clock, and about nothing else.
fn lies(folder: &Path) -> PathBuf {
    let library = folder.join("clock.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/campaign/clock.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source);
    assert!(compiler.status().expect("cc, which links Rust as well").success());
    library
}

/// Runs a command under such a clock.
fn under(library: &Path, clock: &str, mut command: Command) -> (i32, String) {
    command.env("LD_PRELOAD", library).env("WALL_CLOCK", clock);
    output(command)
}

#[test]
fn a_wall_clock_that_jumps_moves_nothing() {
    let shim = folder();
    let library = lies(shim.path());
    let seen = under(&library, "86399", {
        let mut date = Command::new("date");
        date.args(["-u", "+%F %T"]);
        date
    });
    assert_eq!(seen.1.trim(), "1970-01-01 23:59:59", "the clock lies");

    let folder_one = folder();
    let words = ["run", "--seeds", "400", "--timeout", "60s"];
    let (code, text) = under(&library, "jump", command(folder_one.path(), &words));
    assert_eq!(code, 0, "{text}");
    undisturbed(&result(folder_one.path()));

    // Two seconds are two seconds, whatever the wall says; the rest is for slow machines.
    let folder = folder();
    let started = Instant::now();
    let words = ["run", "steady", "--for", "2s", "--no-shrink"];
    let (code, text) = under(&library, "jump", command(folder.path(), &words));
    let took = started.elapsed();
    assert!(code == 0 && Duration::from_secs(2) <= took, "{code} after {took:?}: {text}");
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// The first seed of a campaign, as it says itself.
fn first_seed(folder: &Path) -> u64 {
    let text = fs::read_to_string(folder.join("campaign.json")).expect("a campaign");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    value["from"].as_u64().expect("a seed")
}

#[test]
fn a_night_keeps_its_seeds_after_midnight() {
    let shim = folder();
    let library = lies(shim.path());
    let folder = folder();
    let asked = |clock: u64, words: &[&str]| {
        let mut all = vec!["run", "steady", "--seeds", "64", "--fresh", "--no-shrink"];
        all.extend_from_slice(words);
        let (code, text) = under(&library, &clock.to_string(), command(folder.path(), &all));
        assert_eq!(code, 0, "{text}");
        first_seed(folder.path())
    };
    // 2026-11-28 23:59:30 UTC, and a minute later; then a clock that was set back by a year.
    let evening = 1_795_910_370;
    let seeds = 20_261_128 * 100_000_000_000;
    assert_eq!(asked(evening, &["--shard", "1/2"]), seeds);
    assert_eq!(asked(evening + 60, &["--shard", "2/2"]), seeds);
    assert_eq!(asked(evening - 31_536_000, &[]), seeds);
    assert!(result(folder.path()).contains("\"passed\": 64"), "both halves are there");
    assert_eq!(asked(evening + 60, &["--anew"]), 20_261_129 * 100_000_000_000);
}

/// What lines of a folder say: of which seeds, and the sum of the hashes.
fn lines(folder: &Path) -> Vec<Runs> {
    let files = fs::read_dir(folder).expect("a folder").flatten().map(|file| file.path());
    let lines = files.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    let texts: Vec<String> = lines.map(|path| fs::read_to_string(path).expect("a file")).collect();
    let runs = texts.iter().flat_map(|text| text.lines()).filter_map(|line| match decode(line) {
        Ok(Entry::Runs(runs)) => Some(*runs),
        _ => None,
    });
    runs.collect()
}

#[test]
fn a_base_seed_moves_the_seeds_of_a_test() {
    let sum = |variables: &[(&str, &str)]| {
        let folder = folder();
        let path = folder.path().to_str().expect("a plain path");
        let mut all = vec![("SEEDFALL_OUT", path)];
        all.extend_from_slice(variables);
        let (code, text) = tests_of_a_user(&all);
        assert_eq!(code, 0, "{text}");
        let mut sums = std::collections::BTreeMap::<String, Runs>::new();
        for runs in lines(folder.path()) {
            let sum = sums.entry(runs.scenario.clone()).or_default();
            let (scenario, busy) = (runs.scenario.clone(), 0);
            sum.add(runs);
            (sum.scenario, sum.busy) = (scenario, busy);
        }
        sums
    };
    let moved = sum(&[("SEEDFALL_SEEDS", "40"), ("SEEDFALL_BASE_SEED", "20261128")]);
    assert_eq!(moved, sum(&[("SEEDFALL_SEEDS", "20261128..20261168")]));
    assert_eq!(moved["steady"].seeds(), 20_261_128..20_261_168);
    assert_ne!(moved["steady"].hash, sum(&[("SEEDFALL_SEEDS", "40")])["steady"].hash);
    let beyond = [("SEEDFALL_SEEDS", "40"), ("SEEDFALL_BASE_SEED", "18446744073709551600")];
    let (code, text) = tests_of_a_user(&beyond);
    assert!(code != 0 && text.contains("is more than 2^64 - 1"), "{text}");
}

#[test]
fn two_machines_that_run_a_seed_differently_are_red() {
    let folder = folder();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let (out, merged) = (folder.path().join("merged"), |folders: &[&Path]| {
        let mut merge = command(folder.path(), &["merge", "--out"]);
        merge.arg(folder.path().join("merged")).args(folders);
        output(merge)
    });
    let asked = |folder: &Path, differs: bool| {
        let mut command = command(folder, &["run", "steady", "--seeds", "64", "--no-shrink"]);
        if differs {
            command.env("CAMPAIGN_DIFFERS", "1").args(["--shard", "2/2"]);
        }
        let (code, text) = output(command);
        assert_eq!(code, 0, "alone it is green: {text}");
    };
    asked(&one, false);
    asked(&other, true);
    let (code, text) = merged(&[&one, &other]);
    assert!(code == 7 && text.contains("two runs of one seed differ"), "{code} {text}");
    assert!(text.contains("TWO RUNS OF ONE SEED DIFFER, ") || text.contains("DIFFER"), "{text}");
    assert!(result(&out).contains("\"passed\": 64"), "and none counts twice: {text}");
    // The same two, agreeing.
    fs::remove_dir_all(&other).expect("a folder");
    asked(&other, false);
    let (code, text) = merged(&[&one, &other]);
    assert!(code == 0 && text.contains("64 runs done by more than one worker"), "{code} {text}");
}

#[test]
fn a_run_that_the_machine_kills_again_and_again_counts_apart() {
    let folder = folder();
    let asked = || {
        let words = ["run", "steady", "--seeds", "400", "--no-shrink"];
        let mut command = command(folder.path(), &words);
        command.env("CAMPAIGN_DIES", "kill");
        output(command)
    };
    let (code, text) = asked();
    let first = result(folder.path());
    let value: serde_json::Value = serde_json::from_str(&first).expect("JSON");
    let runs = &value["scenarios"]["steady"]["runs"];
    let count = |name: &str| runs[name].as_u64().unwrap_or(0);
    assert!(code == 0 && count("killed") > 0, "{code} {text}");
    assert_eq!(count("passed") + count("killed") + count("vacuous"), 400, "{text}");
    assert!(count("failed") == 0 && runs["groups"].is_null(), "neither passed nor failed");
    assert!(text.contains("neither passed nor failed (killed)"), "{text}");
    // Three tries each, and none of them for nothing: it goes on, and does not try again.
    let (code, text) = asked();
    assert!(code == 0 && result(folder.path()) == first, "{code} {text}");

    // A machine with more memory has run one of them: no contradiction, and it counts.
    let killed = lines(&folder.path().join("shards")).into_iter().find(|runs| runs.killed > 0);
    let killed = killed.expect("a line with a run that was killed");
    let (passed, hash) = (killed.passed + killed.killed, "0x00000000000000ff".to_owned());
    let more = Runs { passed, killed: 0, hash, ..killed.clone() };
    let file = folder.path().join("parts/more.jsonl");
    fs::write(file, encode(&Entry::Runs(Box::new(more)))).expect("a file");
    let path = folder.path().to_str().expect("a plain path");
    let (code, text) = output(command(folder.path(), &["merge", path]));
    assert_eq!(code, 0, "{text}");
    let value: serde_json::Value = serde_json::from_str(&result(folder.path())).expect("JSON");
    let now = value["scenarios"]["steady"]["runs"]["killed"].as_u64().unwrap_or(0);
    assert_eq!(now, count("killed") - killed.killed, "who passed counts");
}

#[test]
fn what_was_seen_when_is_plotted() {
    let folder = folder();
    let (code, text) = run(folder.path(), &["steady", "--for", "60s"]);
    assert_eq!(code, 0, "{text}");
    let page = fs::read_to_string(folder.path().join("index.html")).expect("a page");
    assert!(page.contains("<h2>Discovery</h2>"), "{page}");
    for name in
        ["fault classes with an effect, over seeds", "fault classes with an effect, over time"]
    {
        assert!(page.contains(&format!("<span>{name}</span>")), "{name}: {page}");
    }
    assert!(page.contains("400 seeds"), "the axis says where it ends");
    let last = page.split("<summary>seen last</summary>").nth(1).expect("what was seen last");
    assert!(last.contains("fault classes with an effect"), "{last}");
    let states = fs::read_dir(folder.path().join("shards")).expect("shards").flatten();
    let states: Vec<PathBuf> = states.map(|file| file.path()).collect();
    let state = states.iter().find(|path| path.extension().is_some_and(|it| it == "state"));
    let text = fs::read_to_string(state.expect("a state")).expect("a file");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let classes = value["course"]["firsts"]["steady"]["class"].as_object().expect("classes");
    assert!(classes.values().all(|second| second.as_f64().is_some_and(|second| second < 60.0)));
}

#[test]
fn a_merge_puts_the_corpus_together() {
    let folder = folder();
    let shards = ["1/2", "2/2"].map(|shard| {
        let out = folder.path().join(shard.replace('/', "-of-"));
        let (code, text) =
            output(command(&out, &["run", "steady", "--seeds", "64", "--shard", shard]));
        assert_eq!(code, 0, "{text}");
        corpus::add(&out, "steady", b"both").expect("written");
        corpus::add(&out, "steady", shard.as_bytes()).expect("written");
        out
    });
    fs::write(shards[0].join("corpus/steady/0123456789abcdef"), "cut").expect("written");
    let out = folder.path().join("merged");
    for _ in 0..2 {
        let mut merge = command(folder.path(), &["merge", "--out"]);
        merge.arg(&out).args(&shards);
        let (code, text) = output(merge);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("0123456789abcdef: it is not what its name says"), "{text}");
        assert_eq!(corpus::entries(&out, "steady").expect("a corpus").len(), 3);
    }
}
