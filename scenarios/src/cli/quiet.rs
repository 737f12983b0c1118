//! Panics of runs, of which a sweep may meet thousands: their verdicts tell them. A panic of the
//! program itself is told.

use super::{Problem, show};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Arc, Mutex, PoisonError};

/// What a program exits with that panicked.
const PANICKED: u8 = 101;

/// Does what a command does, without a word of the panics that are caught on the way.
pub(super) fn quietly(command: impl FnOnce() -> Result<u8, Problem>) -> Result<u8, Problem> {
    let last = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&last);
    set_hook(Box::new(move |panic| {
        *heard.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
    }));
    let done = catch_unwind(AssertUnwindSafe(command));
    let _ = take_hook();
    done.unwrap_or_else(|_| {
        let last = last.lock().unwrap_or_else(PoisonError::into_inner);
        show::error(&format!("this is a bug of the program itself: {last}"));
        Ok(PANICKED)
    })
}

#[cfg(test)]
mod tests {
    use super::{PANICKED, quietly};
    use std::panic::catch_unwind;

    #[test]
    fn a_caught_panic_is_passed_over_and_one_that_is_not_ends_the_command() {
        let caught = quietly(|| Ok(u8::from(catch_unwind(|| panic!("a run")).is_err())));
        assert!(matches!(caught, Ok(1)));
        assert!(matches!(quietly(|| panic!("the program")), Ok(PANICKED)));
    }
}
