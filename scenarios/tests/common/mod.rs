//! The binary, as the tests of its commands start it.

use std::path::Path;
use std::process::{Command, Output};

/// Starts the commands in a folder, and waits for their end.
pub(crate) fn seedfall_in(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_seedfall"))
        .current_dir(folder)
        .args(args)
        .output()
        .expect("the binary was built for this test")
}

/// What was printed.
pub(crate) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
