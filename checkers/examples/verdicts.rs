//! The verdict table over a folder of histories with known verdicts:
//! `cargo run --release -p seedfall-checkers --example verdicts -- FOLDER`.
//!
//! In every folder below, `expected.json` names files and their verdicts; `*.jsonl.gz` beside none
//! hold one history a line, each with its verdict. Ends with 1 if a verdict differs from the listed
//! one, is unknown, or its evidence does not hold.
#![allow(clippy::print_stdout, reason = "it prints a table")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use flate2::read::MultiGzDecoder;
use seedfall_checkers::linearizability::Evidence;
use seedfall_checkers::readers::{Format, Limits, ModelName, read};
use seedfall_checkers::verdict::Path as Way;
use seedfall_checkers::{Budget, Verdict};
use serde_json::Value;

/// What became of the histories of one row.
#[derive(Default)]
struct Row {
    histories: u32,
    operations: usize,
    holds: u32,
    violated: u32,
    /// Not the listed verdict, unknown, or evidence that does not hold.
    wrong: u32,
    /// Verdicts whose evidence is a proof that the verifier can check.
    proved: u32,
    ways: BTreeMap<&'static str, u32>,
    core: usize,
}

impl Row {
    fn judge(&mut self, text: &[u8], model: &str, listed: &Value) {
        let model = ModelName::from_name(model).expect("a model that we know");
        let raw = read(Format::JsonLines, text, Limits::DEFAULT).expect("a history");
        let typed = raw.interpret(model).expect("a history of that model");
        let verdict = typed.check(Budget::DEFAULT).expect("well-formed");
        let evidence = typed.verify(&verdict);
        self.histories += 1;
        self.operations += raw.operations.len();
        self.holds += u32::from(verdict.holds());
        self.violated += u32::from(verdict.witness().is_some());
        let known = !matches!(verdict, Verdict::Unknown(_));
        let right = known && evidence.is_ok() && Value::Bool(verdict.holds()) == *listed;
        self.wrong += u32::from(!right);
        self.proved += u32::from(evidence == Ok(Evidence::Proof));
        for way in Way::ALL {
            let count = verdict.statistics().decided_by(way);
            if count > 0 {
                *self.ways.entry(way.name()).or_insert(0) += count;
            }
        }
        self.core = self.core.max(verdict.witness().map_or(0, |witness| witness.core.len()));
    }

    fn print(&self, name: &str, model: &str) {
        let ways: Vec<String> =
            self.ways.iter().map(|(way, count)| format!("{count} {way}")).collect();
        println!(
            "| {name} | {model} | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.histories,
            self.operations,
            self.holds,
            self.violated,
            self.wrong,
            self.proved,
            self.core,
            ways.join(", ")
        );
    }
}

fn unpack(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).expect("a file that can be read");
    MultiGzDecoder::new(file).read_to_end(&mut bytes).expect("gzip");
    bytes
}

/// The entries of a folder by name.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    entries
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Files with a verdict each.
fn listed(folder: &Path, wrong: &mut u32) {
    let text = fs::read_to_string(folder.join("expected.json")).expect("expected.json");
    let expected: BTreeMap<String, Value> = serde_json::from_str(&text).expect("JSON");
    let mut etcd = Row::default();
    for (file, told) in &expected {
        let path =
            folder.join(if file.ends_with(".gz") { file.clone() } else { format!("{file}.gz") });
        if !path.exists() {
            println!("| {file} | | not here | | | | | | | |");
            continue;
        }
        let model = told["model"].as_str().expect("a model");
        let mut one = Row::default();
        let row = if file.starts_with("etcd") { &mut etcd } else { &mut one };
        row.judge(&unpack(&path), model, &told["linearizable"]);
        if !file.starts_with("etcd") {
            one.print(file, model);
            *wrong += one.wrong;
        }
    }
    if etcd.histories > 0 {
        etcd.print("etcd_*", "register");
        *wrong += etcd.wrong;
    }
}

/// A file with one history a line.
fn many(path: &Path, wrong: &mut u32) {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for line in BufReader::new(&unpack(path)[..]).lines() {
        let told: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
        let operations = told["ops"].as_array().expect("ops");
        let text: Vec<String> = operations.iter().map(Value::to_string).collect();
        let model = told["model"].as_str().expect("a model");
        if !text.is_empty() {
            let row = rows.entry(model.to_owned()).or_default();
            row.judge(text.join("\n").as_bytes(), model, &told["linearizable"]);
        }
    }
    for (model, row) in rows {
        row.print(&name(path), &model);
        *wrong += row.wrong;
    }
}

fn main() -> ExitCode {
    let Some(folder) = std::env::args().nth(1) else {
        println!("which folder?");
        return ExitCode::from(2);
    };
    println!(
        "| file | model | histories | operations | hold | violated | wrong | proved | \
         largest core | partitions decided by |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    let mut wrong = 0;
    for path in entries(Path::new(&folder)) {
        if path.join("expected.json").exists() {
            listed(&path, &mut wrong);
        } else if name(&path).ends_with(".jsonl.gz") {
            many(&path, &mut wrong);
        }
    }
    println!("\nverdicts that differ from the listed ones: {wrong}");
    ExitCode::from(u8::from(wrong > 0))
}
