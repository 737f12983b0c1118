//! The fuzz bodies over a fixed corpus, and over random bytes.

use crate::root;
use proptest::collection::vec;
use proptest::prelude::*;
use seedfall::Class;
use seedfall::sim::StableHasher;
use std::collections::BTreeSet;
use std::fs;

/// Feeds every file of a folder of the corpus to a body; there must be some.
fn over_corpus(name: &str, body: fn(&[u8])) {
    let folder = root().join("fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|file| file.expect("a readable folder").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        body(&fs::read(&file).expect("a readable file"));
    }
}

#[test]
fn cases_of_the_corpus_are_refused_or_run() {
    over_corpus("case", seedfall_fuzz::case);
}

#[test]
fn plans_of_the_corpus_leave_raft_safe() {
    over_corpus("plan", seedfall_fuzz::plan);
}

#[test]
fn runs_of_the_corpus_leave_raft_safe() {
    over_corpus("run", seedfall_fuzz::run);
}

#[test]
fn faults_of_the_corpus_are_the_same_again() {
    over_corpus("faults", |bytes| drop(seedfall_fuzz::faults(bytes)));
}

/// Plans of any bytes are not merely drawn of every class of faults: each class comes to do
/// something.
#[test]
fn every_class_of_faults_has_an_effect_in_a_run_from_bytes() {
    let mut left: BTreeSet<Class> = Class::ALL.into();
    // A strategy is a protocol's own, and Raft has none.
    left.remove(&Class::Strategy);
    // What ends by a signal is a program.
    left.remove(&Class::Shutdown);
    for number in 0..1_000_u32 {
        let byte = |at: usize| StableHasher::hash(&(number, at as u64)) as u8;
        let bytes: Vec<u8> = (0..8 + 6 * 12).map(byte).collect();
        for (class, fired) in seedfall_fuzz::faults(&bytes) {
            if fired {
                left.remove(&class);
            }
        }
        if left.is_empty() {
            return;
        }
    }
    panic!("no effect of {left:?} in a thousand runs");
}

#[test]
fn histories_of_the_corpus_are_refused_or_judged() {
    over_corpus("history", seedfall_fuzz::history);
}

#[test]
fn registers_of_the_corpus_are_judged_as_by_brute_force() {
    over_corpus("register", seedfall_fuzz::register);
}

#[test]
fn journals_of_the_corpus_are_refused_or_recovered() {
    over_corpus("journal", seedfall_fuzz::journal);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn any_small_register_is_judged_as_by_brute_force(bytes in vec(any::<u8>(), 3..22)) {
        seedfall_fuzz::register(&bytes);
    }

    #[test]
    fn any_journal_is_refused_or_recovered(bytes in vec(any::<u8>(), 1..200)) {
        seedfall_fuzz::journal(&bytes);
    }

    /// A history with a bit flipped or its end cut off is refused or judged.
    #[test]
    fn a_damaged_history_is_refused_or_judged(
        which in 0_usize..3,
        cut in 0_usize..400,
        at in any::<usize>(),
        flip in 0_u8..8,
    ) {
        let name = ["json-lines", "edn", "jepsen-log"][which];
        let path = root().join("fuzz/corpus/history").join(name);
        let good = fs::read(path).expect("kept in the corpus");
        let mut bytes = good[..cut.min(good.len())].to_vec();
        if let Some(last) = bytes.len().checked_sub(1) {
            bytes[at % (last + 1)] ^= 1 << flip;
        }
        seedfall_fuzz::history(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_plan_leaves_raft_safe(bytes in vec(any::<u8>(), 8..120)) {
        seedfall_fuzz::plan(&bytes);
    }

    #[test]
    fn any_plan_and_workload_leave_raft_safe(bytes in vec(any::<u8>(), 16..120)) {
        seedfall_fuzz::run(&bytes);
    }

    /// A case with a bit flipped or its end cut off is refused or run, and never panics.
    #[test]
    fn a_damaged_case_is_refused_or_run(
        cut in 0_usize..20_000,
        at in any::<usize>(),
        flip in 0_u8..8,
    ) {
        let good = fs::read(root().join("fuzz/corpus/case/good.json")).expect("kept in the corpus");
        let mut bytes = good[..cut.min(good.len())].to_vec();
        if let Some(last) = bytes.len().checked_sub(1) {
            bytes[at % (last + 1)] ^= 1 << flip;
        }
        seedfall_fuzz::case(&bytes);
    }
}
