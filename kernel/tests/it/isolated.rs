//! What a test that runs in a process of its own says when it fails.

use seedfall_kernel::isolated;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

#[test]
fn a_failure_is_told_once_and_in_its_own_words() {
    let fails = || {
        isolated(|| {
            let _ = std::io::stderr().write_all(b"it is wrong\n");
            resume_unwind(Box::new("a payload that says nothing"));
        });
    };
    let payload = catch_unwind(AssertUnwindSafe(fails)).expect_err("it fails");
    let told = payload.downcast_ref::<String>().expect("what the process made anew has said");
    assert_eq!(told, "it is wrong\n");
}

#[test]
fn a_process_that_dies_is_a_failure() {
    let payload = catch_unwind(|| isolated(|| std::process::exit(7))).expect_err("it dies");
    let told = payload.downcast_ref::<String>().expect("words");
    assert_eq!(told, "the isolated test failed (exit status: 7)");
}
