//! Runs whose process is the same every time: a test that executes itself anew, alone.

use crate::machine;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Command, Stdio};

/// What tells a process that it is the one made anew.
const MARK: &str = "SEEDFALL_KERNEL_ISOLATED";

/// How a process ends whose test has failed, as Rust's own harness has it.
const FAILED: i32 = 101;

/// Makes this process anew if its addresses are random, where the machine permits that: to be
/// called first in the `main` of a command, whose runs are then the same in every process. The
/// process made anew has the same arguments, and everything that is open.
pub fn fix_addresses() {
    use std::os::unix::process::CommandExt as _;
    #[expect(clippy::disallowed_methods, reason = "the process made anew is told so")]
    let is_anew = std::env::var(MARK).is_ok();
    let (false, false, Ok(program)) =
        (is_anew, machine::has_fixed_addresses(), std::env::current_exe())
    else {
        return;
    };
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(MARK, "1");
    machine::fix_addresses(&mut command);
    // It comes back only if it fails: then this process goes on as it is.
    let _ = command.exec();
}

/// Runs `body` in a process of its own, made for this test alone: no other test's threads in it,
/// and the same addresses every time, where the machine permits that
/// ([`Isolation::fixed_addresses`](crate::report::Isolation)).
///
/// Without it, a run depends on its seed and on what its process was when it was forked: a program
/// that looks at an address or at the number that Rust gives a thread may then behave otherwise.
///
/// It is to be the whole of a `#[test]`, or of `main`: the process made anew runs the same test,
/// and comes here again. The body's output is printed by the calling process.
///
/// # Panics
/// If the body does, or if its process dies.
#[expect(clippy::print_stdout, reason = "the output of a test")]
pub fn isolated(body: impl FnOnce()) {
    #[expect(clippy::disallowed_methods, reason = "the process made anew is told so")]
    let is_anew = std::env::var(MARK).is_ok();
    if is_anew {
        // A failure ends the process here, so that the harness adds nothing to what it says.
        return catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| std::process::exit(FAILED));
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => panic!("cannot find this program to run it anew: {error}"),
    };
    let thread = std::thread::current();
    let mut command = Command::new(program);
    match thread.name() {
        Some(test) if test != "main" => {
            command.args([test, "--exact", "--nocapture", "--test-threads=1", "--include-ignored"]);
            command.arg("--format=terse"); // Its line about the test would stand before ours.
        }
        _ => drop(command.args(std::env::args_os().skip(1))),
    }
    command.env(MARK, "1").stdin(Stdio::null());
    machine::fix_addresses(&mut command);
    match command.output() {
        Err(error) => panic!("cannot run this program anew: {error}"),
        Ok(output) => {
            // What the harness there says before anything else; it is said here, too.
            let stdout = String::from_utf8_lossy(&output.stdout);
            print!("{}", stdout.strip_prefix("\nrunning 1 test\n").unwrap_or(&stdout));
            let stderr = String::from_utf8_lossy(&output.stderr);
            print!("{stderr}");
            match output.status.code() {
                Some(0) => {}
                // It has said why: a second message, of this place, would help nobody.
                Some(FAILED) => resume_unwind(Box::new(stderr.into_owned())),
                _ => panic!("the isolated test failed ({})", output.status),
            }
        }
    }
}
