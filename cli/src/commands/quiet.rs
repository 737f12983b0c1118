//! Panics of the program itself: a bug of Seedfall, told as such. Those of runs are verdicts.

use super::{Problem, show};
use seedfall::run::panics::{Panic, catch};

/// What a program exits with that has a bug of its own.
pub(super) const BUG: u8 = 70;

/// Does what a command does; a panic that nobody catches is told with its place.
pub(super) fn quietly(command: impl FnOnce() -> Result<u8, Problem>) -> Result<u8, Problem> {
    catch(command).unwrap_or_else(|Panic { message, place }| {
        show::error(&format!("this is a bug of Seedfall: it panicked at {place}: {message}"));
        Ok(BUG)
    })
}
