//! The museum: its page is what the command prints, and its cases are of this project.

use crate::root;

use seedfall::case::{Case, find};
use seedfall_cli::museum::{Exhibit, exhibits, page};
use seedfall_cli::patches::Planted;
use seedfall_cli::{clean, scoreboard};
use std::fs;

const PAGE: &str = "docs/museum.md";

fn all() -> Vec<Exhibit> {
    let path = |name: &str| root().join(name);
    exhibits(&path("tests/planted"), &path("tests/museum"), &path("docs/planted.jsonl"))
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_page_is_the_golden_one() {
    let now = page(&all());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(root().join(PAGE), &now).expect("the page can be written");
    }
    let kept = fs::read_to_string(root().join(PAGE)).expect("the page");
    for (now, kept) in now.lines().zip(kept.lines()) {
        assert_eq!(
            now, kept,
            "a patch or a figure changed: run the tests `golden` once with UPDATE_GOLDEN=1"
        );
    }
    assert_eq!(
        now, kept,
        "a patch or a figure changed: run the tests `golden` once with UPDATE_GOLDEN=1"
    );
}

#[test]
fn every_patch_has_a_row_and_every_figure_a_patch() {
    let all = all();
    let text = page(&all);
    for exhibit in &all {
        let name = &exhibit.planted.name;
        let row = format!("| [{name}](../tests/planted/{name}.patch) |");
        assert_eq!(text.matches(&row).count(), 1, "{name}");
    }
    let measured = fs::read_to_string(root().join("docs/planted.jsonl")).unwrap_or_default();
    let figures = all.iter().filter(|exhibit| exhibit.measured.is_some()).count();
    let lines = measured.lines().filter(|line| !line.contains("\"bug\":\"(none)"));
    assert_eq!(figures, lines.count(), "a line of docs/planted.jsonl is of a patch that is gone");
}

#[test]
fn the_scoreboard_is_what_was_measured() {
    let measured = scoreboard::read(&root().join("docs/search.jsonl"));
    let measured = measured.unwrap_or_else(|error| panic!("{error}"));
    let patches = Planted::read_all(&root().join("tests/planted")).expect("readable patches");
    let now = scoreboard::page(&measured, &scoreboard::elsewhere(&patches));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(root().join("docs/search.md"), &now).expect("the page can be written");
    }
    let kept = fs::read_to_string(root().join("docs/search.md")).expect("the page");
    assert_eq!(now, kept, "a figure changed: `seedfall scoreboard` writes the page anew");
}

#[test]
fn the_clean_seeds_are_those_that_were_recorded_and_count_still() {
    let recorded = clean::read(&root().join("docs/clean.jsonl"));
    let scenarios = seedfall_scenarios::all();
    let now = clean::page(
        &recorded.unwrap_or_else(|error| panic!("{error}")),
        &clean::witnesses(&scenarios),
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(root().join("docs/clean.md"), &now).expect("the page can be written");
    }
    let kept = fs::read_to_string(root().join("docs/clean.md")).expect("the page");
    assert_eq!(now, kept, "runs changed, or what was recorded: `seedfall clean` writes it anew");
}

/// A case of a planted bug is not this code's run; but it must fit its scenario, and have failed.
#[test]
fn every_case_of_the_museum_is_of_a_patch_and_failed() {
    let scenarios = seedfall_scenarios::all();
    let folder = root().join("tests/museum");
    let Ok(files) = fs::read_dir(&folder) else { return };
    for file in files {
        let path = file.expect("a readable folder").path();
        let (case, _) = Case::load(&path, &scenarios).unwrap_or_else(|error| panic!("{error}"));
        let stem = path.file_stem().unwrap_or_default();
        let patch = all().into_iter().find(|one| *one.planted.name == *stem);
        let patch = patch.unwrap_or_else(|| panic!("{}: of no patch", path.display())).planted;
        assert_eq!(case.scenario, patch.says("Scenario"), "{}", path.display());
        assert!(find(&scenarios, &case.scenario).is_ok());
        assert!(case.expect.fingerprint.is_some(), "{}: it did not fail", path.display());
    }
}

#[test]
fn the_page_tells_what_was_measured_and_what_was_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let header = "Bug: a | b\nId: X-1\nSource: own\nBreaks: S1\nScenario: raft-kv\n\n--- a/x\n";
    for name in ["one.patch", "two.patch", "three.patch"] {
        fs::write(path(name), header).expect("a file");
    }
    let line = |bug: &str, found: bool, seeds: u64| {
        format!(
            "{{\"bug\":\"{bug}\",\"found\":{found},\"property\":\"always {bug}\",\"seeds\":{seeds},\
             \"seconds\":0.126}}\n"
        )
    };
    let lines = [line("one", true, 7), line("one", true, 9), line("two", false, 500)].concat();
    fs::write(path("measured.jsonl"), lines).expect("a file");
    let show = || exhibits(folder.path(), folder.path(), &path("measured.jsonl"));
    let text = page(&show().expect("readable"));
    assert!(
        text.contains("Bugs: 3; measured: 2; found: 1; half of these within 9 seeds."),
        "{text}"
    );
    assert!(
        text.contains("| a \\| b | raft-kv | S1 | own | always one | 9 | 0.13 | - |"),
        "{text}"
    );
    assert!(text.contains("| own | MISSED | 500 | 0.13 | - |"), "{text}");
    assert!(text.contains("| own | - | - | - | - |"), "{text}");
    fs::write(path("measured.jsonl"), "{\"bug\": 3}\n").expect("a file");
    let error = show().expect_err("not a measurement").to_string();
    assert!(error.contains("measured.jsonl") && error.contains("line 1"), "{error}");
}
