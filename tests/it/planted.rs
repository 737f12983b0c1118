//! Every planted bug still applies. That each is found is the business of `seedfall planted`, which
//! builds them.

use crate::root;
use seedfall::builtin;
use seedfall::case::find;
use seedfall::patches::Planted;

/// Bugs of the journal are proved by the tests of the engine that their heads name: most of them
/// show in a refusal to start, which no promise of a protocol forbids.
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
    let scenarios = builtin::all();
    for patch in patches {
        let files = patch.apply(&root()).unwrap_or_else(|error| panic!("{error}"));
        assert!(!files.is_empty(), "{} changes nothing", patch.name);
        let scenario = patch.says("Scenario");
        assert!(find(&scenarios, scenario).is_ok(), "{}: no scenario {scenario}", patch.name);
    }
}
