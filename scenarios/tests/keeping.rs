//! `diff`, `keep` and `museum`, as a person or a script meets them.

mod common;

use common::{out, seedfall_in};
use seedfall::fault::Class;
use seedfall_cli::contrast;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[track_caller]
fn came_to(output: &Output, code: i32, words: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = format!("{}{errors}", out(output));
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in:\n{text}");
    }
    assert!(!errors.contains("panicked"), "{text}");
}

/// A folder with a small failing case of the negative control, and the case's name.
fn failing() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let output = seedfall_in(folder.path(), &["sweep", "copied-register", "--seeds", "200"]);
    let text = out(&output);
    let kept = text.lines().find_map(|line| line.trim().strip_prefix("kept in"));
    let kept = kept.expect("the failing run is kept").trim().to_owned();
    (folder, kept)
}

#[test]
fn diff_tells_equal_from_different() {
    let (folder, case) = failing();
    let diff = |args: &[&str]| seedfall_in(folder.path(), &[&["diff"], args].concat());
    came_to(&diff(&["abd:3", "abd:3"]), 0, &["equal, event for event"]);
    came_to(&diff(&["abd:3", "abd:4"]), 1, &["they diverge at event", "  A ", "  B "]);
    came_to(&diff(&[&case]), 0, &["equal, event for event, to this build's run"]);
    came_to(&diff(&[&case, &case]), 0, &["equal"]);
    let output = diff(&[&case, "copied-register:1", "--json"]);
    came_to(&output, 1, &[]);
    let value: Value = serde_json::from_str(&out(&output)).expect("a JSON object");
    assert_eq!(value["equal"], false);
    assert!(value["event"].as_u64().is_some_and(|event| event >= 1) && value["left"].is_string());
    came_to(&diff(&["abd:3", "raft-kv:3"]), 2, &["cannot be compared"]);
    came_to(&diff(&["abd", "abd:3"]), 2, &["needs a seed", "abd:17"]);
    came_to(&diff(&["abd:x", "abd:3"]), 2, &["`x` is not a seed"]);
    came_to(&diff(&["adb:3", "abd:3"]), 2, &["did you mean `abd`"]);
    came_to(&diff(&["abd:3"]), 2, &["needs another run"]);
    came_to(&diff(&["not/there.json"]), 2, &["not/there.json"]);
}

#[test]
fn diff_names_the_nearest_passing_neighbour() {
    let (folder, case) = failing();
    let args = ["diff", &case, "--neighbour"];
    let words = ["  fails ", "  passes ", "What makes the difference:", "nominal"];
    came_to(&seedfall_in(folder.path(), &args), 1, &words);
    let output = seedfall_in(folder.path(), &[&args[..], &["--json"]].concat());
    let value: Value = serde_json::from_str(&out(&output)).expect("a JSON object");
    assert!(value["decision"]["draw"]["draw"]["site"].is_object(), "{value}");
    assert!(value["passing"].as_u64() >= Some(1), "{value}");
    let passing = seedfall_in(folder.path(), &["diff", "abd:3", "--neighbour"]);
    came_to(&passing, 2, &["does not fail"]);
}

#[test]
fn point_names_the_turn_and_the_cause_and_knows_a_program_without_a_fix() {
    let (folder, case) = failing();
    let args = ["point", &case, "--futures", "20"];
    let words =
        ["violated: ", "turns at", "cause", "the last decision that it cannot fail without"];
    came_to(&seedfall_in(folder.path(), &args), 0, &words);
    let output = seedfall_in(folder.path(), &[&args[..], &["--json"]].concat());
    let value: Value = serde_json::from_str(&out(&output)).expect("a JSON object");
    let [jump, cause] = [&value["jump"]["event"], &value["cause"]["event"]].map(Value::as_u64);
    assert!(jump >= Some(1) && cause >= Some(1), "{value}");
    assert!(value["too_late"].is_null(), "{value}");
    let fixed = seedfall_in(folder.path(), &[&args[..], &["--fix"]].concat());
    came_to(&fixed, 2, &["no fix that would have saved it", "Context::has_fix"]);
    let passing = seedfall_in(folder.path(), &["point", "abd", "--seed", "3"]);
    came_to(&passing, 2, &["violates no property"]);
}

/// A case that says something else of event 11: as if the code had changed since.
fn stale(folder: &Path, case: &str) -> PathBuf {
    let text = fs::read_to_string(folder.join(case)).expect("the case");
    let at = text.find("\"chain\": \"").expect("a chain") + 10 + 40;
    let digit = if &text[at..=at] == "0" { "1" } else { "0" };
    let path = folder.join("stale.json");
    fs::write(&path, format!("{}{digit}{}", &text[..at], &text[at + 1..])).expect("a file");
    path
}

#[test]
fn a_case_is_kept_once_and_with_a_note() {
    let (folder, case) = failing();
    let keep = |args: &[&str]| seedfall_in(folder.path(), &[&["keep"], args].concat());
    let kept = folder.path().join("tests/regressions/stale-read.json");
    let output = keep(&[&case, "a read is stale", "--as", "stale-read"]);
    came_to(&output, 0, &["kept in tests/regressions/stale-read.json", "replay", "red until"]);
    let text = fs::read_to_string(&kept).expect("it was written");
    let value: Value = serde_json::from_str(&text).expect("a case");
    assert_eq!(value["note"], "a read is stale");
    let replay = seedfall_in(folder.path(), &["replay", "tests/regressions/stale-read.json"]);
    came_to(&replay, 1, &["equal to each other and to the case"]);

    came_to(&keep(&[&case, "another", "--as", "stale-read"]), 2, &["there already", "--as NAME"]);
    assert_eq!(fs::read_to_string(&kept).expect("still there"), text, "nothing is overwritten");
    came_to(&keep(&[&case, "  "]), 2, &["the note is empty"]);
    came_to(&keep(&[&case]), 2, &["NOTE"]);
    came_to(&keep(&[&case, "note", "--as", "../elsewhere"]), 2, &["is not a name"]);
    stale(folder.path(), &case);
    came_to(&keep(&["stale.json", "note"]), 2, &["does not replay", "diverge at event 11"]);
    let names = fs::read_dir(folder.path().join("tests/regressions")).expect("a folder");
    assert_eq!(names.count(), 1, "what is refused leaves nothing behind");
}

#[test]
fn a_stale_case_is_refreshed_or_retired() {
    let (folder, case) = failing();
    let keep = |args: &[&str]| seedfall_in(folder.path(), &[&["keep", "--refresh"], args].concat());
    came_to(&keep(&[&case]), 0, &["replays as it is stored"]);
    let path = stale(folder.path(), &case);
    came_to(
        &keep(&["stale.json"]),
        0,
        &["diverges from the stored run at event 11", "written anew"],
    );
    came_to(&seedfall_in(folder.path(), &["replay", "stale.json"]), 1, &["and to the case"]);

    // A failure that nothing shows any more.
    let text = fs::read_to_string(&path).expect("a case");
    let lost = text.replace("\"fingerprint\": \"safety", "\"fingerprint\": \"once");
    assert_ne!(lost, text);
    fs::write(&path, &lost).expect("a file");
    came_to(&keep(&["stale.json"]), 4, &["not found  once", "now        safety", "--retire"]);
    came_to(&keep(&["stale.json", "--fixed"]), 4, &["nothing is written"]);
    assert_eq!(fs::read_to_string(&path).expect("a case"), lost, "nothing is written");
    came_to(&keep(&["stale.json", "--retire", "gone"]), 0, &["RETIRED", "\"stale.json\""]);
    assert!(fs::read_to_string(&path).expect("a case").contains("\"retired\": \"gone\""));
    fs::write(&path, text.replace("\"expect\"", "\"retired\": \"gone\", \"expect\""))
        .expect("a file");
    came_to(&keep(&["stale.json"]), 0, &["no longer retired"]);
    assert_eq!(fs::read_to_string(&path).expect("a case"), text);
}

/// A run that passes is kept too: the run that once showed a bug, after it was mended.
#[test]
fn a_mended_case_is_kept_as_one_that_passes() {
    let folder = tempfile::tempdir().expect("a folder");
    let passes = |seed: &u64| {
        let seed = seed.to_string();
        let save = ["replay", "abd", "--seed", &seed, "--save", "case.json"];
        seedfall_in(folder.path(), &save).status.code() == Some(0)
    };
    assert!((0..20).any(|seed| passes(&seed)), "most seeds pass");
    let path = folder.path().join("case.json");
    let text = fs::read_to_string(&path).expect("a case");
    let failed = text.replace("\"fingerprint\": null", "\"fingerprint\": \"safety: lost\"");
    assert_ne!(failed, text);
    fs::write(&path, failed).expect("a file");
    let keep = |args: &[&str]| seedfall_in(folder.path(), &[&["keep", "--refresh"], args].concat());
    came_to(&keep(&["case.json"]), 4, &["judged otherwise", "the run breaks nothing"]);
    came_to(&keep(&["case.json", "--fixed"]), 0, &["passes now"]);
    assert_eq!(fs::read_to_string(&path).expect("a case"), text, "the case that passes");
    stale(folder.path(), "case.json");
    came_to(&keep(&["stale.json"]), 0, &["passes", "written anew"]);
    assert_eq!(fs::read_to_string(folder.path().join("stale.json")).expect("a case"), text);
}

#[test]
fn the_museum_lists_every_patch() {
    let root = Path::new("..");
    let patches = fs::read_dir("../tests/planted").expect("the patches");
    let patches = patches
        .filter(|file| {
            let path = file.as_ref().expect("a readable folder").path();
            path.extension().is_some_and(|ending| ending == "patch")
        })
        .count();
    let output = seedfall_in(root, &["museum", "--json"]);
    came_to(&output, 0, &["\"id\":\"RAFT-07\"", "bakwc/PySyncObj#169"]);
    assert_eq!(out(&output).lines().count(), patches);
    came_to(&seedfall_in(root, &["museum"]), 0, &["RAFT-07", "raft-kv-3"]);
    let page = fs::read_to_string("../docs/museum.md").expect("the page");
    assert_eq!(out(&seedfall_in(root, &["museum", "--markdown"])), page);
    came_to(&seedfall_in(root, &["museum", "--planted", "/nowhere"]), 2, &["/nowhere"]);
    came_to(
        &seedfall_in(root, &["museum", "RAFT-07"]),
        0,
        &["raft-07-figure-8", "Leader Completeness"],
    );
    came_to(&seedfall_in(root, &["museum", "RAFT-00"]), 2, &["no planted bug `RAFT-00`"]);
}

/// `planted` builds a project; here `cargo` is a script that runs this build instead, whose
/// negative control stands for the bug.
#[cfg(unix)]
#[test]
#[expect(clippy::too_many_lines, reason = "one small project, planted in several ways")]
fn planted_keeps_the_small_run_of_a_bug_and_measures_what_it_needs() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let write = |name: &str, text: &str| fs::write(root.join(name), text).expect("a file");
    fs::create_dir_all(root.join("project")).expect("a folder");
    fs::create_dir_all(root.join("patches")).expect("a folder");
    write("project/value", "right\n");
    let header = "Bug: the register is copied too early\nId: X-1\nSource: own\nBreaks: S1\n";
    let diff = "Scenario: copied-register\nFault: loss without burst\n\n--- a/value\n+++ b/value\n\
                @@ -1 +1 @@\n-right\n+wrong\n";
    write("patches/x-early.patch", &format!("{header}{diff}"));
    write(
        "cargo",
        &format!("#!/bin/sh\nshift 4\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_seedfall")),
    );
    let script = root.join("cargo");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script");
    let planted = |more: &[&str]| {
        let args = ["planted", "patches", "--project", "project", "--seeds", "200", "--json"];
        Command::new(env!("CARGO_BIN_EXE_seedfall"))
            .current_dir(root)
            .args([&args[..], more].concat())
            .env_remove("CARGO_TARGET_DIR")
            .env("PATH", format!("{}:/usr/bin:/bin", root.display()))
            .output()
            .expect("the binary was built for this test")
    };
    let output = planted(&["--save-cases", "kept", "--ranges", "3"]);
    // That a negative control fails without the bug too is no false alarm.
    came_to(&output, 0, &["\"bug\":\"x-early\"", "\"found\":true"]);
    let line: Value = serde_json::from_str(&out(&output)).expect("one line");
    let ranges: Vec<u64> = (0..3).filter_map(|at| line["ranges"][at]["seeds"].as_u64()).collect();
    let mut ranked = ranges.clone();
    ranked.sort_unstable();
    assert_eq!((ranges.len(), line["seeds"].as_u64()), (3, Some(ranked[1])), "the median");
    fs::write(root.join("measured.jsonl"), out(&output)).expect("a file");
    let text = fs::read_to_string(root.join("kept/x-early.json")).expect("the case");
    assert!(text.contains("\"note\": \"the register is copied too early\""), "{text}");
    came_to(&seedfall_in(root, &["replay", "kept/x-early.json"]), 1, &["and to the case"]);
    let args =
        ["museum", "--planted", "patches", "--cases", "kept", "--measured", "measured.jsonl"];
    let page = out(&seedfall_in(root, &[&args[..], &["--markdown"]].concat()));
    assert!(page.contains("Bugs: 1; measured: 1; found: 1"), "{page}");
    assert!(page.contains("events, 0 faults](../tests/museum/x-early.json)"), "{page}");

    // This bug needs no fault: what its head says is wrong, and the command says so.
    came_to(&planted(&["--ranges", "2", "--contrast", "contrast.jsonl"]), 4, &[]);
    let contrasts = contrast::read(&root.join("contrast.jsonl")).expect("what it wrote");
    let [one] = &contrasts[..] else { panic!("one bug, one class: {contrasts:?}") };
    assert_eq!((one.fault, &one.beside[..]), (Class::Loss, &[Class::Burst][..]));
    assert_eq!((one.with.found, one.without.found, one.is_proof()), (true, true, false));
    assert_eq!((one.with.ranges.len(), one.without.ranges.len()), (2, 2));
    // Without a word about seeds it uses its time, and says a line for each bug as it goes. It
    // builds where cargo is told to.
    let built = root.join("elsewhere");
    let output = Command::new(env!("CARGO_BIN_EXE_seedfall"))
        .current_dir(root)
        .args(["planted", "patches", "--project", "project", "--time", "400ms"])
        .env("PATH", format!("{}:/usr/bin:/bin", root.display()))
        .env("CARGO_TARGET_DIR", &built)
        .output()
        .expect("the binary was built for this test");
    came_to(&output, 0, &["x-early  found"]);
    assert!(built.join("planted/copy/value").exists(), "the copy is where cargo builds");

    // What cannot be told of a small run does not take it away.
    let script = format!(
        "#!/bin/sh\nshift 4\n[ $1 = point ] && exit 2\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_seedfall")
    );
    write("cargo", &script);
    let output = planted(&["--shrink"]);
    came_to(&output, 0, &["\"found\":true"]);
    let line: Value = serde_json::from_str(&out(&output)).expect("one line");
    assert!(line["small"]["events"].is_array() && line["small"]["jump"].is_null(), "{line}");

    // A scenario that was clean is not swept again while the project stays as it is.
    write("patches/x-early.patch", &format!("{header}{}", diff.replace("copied-register", "abd")));
    let sweeps = format!("#!/bin/sh\nshift 4\necho $1 >> {}\n", root.join("sweeps").display());
    write("cargo", &format!("{sweeps}exec {} \"$@\"\n", env!("CARGO_BIN_EXE_seedfall")));
    let counts = [0; 2].map(|_| {
        came_to(&planted(&[]), 4, &["(none) abd"]);
        fs::read_to_string(root.join("sweeps")).expect("what was asked").lines().count()
    });
    assert_eq!(counts, [2, 3], "the second time the bug alone is looked for");
    write("contrast.jsonl", "{\"bug\":3}\n");
    let faults = ["faults", "--markdown", "--measured", "contrast.jsonl"];
    came_to(&seedfall_in(root, &faults), 2, &["contrast.jsonl", "line 1"]);
}
