//! Every history with a known verdict gets that verdict.
//!
//! Porcupine's own data is not kept here (it is Porcupine's): set `SEEDFALL_PORCUPINE_DIR` to a
//! folder with its converted logs and an `expected.json` to judge those too.
#![cfg(feature = "readers")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use seedfall_checkers::readers::{Format, Limits, ModelName, RawHistory, Typed, read};
use seedfall_checkers::verdict::Path as Way;
use seedfall_checkers::{Budget, Verdict};
use serde_json::Value;

fn unpack(path: &Path) -> Vec<u8> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    MultiGzDecoder::new(file).read_to_end(&mut bytes).expect("gzip");
    bytes
}

fn data(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn typed(history: &RawHistory, model: &str) -> Typed {
    let model = ModelName::from_name(model).unwrap_or_else(|| panic!("no model {model}"));
    history.interpret(model).unwrap_or_else(|error| panic!("{model}: {error}"))
}

/// Judges one history a line; returns how many partitions each way decided.
fn lines(name: &str) -> BTreeMap<&'static str, u32> {
    let mut ways = BTreeMap::new();
    let bytes = unpack(&data(name));
    for line in BufReader::new(&bytes[..]).lines() {
        let told: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
        let ops = told["ops"].as_array().expect("ops");
        if ops.is_empty() {
            continue; // A reader refuses a file that says nothing.
        }
        let text: Vec<String> = ops.iter().map(Value::to_string).collect();
        let text = text.join("\n");
        let raw = read(Format::JsonLines, text.as_bytes(), Limits::DEFAULT).expect("good");
        let typed = typed(&raw, told["model"].as_str().expect("model"));
        let verdict = check(&format!("{name} {}", told["id"]), &typed, &told["linearizable"]);
        for way in Way::ALL {
            *ways.entry(way.name()).or_insert(0) += verdict.statistics().decided_by(way);
        }
    }
    ways
}

fn check(name: &str, typed: &Typed, expected: &Value) -> Verdict {
    let verdict = typed.check(Budget::DEFAULT).expect("well-formed");
    let evidence = typed.verify(&verdict);
    assert!(evidence.is_ok(), "{name}: {evidence:?}");
    assert!(!matches!(verdict, Verdict::Unknown(_)), "{name}: {verdict}");
    assert_eq!(Value::Bool(verdict.holds()), *expected, "{name}: {verdict}");
    verdict
}

/// How many histories were judged, and how many partitions of each model each way decided.
fn files(folder: &Path) -> (u32, BTreeMap<(String, &'static str), u32>) {
    let expected = std::fs::read_to_string(folder.join("expected.json")).expect("expected.json");
    let expected: BTreeMap<String, Value> = serde_json::from_str(&expected).expect("JSON");
    let (mut checked, mut ways) = (0, BTreeMap::new());
    for (name, told) in &expected {
        let mut path = folder.join(name);
        if !name.ends_with(".gz") {
            path = folder.join(format!("{name}.gz"));
        }
        if !path.exists() {
            continue;
        }
        let bytes = unpack(&path);
        let raw = read(Format::JsonLines, &bytes[..], Limits::DEFAULT).expect("good");
        let model = told["model"].as_str().expect("model");
        let verdict = check(name, &typed(&raw, model), &told["linearizable"]);
        for way in Way::ALL {
            let decided = verdict.statistics().decided_by(way);
            *ways.entry((model.to_owned(), way.name())).or_insert(0) += decided;
        }
        checked += 1;
    }
    (checked, ways)
}

#[test]
fn small_histories() {
    for name in ["small.jsonl.gz", "small_kv.jsonl.gz", "small_unique.jsonl.gz"] {
        let ways = lines(name);
        assert!(ways["zones"] > 0, "{name}: zones decided nothing: {ways:?}");
    }
}

#[test]
fn medium_histories() {
    let ways = lines("medium.jsonl.gz");
    for way in ["zones", "depth-first", "breadth-first"] {
        assert!(ways[way] > 0, "{way} decided nothing: {ways:?}");
    }
}

#[test]
fn generated_histories() {
    let (checked, ways) = files(&data("generated"));
    assert_eq!(checked, 17);
    // A fast path that is never taken would leave everything to the searches, unnoticed.
    let fast = [
        ("register", "zones"),
        ("set", "set"),
        ("queue", "queue"),
        ("stack", "stack"),
        ("pqueue", "priority-queue"),
    ];
    for (model, way) in fast {
        let decided = |way: &'static str| ways[&(model.to_owned(), way)];
        assert!(decided(way) > 0, "{way} decided nothing: {ways:?}");
        assert_eq!(decided("depth-first") + decided("breadth-first"), 0, "{model}: {ways:?}");
    }
}

#[test]
fn porcupines_histories() {
    // A variable only chooses data: nothing that is judged depends on it.
    #[expect(clippy::disallowed_methods, reason = "where the data lies, not what it says")]
    let folder = std::env::var("SEEDFALL_PORCUPINE_DIR");
    match folder {
        Ok(folder) => {
            let (checked, _) = files(Path::new(&folder));
            eprintln!("judged {checked} of Porcupine's histories");
            assert!(checked > 0, "{folder} holds none of the files that its expected.json names");
        }
        Err(_) => eprintln!("SKIPPED: SEEDFALL_PORCUPINE_DIR is not set"),
    }
}
