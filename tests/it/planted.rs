//! Every planted bug still applies. That each is found is the business of `seedfall planted`, which
//! builds them.

use crate::root;
use seedfall::builtin;
use seedfall::case::find;
use seedfall::patches::Planted;

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
