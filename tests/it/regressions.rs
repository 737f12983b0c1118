//! Kept cases: each is replayed, must be the run that was stored, event for event, and must break
//! nothing. None is ever silently green: a stale one is red until it is refreshed, and one that was
//! retired is named here.

use crate::root;
use seedfall::case::Case;
use seedfall::shrink::{DEFAULT_RUNS, Effort, shrink};
use seedfall::sim::Seed;
use seedfall::{Conclusion, Expect, Runnable, Scenario, Trial, testing};
use seedfall_scenarios::{self, copied_register};
use std::fs;
use std::path::PathBuf;

/// The files of the cases that were retired, because nothing reaches their failure any more. Each
/// says in itself why.
const RETIRED: [&str; 0] = [];

fn cases() -> Vec<PathBuf> {
    let folder = root().join("tests/regressions");
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of kept cases")
        .map(|file| file.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    cases.sort();
    cases
}

#[test]
fn every_kept_case_replays_and_passes() {
    let scenarios = seedfall_scenarios::all();
    let mut broken = Vec::new();
    let mut retired = Vec::new();
    for path in cases() {
        let (case, _) = Case::load(&path, &scenarios).unwrap_or_else(|error| panic!("{error}"));
        if case.retired.is_some() {
            retired.push(path.file_name().expect("a file").to_string_lossy().into_owned());
            continue;
        }
        broken.extend(testing::check_case(&scenarios, &path).err());
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert_eq!(retired, RETIRED, "the retired cases are named here, all of them and no others");
}

/// A small failing run of the negative control, and its scenario.
fn failing() -> (Vec<Box<dyn Runnable>>, Case) {
    // As if somebody believed in it.
    let scenario = Scenario { expect: Expect::Holds, ..copied_register::scenario() };
    let scenario: Box<dyn Runnable> = Box::new(scenario);
    let fails = |seed: &u64| {
        let report = scenario.run(&Trial::of(Seed(*seed)));
        report.failed()
    };
    let seed = (0..200).find(fails).expect("the bug shows in most runs");
    let small = shrink(scenario.as_ref(), &Trial::of(Seed(seed)), &Effort::runs(DEFAULT_RUNS))
        .expect("it fails");
    let case = Case::of(&small.trial, &small.report, "a note");
    (vec![scenario], case)
}

#[test]
fn a_case_is_never_silently_green() {
    let (scenarios, case) = failing();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("case.json");
    let check = |case: &Case| {
        case.save(&path).expect("a case can be written");
        testing::check_case(&scenarios, &path).expect_err("not green")
    };
    // The bug is there.
    let told = check(&case);
    assert!(told.contains("a property is violated") && !told.contains("stale"), "{told}");
    // The code has changed: the chain stands for it.
    let mut stale = case.clone();
    let digit = if stale.expect.chain.as_bytes()[40] == b'0' { "1" } else { "0" };
    stale.expect.chain.replace_range(40..41, digit);
    let told = check(&stale);
    assert!(told.contains("stale: the replay diverges at event 11:"), "{told}");
    assert!(told.contains("keep --refresh"), "{told}");
    // The same run, judged otherwise: here one that passes and is said to have failed.
    let passing = (0..200)
        .map(|seed| Trial { recording: seedfall::sim::Recording::Full, ..Trial::of(Seed(seed)) });
    let reports = passing.map(|trial| (scenarios[0].run(&trial), trial));
    let mut passed =
        reports.filter(|(report, _)| matches!(report.conclusion(), Conclusion::Passed));
    let (report, trial) = passed.next().expect("some seeds pass");
    let mut judged = Case::of(&trial, &report, "a note");
    judged.save(&path).expect("a case can be written");
    assert_eq!(testing::check_case(&scenarios, &path), Ok(()), "as it is, it is green");
    judged.expect.fingerprint = case.expect.fingerprint.clone();
    let told = check(&judged);
    assert!(told.contains("breaks nothing now"), "{told}");
    // Retired.
    let told = check(&Case { retired: Some("its protocol is gone".to_owned()), ..case });
    assert!(told.contains("was retired: its protocol is gone"), "{told}");
}
