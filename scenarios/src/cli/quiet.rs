//! Panics of runs, of which a sweep may meet thousands: their verdicts tell them. A panic of the
//! program itself is told.

use super::{Problem, show};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Arc, Mutex, PoisonError};

/// What a program exits with that panicked.
const PANICKED: u8 = 101;

/// Does what a command does, without a word of the panics that are caught on the way.
pub(super) fn quietly(command: impl FnOnce() -> Result<u8, Problem>) -> Result<u8, Problem> {
    heard(command).unwrap_or_else(|panic| {
        show::error(&format!("this is a bug of the program itself: {panic}"));
        Ok(PANICKED)
    })
}

/// What came of it, or the last panic, where and why, if that was not caught.
fn heard<T>(command: impl FnOnce() -> T) -> Result<T, String> {
    let last = Arc::new(Mutex::new(String::new()));
    let note = Arc::clone(&last);
    set_hook(Box::new(move |panic| {
        *note.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
    }));
    let done = catch_unwind(AssertUnwindSafe(command));
    let _ = take_hook();
    done.map_err(|_| last.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

#[cfg(test)]
mod tests {
    use super::heard;
    use std::panic::catch_unwind;

    #[test]
    fn a_caught_panic_is_passed_over_and_one_that_is_not_is_heard() {
        assert_eq!(heard(|| catch_unwind(|| panic!("a run")).is_err()), Ok(true));
        assert!(heard(|| panic!("the program")).is_err());
    }
}
