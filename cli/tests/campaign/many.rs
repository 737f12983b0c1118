//! A million failures of ten thousand kinds, spread over all seeds.

use super::{MANY, command, folder, output, program, result};
use seedfall::campaign::{Entry, Group, Runs, encode};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

const KINDS: u64 = 10_000;

/// Seeds to a line.
const LINE: u64 = 64;

fn group(seed: u64) -> Group {
    Group {
        runs: 1,
        seed,
        event: 100,
        faults: 2,
        kind: "safety".to_owned(),
        property: "always linearizable".to_owned(),
        told: "what is wrong, as a property says it, in a sentence or two".repeat(6),
    }
}

/// A line of failures, each of a kind that the seed decides.
fn line(from: u64) -> String {
    let seeds = from..from + LINE;
    // A step that has no factor in common with the number of kinds.
    let kind = |seed: u64| format!("safety: always linearizable: shape {}", seed * 7_919 % KINDS);
    encode(&Entry::Runs(Box::new(Runs {
        scenario: "steady".to_owned(),
        build: "test".to_owned(),
        from,
        to: seeds.end,
        failed: LINE,
        hash: "0x0000000000000001".to_owned(),
        groups: seeds.map(|seed| (kind(seed), group(seed))).collect::<BTreeMap<_, _>>(),
        ..Runs::default()
    })))
}

fn merged(campaign: &Path) -> (i32, String) {
    let limited = format!(
        "ulimit -v 500000; exec {} campaign merge {}",
        program().display(),
        campaign.display()
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &limited]);
    output(shell)
}

#[test]
fn a_million_failures_of_ten_thousand_kinds_take_little_room() {
    let folder = folder();
    let path = folder.path();
    // Nothing is run: the time is over at once.
    output(command(path, &["run", "steady", "--seeds", "2m", "--for", "1ms", "--no-shrink"]));
    let parts = path.join("parts");
    let write = |name: &str| {
        let file = fs::File::create(parts.join(name)).expect("a file");
        let mut file = std::io::BufWriter::new(file);
        for from in (0..MANY).step_by(LINE as usize) {
            file.write_all(line(from).as_bytes()).expect("a line");
        }
        file.flush().expect("a file");
    };
    for folder in ["shards", "parts"] {
        let _ = fs::remove_dir_all(path.join(folder));
    }
    fs::create_dir_all(&parts).expect("parts");
    write("one.jsonl");
    let (code, text) = merged(path);
    assert_eq!(code, 1, "{text}");
    let once = result(path);
    let value: serde_json::Value = serde_json::from_str(&once).expect("JSON");
    let runs = &value["scenarios"]["steady"]["runs"];
    let groups = runs["groups"].as_object().expect("groups");
    let told: u64 = groups.values().map(|group| group["runs"].as_u64().expect("a number")).sum();
    let failed = MANY.div_ceil(LINE) * LINE;
    assert_eq!(runs["failed"], failed);
    assert_eq!(told + runs["beyond"].as_u64().unwrap_or(0), failed, "each run counts once");
    assert!(KINDS * 98 / 100 <= groups.len() as u64, "{} kinds are told", groups.len());
    let size = |name: &str| fs::metadata(path.join(name)).expect("a file").len();
    assert!(size("index.html") < 1_000_000 && size("result.json") < 10_000_000);
    assert!(text.len() < 20_000, "what is printed is for people");
    // Another worker has done the same: it agrees, and counts once.
    write("two.jsonl");
    let (code, text) = merged(path);
    assert!(code == 1 && text.contains("done by more than one worker, counted once"), "{text}");
    assert!(result(path) == once, "the same result");
}
