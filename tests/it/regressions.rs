//! Kept cases: each is replayed, must be the run that was stored, event for event, and must break
//! nothing.

use crate::root;
use seedfall::{builtin, testing};
use std::fs;

#[test]
fn every_kept_case_replays_and_passes() {
    let folder = root().join("tests/regressions");
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of kept cases")
        .map(|file| file.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    cases.sort();
    let scenarios = builtin::all();
    let broken: Vec<String> =
        cases.iter().filter_map(|path| testing::check_case(&scenarios, path).err()).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
