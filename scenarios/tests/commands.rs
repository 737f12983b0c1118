//! The commands, as a person or a script meets them: output, exit codes, and what bad input gets.

mod common;

use common::{out, seedfall_in};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn seedfall(args: &[&str]) -> Output {
    seedfall_in(Path::new("."), args)
}

/// Bad input: exit code 2, a message that says all of `expected`, no backtrace.
#[track_caller]
fn refused(output: &Output, expected: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    for word in expected {
        assert!(message.contains(word), "`{word}` is missing in:\n{message}");
    }
    assert!(!message.contains("panicked") && !message.contains("backtrace"), "{message}");
}

#[test]
fn a_second_process_runs_the_same_runs() {
    let golden = fs::read_to_string("../tests/golden/hashes.txt").expect("the golden hashes");
    let output = seedfall(&["hash", "raft-kv", "--seeds", "0..10"]);
    assert_eq!(output.status.code(), Some(0));
    let expected: Vec<&str> = golden.lines().filter(|line| line.starts_with("raft-kv ")).collect();
    assert_eq!(out(&output).lines().collect::<Vec<_>>(), expected);
    assert_eq!(expected.len(), 10);
}

#[test]
fn the_environment_does_not_reach_a_run() {
    let hash = |name: &str, value: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_seedfall"))
            .args(["hash", "raft-kv-3", "--seeds", "5"])
            .env(name, value)
            .output()
            .expect("the binary was built for this test");
        out(&output)
    };
    assert_eq!(hash("TZ", "Asia/Tokyo"), hash("LANG", "de_DE"));
    assert!(!hash("RUST_LOG", "trace").is_empty());
}

#[test]
fn help_teaches_every_command() {
    let help = out(&seedfall(&["--help"]));
    for word in ["shrink", "explain", "check", "planted", "Exit codes", "Examples"] {
        assert!(help.contains(word), "{word}:\n{help}");
    }
    for command in
        ["list", "sweep", "replay", "shrink", "explain", "trace", "hash", "check", "planted"]
    {
        assert_eq!(seedfall(&[command, "--help"]).status.code(), Some(0));
    }
}

#[test]
fn list_names_every_scenario_and_its_properties() {
    let text = out(&seedfall(&["list"]));
    assert!(text.contains("raft-kv") && text.contains("always linearizable"), "{text}");
    let lines = out(&seedfall(&["list", "--json"]));
    for line in lines.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("a JSON object a line");
        assert!(value["scenario"].is_string() && value["properties"].is_array());
    }
}

#[test]
fn a_clean_sweep_ends_with_zero_and_says_what_it_means() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = seedfall_in(folder.path(), &["sweep", "raft-kv-3", "--seeds", "0..40"]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("holds") && text.contains("rule of three"), "{text}");
    let output = seedfall_in(folder.path(), &["sweep", "raft-kv-3", "--seeds", "40", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&out(&output)).expect("one JSON object");
    assert_eq!((value["seeds"].as_u64(), value["failed"].as_u64()), (Some(40), Some(0)));
}

#[test]
fn a_negative_control_is_found_kept_and_replayed() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = seedfall_in(folder.path(), &["sweep", "copied-register", "--seeds", "200"]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0), "a violation that must be found: {text}");
    assert!(text.contains("as expected (seed"), "{text}");
    let kept = text.lines().find_map(|line| line.trim().strip_prefix("kept in"));
    let kept = kept.expect("the failing run is kept").trim();
    let replay = seedfall_in(folder.path(), &["replay", kept]);
    assert_eq!(replay.status.code(), Some(1), "{}", out(&replay));
    assert!(out(&replay).contains("equal to each other and to the case"), "{}", out(&replay));
}

#[test]
fn every_order_is_searched_and_the_steps_that_break_it_are_taken_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |args: &[&str]| seedfall_in(folder.path(), args);
    let list = out(&run(&["exhaust"]));
    assert!(list.contains("2pc\n") && list.contains("must find `linearizable` broken"), "{list}");
    let clean = run(&["exhaust", "2pc", "--crashes", "0"]);
    assert_eq!(clean.status.code(), Some(0));
    assert!(out(&clean).contains("2pc: complete: nothing is left"), "{}", out(&clean));
    let shallow = out(&run(&["exhaust", "paxos", "--depth", "3", "--json"]));
    let value: serde_json::Value = serde_json::from_str(&shallow).expect("one JSON object");
    assert_eq!((value["complete"].as_bool(), value["depth"].as_u64()), (Some(false), Some(3)));

    let control = run(&["exhaust", "copied-register", "--save", "broken.json"]);
    assert_eq!(control.status.code(), Some(0), "it must be found: {}", out(&control));
    let again = run(&["exhaust", "broken.json"]);
    assert_eq!(again.status.code(), Some(1), "{}", out(&again));
    assert!(out(&again).contains("copied-register: `linearizable` is broken"), "{}", out(&again));
    // A negative control that is not looked at far enough has found nothing.
    let blind = run(&["exhaust", "copied-register", "--depth", "1"]);
    assert_eq!(blind.status.code(), Some(4), "{}", out(&blind));

    let path = folder.path().join("broken.json");
    let kept = fs::read_to_string(&path).expect("it was kept");
    fs::write(&path, kept.replace("c2 asks n2", "c2 asks n7")).expect("a file");
    refused(&run(&["exhaust", "broken.json"]), &["broken.json: step 2 cannot be taken", "c2 asks"]);
    fs::write(&path, "{}").expect("a file");
    refused(&run(&["exhaust", "broken.json"]), &["broken.json", "missing field", "expected what"]);
    refused(&run(&["exhaust", "absent.json"]), &["absent.json"]);
    refused(&run(&["exhaust", "paxox"]), &["unknown search `paxox`; did you mean `paxos`?"]);
    refused(&run(&["exhaust", "paxos", "--crashes", "300"]), &["`crashes` is 300", "up to 254"]);
    refused(&run(&["exhaust", "paxos", "--timers", "some"]), &["a number, or `any`"]);
}

#[test]
fn a_trace_is_lines_or_json() {
    let text = out(&seedfall(&["trace", "raft-kv-3", "--seed", "1"]));
    assert!(text.lines().count() > 100 && text.contains("n1 starts"), "{text}");
    let json = out(&seedfall(&["trace", "raft-kv-3", "--seed", "1", "--json"]));
    assert_eq!(json.lines().count(), text.lines().count());
    let first = json.lines().next().expect("there are events");
    let value: serde_json::Value = serde_json::from_str(first).expect("a JSON object a line");
    assert_eq!(value["kind"], "start");
}

#[test]
fn logs_carry_virtual_time_and_node() {
    let text = out(&seedfall(&["replay", "raft-kv-3", "--seed", "1", "--log", "debug"]));
    let logged = text.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|at| at.ends_with('s'))
            && words.next().is_some_and(|actor| actor.starts_with('n'))
            && words.next() == Some("DEBUG")
    });
    assert!(logged, "{text}");
}

#[test]
fn wrong_words_are_refused_with_a_hint() {
    refused(&seedfall(&["sweep", "raft-vk"]), &["unknown scenario `raft-vk`", "raft-kv"]);
    refused(&seedfall(&["replay", "raft-kv"]), &["needs a seed"]);
    refused(
        &seedfall(&["replay", "raft-kv", "--seed", "x"]),
        &["`x` is not a seed", "whole number"],
    );
    refused(&seedfall(&["sweep", "raft-kv", "--seeds", "9..3"]), &["runs backwards", "A..B"]);
    refused(&seedfall(&["sweep", "raft-kv", "--seeds", "a..b"]), &["is not a range"]);
    refused(&seedfall(&["sweep", "raft-kv", "--time", "5"]), &["not a span of time"]);
    refused(&seedfall(&["swep"]), &["swep"]);
    refused(&seedfall(&["planted", "/nowhere/at/all"]), &["/nowhere/at/all"]);
}

#[test]
fn bad_cases_are_refused_with_file_and_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = folder.path().join("good.json");
    let good_name = good.to_str().expect("a path of text");
    let save = ["replay", "raft-kv-3", "--seed", "2", "--save", good_name];
    assert_eq!(seedfall(&save).status.code(), Some(0));
    let text = fs::read_to_string(&good).expect("the case was written");
    assert_eq!(seedfall(&["replay", good_name]).status.code(), Some(0));

    let bad = folder.path().join("bad.json");
    let bad_name = bad.to_str().expect("a path of text");
    let check = |text: &str, expected: &[&str]| {
        fs::write(&bad, text).expect("a file");
        refused(&seedfall(&["replay", bad_name]), &[&["bad.json"], expected].concat());
        assert_eq!(fs::read_to_string(&bad).expect("still there"), text, "nothing is overwritten");
    };
    check("", &["empty"]);
    check(&text[..text.len() / 2], &["cut short", "line"]);
    check("[1, 2]", &["not a case"]);
    check(
        &text.replace("\"seedfall_case\": 1", "\"seedfall_case\": 99"),
        &["version 99", "version 1"],
    );
    check(
        &text.replace("\"raft-kv-3\"", "\"raft-kv-4\""),
        &["unknown scenario `raft-kv-4`", "did you mean"],
    );
    check(&text.replace("\"seed\"", "\"seeed\""), &["unknown field `seeed`", "line"]);
    check(&text.replace("\"seed\": 2", "\"seed\": -2"), &["line"]);
    check(&text.replace("\"hash\": \"0x", "\"hash\": \"zz"), &["not a trace hash"]);
    refused(&seedfall(&["replay", "not/there.json"]), &["not/there.json"]);
    // Another seed under the old hash: the replay says where the two runs diverge.
    check(
        &text.replace("\"seed\": 2", "\"seed\": 3"),
        &["does not replay the case", "diverge at event"],
    );
}

#[test]
fn check_judges_a_history_by_any_property() {
    let folder = tempfile::tempdir().expect("a folder");
    let operation = |client: u32, f: &str, value: &str, output: &str, call: u32| {
        format!(
            "{{\"client\":{client},\"key\":\"x\",\"f\":\"{f}\",\"value\":{value},\
             \"output\":{output},\"call\":{call},\"return\":{},\"ok\":true}}\n",
            call + 1
        )
    };
    let stale = [
        operation(1, "write", "1", "null", 1),
        operation(1, "write", "2", "null", 3),
        operation(2, "read", "null", "1", 5),
    ];
    fs::write(folder.path().join("stale.jsonl"), stale.concat()).expect("a file");
    let check = |args: &[&str]| seedfall_in(folder.path(), &[&["check"], args].concat());
    let output = check(&["stale.jsonl"]);
    assert_eq!(output.status.code(), Some(1), "{}", out(&output));
    assert!(out(&output).contains("register: violated") && out(&output).contains("> line 3"));
    let output = check(&["stale.jsonl", "--model", "sequential"]);
    assert_eq!(output.status.code(), Some(0), "{}", out(&output));
    let output = check(&["stale.jsonl", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&out(&output)).expect("a JSON object");
    assert_eq!(value["verdict"], "violated");

    let output = check(&["stale.jsonl", "--html", "page.html"]);
    assert_eq!(output.status.code(), Some(1), "{}", out(&output));
    let page = fs::read_to_string(folder.path().join("page.html")).expect("a page");
    assert!(page.contains("stale.jsonl, register: violated") && page.contains("class=\"bad\""));
    assert!(!page.contains("http") && !page.contains("<script"), "self-contained");
    refused(&check(&["stale.jsonl", "--html", "stale.jsonl/p.html"]), &["stale.jsonl/p.html"]);

    fs::write(folder.path().join("cut.jsonl"), &stale.concat()[..150]).expect("a file");
    fs::write(folder.path().join("empty.jsonl"), "").expect("a file");
    refused(&check(&["cut.jsonl"]), &["cut.jsonl", "line 2"]);
    refused(&check(&["empty.jsonl"]), &["empty.jsonl", "empty"]);
    refused(&check(&["none.jsonl"]), &["none.jsonl"]);
    refused(&check(&["stale.jsonl", "--model", "serialisable"]), &["serializable"]);
    refused(&check(&["stale.jsonl", "--model", "queue"]), &["line 1", "unknown operation"]);
}

#[test]
fn the_catalogue_in_the_documentation_is_the_one_that_the_command_prints() {
    let output = seedfall_in(Path::new(".."), &["faults", "--markdown"]);
    assert_eq!(output.status.code(), Some(0));
    let kept = fs::read_to_string("../docs/faults.md").expect("docs/faults.md");
    assert!(
        kept.ends_with(&out(&output)),
        "write it anew: (sed '/^|/,$d' docs/faults.md; cargo run -- faults --markdown)"
    );
}

#[test]
fn a_model_or_a_class_that_there_is_not_is_refused() {
    refused(&seedfall(&["sweep", "raft-kv", "--under", "fair-loss"]), &["LINKS,NODES,TIMING"]);
    refused(&seedfall(&["sweep", "raft-kv", "--without", "rain"]), &["rain", "partition"]);
    refused(&seedfall(&["matrix", "--only", "nothing-like-it"]), &["nothing-like-it", "list"]);
}
