//! Every planted bug still applies. That each is found is the business of `seedfall planted`, which
//! builds them.

use crate::root;

use seedfall::case::find;
use seedfall_cli::patches::Planted;
use std::collections::BTreeSet;
use std::fs;

/// Bugs of the journal are proved by the tests of the engine that their heads name: most of them
/// show in a refusal to start, which no property of a protocol forbids.
#[test]
fn every_bug_of_the_journal_applies_and_names_the_test_that_finds_it() {
    let folder = root().join("tests/planted-journal");
    let patches = Planted::read_all(&folder).expect("readable patches");
    assert!(patches.len() >= 11, "the planted bugs are there: {}", patches.len());
    for patch in patches {
        let files = patch.apply(&root()).unwrap_or_else(|error| panic!("{error}"));
        assert!(!files.is_empty(), "{} changes nothing", patch.name);
        assert!(!patch.says("Test").is_empty(), "{} names no test", patch.name);
    }
}

#[test]
fn every_patch_applies_and_says_what_it_breaks() {
    let patches = Planted::read_all(&root().join("tests/planted")).expect("readable patches");
    assert!(patches.len() >= 8, "the planted bugs are there: {}", patches.len());
    let scenarios = seedfall_scenarios::all();
    for patch in patches {
        let files = patch.apply(&root()).unwrap_or_else(|error| panic!("{error}"));
        assert!(!files.is_empty(), "{} changes nothing", patch.name);
        let scenario = patch.says("Scenario");
        assert!(find(&scenarios, scenario).is_ok(), "{}: no scenario {scenario}", patch.name);
    }
}

/// What takes more seeds than others says so in its head, and in a number.
#[test]
fn a_patch_may_say_how_many_seeds_it_takes() {
    let patches = Planted::read_all(&root().join("tests/planted")).expect("readable patches");
    let seeds = |patch: &Planted| patch.seeds().expect("a number");
    let rare: Vec<u64> = patches.iter().map(seeds).filter(|seeds| *seeds > 0).collect();
    assert!(rare.len() >= 2 && rare.len() < patches.len() / 4, "{rare:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("many.patch");
    let head = "Bug: a\nSource: own\nScenario: raft-kv\nFault: lose\nSeeds: many\n\n--- a/x\n";
    fs::write(&file, head).expect("a file");
    // All that is wrong, of all patches, at once.
    fs::write(folder.path().join("none.patch"), "Bug: a\n").expect("a file");
    let error = Planted::read_all(folder.path()).expect_err("no number").to_string();
    for wrong in ["`Breaks: ...`", "`lose`, which is no class", "`Seeds: many`", "none.patch"] {
        assert!(error.contains(wrong), "{wrong}: {error}");
    }
}

/// Patches that only say otherwise what a scenario expects, and have no code to be mended.
const WITHOUT_CODE: [&str; 1] = ["raft-amnesiac-let-back-in"];

/// Each patch keeps the right code too: where its bug does harm is measured by mending it in the
/// midst of a run.
#[test]
fn every_planted_bug_can_be_mended() {
    let patches = Planted::read_all(&root().join("tests/planted")).expect("readable patches");
    for patch in patches {
        let without_code = WITHOUT_CODE.contains(&patch.name.as_str());
        assert_ne!(patch.can_be_mended(), without_code, "{}", patch.name);
    }
}

/// No entry of the catalogue is skipped in silence: a patch plants it, or the list says why none
/// does.
#[test]
fn every_entry_of_the_catalogue_is_planted_or_says_why_not() {
    let folder = root().join("tests/planted");
    let patches = Planted::read_all(&folder).expect("readable patches");
    let planted: BTreeSet<&str> = patches.iter().map(|patch| patch.says("Id")).collect();
    let list = fs::read_to_string(folder.join("catalogue.txt")).expect("the list of entries");
    let entries: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(entries.len() >= 36, "the entries are there: {}", entries.len());
    for entry in &entries {
        match entry.split_once(": not planted: ") {
            None => assert!(planted.contains(entry), "{entry}: no patch, and no reason"),
            Some((id, why)) => {
                assert!(!planted.contains(id), "{id} is planted after all");
                assert!(why.len() > 20, "{id}: {why}");
            }
        }
    }
    // `own` and what is named otherwise stand in no catalogue.
    let family = |id: &str| Some(id.split_once('-')?.0.to_owned());
    let families: BTreeSet<String> = entries.iter().filter_map(|entry| family(entry)).collect();
    let of_a_catalogue = |id: &&str| {
        let (family, number) = id.split_once('-').unwrap_or_default();
        families.contains(family) && number.parse::<u32>().is_ok()
    };
    for id in planted.into_iter().filter(of_a_catalogue) {
        assert!(entries.contains(&id), "{id}: not in the list");
    }
}
